"""Our channels against interop servers that others wrote, and the compressed cases both ways.

grpc-go's own interop programs know no compressed cases, so theirs with each message in gzip stand
in (judges/compressed), and grpcio's client.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from . import interop_client, tools
from .interop import messages
from .interop.cases import CASES, COMPRESSED
from .interop.service import SERVICE
from .test_judges import ROOT, interop_server, needs_go

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.full,
    # The first test builds the judges: a minute on two cores.
    pytest.mark.timeout(600),
]


@contextlib.contextmanager
def started(program: str) -> Iterator[str]:
    """The address of a server in Go that prints its port."""
    with subprocess.Popen(
        [str(tools.tool(program))], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield f"127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


@contextlib.contextmanager
def grpc_go() -> Iterator[str]:
    """The address of grpc-go's own interop server, which says nothing."""
    with interop_client.free_port() as port:
        process = subprocess.Popen(
            [str(tools.tool("server")), f"-port={port}"], stdin=subprocess.DEVNULL
        )
    with process:
        try:
            asyncio.run(interop_client.wait(f"127.0.0.1:{port}"))
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()


@pytest.fixture(scope="module")
def go_server() -> Iterator[str]:
    with grpc_go() as address:
        yield address


@pytest.fixture(scope="module")
def compressing_go_server() -> Iterator[str]:
    with started("compressed") as address:
        yield address


@pytest.fixture(scope="module")
def own_server() -> Iterator[str]:
    with interop_server("native") as address:
        yield address


@needs_go
@pytest.mark.parametrize("wire", ["native", "grpcio"])
@pytest.mark.parametrize("case", CASES)
async def test_the_interop_server_of_grpc_go(wire: str, case: str, go_server: str) -> None:
    await interop_client.run(wire, go_server, [case])


@needs_go
@pytest.mark.parametrize("case", CASES)
async def test_grpc_go_in_gzip(case: str, compressing_go_server: str) -> None:
    await interop_client.run("gzip", compressing_go_server, [case])


@pytest.mark.parametrize("wire", ["native", "gzip", "grpcio"])
@pytest.mark.parametrize("case", CASES)
async def test_our_own_server(wire: str, case: str, own_server: str) -> None:
    await interop_client.run(wire, own_server, [case])


@pytest.mark.parametrize("case", COMPRESSED)
async def test_the_compressed_cases_on_our_own_server(case: str, own_server: str) -> None:
    await interop_client.run("gzip", own_server, [case])


@needs_go
@pytest.mark.parametrize("options", [[], ["--compress"]], ids=["plain", "gzip"])
def test_grpc_gos_client_in_gzip(options: list[str]) -> None:
    with interop_server("native", *options) as address:
        done = tools.run("compressed", f"-call={address}")
    assert (done.returncode, done.stdout) == (0, "done\n")


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_grpcios_client_in_gzip(compression: Any, own_server: str) -> None:
    """It says in which encoding, but not whether an answer came in it."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    request = messages.SimpleRequest(response_size=70_000, payload={"body": bytes(70_000)})
    request.expect_compressed.value = True
    request.response_compressed.value = True
    with grpc.insecure_channel(own_server, options, compression=compression) as channel:
        call = channel.unary_unary(
            SERVICE + "UnaryCall",
            messages.SimpleRequest.SerializeToString,
            messages.SimpleResponse.FromString,
        )
        if compression is grpc.Compression.Deflate:
            with pytest.raises(grpc.RpcError) as caught:
                call(request, timeout=30)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
            assert "deflate is not supported" in str(caught.value.details())
        else:
            assert len(call(request, timeout=30).payload.body) == 70_000


@needs_go
def test_the_command(go_server: str) -> None:
    port = go_server.rpartition(":")[2]
    done = subprocess.run(
        [sys.executable, "-m", "tests.wire.interop_client", "--case=ping_pong", f"--port={port}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "ping_pong: as it should be\n"), done.stderr
