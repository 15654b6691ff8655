"""Both sides of TLS for tests: identities as go-plugin's client makes them, and a client by hand.

The client is an SSLObject over a socket: what it sends can be cut anywhere, held back, or left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import inspect
import socket
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from google.protobuf.wrappers_pb2 import BytesValue

from mm_asgi.goplugin.auto_mtls import MutualTLS, mutual_tls
from mm_asgi.wire.http2.server import NativeServer
from mm_asgi.wire.port import Method
from tests.wire.servers import LocalListener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from mm_asgi.wire.http2.limits import Limits
    from mm_asgi.wire.port import Stream

__all__ = ["Identity", "TLSPeer", "both_loops", "client_context", "host_identity", "serving"]

LIMIT = 128 * 2**20


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key, both in PEM."""

    certificate: bytes
    key: bytes


def host_identity(curve: type[ec.EllipticCurve] = ec.SECP521R1, days: float = 10_000) -> Identity:
    """What go-plugin's client makes of itself (its mtls.go)."""
    key = ec.generate_private_key(curve())
    name = x509.Name([
        x509.NameAttribute(NameOID.COMMON_NAME, "localhost"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "HashiCorp"),
    ])  # fmt: skip
    now = datetime.datetime.now(datetime.UTC)
    usage = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=30))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA512())
    )
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    return Identity(
        certificate.public_bytes(pem), key.private_bytes(pem, form, serialization.NoEncryption())
    )


def client_context(
    trusted: bytes, identity: Identity | None = None, *, alpn: tuple[str, ...] = ("h2",)
) -> ssl.SSLContext:
    """A client's context that trusts one certificate (DER), and shows an identity."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=trusted)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if identity is not None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(identity.certificate + identity.key)
            file.flush()
            context.load_cert_chain(file.name)
    return context


class TLSPeer:
    """A client of ``address``, a socket's path, that has not said anything yet."""

    def __init__(self, address: str, context: ssl.SSLContext) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(address)
        self.socket.setblocking(False)
        self.loop = asyncio.get_running_loop()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.socket.close()

    async def hello(self) -> bytes:
        """The first flight, which is not sent."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self._outgoing.read()

    async def shake(self, step: int | None = None) -> None:
        """The whole handshake, ``step`` bytes at a time."""
        await self._do(self.tls.do_handshake, step)

    async def send(self, data: bytes, step: int | None = None) -> None:
        """Send it, ``step`` bytes of its records at a time."""
        self.tls.write(data)
        await self.flush(step)

    async def receive(self) -> bytes:
        """What comes next; empty at the end."""
        try:
            return bytes(await self._do(lambda: self.tls.read(65_536), None))
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError):
            return b""

    async def receive_until(self, wanted: bytes) -> bytes:
        """What comes, up to something that is in it."""
        got = b""
        while wanted not in got:
            read = await self.receive()
            assert read, f"the server closed; it said {got!r}"
            got += read
        return got

    async def goodbye(self) -> None:
        """Close as TLS wants it: a notice from both sides."""
        await self._do(self.tls.unwrap, None)

    async def is_cut_off(self) -> bool:
        """Whether the server closes; it waits for that."""
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            while await self.receive():
                pass
        return True

    async def _do(self, step_of_tls: Callable[[], Any], step: int | None) -> Any:
        while True:
            try:
                result = step_of_tls()
            except ssl.SSLWantReadError:
                await self.flush(step)
                read = await self.loop.sock_recv(self.socket, 65_536)
                self._incoming.write(read) if read else self._incoming.write_eof()
            else:
                await self.flush(step)
                return result

    async def flush(self, step: int | None = None) -> None:
        """Send the records that are made."""
        data = self._outgoing.read()
        for start in range(0, len(data), step or max(1, len(data))):
            part = data[start : start + step] if step else data
            await self.loop.sock_sendall(self.socket, part)
            if step:
                await asyncio.sleep(0)  # the server's turn to read


@contextlib.asynccontextmanager
async def serving(
    host: Identity, limits: Limits | None = None, *, plain: bool = False
) -> AsyncIterator[tuple[str, MutualTLS]]:
    """A server as a plugin's with AutoMTLS, which echoes at ``/echo``; its socket's path.

    ``plain``: it leaves TLS out. At the end no task of it may be left.
    """

    async def echo(stream: Stream) -> None:
        while (got := await stream.read()) is not None:
            await stream.write(got)
        stream.finish()

    tls = mutual_tls(host.certificate.decode())
    server = NativeServer(limits)
    with tempfile.TemporaryDirectory(prefix="mm") as folder:
        path = str(Path(folder, "tls.sock"))
        methods = {"/echo": Method(echo, BytesValue, LIMIT)}
        await server.start(LocalListener(path), methods, tls=None if plain else tls.context)
        try:
            yield path, tls
        finally:
            await server.stop(0.0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a coroutine test on asyncio's loop and on uvloop's, whose TLS are two programs."""

    def run(loop: str, **fixtures: Any) -> None:
        factory = None if loop == "asyncio" else pytest.importorskip("uvloop").new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(test(**fixtures))

    functools.update_wrapper(run, test)
    signature = inspect.signature(test)
    first = inspect.Parameter("loop", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[first, *signature.parameters.values()]
    )
    on_each: Callable[..., None] = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])(run)
    return on_each
