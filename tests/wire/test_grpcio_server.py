"""How wire/grpcio.py starts and stops grpcio's servers: options, addresses, foreign servers."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.wrappers_pb2 import BytesValue

from mm_asgi.errors import ConfigError
from mm_asgi.wire.grpcio import GrpcioServer, _options, add_methods
from mm_asgi.wire.port import Method, StatusCode

from .roads import LIMIT, GrpcPeer, message, number
from .servers import LocalListener

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mm_asgi.wire.port import Stream


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short one, for sockets."""
    with tempfile.TemporaryDirectory(prefix="mm") as name:
        yield Path(name)


# Options and addresses.


def test_options() -> None:
    options = dict(_options(123))
    assert options == {
        "grpc.so_reuseport": 0,
        "grpc.http2.min_recv_ping_interval_without_data_ms": 10_000,
        "grpc.keepalive_permit_without_calls": 1,
        "grpc.max_receive_message_length": 123,
        "grpc.max_send_message_length": -1,
    }


async def test_a_tcp_port_is_not_shared() -> None:
    first, second = GrpcioServer(), GrpcioServer()
    listener = LocalListener("127.0.0.1:0")
    await first.start(listener, {})
    assert listener.address.startswith("127.0.0.1:")
    assert not listener.address.endswith(":0")
    with pytest.raises(ConfigError, match=r"cannot bind any of 127\.0\.0\.1:\d+"):
        await second.start(LocalListener(listener.address), {})
    await first.stop(0)


async def test_the_first_address_that_works_is_bound(folder: Path) -> None:
    server = GrpcioServer()
    odd = str(folder / "100%41 # ?.sock")
    too_long = str(folder / ("x" * 200))
    listener = LocalListener(str(folder / "missing" / "x.sock"), too_long, odd, "127.0.0.1:0")
    await server.start(listener, {})
    assert listener.address == odd
    assert stat.S_ISSOCK(os.stat(odd).st_mode)
    await server.stop(0)


async def test_no_other_user_gets_in_before_the_listener_lets_him(folder: Path) -> None:
    modes = []

    class Looking(LocalListener):
        def bound(self, address: str) -> None:
            modes.append(stat.S_IMODE(os.stat(address).st_mode))

    server = GrpcioServer()
    before = os.umask(0)
    try:
        await server.start(Looking(str(folder / "x.sock")), {})
    finally:
        left = os.umask(before)
    assert (modes, left) == ([0o600], 0)
    await server.stop(0)


async def test_no_address_at_all_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="no addresses"):
        await GrpcioServer().start(LocalListener(), {})


# Servers that are not ours.


async def test_methods_on_a_foreign_server(folder: Path) -> None:
    async def double(stream: Stream) -> None:
        await stream.write(message(2 * number(await stream.read())))
        stream.finish()

    async def fail(stream: Stream) -> None:
        raise SystemExit("secret")

    server = grpc.aio.server()
    methods = {
        "/test.Wire/Double": Method(double, BytesValue, LIMIT),
        "/test.Wire/Fail": Method(fail, BytesValue, LIMIT),
    }
    calls = add_methods(server, methods)
    server.add_insecure_port(f"unix:{folder}/foreign.sock")
    await server.start()
    with grpc.insecure_channel(f"unix:{folder}/foreign.sock") as channel:
        peer = GrpcPeer(channel, "/test.Wire/Double")
        peer.send(message(21))
        assert number(await peer.receive()) == 42
        assert await peer.ended() == (StatusCode.OK, "")
        failing = GrpcPeer(channel, "/test.Wire/Fail")
        assert (await failing.ended())[0] is StatusCode.INTERNAL
        peer.close()
        failing.close()
    await server.stop(0)
    await calls.idle()
