"""Calls whose bodies travel beside their arguments: uploads by permission, another plugin's answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mm_asgi import errors, types
from mm_asgi.api.aio import AsyncAPI
from mm_asgi.api.api_connection import APIConnection
from mm_asgi.wire.netrpc import api_streams
from mm_asgi.wire.netrpc.api_channel import APIChannel
from mm_asgi.wire.netrpc.byte_pipe import BytePipe
from mm_asgi.wire.netrpc.gob_types import BOOL
from mm_asgi.wire.netrpc.gob_values import Registered

from .memory_host import MemoryHost, ServedAPI
from .test_permits import varint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Server:
    """The API's server, which reads and writes bodies as Go does."""

    def __init__(self, host: MemoryHost) -> None:
        self.host = host
        self.api = ServedAPI(host.book, host.link)
        self.calls = self.api.calls
        self.channel = APIChannel(host.session, self.api.number)
        self.client = AsyncAPI(APIConnection(lambda: self.channel))

    def dial(self, number: int) -> BytePipe:
        pipe = BytePipe()
        self.host.link.dial(number, pipe)
        return pipe

    async def read(self, number: int, size: int = 512) -> bytes:
        """io.ReadAll on a remoteIOReader: a permission before each Read."""
        pipe = self.dial(number)
        body = b""
        while True:
            pipe.write(varint(size))
            part = await pipe.read()
            if not part:
                pipe.close()
                return body
            body += part


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    host = await MemoryHost().begin()
    yield Server(host)
    # No stream is left but those of the connection itself: control, two that are silent, hooks, API.
    await host.control.call("Control.Ping", BOOL, True)
    await host.control.call("Control.Ping", BOOL, True)
    assert len(host.session.link.session.streams) == 5
    await host.end()


# ---------------------------------------------------------------- uploads


async def test_an_upload_is_sent_beside_its_session(server: Server) -> None:
    async def upload(arguments: dict[str, Any]) -> dict[str, Any]:
        body = await server.read(arguments["PluginStreamID"])
        assert arguments["A"] == {"Id": "u", "FileSize": 6}
        return {"A": {"Id": "f", "Size": len(body), "Name": body.decode()}}

    server.calls["UploadData"] = upload
    session = types.UploadSession(id="u", file_size=6)
    info = await server.client.upload_data(upload_session=session, data=b"abcdef")
    assert info is not None
    assert (info.id, info.size, info.name) == ("f", 6, "abcdef")


async def test_a_large_bundle_is_installed(server: Server) -> None:
    bundle = bytes(range(256)) * 8192  # 2 MiB: eight windows
    seen = []

    async def install(arguments: dict[str, Any]) -> dict[str, Any]:
        seen.append(await server.read(arguments["PluginStreamID"], 32 * 1024))
        return {"A": {"Id": "com.example.other", "Version": str(arguments["B"])}}

    server.calls["InstallPlugin"] = install
    manifest = await server.client.install_plugin(file_data=bundle, replace=True)
    assert (manifest.id, manifest.version) == ("com.example.other", "True")
    assert seen == [bundle]


async def test_an_upload_that_the_server_refuses_unread(server: Server) -> None:
    """The offer is taken back, and nothing waits."""
    numbers = []

    async def refuse(arguments: dict[str, Any]) -> dict[str, Any]:
        numbers.append(arguments["PluginStreamID"])
        return {"B": Registered("*model.AppError", {"Id": "x", "Message": "no", "StatusCode": 400})}

    server.calls["UploadData"] = refuse
    with pytest.raises(errors.InvalidArgument, match="no"):
        await server.client.upload_data(upload_session=types.UploadSession(), data=bytes(1_000_000))
    late = server.dial(numbers[0])
    with pytest.raises(ConnectionError):
        await late.wait_taken()


async def test_an_upload_that_the_server_reads_in_part(server: Server) -> None:
    async def some(arguments: dict[str, Any]) -> dict[str, Any]:
        pipe = server.dial(arguments["PluginStreamID"])
        pipe.write(varint(600_000))
        assert await pipe.read()
        pipe.close()
        return {"A": {"Id": "com.example.other"}}

    server.calls["InstallPlugin"] = some
    manifest = await server.client.install_plugin(file_data=bytes(1_000_000))
    assert manifest.id == "com.example.other"


async def test_an_upload_that_takes_too_long_is_given_up(server: Server) -> None:
    there = asyncio.Event()

    async def never(arguments: dict[str, Any]) -> dict[str, Any]:
        pipe = server.dial(arguments["PluginStreamID"])
        await pipe.wait_taken()
        there.set()
        try:
            while await pipe.read():  # the end of this side's stream
                pass
        finally:
            pipe.close()
        return {}

    server.calls["InstallPlugin"] = never
    hasty = AsyncAPI(server.client, timeout=0.2)
    with pytest.raises(errors.Unavailable):
        await hasty.install_plugin(file_data=b"abc")
    assert there.is_set()


# ---------------------------------------------------------------- another plugin


async def echo(server: Server, arguments: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    request = arguments["Request"]
    number = arguments.get("RequestBodyStream")
    body = await server.read(number) if number else b""
    header = {**request.get("Header", {}), "X-Url": [request["URL"].decode()]}
    return {"StatusCode": 201, "Header": {**header, "X-Many": ["a", "b"]}}, body


@pytest.mark.parametrize("body", [b"", b"question", bytes(range(256)) * 4096])
async def test_another_plugin_is_called_by_streams(server: Server, body: bytes) -> None:
    written = []

    async def call(arguments: dict[str, Any]) -> dict[str, Any]:
        answer = server.dial(arguments["ResponseBodyStream"])
        returned, body = await echo(server, arguments)
        assert arguments["Request"]["Method"] == "PUT"
        answer.write(body)  # as Go does it: after the returns, or before
        answer.close()
        written.append(answer)
        return returned

    server.calls["PluginHTTPStream"] = call
    answer = await server.client.plugin_http(
        method="PUT", url="/other/x?y=1", headers={"x-some-thing": "1"}, body=body
    )
    assert (answer.status_code, answer.body) == (201, body)
    expected = {"X-Some-Thing": "1", "X-Url": "/other/x?y=1", "X-Many": "a, b"}
    assert dict(answer.headers) == expected


async def test_a_server_before_11_3_is_called_with_the_bodies_in_the_call(server: Server) -> None:
    """It is asked for streams once; the next calls know."""

    async def call(arguments: dict[str, Any]) -> dict[str, Any]:
        header = {"X-Method": [arguments["Request"]["Method"]]}
        response = {"StatusCode": 200, "Header": header}
        return {"Response": response, "ResponseBody": arguments.get("RequestBody", b"").upper()}

    server.calls["PluginHTTP"] = call
    for method, body in (("POST", b"abc"), ("GET", b"")):
        answer = await server.client.plugin_http(method=method, url="/other/", body=body)
        assert (answer.status_code, answer.body) == (200, body.upper())
        assert dict(answer.headers) == {"X-Method": method}
    assert server.api.seen == ["PluginHTTPStream", "PluginHTTP", "PluginHTTP"]


async def test_a_failure_of_the_stream_is_no_reason_to_call_again(server: Server) -> None:
    async def fail(arguments: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError("can't connect to remote response body stream: timeout")

    server.calls["PluginHTTPStream"] = fail
    with pytest.raises(errors.Internal, match="can't connect"):
        await server.client.plugin_http(method="GET", url="/other/")
    assert server.api.seen == ["PluginHTTPStream"]


async def test_no_answer_is_internal(server: Server) -> None:
    """The host dials the answer's stream, writes nothing and leaves it open."""

    async def nothing(arguments: dict[str, Any]) -> dict[str, Any]:
        await server.dial(arguments["ResponseBodyStream"]).wait_taken()
        return {}

    server.calls["PluginHTTPStream"] = nothing
    with pytest.raises(errors.Internal, match="the server gave no answer"):
        await server.client.plugin_http(method="GET", url="/other/")


async def test_an_answer_over_the_limit_is_stopped(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_streams, "ANSWER_LIMIT", 1000)
    written = []

    async def call(arguments: dict[str, Any]) -> dict[str, Any]:
        answer = server.dial(arguments["ResponseBodyStream"])
        answer.write(bytes(1_000_000))
        written.append(answer)
        return {"StatusCode": 200}

    server.calls["PluginHTTPStream"] = call
    with pytest.raises(errors.ResourceExhausted, match="more than 1000 bytes"):
        await server.client.plugin_http(method="GET", url="/other/")
    with pytest.raises(ConnectionError):
        await written[0].drain()


async def test_an_answer_that_takes_too_long_is_given_up(server: Server) -> None:
    written = []

    async def call(arguments: dict[str, Any]) -> dict[str, Any]:
        answer = server.dial(arguments["ResponseBodyStream"])
        answer.write(b"begin")
        written.append(answer)
        return {"StatusCode": 200}

    server.calls["PluginHTTPStream"] = call
    hasty = AsyncAPI(server.client, timeout=0.2)
    with pytest.raises(errors.Unavailable):
        await hasty.plugin_http(method="GET", url="/other/")
    with pytest.raises(ConnectionError):
        await written[0].read()
