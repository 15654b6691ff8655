"""Programs that others wrote, against the interop server and a plugin: tools.py builds them.

h2spec judges the native wire alone: what grpcio's core answers is not ours to change.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import grpclib.client
import pytest
from google.protobuf.json_format import MessageToJson, Parse

from mm_asgi.protocol import health_pb2, hooks_http_pb2
from tests.roads.process.light_host import LightHost

from . import tools
from .interop import messages
from .interop.service import SERVICE
from .servers import SERVERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.full,
    # The first test builds the judges: a minute on two cores.
    pytest.mark.timeout(600),
]
needs_go = pytest.mark.skipif(
    tools.go_missing_reason() is not None, reason=tools.go_missing_reason() or "there is Go"
)

ROOT = Path(__file__).resolve().parents[2]
CASES = (
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "unimplemented_method",
    "unimplemented_service",
    "custom_metadata",
)

# Servers


@contextlib.contextmanager
def interop_server(wire: str, *options: str) -> Iterator[str]:
    """The address of an interop server, which has to end well and without a traceback."""
    command = [sys.executable, "-m", "tests.wire.interop_server", "--port=0", f"--wire={wire}",
               *options]  # fmt: skip
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=log,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        with process:
            try:
                assert process.stdout is not None
                yield process.stdout.readline().strip()
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(20)
        log.seek(0)
        said = log.read()
    assert (process.returncode, "Traceback" in said) == (0, False), said


@contextlib.contextmanager
def plugin(wire: str) -> Iterator[str]:
    """The address of ``mm-asgi serve``, which has to be well after all of it, and end well."""
    serve = (sys.executable, "-m", "mm_asgi", "serve", "polite:app")
    with LightHost(command=(*serve, "--network=tcp", f"--wire={wire}")) as host:
        network, address = host.start().handshake()[2:4]
        assert network == "tcp"
        yield address
        assert host.peer.is_healthy()
        assert host.get("/").status == 200
        end = host.stop()
        assert (end.code, end.killed) == (0, False)
        assert not [line for line in host.log() if line.level == "error"]


KINDS = {"interop": interop_server, "plugin": plugin}
BOTH = pytest.mark.parametrize("kind", list(KINDS))
WIRES = pytest.mark.parametrize("wire", list(SERVERS))


@pytest.fixture(scope="module")
def address_of() -> Iterator[Callable[[str, str], str]]:
    """The address of a server by kind and wire; each is started once."""
    running: dict[tuple[str, str], str] = {}
    with contextlib.ExitStack() as stack:

        def start(kind: str, wire: str) -> str:
            if (kind, wire) not in running:
                running[kind, wire] = stack.enter_context(KINDS[kind](wire))
            return running[kind, wire]

        yield start


# What the clients call: a unary RPC and a stream of each server


@dataclass(frozen=True)
class Job:
    """An RPC and what it answers.

    Attributes:
        path: of the RPC.
        proto: the folder and the file that tell a client of it.
        requests: in order.
        answer: the class of the responses.
        seen: what is to be seen of one response.
        expected: the same of all of them.
    """

    path: str
    proto: tuple[Path, str]
    requests: tuple[Any, ...]
    answer: Any
    seen: Callable[[Any], object]
    expected: list[object]

    @property
    def is_unary(self) -> bool:
        return self.path.rpartition("/")[2] in ("UnaryCall", "Check")

    @property
    def json(self) -> str:
        """The requests as grpcurl and ghz take them."""
        return "".join(map(MessageToJson, self.requests))


def _sizes(*sizes: int) -> Any:
    parameters = [{"size": size, "interval_us": 1000} for size in sizes]
    return messages.StreamingOutputCallRequest(response_parameters=parameters)


TESTING = (messages.PROTO_FOLDER, messages.PROTO_FILE)
PROTOCOL = ROOT / "proto"
GET = hooks_http_pb2.ServeHTTPRequestInit(
    method="GET", url="/", request_uri="/plugins/com.example.demo/", proto="HTTP/1.1",
    proto_major=1, proto_minor=1, host="localhost", remote_addr="127.0.0.1:1",
)  # fmt: skip

JOBS = {
    ("interop", "unary"): Job(
        SERVICE + "UnaryCall",
        TESTING,
        (messages.SimpleRequest(response_size=70_000, payload={"body": b"x" * 70_000}),),
        messages.SimpleResponse,
        lambda response: len(response.payload.body),
        [70_000],
    ),
    ("interop", "stream"): Job(
        SERVICE + "FullDuplexCall",
        TESTING,
        (_sizes(1, 0, 70_000), _sizes(), _sizes(2)),
        messages.StreamingOutputCallResponse,
        lambda response: len(response.payload.body),
        [1, 0, 70_000, 2],
    ),
    ("plugin", "unary"): Job(
        "/grpc.health.v1.Health/Check",
        (PROTOCOL, "mm_asgi/protocol/health.proto"),
        (health_pb2.HealthCheckRequest(service="plugin"),),
        health_pb2.HealthCheckResponse,
        lambda response: response.status,
        [health_pb2.HealthCheckResponse.SERVING],
    ),
    ("plugin", "stream"): Job(
        "/mattermost.pluginapi.v1.PluginHooks/ServeHTTP",
        (PROTOCOL, "mm_asgi/protocol/hooks.proto"),
        (
            hooks_http_pb2.ServeHTTPRequest(init=GET),
            hooks_http_pb2.ServeHTTPRequest(body_complete=True),
        ),
        hooks_http_pb2.ServeHTTPResponse,
        lambda response: (response.init.status_code, response.body_chunk, response.body_complete),
        [(200, b"hello", True)],
    ),
}
SHAPES = pytest.mark.parametrize("shape", ["unary", "stream"])


# h2spec


@needs_go
@BOTH
def test_h2spec(kind: str, address_of: Callable[[str, str], str], tmp_path: Path) -> None:
    report = tmp_path / "h2spec.xml"
    done = tools.run(
        "h2spec", f"--port={address_of(kind, 'native').rpartition(':')[2]}", "--strict",
        # Its own 2 s are short for case 5.1.2, which opens 65,537 streams, on a busy machine.
        f"--junit-report={report}", "--timeout=10", "generic", "http2", "hpack", timeout=300,
    )  # fmt: skip
    bad = [
        f"{case.get('package')}: {case.get('classname')}: {''.join(case.itertext()).strip()}"
        for case in ET.parse(report).iter("testcase")
        if len(case)
    ]
    assert not bad, "\n".join(bad)
    totals = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", done.stdout)
    assert totals is not None, done.stdout
    cases, passed, skipped, failed = map(int, totals.groups())
    assert (cases == passed > 140, skipped, failed) == (True, 0, 0), totals.group()
    assert done.returncode == 0


# grpc-go


@needs_go
@WIRES
@pytest.mark.parametrize("case", CASES)
def test_the_interop_client_of_grpc_go(
    wire: str, case: str, address_of: Callable[[str, str], str]
) -> None:
    host, _, port = address_of("interop", wire).rpartition(":")
    done = tools.run("client", f"-server_host={host}", f"-server_port={port}", f"-test_case={case}")
    assert done.returncode == 0, done.stdout


@needs_go
@WIRES
@BOTH
@SHAPES
def test_grpcurl(kind: str, wire: str, shape: str, address_of: Callable[[str, str], str]) -> None:
    job = JOBS[kind, shape]
    folder, file = job.proto
    done = tools.run(
        "grpcurl", "-plaintext", f"-import-path={folder}", f"-proto={file}", "-max-time=30",
        f"-d={job.json}", address_of(kind, wire), job.path.removeprefix("/"),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    responses = [Parse(text, job.answer()) for text in _documents(done.stdout)]
    assert [job.seen(response) for response in responses] == job.expected


@needs_go
@WIRES
def test_grpcurl_shows_metadata_and_status(
    wire: str, address_of: Callable[[str, str], str]
) -> None:
    request = messages.SimpleRequest(response_status={"code": 5, "message": "nicht hier: \u2713"})
    job = JOBS["interop", "unary"]
    done = tools.run(
        "grpcurl", "-plaintext", "-v", f"-import-path={job.proto[0]}", f"-proto={job.proto[1]}",
        "-H=x-grpc-test-echo-initial: first", "-H=x-grpc-test-echo-trailing-bin: AAEC",
        f"-d={_json(request)}", address_of("interop", wire), job.path.removeprefix("/"),
    )  # fmt: skip
    assert done.returncode == 64 + 5, done.stdout
    assert "x-grpc-test-echo-initial: first" in done.stdout
    assert "x-grpc-test-echo-trailing-bin: AAEC" in done.stdout
    assert "Code: NotFound" in done.stdout
    assert "nicht hier: \u2713" in done.stdout


@needs_go
@WIRES
@BOTH
def test_ghz(kind: str, wire: str, address_of: Callable[[str, str], str]) -> None:
    job = JOBS[kind, "unary"]
    folder, file = job.proto
    done = tools.run(
        "ghz", "--insecure", f"--import-paths={folder}", f"--proto={folder / file}",
        f"--call={job.path.removeprefix('/')}", "--total=400", "--concurrency=20",
        "--connections=2", "--format=json", f"--data={job.json}", address_of(kind, wire),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["statusCodeDistribution"] == {"OK": 400}


# Clients in Python


def call_grpcio(address: str, job: Job) -> list[Any]:
    """grpcio's sync client."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(address, options) as channel:
        call = channel.stream_stream(job.path, _serialize, job.answer.FromString)
        return list(call(iter(job.requests), timeout=30))


async def call_grpcio_aio(address: str, job: Job) -> list[Any]:
    """grpcio's asyncio client."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    async with grpc.aio.insecure_channel(address, options) as channel:
        call: Any = channel.stream_stream(job.path, _serialize, job.answer.FromString)
        return [response async for response in call(iter(job.requests), timeout=30)]


async def call_grpclib(address: str, job: Job) -> list[Any]:
    """grpclib's client, which is h2 on asyncio."""
    host, _, port = address.rpartition(":")
    kind = grpclib.client.UnaryUnaryMethod if job.is_unary else grpclib.client.StreamStreamMethod
    async with grpclib.client.Channel(host, int(port)) as channel:
        method: Any = kind(channel, job.path, type(job.requests[0]), job.answer)
        if job.is_unary:
            return [await method(*job.requests, timeout=30)]
        return list(await method(job.requests, timeout=30))


@WIRES
@BOTH
@SHAPES
def test_grpcios_sync_client(
    kind: str, wire: str, shape: str, address_of: Callable[[str, str], str]
) -> None:
    job = JOBS[kind, shape]
    assert list(map(job.seen, call_grpcio(address_of(kind, wire), job))) == job.expected


@WIRES
@BOTH
@SHAPES
@pytest.mark.parametrize("call", [call_grpcio_aio, call_grpclib])
async def test_asyncio_clients(
    kind: str, wire: str, shape: str, call: Any, address_of: Callable[[str, str], str]
) -> None:
    job = JOBS[kind, shape]
    assert list(map(job.seen, await call(address_of(kind, wire), job))) == job.expected


def _serialize(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _json(message: Any) -> str:
    return MessageToJson(message)


def _documents(text: str) -> Iterator[str]:
    """JSON documents that follow each other."""
    decoder = json.JSONDecoder()
    text = text.strip()
    while text:
        _, end = decoder.raw_decode(text)
        yield text[:end]
        text = text[end:].lstrip()
