"""Row L11: a host that demands mutual TLS (go-plugin's AutoMTLS) gets it, or is told why not."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import socket
import ssl
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.contract.apps.process.volume import BLOCK
from tests.roads import on
from tests.roads.process.light_host import LightHost
from tests.roads.process.peer import Peer
from tests.roads.process.real_host import RealHost
from tests.roads.road import ROOT
from tests.wire.tls_peer import Identity, client_context, host_identity

if TYPE_CHECKING:
    from pathlib import Path

# grpcio's BoringSSL signs with no P-521 key, which is what a Go host has.
HOST = host_identity(ec.SECP256R1)
STRANGER = host_identity(ec.SECP256R1)
MEBIBYTES = 64
# Version, type, flags (SYN and ACK), stream, and the number that is sent back.
YAMUX_PING = b"\0\2\0\1" + b"\0\0\0\0" + b"\0\0\0\7"
YAMUX_PONG = b"\0\2\0\2" + b"\0\0\0\0" + b"\0\0\0\7"
BROKEN = "raise ImportError('the library is broken')\n"


class MutualHost(LightHost):
    """The light host with AutoMTLS on."""

    def __init__(self, app: str = "polite:app", **settings: Any) -> None:
        super().__init__(app, PLUGIN_CLIENT_CERT=HOST.certificate.decode(), **settings)

    @property
    def peer(self) -> Peer:
        if self._peer is None:
            root = ssl.DER_cert_to_PEM_cert(self.certificate()).encode()
            shown = grpc.ssl_channel_credentials(root, HOST.key, HOST.certificate)
            self._peer = Peer(self.handshake(), shown)
        return self._peer

    def certificate(self) -> bytes:
        """The plugin's, from the handshake's sixth field."""
        field = self.handshake()[5]
        assert "=" not in field
        return base64.b64decode(field + "=" * (-len(field) % 4), validate=True)

    def dial(self) -> socket.socket:
        """A connection on which nothing has been said."""
        network, address = self.handshake()[2:4]
        if network == "tcp":
            name, _, port = address.partition(":")
            return socket.create_connection((name, int(port)), timeout=10)
        opened = socket.socket(socket.AF_UNIX)
        opened.settimeout(10)
        opened.connect(address)
        return opened


@on("p")
@pytest.mark.parametrize(
    ("network", "loop", "multiplex"), [("unix", "asyncio", ""), ("tcp", "uvloop", "true")]
)
def test_L11_a_host_that_demands_mutual_tls_gets_it(
    network: str, loop: str, multiplex: str, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"TMPDIR": tmp_path, "PLUGIN_MULTIPLEX_GRPC": multiplex}
    with MutualHost(network=network, loop=loop, **settings) as host:
        assert host.handshake()[6:] == (["false"] if multiplex else [])
        # Only the socket's directory is there: a private key is in no file.
        assert len(list(tmp_path.rglob("*"))) == (2 if network == "unix" else 0)
        host.start()
        assert host.get("/").body == b"hello"
        assert host.stop().code == 0
        host.wait_log("the host demands mutual TLS", level="debug")


@on("p")
@pytest.mark.parametrize("network", ["unix", "tcp"])
def test_L11_nobody_but_the_host_is_served(network: str) -> None:
    with MutualHost(network=network) as host:
        host.start()
        for identity, reason in (
            (None, "the peer showed no certificate"),
            (STRANGER, "the peer's certificate is not one that is trusted here"),
        ):
            assert knock(host, identity) == b""
            host.wait_log(reason, level="warn", logger="mm_asgi.wire")
        with host.dial() as plain:
            plain.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
            assert read_all(plain) == b""
        line = host.wait_log("the peer does not speak TLS", level="warn")
        assert ("127.0.0.1:" in line.message) is (network == "tcp")
        assert host.get("/").body == b"hello"
        assert host.stop().code == 0


@on("p")
@pytest.mark.parametrize("network", ["unix", "tcp"])
def test_L11_net_rpc_gets_it_too_and_nobody_but_the_host_is_served(network: str) -> None:
    with MutualHost(network=network, wire="netrpc") as host:
        assert host.handshake()[4] == "netrpc"
        for identity in (None, STRANGER):
            assert knock(host, identity) == b""
        with host.dial() as plain:
            plain.sendall(YAMUX_PING)
            assert read_all(plain) == b""
        context = client_context(host.certificate(), HOST)
        with context.wrap_socket(host.dial(), server_hostname="localhost") as peer:
            peer.sendall(YAMUX_PING)
            assert peer.recv(4096) == YAMUX_PONG
        assert host.exit_code() == 0  # its host is gone


def knock(host: MutualHost, identity: Identity | None) -> bytes:
    """What somebody hears who shows this."""
    context = client_context(host.certificate(), identity)
    with context.wrap_socket(host.dial(), server_hostname="localhost") as peer:
        return read_all(peer)


def read_all(opened: socket.socket) -> bytes:
    heard = b""
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        while read := opened.recv(4096):
            heard += read
    return heard


CANNOT: dict[str, tuple[dict[str, Any], str]] = {
    "no certificate": ({"PLUGIN_CLIENT_CERT": "pem"}, "its certificate cannot be read"),
    "wire": ({"wire": "grpcio"}, "wire: it is grpcio, which cannot do the mutual TLS"),
    "cryptography": (
        {"PYTHONPATH": "broken"}, "(the library is broken); pip install 'mm-asgi[mtls]'"
    ),
}  # fmt: skip


@on("p")
@pytest.mark.parametrize("kind", CANNOT)
def test_L11_what_cannot_be_is_said_and_plain_text_is_never_served(
    kind: str, tmp_path: Path
) -> None:
    changed, sentence = CANNOT[kind]
    folder, temporary = tmp_path / "broken", tmp_path / "tmp"
    folder.mkdir()
    temporary.mkdir()
    (folder / "cryptography.py").write_text(BROKEN)
    settings: dict[str, Any] = {
        "PLUGIN_CLIENT_CERT": HOST.certificate.decode(),
        "TMPDIR": temporary,
        **changed,
    }
    if "PYTHONPATH" in settings:
        settings["PYTHONPATH"] = f"{folder}{os.pathsep}{ROOT}"
    with LightHost(**settings) as host:
        assert host.process.wait(10) == 1
        host.stdout.wait_end()
        (line,) = host.stdout.all()
        assert sentence in line.decode()
        assert line.count(b"|") < 3
        assert b"PRIVATE" not in line
        assert list(temporary.iterdir()) == []


@on("g")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("flags", [[], ["-automtls"]], ids=["plain", "automtls"])
@pytest.mark.parametrize("network", ["unix", "tcp"])
def test_L11_the_go_host_starts_pings_serves_and_stops(
    network: str, flags: list[str], loop: str
) -> None:
    flags = ["-log-level=debug", *flags]
    with RealHost("volume:app", flags=flags, network=network, loop=loop) as host:
        host.start()
        said = [line for line in host.log() if "demands mutual TLS" in line.message]
        assert len(said) == ("-automtls" in flags)
        assert host.control("/ping")["ok"]
        with host.client() as client:
            for blocks in (0, 1, MEBIBYTES):
                expected = f"{blocks * len(BLOCK)} {digest(blocks)}"
                assert client.post("/upload", content=BLOCK * blocks).text == expected
            for blocks in (1, MEBIBYTES):
                body = client.get(f"/download/{blocks}").content
                assert hashlib.sha256(body).hexdigest() == digest(blocks)
        assert host.control("/ping")["ok"]
        assert [line for line in host.log() if line.level in ("warn", "error")] == []
        ended = host.stop()
        assert (ended.code, ended.killed) == (0, False)


def digest(blocks: int) -> str:
    return hashlib.sha256(BLOCK * blocks).hexdigest()
