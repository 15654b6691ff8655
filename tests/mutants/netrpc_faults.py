"""The planted faults of the net/rpc wire's cores: yamux, gob, net/rpc and MuxBroker."""

from __future__ import annotations

from tests.mutants.fault import Fault

__all__ = ["NETRPC_FAULTS"]

ROOM = "mm_asgi/wire/netrpc"
SESSION, STREAM = f"{ROOM}/yamux_session.py", f"{ROOM}/yamux_stream.py"
NUMBERS, DECODERS = f"{ROOM}/gob_numbers.py", f"{ROOM}/gob_decoders.py"
SCOPE, READER = f"{ROOM}/gob_scope.py", f"{ROOM}/gob_reader.py"
TYPES, WRITER, VALUES = f"{ROOM}/gob_types.py", f"{ROOM}/gob_writer.py", f"{ROOM}/gob_values.py"
RPC, BROKER = f"{ROOM}/rpc_conversation.py", f"{ROOM}/broker.py"

YAMUX = ("tests/wire/netrpc/test_yamux.py", "tests/wire/netrpc/test_yamux_properties.py")
GOB = ("tests/wire/netrpc/test_gob.py",)
CALLS = ("tests/wire/netrpc/test_rpc.py",)
DIALS, LINK, LIVE = f"{ROOM}/dials.py", f"{ROOM}/mux_link.py", f"{ROOM}/live_calls.py"
PIPE, BEGIN = f"{ROOM}/byte_pipe.py", f"{ROOM}/plugin_session.py"
ALIVE = ("tests/wire/netrpc/test_live.py",)
DIALLED = ("tests/wire/netrpc/test_dials.py",)

NETRPC_FAULTS: tuple[Fault, ...] = (
    Fault(
        "net/rpc: an answer is looked up whatever types its stream has",
        RPC,
        "        return self._kept.get((scope, data))\n",
        "        return next((made for (_, known), made in self._kept.items() if known == data), None)\n",
        ("tests/wire/netrpc/test_rpc.py",),
    ),
    Fault(
        "net/rpc: answers that never come again fill the place of the others",
        RPC,
        "        is_first = self._next <= _KNOWN_CALLS and len(data) <= _KNOWN_BYTES\n",
        "        is_first = len(data) <= _KNOWN_BYTES\n",
        ("tests/wire/netrpc/test_rpc.py",),
    ),
    Fault(
        "net/rpc: an answer that is looked up is the one that was given out before",
        RPC,
        "                yield _copied(outcome)\n",
        "                yield outcome\n",
        ("tests/wire/netrpc/test_rpc.py",),
    ),
    # ---------------------------------------------------------------- yamux
    Fault(
        "netrpc: a stream of the host is not acknowledged",
        SESSION,
        "        self.send_frame(WINDOW, ACK, stream_id, 0)\n",
        "",
        YAMUX,
    ),
    Fault(
        "netrpc: the backlog is not counted",
        SESSION,
        "        self._unacknowledged.add(stream.id)\n",
        "",
        YAMUX,
    ),
    Fault(
        "netrpc: a stream that is over keeps its place in the backlog",
        SESSION,
        "            self._unacknowledged.discard(stream.id)\n            self._send_waiting()\n",
        "            pass\n",
        YAMUX,
    ),
    Fault(
        "netrpc: a byte over the window is taken",
        STREAM,
        "        if size > self.receive_window:\n            return False\n",
        "",
        YAMUX,
    ),
    Fault(
        "netrpc: a write over the window leaves",
        STREAM,
        "            if len(part) > self.send_window:\n",
        "            if False:\n",
        YAMUX,
    ),
    Fault(
        "netrpc: consumed bytes give no credit",
        STREAM,
        "            self._sink.send_frame(WINDOW, 0, self.id, self._credit)\n",
        "",
        YAMUX,
    ),
    Fault(
        "netrpc: a close overtakes what waits for the window",
        STREAM,
        "        if not self.queued and self.state is not MuxState.WAITING:\n",
        "        if self.state is not MuxState.WAITING:\n",
        YAMUX,
    ),
    Fault(
        "netrpc: a second FIN is a step of the table",
        STREAM,
        "    (MuxState.LOCAL_CLOSED, MuxStep.RECEIVE_ACK): MuxState.LOCAL_CLOSED,\n",
        "    (MuxState.LOCAL_CLOSED, MuxStep.RECEIVE_ACK): MuxState.LOCAL_CLOSED,\n"
        "    (MuxState.LOCAL_CLOSED, MuxStep.SEND_FIN): MuxState.LOCAL_CLOSED,\n",
        YAMUX,
    ),
    Fault(
        "netrpc: a second FIN of the host is no error",
        SESSION,
        "        if not stream.move(MuxStep.RECEIVE_FIN):\n",
        "        if not stream.move(MuxStep.RECEIVE_FIN) and False:\n",
        YAMUX,
    ),
    Fault(
        "netrpc: the end of a frame's stream comes before its last bytes",
        SESSION,
        "        if not self._rest and self._rest_fin:\n",
        "        if self._rest_fin:\n",
        YAMUX,
    ),
    Fault(
        "netrpc: a second SYN is a new stream",
        SESSION,
        "        if stream_id in self.streams:\n            raise",
        "        if False:\n            raise",
        YAMUX,
    ),
    Fault(
        "netrpc: the host may open any number of streams",
        SESSION,
        "self.is_leaving or self._peer_streams >= self._max_streams",
        "self.is_leaving",
        YAMUX,
    ),
    Fault(
        "netrpc: a header cut by a read is lost",
        SESSION,
        "                self._tail = data[position:]\n",
        "                self._tail = b''\n",
        YAMUX,
    ),
    Fault(
        "netrpc: a ping is not answered",
        SESSION,
        "            self.send_frame(PING, ACK, 0, value)\n",
        "            pass\n",
        YAMUX,
    ),
    Fault(
        "netrpc: a lost connection leaves its streams open",
        SESSION,
        "            stream.move(MuxStep.LOSE)\n",
        "",
        YAMUX,
    ),
    # ---------------------------------------------------------------- gob, reading
    Fault(
        "netrpc: a number may be longer than its message",
        NUMBERS,
        "    if first < _LONGEST or end > len(buffer):\n",
        "    if first < _LONGEST:\n",
        GOB,
    ),
    Fault(
        "netrpc: a string may be longer than its message",
        DECODERS,
        "                if end > len(buffer):\n                    _too_short(size, position, buffer)\n",
        "",
        GOB,
    ),
    Fault(
        "netrpc: a field beyond the last is an IndexError of its own",
        DECODERS,
        "            if index >= count:\n",
        "            if False:\n",
        GOB,
    ),
    Fault(
        "netrpc: elements cost nothing",
        DECODERS,
        "    context.elements -= count\n",
        "",
        GOB,
    ),
    Fault(
        "netrpc: fields cost nothing",
        DECODERS,
        "        context.elements -= len(found)\n",
        "",
        GOB,
    ),
    Fault(
        "netrpc: nesting is not bounded",
        DECODERS,
        "    context.depth -= 1\n    if context.depth < 0:\n",
        "    if context.depth < 0:\n",
        GOB,
    ),
    Fault(
        "netrpc: values next to each other count as nested",
        DECODERS,
        "    context.depth += 1\n    return (value if",
        "    return (value if",
        GOB,
    ),
    Fault(
        "netrpc: the count behind an interface's definition is read as the next type",
        DECODERS,
        "        if position not in context.seams:\n            _, position = read_uint(buffer, position)\n",
        "",
        GOB,
    ),
    Fault(
        "netrpc: the seam of two messages is taken for a count",
        DECODERS,
        "        if position not in context.seams:\n",
        "        if True:\n",
        GOB,
    ),
    Fault(
        "netrpc: a value that is read again defines its types twice",
        READER,
        "                self.scope = scope\n",
        "",
        GOB,
    ),
    Fault(
        "netrpc: reading again costs nothing",
        READER,
        "        self._reread -= size\n",
        "",
        GOB,
    ),
    Fault(
        "netrpc: a message of any size is waited for",
        READER,
        "        if not size or size > self._limits.message:\n",
        "        if not size:\n",
        GOB,
    ),
    Fault(
        "netrpc: an error of a stream is forgotten",
        READER,
        "        if self.fault is not None:\n            raise self.fault\n",
        "",
        GOB,
    ),
    Fault(
        "netrpc: streams share types by number alone",
        SCOPE,
        "        return self._next.get((type_id, definition))\n",
        "        return next((s for (n, _), s in self._next.items() if n == type_id), None)\n",
        GOB,
    ),
    Fault(
        "netrpc: shared types are not bounded",
        SCOPE,
        "            self._shares.entries -= cost\n",
        "",
        GOB,
    ),
    Fault(
        "netrpc: a type may be defined twice",
        SCOPE,
        "        if type_id < FIRST_USER_TYPE or type_id in self.types:\n",
        "        if type_id < FIRST_USER_TYPE:\n",
        GOB,
    ),
    # ---------------------------------------------------------------- gob, writing
    Fault(
        "netrpc: an int of any size leaves",
        TYPES,
        "        if not self._low <= value <= self._high:\n",
        "        if False:\n",
        GOB,
    ),
    Fault(
        "netrpc: a bool passes for an int",
        TYPES,
        '        if not isinstance(value, int) or isinstance(value, bool):\n            raise _wrong("int"',
        '        if not isinstance(value, int):\n            raise _wrong("int"',
        GOB,
    ),
    Fault(
        "netrpc: a field that the type lacks is dropped",
        TYPES,
        "        if not value.keys() <= self._names:\n",
        "        if False:\n",
        GOB,
    ),
    Fault(
        "netrpc: a pointer to zero is left out",
        TYPES,
        "                if item is None or (not always and not item):\n",
        "                if item is None or not item:\n",
        GOB,
    ),
    Fault(
        "netrpc: a value that failed has defined its types",
        WRITER,
        "            self._sent = sent\n            if isinstance",
        "            if isinstance",
        GOB,
    ),
    Fault(
        "netrpc: interfaces nest without end",
        WRITER,
        "        if self._depth > DEEPEST:\n",
        "        if False:\n",
        GOB,
    ),
    Fault(
        "netrpc: True in an interface is an int",
        WRITER,
        "    (bool, BOOL),  # before int, which it is one of\n    (int, INT),\n",
        "    (int, INT),\n    (bool, BOOL),\n",
        GOB,
        "keep_their_kind",
    ),
    Fault(
        "netrpc: a time's zone is lost",
        VALUES,
        "    if minutes != _UTC:\n",
        "    if False:\n",
        GOB,
    ),
    # ---------------------------------------------------------------- net/rpc and the broker
    Fault(
        "netrpc: a reply that cannot be written has defined its header",
        RPC,
        "            return head + writer.encode(kind, value)\n        except BaseException:\n            writer.rewind(mark)\n",
        "            return head + writer.encode(kind, value)\n        except BaseException:\n",
        CALLS,
    ),
    Fault(
        "netrpc: an empty error is success",
        RPC,
        '        safe = (text or "error")',
        "        safe = text",
        CALLS,
    ),
    Fault(
        "netrpc: an answer to no call is an outcome",
        RPC,
        "            if outcome.number in self.pending:\n",
        "            if True:\n",
        CALLS,
    ),
    Fault(
        "netrpc: a call is not pending",
        RPC,
        "        self.pending.add(number)\n        return number, data\n",
        "        return number, data\n",
        CALLS,
    ),
    Fault(
        "netrpc: an offer is taken twice",
        BROKER,
        '        """Return what to call for a dial, once; None where the number is not on offer."""\n'
        "        return self._offers.pop(number, None)\n",
        '        """Return what to call for a dial, once; None where the number is not on offer."""\n'
        "        return self._offers.get(number)\n",
        CALLS,
    ),
    Fault(
        "netrpc: an acknowledgement of another number is one",
        BROKER,
        "        if self._expected is not None and number != self._expected:\n",
        "        if False:\n",
        CALLS,
    ),
    # ---------------------------------------------------------------- alive
    Fault(
        "netrpc: a dial without acknowledgement waits for ever",
        DIALS,
        "            self._clock = self._loop.call_later(DIAL_TIMEOUT, self._look)\n",
        "            pass\n",
        ALIVE,
        "acknowledgement",
    ),
    Fault(
        "netrpc: a dial is believed before its acknowledgement",
        DIALS,
        "        owner.stream_opened(dial.stream)\n",
        "        owner.stream_opened(dial.stream)\n        owner.stream_taken()\n",
        ALIVE,
        "dial",
    ),
    Fault(
        "netrpc: an offer without its owner is not dialled in time",
        DIALS,
        "            self._dial_early(number)\n",
        "            pass\n",
        DIALLED,
    ),
    Fault(
        "netrpc: an offer that was dialled early is dialled again",
        DIALS,
        "        early = self._early.pop(number, None)\n",
        "        early = None\n",
        DIALLED,
    ),
    Fault(
        "netrpc: a late loop gives up a dial whose answer it has not read",
        DIALS,
        "            if now > due + _LATE and not self._was_late:\n",
        "            if False:\n",
        DIALLED,
        "late",
    ),
    Fault(
        "netrpc: a dial that nobody offered is left open",
        LINK,
        "            stream.owner = None\n            stream.reset()\n            return\n",
        "            return\n",
        ALIVE,
        "nobody_offered or withdrawn",
    ),
    Fault(
        "netrpc: an owner writes before the broker's acknowledgement",
        LINK,
        "        stream.write(write_number(number))  # before anything that the owner writes\n"
        "        taken(self)\n",
        "        taken(self)\n        stream.write(write_number(number))\n",
        ALIVE,
        "whoever_offers",
    ),
    Fault(
        "netrpc: an owner's error ends the connection",
        LINK,
        "            except Exception:\n"
        '                log.exception("yamux stream %d: its owner failed; the stream was reset", stream.id)\n'
        "                self._drop(stream)\n",
        "            except ZeroDivisionError:\n                self._drop(stream)\n",
        ALIVE,
        "owner_that_fails",
    ),
    Fault(
        "netrpc: a host that does not read is read on",
        LINK,
        "            self._transport.pause_reading()\n",
        "            pass\n",
        ALIVE,
        "asks_and_does_not_read",
    ),
    Fault(
        "netrpc: a broken session keeps its connection",
        LINK,
        "        if session.failure is not None:\n            self._transport.close()\n",
        "",
        ALIVE,
        "broken_session",
    ),
    Fault(
        "netrpc: calls of a lost stream wait for ever",
        LIVE,
        '        self._lose(ConnectionError("the host ended the stream"))\n',
        "",
        ALIVE,
        "lost or nobody_offered",
    ),
    Fault(
        "netrpc: unreadable answers leave their calls waiting",
        LIVE,
        "        except HostProtocolError as error:\n            self._lose(error)\n            raise\n",
        "        except ZeroDivisionError:\n            raise\n",
        ALIVE,
        "unreadable_answers",
    ),
    Fault(
        "netrpc: unreadable hooks end their stream alone",
        LIVE,
        "            self._on_fault(error)\n",
        "            raise\n",
        ALIVE,
        "unreadable_stream",
    ),
    Fault(
        "netrpc: an answer to a cancelled call is an error",
        LIVE,
        "                if answer.done():  # who asked was cancelled\n                    continue\n",
        "",
        ALIVE,
        "cancelled",
    ),
    Fault(
        "netrpc: a pipe credits what nobody has read",
        PIPE,
        "        self._pieces.append(data)\n        _wake(self._reader)\n",
        "        self._pieces.append(data)\n        _wake(self._reader)\n"
        "        if self.stream is not None:\n            self.stream.consume(len(data))\n",
        ALIVE,
        "pipe or reader",
    ),
    Fault(
        "netrpc: a discarded pipe keeps its window",
        LINK,
        "            case DataReceived(_, data):\n                stream.consume(len(data))\n",
        "            case DataReceived(_, data):\n                pass\n",
        ALIVE,
        "discarded",
    ),
    Fault(
        "netrpc: a reset pipe ends as a whole one",
        PIPE,
        "        self._is_lost = self._is_lost or not whole\n",
        "",
        ALIVE,
        "reset",
    ),
    Fault(
        "netrpc: Quit does not end the plugin",
        BEGIN,
        "            self._on_quit()\n",
        "            pass\n",
        ALIVE,
        "quit",
    ),
    Fault(
        "netrpc: a second host takes the place of the first",
        f"{ROOM}/endpoint.py",
        "        if self.session is not None and self.session.link.is_open:\n",
        "        if False:\n",
        ALIVE,
        "second_connection",
    ),
)
