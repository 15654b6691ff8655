"""goplugin/services.py over the memory wire."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mm_asgi.goplugin.services import Services
from mm_asgi.protocol import empty_pb2, goplugin_pb2, health_pb2
from mm_asgi.wire.calls import unary
from mm_asgi.wire.port import Method, StatusCode, Stream
from tests.wire.memory import MemoryServer, MemoryStream

CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
SHUTDOWN = "/plugin.GRPCController/Shutdown"
STDIO = "/plugin.GRPCStdio/StreamStdio"
BROKER = "/plugin.GRPCBroker/StartStream"


class Running:
    def __init__(self) -> None:
        self.shutdowns = 0
        self.asked = asyncio.Event()
        self.services = Services(self.on_shutdown)
        self.server = MemoryServer()

    def on_shutdown(self) -> None:
        self.shutdowns += 1
        self.asked.set()


@pytest.fixture
async def running() -> Running:
    running = Running()
    await running.server.start(None, running.services.methods())
    return running


async def settle() -> None:
    """Let every task run until it waits for something that only this test can give it."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("service", ["plugin", ""])
async def test_check_is_serving(running: Running, service: str) -> None:
    peer = running.server.open(CHECK)
    peer.send(health_pb2.HealthCheckRequest(service=service))
    peer.half_close()
    answer = await peer.receive()
    assert answer is not None
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert await peer.ended() == (StatusCode.OK, "")


async def test_check_of_another_service(running: Running) -> None:
    peer = running.server.open(CHECK)
    peer.send(health_pb2.HealthCheckRequest(service="other"))
    assert await peer.ended() == (StatusCode.NOT_FOUND, "unknown service")


async def test_check_without_a_message(running: Running) -> None:
    peer = running.server.open(CHECK)
    peer.half_close()
    assert (await peer.ended())[0] is StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(("service", "status"), [("plugin", "SERVING"), ("x", "SERVICE_UNKNOWN")])
async def test_watch_says_it_and_stays(running: Running, service: str, status: str) -> None:
    peer = running.server.open(WATCH)
    peer.send(health_pb2.HealthCheckRequest(service=service))
    peer.half_close()
    answer = await peer.receive()
    assert answer is not None
    assert answer.status == health_pb2.HealthCheckResponse.ServingStatus.Value(status)
    await settle()
    running.services.stop()
    assert await peer.ended() == (StatusCode.OK, "")


async def test_L4_shutdown_answers_first_and_a_second_is_safe(running: Running) -> None:
    for _ in range(2):
        peer = running.server.open(SHUTDOWN)
        peer.send(goplugin_pb2.Empty())
        peer.half_close()
        assert await peer.receive() == goplugin_pb2.Empty()
        assert await peer.ended() == (StatusCode.OK, "")
    assert running.shutdowns == 1


async def test_L4_shutdown_when_the_host_leaves_at_once(running: Running) -> None:
    peer = running.server.open(SHUTDOWN)
    peer.cancel()
    async with asyncio.timeout(1):
        await running.asked.wait()
    assert running.shutdowns == 1


async def test_L4_shutdown_when_the_host_takes_no_answer(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mm_asgi.goplugin.services._ANSWER_WITHIN", 0.01)
    peer = running.server.open(SHUTDOWN, window=0)
    peer.send(goplugin_pb2.Empty())
    async with asyncio.timeout(1):
        await running.asked.wait()


@pytest.mark.parametrize("method", [STDIO, BROKER])
async def test_held_open_until_the_end(running: Running, method: str) -> None:
    peer = running.server.open(method)
    if method == STDIO:
        peer.send(empty_pb2.Empty())
        peer.half_close()
    else:
        peer.send(goplugin_pb2.ConnInfo(service_id=1))
    await settle()
    assert peer.messages == []
    running.services.stop()
    assert await peer.ended() == (StatusCode.OK, "")
    late = running.server.open(method)
    assert await late.ended() == (StatusCode.OK, "")


@pytest.mark.parametrize("method", [STDIO, BROKER, WATCH])
async def test_a_held_stream_that_the_host_leaves_is_forgotten(
    running: Running, method: str
) -> None:
    peer = running.server.open(method)
    await settle()
    peer.cancel()
    await settle()
    assert running.services._held == set()
    running.services.stop()


async def test_broker_ends_with_the_hosts_side(running: Running) -> None:
    peer = running.server.open(BROKER)
    peer.half_close()
    assert await peer.ended() == (StatusCode.OK, "")
    assert running.services._held == set()


async def test_requests_have_a_small_limit(running: Running) -> None:
    peer = running.server.open(CHECK)
    peer.send(health_pb2.HealthCheckRequest(service="x" * 5000))
    assert (await peer.ended())[0] is StatusCode.RESOURCE_EXHAUSTED


async def test_unary_failure_ends_the_rpc_and_goes_up() -> None:
    async def fail(request: Any, stream: Stream) -> None:
        raise LookupError(request.service)

    stream = MemoryStream(CHECK)
    stream.peer.send(health_pb2.HealthCheckRequest(service="secret"))
    with pytest.raises(LookupError):
        await unary(fail)(stream)
    code, text = await stream.peer.ended()
    assert code is StatusCode.INTERNAL
    assert "secret" not in text


async def test_unary_fits_a_method() -> None:
    async def echo(request: goplugin_pb2.Empty, stream: Stream) -> goplugin_pb2.Empty:
        return request

    method = Method(unary(echo), goplugin_pb2.Empty, 10)
    stream = MemoryStream("/x/y")
    stream.peer.send(goplugin_pb2.Empty())
    work = method.handler(stream)
    assert work is not None
    await work
    assert await stream.peer.receive() == goplugin_pb2.Empty()
