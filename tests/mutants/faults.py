"""The planted faults: a fixed list. Each new mechanism adds its own.

A fault names the small selection of tests that ought to catch it, contract rows by their ids.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FAULTS", "Fault"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: ``old``, which stands in ``file`` exactly once, becomes ``new``.

    Attributes:
        paths: where the tests are that ought to catch it.
        only: which of them, as pytest's ``-k``; empty: all.
    """

    name: str
    file: str
    old: str
    new: str
    paths: tuple[str, ...]
    only: str = ""


CONTRACT = ("tests/contract",)


SCOPE, RESPONSE = "mm_asgi/bridge/scope.py", "mm_asgi/bridge/response.py"
HTTP, STATE = "mm_asgi/bridge/http.py", "mm_asgi/bridge/state.py"
HOLD = "mm_asgi/bridge/hold.py"
HANDLER, LIFESPAN = "mm_asgi/bridge/handler.py", "mm_asgi/bridge/lifespan.py"
DISPATCH, TASKS = "mm_asgi/dispatch.py", "mm_asgi/tasks.py"
PORT, LISTENER = "mm_asgi/wire/port.py", "mm_asgi/goplugin/listener.py"

CALLS, CONNECTION = "mm_asgi/api/calls.py", "mm_asgi/api/connection.py"
CHANNEL, FAILURES = "mm_asgi/wire/grpcio_channel.py", "mm_asgi/api/failures.py"

TLS, WIRE_TLS = "mm_asgi/goplugin/tls.py", "mm_asgi/wire/http2/tls.py"
RUNTIME, TRANSPORT = "mm_asgi/runtime.py", "mm_asgi/wire/http2/transport.py"
SECURE = ("tests/wire/test_tls.py", "tests/unit/goplugin/test_tls.py")
PROCESS_TLS = ("tests/contract/test_process_tls.py",)

API, CHANNELS = ("tests/unit/api",), ("tests/wire/test_channel.py",)
WIRE = ("tests/wire", "tests/unit/test_inbox.py")
HTTP2 = ("tests/wire/http2",)
H2_CONNECTION, H2_STREAM = "mm_asgi/wire/http2/connection.py", "mm_asgi/wire/http2/stream.py"
HOOK_TESTS = ("tests/unit/hooks", "tests/contract/test_hooks.py")
UNIT_RESPONSE = ("tests/unit/bridge/test_response.py",)

FAULTS: tuple[Fault, ...] = (
    # ---------------------------------------------------------------- scope
    Fault(
        "S1: the scope says spec_version 2.4",
        SCOPE,
        'SPEC_VERSION = "2.3"',
        'SPEC_VERSION = "2.4"',
        CONTRACT,
        "test_S1_",
    ),
    Fault(
        "S2: root_path is never found",
        SCOPE,
        "if path.endswith(below):",
        "if not below:",
        CONTRACT,
        "test_S2_",
    ),
    Fault(
        "S2: absolute-form keeps its authority",
        SCOPE,
        '        if path.startswith("//"):  # else',
        '        if path.startswith("///"):  # else',
        CONTRACT,
        "test_S2_",
    ),
    Fault(
        "S3: path is not decoded",
        SCOPE,
        'return unquote(path, errors="replace") if "%" in path else path',
        "return path",
        CONTRACT,
        "test_S3_",
    ),
    Fault(
        "S4: the token's key is compared undecoded",
        SCOPE,
        'if unquote_plus(piece.partition("=")[0]) == "access_token":',
        'if piece.partition("=")[0] == "access_token":',
        CONTRACT,
        "test_S4_",
    ),
    Fault(
        "S4: what follows a token's semicolon is kept",
        SCOPE,
        '                    kept.append(";".join(before))\n                break',
        '                    kept.append(";".join(before))\n                continue',
        CONTRACT,
        "test_S4_",
    ),
    Fault(
        "S5: the host header comes last",
        SCOPE,
        'headers = [(b"host", host.encode())] if host else []',
        "headers: Headers = []",
        CONTRACT,
        "test_S5_",
    ),
    Fault(
        "S6: Mattermost_User_Id passes",
        SCOPE,
        '"_" not in name or (underscores and name.replace("_", "-") not in IDENTITY_HEADERS)',
        '"_" not in name or underscores',
        CONTRACT,
        "test_S6_",
    ),
    Fault(
        "S7: the forwarded scheme is ignored",
        SCOPE,
        'if value.partition(",")[0].strip().lower() == "https":',
        'if value == "never":',
        CONTRACT,
        "test_S7_",
    ),
    Fault(
        "S8: requests share the lifespan's state",
        SCOPE,
        '"state": dict(state),',
        '"state": state,',
        CONTRACT,
        "test_S8_",
    ),
    # ---------------------------------------------------------------- request and disconnect
    Fault(
        "D2: the end of the stream is the end of the body",
        HTTP,
        "        if message is None:  # the end of the stream, and no body_complete (D2)\n"
        '            self._truncate("the host ended the request before body_complete")\n'
        "            return None\n",
        "        if message is None:\n"
        "            self._body_open = False\n"
        '            return {"type": "http.request", "body": b"", "more_body": False}\n',
        CONTRACT,
        "test_D2_",
    ),
    Fault(
        "D3: receive() yields although an event is ready",
        HTTP,
        "        if self._body_open and not self._is_over():\n            first, self._first",
        "        await asyncio.sleep(0)\n"
        "        if self._body_open and not self._is_over():\n            first, self._first",
        CONTRACT,
        "test_D3_",
    ),
    Fault(
        "D4: who sends to nobody is never stopped",
        HTTP,
        "if asyncio.get_running_loop().time() - self._left_at > self._grace:",
        "if False:",
        CONTRACT,
        "test_D4_",
    ),
    Fault(
        "D4: a disconnect in a group is an error",
        STATE,
        "if isinstance(exc, BaseExceptionGroup) and all(map(is_disconnect, exc.exceptions)):",
        "if False:",
        CONTRACT,
        "test_D4_",
    ),
    Fault(
        "D5: the cancel after body_complete is a disconnect",
        STATE,
        "(State.COMPLETE, Step.LEAVE): State.COMPLETE,",
        "(State.COMPLETE, Step.LEAVE): State.LEFT,",
        CONTRACT,
        "test_D5_",
    ),
    Fault(
        "D6: a body that is too long is not cut",
        HTTP,
        "chunk = chunk[: max(len(chunk) - over, 0)]",
        "pass",
        CONTRACT,
        "test_D6_",
    ),
    Fault(
        "D6: a body that is too short is whole",
        HTTP,
        "elif over < 0 and not more:",
        "elif False:",
        CONTRACT,
        "test_D6_",
    ),
    Fault(
        "D8: a second init is taken for data",
        HTTP,
        '        if message.HasField("init"):',
        "        if False:",
        CONTRACT,
        "test_D8_",
    ),
    # ---------------------------------------------------------------- response
    Fault(
        "R1: the start is not held",
        HOLD,
        "        self._young.append(cycle)\n",
        "        self._spawn(cycle.release())\n",
        CONTRACT,
        "test_R1_",
    ),
    Fault(
        "R1: an idle start is held for ever",
        HOLD,
        "                self._spawn(cycle.release())",
        "                pass",
        CONTRACT,
        "test_R1_",
    ),
    Fault(
        "R3: chunks are not flushed",
        RESPONSE,
        "encode_response(init, body, complete=not more, flush=more)",
        "encode_response(init, body, complete=not more, flush=False)",
        UNIT_RESPONSE,
    ),
    Fault(
        "R3: chunks are not cut",
        RESPONSE,
        "CHUNK_SIZE = 64 * 1024",
        "CHUNK_SIZE = 64 * 1024 * 1024",
        UNIT_RESPONSE,
    ),
    Fault(
        "R4: 204 has a Content-Length",
        RESPONSE,
        "if self.length is not None and self.status != 204:",
        "if self.length is not None:",
        CONTRACT,
        "test_R4_",
    ),
    Fault(
        "R5: a body that is too short ends well",
        RESPONSE,
        "if head.length is None or size == head.length or (more and size < head.length):",
        "if head.length is None or size <= head.length:",
        CONTRACT,
        "test_R5_",
    ),
    Fault(
        "R6: Content-Length is never set",
        RESPONSE,
        "            self.length = size\n",
        "            pass\n",
        CONTRACT,
        "test_R6_",
    ),
    Fault(
        "R7: the state moves before the check",
        HTTP,
        "        target = next_state(self._state, Step.START)\n        head = check_start",
        "        target = self._state = next_state(self._state, Step.START)\n        head = check_start",
        CONTRACT,
        "test_R7_",
    ),
    Fault(
        "R7: CR and LF pass",
        RESPONSE,
        r'_BAD_VALUE = re.compile(rb"[\r\n\0]")',
        r'_BAD_VALUE = re.compile(rb"[\0]")',
        UNIT_RESPONSE,
    ),
    Fault(
        "R8: SystemExit in the app ends the task",
        HANDLER,
        "        except BaseException as exc:  # noqa: BLE001 - SystemExit too is the app's fault (row R11)",
        "        except Exception as exc:  # noqa: BLE001",
        CONTRACT,
        "test_R11_",
    ),
    Fault(
        "R9: a response that the app did not end ends OK",
        HTTP,
        "            self._abort(Step.FAULT, FAILED_LATE)",
        "            self._stream.finish()",
        CONTRACT,
        "test_R9_",
    ),
    Fault(
        "R12: latin-1 bytes reach the serializer",
        RESPONSE,
        'return raw.decode("latin-1")',
        'return raw.decode("utf-8", "surrogateescape")',
        CONTRACT,
        "test_R12_",
    ),
    Fault(
        "R13: the app's hop-by-hop headers pass",
        RESPONSE,
        "if key in _HOP_BY_HOP:",
        "if False:",
        CONTRACT,
        "test_R13_",
    ),
    Fault(
        "R15: no limit on requests",
        HANDLER,
        "if limit and self._open > limit:",
        "if False:",
        CONTRACT,
        "test_R15_",
    ),
    Fault(
        "R17: a cookie's wide path is kept",
        RESPONSE,
        'if rewrite and not fixed and (wide or not path or not path.startswith("/")):',
        "if False:",
        CONTRACT,
        "test_R17_",
    ),
    # ---------------------------------------------------------------- life of the process
    Fault(
        "L1: the second Implemented imports again",
        DISPATCH,
        "        self.phase = Phase.LOADED\n",
        "",
        CONTRACT,
        "test_L1_",
    ),
    Fault(
        "L1: an import that failed serves HTTP",
        DISPATCH,
        "if self._plugin is not None and self._plugin.app is not None:",
        "if True:",
        ("tests/contract", "tests/unit/test_dispatch.py"),
        "L1 or H1 or fault or import",
    ),
    Fault(
        "L2: a request does not wait for the start-up",
        DISPATCH,
        "                await self._settled.wait()\n        except TimeoutError:\n            logger.warning(",
        "                pass\n        except TimeoutError:\n            logger.warning(",
        ("tests/contract", "tests/unit/test_dispatch.py"),
        "L2",
    ),
    Fault(
        "L3: a failed start-up is taken for an app without lifespan",
        LIFESPAN,
        'if not self._asked and self._mode == "auto":',
        'if self._mode == "auto":',
        ("tests/contract", "tests/unit"),
        "L3 or lifespan",
    ),
    Fault(
        "L4: event streams are not told of the drain",
        HANDLER,
        "            cycle.drain()",
        "            pass",
        CONTRACT,
        "test_L4_",
    ),
    Fault(
        "L4: lifespan.shutdown is forgotten",
        DISPATCH,
        "        if self._lifespan is not None:\n            left",
        "        if self._lifespan is None:\n            left",
        CONTRACT,
        "test_L4_",
    ),
    Fault(
        "L4: Shutdown during a drain waits for it",
        TASKS,
        "self._drain_until = min(self._drain_until, _cancel_at(seconds))",
        "pass",
        ("tests/unit/test_tasks.py", "tests/unit/test_dispatch_stop.py"),
    ),
    Fault(
        "L5: nobody looks whether the host lives",
        "mm_asgi/observe/watchdog.py",
        "if not self._orphaned and os.getppid() != self._parent:",
        "if False:",
        ("tests/unit/observe", "tests/contract"),
        "watchdog or orphan or L5",
    ),
    Fault(
        "L9: anybody may enter the socket's directory",
        LISTENER,
        "os.mkdir(directory, 0o700)",
        "os.mkdir(directory, 0o755)",
        ("tests/unit/goplugin/test_listener.py",),
    ),
    Fault(
        "L7: a line may be as long as it likes",
        "mm_asgi/observe/hclog.py",
        "LINE_LIMIT = 64 * 1024\n",
        "LINE_LIMIT = 64 * 1024 * 1024\n",
        ("tests/unit/observe",),
    ),
    Fault(
        "L8: a request's log line has no request_id",
        HANDLER,
        'LOG_CONTEXT.set(LogContext(facts["request_id"], facts["user_id"]))',
        'LOG_CONTEXT.set(LogContext("", facts["user_id"]))',
        ("tests/contract",),
        "R8 or L8",
    ),
    Fault(
        "L10: a blocked loop is never ended",
        "mm_asgi/observe/watchdog.py",
        "self._end(EXIT_BLOCKED, lambda: _report_kill(seconds))",
        "_report_kill(seconds)",
        ("tests/unit/observe", "tests/contract"),
        "watchdog or L10",
    ),
    Fault(
        "H1: ServeMetrics is listed",
        DISPATCH,
        'names.append("ServeHTTP")',
        'names += ["ServeHTTP", "ServeMetrics"]',
        ("tests/contract", "tests/unit/test_dispatch.py"),
        "H1 or implemented",
    ),
    Fault(
        "H6: on_configuration_change waits for the host",
        DISPATCH,
        '            await self._call_hook("on_configuration_change")  # this host does not (row H6)',
        "            pass",
        ("tests/contract", "tests/unit/test_dispatch.py"),
        "H6 or configuration",
    ),
    Fault(
        "the handshake has a pipe too many",
        "mm_asgi/goplugin/handshake.py",
        'address, "grpc"]',
        'address, "grpc", ""]',
        ("tests/unit/goplugin/test_handshake.py",),
    ),
    # ---------------------------------------------------------------- wire
    Fault(
        "wire: a cancelled read loses its message",
        PORT,
        "                if waiter.done() and not waiter.cancelled():\n                    self._wake_one()\n",
        "",
        WIRE,
    ),
    Fault(
        "wire: cancelled readers pile up",
        PORT,
        "                with contextlib.suppress(ValueError):\n                    self._waiters.remove(waiter)\n",
        "",
        WIRE,
    ),
    # ---------------------------------------------------------------- API
    Fault(
        "API: every call is repeated",
        CALLS,
        "name not in _NOT_READS and _READS.match(name) is not None",
        "True",
        API,
        "repeated or reads",
    ),
    Fault(
        "API: the limit of a request is a byte too low",
        CALLS,
        "> REQUEST_LIMIT:",
        ">= REQUEST_LIMIT:",
        API,
        "mebibytes",
    ),
    Fault(
        "API: a message field that is left out stays unset",
        CALLS,
        "            getattr(message, name).SetInParent()",
        "            pass",
        API,
        "always_sent",
    ),
    Fault(
        "API: the error in an answer is overlooked",
        CONNECTION,
        'if response.HasField("error"):',
        "if False:",
        API,
        "error_in",
    ),
    Fault(
        "API: there is no deadline",
        CONNECTION,
        "limit = timeout or None",
        "limit = None",
        API,
        "deadline",
    ),
    Fault(
        "API: a read is repeated past its deadline",
        CONNECTION,
        " or (left is not None and left <= pause)",
        "",
        API,
        "past_its_deadline",
    ),
    Fault(
        "API: a status's id stays in its message",
        FAILURES,
        "elif match := _ID.fullmatch(error.text):",
        "elif match := None:",
        API,
        "status",
    ),
    Fault(
        "API: calls go over another channel than was given",
        CONNECTION,
        "self._open_channel(target)",
        "_open_native(target)",
        API,
        "channel_is",
    ),
    Fault(
        "API: a closed connection opens again",
        CONNECTION,
        "        self._closed = True\n        channel, self._channel",
        "        channel, self._channel",
        API,
        "close or runtime",
    ),
    Fault(
        "channel: grpcio's cancel is taken for the task's",
        CHANNEL,
        "            if is_cancelled():",
        "            if True:",
        CHANNELS,
        "close",
    ),
    Fault(
        "channel: a cancelled read cancels the RPC",
        CHANNEL,
        "data = await asyncio.shield(self._reading)",
        "data = await self._reading",
        CHANNELS,
        "ends_no_rpc",
    ),
    Fault(
        "channel: a write passes the one before it",
        CHANNEL,
        "            if self._writing is not None:  # whoever started it was cancelled\n                await asyncio.shield(self._writing)\n",
        "",
        CHANNELS,
        "ends_no_rpc",
    ),
    # ---------------------------------------------------------------- the native wire
    Fault(
        "http2: received bytes are not credited to the connection",
        H2_CONNECTION,
        "        if self._receive_window * 2 < limit:\n",
        "        if False:\n",
        HTTP2,
        "dropped_data_is_credited",
    ),
    Fault(
        "http2: padding is not credited to its stream",
        H2_CONNECTION,
        "            stream.credit(size - len(payload))\n",
        "            pass\n",
        HTTP2,
        "padding_is_credited or random_programs",
    ),
    Fault(
        "http2: the end of a frame that came in parts is lost",
        H2_CONNECTION,
        "        end = not self._rest and bool(self._rest_flags & END_STREAM)\n",
        "        end = False\n",
        HTTP2,
        "frame_in_parts",
    ),
    Fault(
        "http2: DATA after the end is taken",
        H2_CONNECTION,
        "            stream.move(Step.RECEIVE_DATA)\n",
        "            pass\n",
        HTTP2,
        "test_a_fault_of_a_stream or what_a_peer_sends",
    ),
    Fault(
        "http2: a request's Content-Length is not held",
        H2_CONNECTION,
        "        stream.move(Step.RECEIVE_HEADERS)\n        stream.expected = head.length\n",
        "        stream.move(Step.RECEIVE_HEADERS)\n",
        HTTP2,
        "content_length",
    ),
    Fault(
        "http2: streams that the peer breaks do not count",
        H2_CONNECTION,
        "            self.guard.broken()\n",
        "            pass\n",
        HTTP2,
        "makes_us_reset or malformed_requests_count",
    ),
    Fault(
        "http2: requests that are taken back do not count",
        "mm_asgi/wire/http2/control.py",
        "        connection.guard.broken()\n",
        "        pass\n",
        HTTP2,
        "rapid_reset",
    ),
    Fault(
        "http2: heads are kept although the table has changed",
        "mm_asgi/wire/http2/blocks.py",
        "            if not self._is_steady:\n                self._heads.clear()\n",
        "",
        HTTP2,
        "head_is_forgotten",
    ),
    Fault(
        "http2: a table size update may stand anywhere",
        "mm_asgi/wire/http2/hpack.py",
        "at_start=not size",
        "at_start=True",
        HTTP2,
        "what_cannot_be_decoded",
    ),
    Fault(
        "http2: trailers overtake what waits",
        H2_STREAM,
        '        if self._pending:\n            self._end = block or b""\n        elif block:\n',
        "        if block:\n",
        HTTP2,
        "pending_bytes_leave_before or random_programs",
    ),
    Fault(
        "http2: a reset wakes no writer",
        H2_STREAM,
        "            self.drop_pending()\n            self.connection.reply(reset(",
        "            self.connection.reply(reset(",
        HTTP2,
        "whoever_waits_is_told",
    ),
    Fault(
        "http2: a window that SETTINGS took back sends on",
        "mm_asgi/wire/http2/sending.py",
        "if stream.waits and stream.send_window > 0:",
        "if stream.waits:",
        HTTP2,
        "settings_took_back",
    ),
    Fault(
        "http2: a peer that does not read is read on",
        "mm_asgi/wire/http2/transport.py",
        "        elif connection.is_paused and self._reads:\n"
        "            self._stop_reading()\n"
        "        elif connection.waiting:\n"
        "            connection.pump()\n",
        "        elif connection.waiting:\n"
        "            connection.pump()\n"
        "        elif connection.is_paused and self._reads:\n"
        "            self._stop_reading()\n",
        HTTP2,
        "ping_flood_that_nobody_reads",
    ),
    Fault(
        "http2: a peer's half-close is not told",
        "mm_asgi/wire/http2/transport.py",
        "        self.flush()\n        self.close()\n        self.connection.lose()\n",
        "",
        HTTP2,
        "half_closes",
    ),
    Fault(
        "http2: a status repeats all of the path",
        "mm_asgi/wire/http2/rpc.py",
        'return text[:_ECHOED].encode("ascii", "replace").decode("ascii")',
        "return text",
        HTTP2,
        "answers_of_fill_no_memory",
    ),
    # ---------------------------------------------------------------- TLS
    Fault(
        "TLS: the host's certificate is asked for, not demanded",
        TLS,
        "ssl.CERT_REQUIRED",
        "ssl.CERT_OPTIONAL",
        SECURE,
        "no_certificate",
    ),
    Fault(
        "TLS: the system's roots are trusted too",
        TLS,
        "    _trust(context, client_certificate)\n",
        "    _trust(context, client_certificate)\n    context.load_default_certs(ssl.Purpose.CLIENT_AUTH)\n",
        SECURE,
        "only_root",
    ),
    Fault(
        "TLS: the certificate has no alternative name",
        TLS,
        "x509.DNSName(_NAME)",
        'x509.DNSName("plugin")',
        SECURE,
        "takes or byte",
    ),
    Fault(
        "TLS: sessions are resumed",
        TLS,
        "    context.num_tickets = 0\n",
        "",
        SECURE,
        "resumed",
    ),
    Fault(
        "L11: a demand of the host's is met with plain text",
        RUNTIME,
        "tls=None if tls is None else tls.context",
        "tls=None",
        PROCESS_TLS,
        "test_L11_ and not go_host",
    ),
    Fault(
        "L11: a certificate that cannot be used is passed over",
        RUNTIME,
        "                self._tls = mutual_tls(environment.client_certificate)\n",
        "                with contextlib.suppress(ConfigError):\n"
        "                    self._tls = mutual_tls(environment.client_certificate)\n",
        PROCESS_TLS,
        "test_L11_what_cannot",
    ),
    Fault(
        "L11: the handshake leaves the certificate out",
        RUNTIME,
        'certificate=b"" if tls is None else tls.certificate',
        'certificate=b""',
        PROCESS_TLS,
        "test_L11_ and not go_host",
    ),
    Fault(
        "L11: grpcio's wire takes a demand for nothing",
        "mm_asgi/wire/grpcio.py",
        "        if tls is not None:\n",
        "        if False:\n",
        (*PROCESS_TLS, *SECURE),
        "test_L11_what_cannot or grpcios_wire",
    ),
    Fault(
        "TLS: any protocol will do",
        TRANSPORT,
        'tls.selected_alpn_protocol() != "h2"',
        "False",
        SECURE,
        "another_protocol",
    ),
    Fault(
        "TLS: h2 is not offered",
        WIRE_TLS,
        '    context.set_alpn_protocols(["h2"])\n',
        "",
        SECURE,
        "host_is_served",
    ),
    Fault(
        "TLS: a read's slices are copies",
        TRANSPORT,
        "        return self._view\n",
        "        return self._view.obj  # type: ignore\n",
        SECURE,
        "large_messages",
    ),
    Fault(
        "TLS: a suite without ephemeral keys is taken",
        WIRE_TLS,
        '"ECDHE+AESGCM:ECDHE+CHACHA20"',
        '"DEFAULT"',
        SECURE,
        "http2_asks",
    ),
    Fault(
        "TLS: a handshake has all the time",
        WIRE_TLS,
        "ssl_handshake_timeout=self._timeout",
        "ssl_handshake_timeout=600.0",
        SECURE,
        "has_its_time",
    ),
    Fault(
        "TLS: a failed handshake is not logged",
        WIRE_TLS,
        '            log.warning("TLS handshake with %s failed: %s", peer, self._reason(exc))\n',
        "            self._reason(exc)\n",
        SECURE,
        "refused",
    ),
    Fault(
        "TLS: a stop leaves handshakes under way",
        WIRE_TLS,
        "        for task in self._tasks:\n            task.cancel()\n",
        "",
        SECURE,
        "stop_ends",
    ),
    # ---------------------------------------------------------------- hooks and commands
    Fault(
        "H2: a failed SAML login goes through",
        "mm_asgi/hooks.py",
        "            return self.refuse(NOT_CHECKED, 500) if closed else self.response()",
        "            return self.response()",
        HOOK_TESTS,
        "H2",
    ),
    Fault(
        "H2: an overrun is not answered",
        DISPATCH,
        "            self._tasks.start(stream.write(default, last=True), hook.rpc)\n",
        "",
        HOOK_TESTS,
        "H2 or overrun",
    ),
    Fault(
        "H2: the host's deadline does not count",
        DISPATCH,
        "        left = hook.deadline if stream.deadline is None else stream.deadline - now\n",
        "        left = hook.deadline + 0 * now\n",
        HOOK_TESTS,
        "deadline",
    ),
    Fault(
        "H2: an overrun is not cancelled",
        "mm_asgi/functions.py",
        "        task.cancel()\n        overrun()\n",
        "        overrun()\n",
        HOOK_TESTS,
        "overrun",
    ),
    Fault(
        "H2: the log does not say whose request",
        DISPATCH,
        "            LOG_CONTEXT.set(LogContext(context.request_id))\n",
        "            LogContext(context.request_id)\n",
        HOOK_TESTS,
        "H2",
    ),
    Fault(
        "H2: after the stop functions are called",
        DISPATCH,
        "            ended = self.phase in (Phase.STOPPED, Phase.FAILED)\n",
        "            ended = False\n",
        HOOK_TESTS,
        "after_the_stop",
    ),
    Fault(
        "H3: StopIteration in a thread",
        "mm_asgi/functions.py",
        "    except StopIteration as exc:\n",
        "    except NotImplementedError as exc:\n",
        HOOK_TESTS,
        "H3",
    ),
    Fault(
        "H4: None empties the post",
        "mm_asgi/hooks.py",
        '        if value is None and self.field != "healthy":\n            return self.response()\n',
        '        if value is None and self.field == "modified_post":\n            return self.response(modified_post={})\n        if value is None and self.field != "healthy":\n            return self.response()\n',
        HOOK_TESTS,
        "H4",
    ),
    Fault(
        "H5: an empty refusal is consent",
        "mm_asgi/hooks.py",
        "        text = (text or REFUSED).encode",
        "        text = text.encode",
        HOOK_TESTS,
        "H5",
    ),
    Fault(
        "H5: the text is put where the host drops it",
        "mm_asgi/hooks.py",
        '            error = {"id": text, "message"',
        '            error = {"id": "", "message"',
        HOOK_TESTS,
        "H5",
    ),
    Fault(
        "hooks: a dict is a message",
        "mm_asgi/hooks.py",
        " or isinstance(value, dict):",
        ":",
        HOOK_TESTS,
        "nonsense",
    ),
    Fault(
        "hooks: any number of parameters",
        "mm_asgi/plugin.py",
        "        given.bind(*hook.parameters)\n",
        "        given.bind_partial()\n",
        HOOK_TESTS,
        "no_hook",
    ),
    Fault(
        "commands: the rest of the line is cut at a word",
        "mm_asgi/commands.py",
        "            if is_last and parameter.kind is str and len(words) > 1:\n",
        "            if is_last and parameter.kind is str and len(words) > 99:\n",
        HOOK_TESTS,
        "words_become",
    ),
    Fault(
        "commands: too many words are dropped",
        "mm_asgi/commands.py",
        "        if words:\n            raise",
        "        if words and not values:\n            raise",
        HOOK_TESTS,
        "words_become",
    ),
    Fault(
        "commands: without an API each command complains",
        "mm_asgi/plugin.py",
        "                    return  # the same for the others: said once\n",
        "                    continue\n",
        HOOK_TESTS,
        "said_once or cannot_be_told",
    ),
)
