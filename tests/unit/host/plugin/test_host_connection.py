"""grpcio's client around its traps, and the gateway against a plugin of another make."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import pytest_asyncio

from mm_asgi.host import Host
from mm_asgi.host.plugin.host_connection import HostConnection
from mm_asgi.host.plugin.log import HostLog
from mm_asgi.host.plugin.plugin_connection import RPCFailed
from mm_asgi.protocol.hooks_http_pb2 import (
    HTTPHeader,
    ServeHTTPRequest,
    ServeHTTPResponse,
    ServeHTTPResponseInit,
)
from tests.unit.host.raw_http import RawAnswer, ask

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FOLDER = Path(__file__).parents[1] / "plugins"
BIG = ServeHTTPRequest(body_chunk=b"x" * 65536)


class EarlyEnd(grpc.GenericRpcHandler):
    """Answers two messages and ends while the caller still sends."""

    def __init__(self, status: grpc.StatusCode) -> None:
        self._status = status

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        return grpc.stream_stream_rpc_method_handler(self._serve)

    async def _serve(self, _: Any, context: Any) -> None:
        await context.read()
        await context.write(ServeHTTPResponse(body_chunk=b"1").SerializeToString())
        await context.write(ServeHTTPResponse(body_chunk=b"2").SerializeToString())
        if self._status is not grpc.StatusCode.OK:
            await context.abort(self._status, "as planned")


@pytest.mark.parametrize("status", [grpc.StatusCode.OK, grpc.StatusCode.ABORTED])
async def test_an_early_end_loses_neither_messages_nor_status(
    tmp_path: Path, status: grpc.StatusCode
) -> None:
    """grpc/grpc#36066: with grpcio's write() and read() most of these would be INTERNAL."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((EarlyEnd(status),))
    server.add_insecure_port(f"unix:{tmp_path}/s")
    await server.start()
    connection = HostConnection(f"unix:{tmp_path}/s", HostLog())

    async def one() -> tuple[bytes, str]:
        stream = connection.serve_http()
        await stream.opened()

        async def upload() -> None:
            while await stream.write(BIG):
                pass
            await stream.half_close()

        uploading = asyncio.create_task(upload())
        got, ended = b"", "OK"
        try:
            async for message in stream.answers():
                got += message.body_chunk
        except RPCFailed as exc:
            ended = f"{exc.code} {exc.number} {exc.details}"
        await uploading
        assert stream.over
        return got, ended

    seen = [await asyncio.gather(*(one() for _ in range(10))) for _ in range(5)]
    expected = "OK" if status is grpc.StatusCode.OK else "ABORTED 10 as planned"
    assert {result for batch in seen for result in batch} == {(b"12", expected)}
    await connection.close()
    await server.stop(None)


async def test_nobody_listens(tmp_path: Path) -> None:
    log = HostLog()
    connection = HostConnection(f"unix:{tmp_path}/none", log)
    await connection.open()
    stream = connection.serve_http()
    with pytest.raises(RPCFailed, match="UNAVAILABLE"):
        await stream.opened()
    with pytest.raises(RPCFailed, match="UNAVAILABLE"):
        await connection.ping(5)
    await log.wait_for(lambda line: "UNAVAILABLE" in str(line.fields))
    await connection.close()


async def test_a_cancelled_caller_stays_cancelled(tmp_path: Path) -> None:
    server = grpc.aio.server()

    class Never(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> Any:
            async def wait(_: Any, __: Any) -> None:
                await asyncio.Event().wait()

            return grpc.unary_unary_rpc_method_handler(wait)

    server.add_generic_rpc_handlers((Never(),))
    server.add_insecure_port(f"unix:{tmp_path}/s")
    await server.start()
    connection = HostConnection(f"unix:{tmp_path}/s", HostLog())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await connection.ping()
    with pytest.raises(RPCFailed, match="DEADLINE_EXCEEDED"):
        await connection.ping(0.1)
    await connection.close()
    await server.stop(None)


# -------------------------------------------------------------------- the gateway


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host() -> AsyncIterator[Host]:
    async with Host(argv=[sys.executable, "wire_plugin.py"], directory=FOLDER, subpath="/mm") as up:
        yield up


ROOT = "/mm/plugins/com.example.demo"
module_loop = pytest.mark.asyncio(loop_scope="module")


def init(status: int, *pairs: tuple[str, str]) -> ServeHTTPResponseInit:
    headers = [HTTPHeader(key=name, values=[value]) for name, value in pairs]
    return ServeHTTPResponseInit(status_code=status, headers=headers)


async def replayed(host: Host, *steps: ServeHTTPResponse | str, method: str = "GET") -> RawAnswer:
    """What the client gets when the plugin sends just this."""
    listed = [
        step if isinstance(step, str) else base64.b64encode(step.SerializeToString()).decode()
        for step in steps
    ]
    request = f"{method} {ROOT}/x HTTP/1.1\r\nHost: chat\r\nX-Answer: {json.dumps(listed)}\r\n\r\n"
    return await ask(host.address, request.encode(), head=method == "HEAD")


async def told(host: Host, request: str) -> Any:
    """What the plugin was told of a request."""
    answer = await ask(host.address, request.encode("latin-1"))
    assert answer.status == 200, answer
    return json.loads(answer.body)


@module_loop
async def test_the_first_message(host: Host) -> None:
    got = await told(
        host,
        f"POST {ROOT}/a%2Fb?b=1&a HTTP/1.1\r\nHost: chat\r\nx-a: 1\r\nX-A: 2\r\nUser-Agent: me\r\n"
        "Accept-Language: de\r\nCookie: MMAUTHTOKEN=token-joe; a=1\r\nContent-Length: 3\r\n"
        "X-Requested-With: XMLHttpRequest\r\n\r\nabc",
    )
    made = got["init"]
    assert made["plugin_context"].pop("request_id")
    assert made.pop("remote_addr").startswith("127.0.0.1:")
    assert made == {
        "method": "POST", "url": "/a/b?a=&b=1", "request_uri": f"{ROOT}/a%2Fb?b=1&a",
        "proto": "HTTP/1.1", "proto_major": 1, "proto_minor": 1, "host": "chat",
        "content_length": "3",
        "plugin_context": {
            "session_id": "session-joe", "ip_address": "127.0.0.1",
            "accept_language": "de", "user_agent": "me",
        },
        "headers": {
            "X-A": ["1", "2"], "User-Agent": ["me"], "Accept-Language": ["de"], "Cookie": ["a=1"],
            "Content-Length": ["3"], "X-Requested-With": ["XMLHttpRequest"],
            "Mattermost-User-Id": ["joe"],
        },
    }  # fmt: skip
    assert (got["body"], got["complete"]) == ("abc", True)


@module_loop
async def test_a_csrf_form_is_read_whole_and_passed_on(host: Host) -> None:
    got = await told(
        host,
        f"POST {ROOT}/ HTTP/1.1\r\nHost: chat\r\nCookie: MMAUTHTOKEN=token-joe\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 13\r\n\r\ncsrf=csrf-joe",
    )
    assert got["init"]["headers"]["Mattermost-User-Id"] == ["joe"]
    assert (got["body"], got["complete"]) == ("csrf=csrf-joe", True)


@module_loop
async def test_text_that_is_no_utf_8_never_gets_to_the_plugin(host: Host) -> None:
    data = f"GET {ROOT}/ HTTP/1.1\r\nHost: chat\r\nX-A: \xff\r\n\r\n".encode("latin-1")
    assert (await ask(host.address, data)).status == 502


@module_loop
@pytest.mark.parametrize(
    ("target", "status"), [("*", 200), (f"{ROOT}/%zz", 400), (f"{ROOT}/a//b", 301)]
)
async def test_what_the_server_answers_itself(host: Host, target: str, status: int) -> None:
    data = f"OPTIONS {target} HTTP/1.1\r\nHost: chat\r\n\r\n".encode()
    assert (await ask(host.address, data)).status == status


@module_loop
async def test_ends_without_body_complete(host: Host) -> None:
    start, part = ServeHTTPResponse(init=init(200)), ServeHTTPResponse(body_chunk=b"part")
    long = ServeHTTPResponse(init=init(200, ("Content-Length", "9")))
    for steps, status, body, whole in (
        (["abort"], 502, b"Bad Gateway\n", True),
        ([], 502, b"Bad Gateway\n", True),
        ([start, part, "abort"], 200, b"part", True),  # a chunked answer ends cleanly
        ([start, part], 200, b"part", True),
        ([long, part, "abort"], 200, b"part", False),  # with a length the connection is cut
        ([long, part], 200, b"part", False),
        ([long, part, ServeHTTPResponse(body_chunk=b"123456")], 200, b"part", False),
    ):
        answer = await replayed(host, *steps)
        assert (answer.status, answer.body, answer.whole) == (status, body, whole), steps


@module_loop
async def test_statuses(host: Host) -> None:
    for status, expected in ((0, 200), (103, 200), (599, 599), (600, 502), (1000, 500), (99, 500)):
        answer = await replayed(host, ServeHTTPResponse(init=init(status), body_complete=True))
        assert (answer.status, answer.whole) == (expected, True), status


@module_loop
async def test_a_plugin_that_dies_in_the_middle() -> None:
    async with Host(
        argv=[sys.executable, "wire_plugin.py"], directory=FOLDER, subpath="/mm"
    ) as host:
        answer = await replayed(host, "exit")
        assert (answer.status, answer.body) == (502, b"Bad Gateway\n")
        await host.log.wait_for(lambda line: "ended by itself" in line.message)
        assert "exit code 3" in host.failure


@module_loop
async def test_a_client_that_breaks_its_body_off(host: Host) -> None:
    """The stream ends without body_complete; the plugin sees a truncated body, not a whole one."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", int(host.address.rpartition(":")[2])
    )
    before = len(host.log.lines("host"))
    writer.write(f"POST {ROOT}/ HTTP/1.1\r\nHost: chat\r\nContent-Length: 9\r\n\r\nabc".encode())
    await writer.drain()
    writer.close()
    await reader.read()
    answer = await ask(host.address, f"GET {ROOT}/ HTTP/1.1\r\nHost: chat\r\n\r\n".encode())
    assert answer.status == 200
    assert not [line for line in host.log.lines("host")[before:] if "simulated" in line.message]


@module_loop
async def test_a_request_without_its_body_moves_to_the_next_plugin() -> None:
    async with Host(
        argv=[sys.executable, "wire_plugin.py"], directory=FOLDER, subpath="/mm"
    ) as host:
        port = int(host.address.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST {ROOT}/ HTTP/1.1\r\nHost: chat\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        writer.write(head.encode())
        # The gateway asks for the body, and so it has the request.
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        await host.restart()
        writer.write(b"abc")
        answer = (await reader.readuntil(b"}")).decode()
        assert answer.startswith("HTTP/1.1 200 ")
        writer.close()
