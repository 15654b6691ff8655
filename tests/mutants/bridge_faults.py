"""The planted faults of the way from a ServeHTTP stream to ASGI and back."""

from __future__ import annotations

from tests.mutants.fault import Fault

__all__ = ["BRIDGE_FAULTS"]

CONTRACT = ("tests/contract",)
SCOPE = "mm_asgi/bridge/scope.py"
RESPONSE = "mm_asgi/bridge/response.py"
HTTP = "mm_asgi/bridge/http.py"
STATE = "mm_asgi/bridge/state.py"
HOLD = "mm_asgi/bridge/hold.py"
HANDLER = "mm_asgi/bridge/handler.py"
UNIT_RESPONSE = ("tests/unit/bridge/test_response.py",)

BRIDGE_FAULTS: tuple[Fault, ...] = (
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
    Fault(
        "D7: a body that a server still reads is named",
        HANDLER,
        "if cycle.unread > SERVER_READS:",
        "if cycle.unread:",
        ("tests/unit/bridge/test_unread.py",),
    ),
)
