"""The native wire over TLS: mutual authentication, who is refused and why, and records of any cut.

On asyncio's loop and on uvloop's: each has a TLS of its own above Python's ssl.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import ssl
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.wrappers_pb2 import BytesValue

from mm_asgi.errors import ConfigError
from mm_asgi.wire.grpcio import GrpcioServer
from mm_asgi.wire.http2.channel import NativeChannel
from mm_asgi.wire.http2.limits import Limits
from mm_asgi.wire.http2.rpc import TRAILERS_OK
from mm_asgi.wire.http2.tls import demand_http2
from mm_asgi.wire.port import RPCError
from tests.wire.http2.attacked import call, message
from tests.wire.http2.bare import GREETING, data, request
from tests.wire.servers import LocalListener
from tests.wire.tls_peer import TLSPeer, both_loops, client_context, host_identity, serving

if TYPE_CHECKING:
    from pathlib import Path

    from mm_asgi.goplugin.auto_mtls import MutualTLS

HOST = host_identity()
STRANGER = host_identity()
# grpcio's BoringSSL signs with no P-521 key.
GRPCIO = host_identity(ec.SECP256R1)
QUICK = Limits(preface=0.2)
MEBIBYTE = 2**20


async def said(caplog: pytest.LogCaptureFixture, text: str) -> str:
    """The line of the wire's log with that text; it is waited for."""
    async with asyncio.timeout(5):
        while True:
            for record in caplog.records:
                if text in record.getMessage():
                    assert (record.name, record.levelno) == ("mm_asgi.wire", logging.WARNING)
                    return record.getMessage()
            await asyncio.sleep(0)


async def echoes(peer: TLSPeer, *, step: int | None = None) -> None:
    """A whole RPC."""
    await peer.send(GREETING, step)
    await peer.send(request(1, fields=call("/echo")) + data(1, message(b"hi"), end=True), step)
    assert message(b"hi") in await peer.receive_until(TRAILERS_OK)


async def serves(path: str, tls: MutualTLS) -> None:
    """The server lives, and takes the host."""
    with TLSPeer(path, client_context(tls.certificate, HOST)) as peer:
        await peer.shake()
        await echoes(peer)


# Who is taken


@both_loops
async def test_the_host_is_served_over_tls_1_3_with_h2() -> None:
    async with serving(HOST) as (path, tls):
        with TLSPeer(path, client_context(tls.certificate, HOST)) as peer:
            await peer.shake()
            assert (peer.tls.version(), peer.tls.selected_alpn_protocol()) == ("TLSv1.3", "h2")
            await echoes(peer)


@both_loops
async def test_tls_1_2_takes_only_what_http2_allows() -> None:
    async with serving(HOST) as (path, tls):
        context = client_context(tls.certificate, HOST)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with TLSPeer(path, context) as peer:
            await peer.shake()
            cipher = peer.tls.cipher()
            assert cipher is not None
            assert cipher[0].startswith("ECDHE-ECDSA-")
            assert "GCM" in cipher[0] or "POLY1305" in cipher[0]
            assert peer.tls.compression() is None
            await echoes(peer)


@both_loops
async def test_records_may_come_byte_by_byte() -> None:
    async with serving(HOST) as (path, tls):
        with TLSPeer(path, client_context(tls.certificate, HOST)) as peer:
            await peer.shake(step=1)
            await echoes(peer, step=1)


@both_loops
async def test_large_messages_are_whole_in_both_directions() -> None:
    async with serving(GRPCIO) as (path, tls):
        await asyncio.to_thread(echo_large, path, tls, 4)


def echo_large(path: str, tls: MutualTLS, mebibytes: int) -> None:
    """Several RPCs at once, so that what is read ends in many places."""
    pem = ssl.DER_cert_to_PEM_cert(tls.certificate).encode()
    identity = grpc.ssl_channel_credentials(pem, GRPCIO.key, GRPCIO.certificate)
    options = [
        ("grpc.ssl_target_name_override", "localhost"),
        ("grpc.max_receive_message_length", -1),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    bodies = [random.Random(seed).randbytes(mebibytes * MEBIBYTE + seed) for seed in range(3)]
    with grpc.secure_channel(f"unix:{path}", identity, options) as channel:
        echo: Any = channel.unary_unary(
            "/echo", BytesValue.SerializeToString, BytesValue.FromString
        )
        answers = [echo.future(BytesValue(value=body), timeout=15) for body in bodies]
        for body, answer in zip(bodies, answers, strict=True):
            assert answer.result().value == body


@both_loops
async def test_our_own_channel_is_served_and_large_messages_are_whole() -> None:
    async with serving(HOST) as (path, tls):
        context = client_context(tls.certificate, HOST)
        channel = NativeChannel(f"unix:{path}", tls=context, server_name="localhost")
        bodies = [random.Random(seed).randbytes(4 * MEBIBYTE + seed) for seed in range(3)]
        answers = await asyncio.gather(
            *(channel.unary("/echo", BytesValue(value=body), BytesValue) for body in bodies)
        )
        for body, answer in zip(bodies, answers, strict=True):
            assert answer.value == body
        await channel.close()


@both_loops
async def test_our_own_channel_says_why_a_server_is_not_taken() -> None:
    async with serving(HOST) as (path, _):
        context = client_context(host_der(), HOST)
        channel = NativeChannel(f"unix:{path}", tls=context, server_name="localhost")
        with pytest.raises(RPCError, match="UNAVAILABLE: unix:.*CERTIFICATE_VERIFY_FAILED"):
            await channel.unary("/echo", BytesValue(), BytesValue)
        await channel.close()


@both_loops
async def test_a_peer_that_says_goodbye_hears_one() -> None:
    async with serving(HOST) as (path, tls):
        with TLSPeer(path, client_context(tls.certificate, HOST)) as peer:
            await peer.shake()
            await echoes(peer)
            await asyncio.wait_for(peer.goodbye(), 5)


# Who is refused


@both_loops
async def test_no_certificate_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(HOST) as (path, tls):
        with TLSPeer(path, client_context(tls.certificate)) as peer:
            await peer.shake()  # in TLS 1.3 the client is done before it is judged
            await said(caplog, "TLS handshake with a peer failed: the peer showed no certificate")
            assert await peer.is_cut_off()
        await serves(path, tls)


@both_loops
async def test_another_certificate_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(HOST) as (path, tls):
        for identity in (STRANGER, GRPCIO):
            caplog.clear()
            with TLSPeer(path, client_context(tls.certificate, identity)) as peer:
                await peer.shake()
                await said(caplog, "the peer's certificate is not one that is trusted here: self")
                assert await peer.is_cut_off()
        await serves(path, tls)


@both_loops
async def test_a_certificate_of_the_hosts_that_has_expired_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    expired = host_identity(days=-1)
    async with serving(expired) as (path, tls):
        with TLSPeer(path, client_context(tls.certificate, expired)) as peer:
            await peer.shake()
            await said(caplog, "not one that is trusted here: certificate has expired")
            assert await peer.is_cut_off()


@both_loops
@pytest.mark.parametrize("words", [GREETING, b"GET / HTTP/1.1\r\n\r\n", b"\0" * 64])
async def test_plain_text_is_refused(words: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(HOST) as (path, tls):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(path)
            peer.setblocking(False)
            await asyncio.get_running_loop().sock_sendall(peer, words)
            await said(caplog, "the peer does not speak TLS, which this socket demands")
            await is_closed(peer)
        await serves(path, tls)


async def is_closed(peer: socket.socket) -> None:
    """Wait until the server has closed, whatever it says before."""
    with contextlib.suppress(ConnectionError):
        while await asyncio.get_running_loop().sock_recv(peer, 65_536):
            pass


@both_loops
async def test_tls_on_a_plain_socket_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(HOST, plain=True) as (path, _):
        with TLSPeer(path, client_context(host_der())) as peer:
            await peer.loop.sock_sendall(peer.socket, await peer.hello())
            await said(caplog, "the peer speaks TLS, and this connection is plain text")
            await is_closed(peer.socket)


@both_loops
@pytest.mark.parametrize("sent", [0, 1, 200])
async def test_a_peer_that_vanishes_in_the_handshake(
    sent: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(HOST) as (path, tls):
        with TLSPeer(path, client_context(tls.certificate, HOST)) as peer:
            await peer.loop.sock_sendall(peer.socket, (await peer.hello())[:sent])
        await said(caplog, "TLS handshake with a peer failed: the peer left in the middle of it")
        await serves(path, tls)


@both_loops
async def test_a_handshake_has_its_time(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(HOST, QUICK) as (path, tls):
        with TLSPeer(path, client_context(tls.certificate, HOST)) as peer:
            await peer.loop.sock_sendall(peer.socket, (await peer.hello())[:-1])
            await said(caplog, "TLS handshake with a peer failed: it was not done after 0.2 s")
            await is_closed(peer.socket)
        await serves(path, tls)


@both_loops
async def test_after_the_handshake_the_preface_has_its_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(HOST, QUICK) as (path, tls):
        with TLSPeer(path, client_context(tls.certificate, HOST)) as peer:
            await peer.shake()
            await said(caplog, "no preface after 0.2 s")
            assert await peer.is_cut_off()


@both_loops
async def test_a_peer_that_does_not_trust_us_is_said_to_be_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(HOST) as (path, tls):
        with TLSPeer(path, client_context(host_der(), HOST)) as peer:
            with pytest.raises(ssl.SSLCertVerificationError):
                await peer.shake()
            await peer.flush()
            await said(caplog, "the peer refused (TLSV1_ALERT_UNKNOWN_CA)")
        await serves(path, tls)


@both_loops
@pytest.mark.parametrize("alpn", [(), ("http/1.1",)])
async def test_another_protocol_is_refused(
    alpn: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(HOST) as (path, tls):
        with TLSPeer(path, client_context(tls.certificate, HOST, alpn=alpn)) as peer:
            await peer.shake()
            await peer.send(GREETING + request(1, fields=call("/echo")))
            line = await said(caplog, "TLS without the protocol h2 (ALPN)")
            assert line.startswith("connection closed with GOAWAY PROTOCOL_ERROR")
            assert await peer.is_cut_off()
        await serves(path, tls)


def host_der() -> bytes:
    """A certificate that nobody here shows as a server."""
    return ssl.PEM_cert_to_DER_cert(STRANGER.certificate.decode())


# The end


@both_loops
async def test_a_stop_ends_handshakes_and_connections() -> None:
    async with serving(HOST) as (path, tls):  # which sees that no task is left
        with TLSPeer(path, client_context(tls.certificate, HOST)) as peer:
            await peer.shake()
            await echoes(peer)
            begun = TLSPeer(path, client_context(tls.certificate, HOST))
            await begun.loop.sock_sendall(begun.socket, (await begun.hello())[:-1])
            others = [TLSPeer(path, client_context(tls.certificate)) for _ in range(3)]
            await serves(path, tls)  # by now those were accepted
            stopped = asyncio.create_task(peer.is_cut_off())
            await asyncio.sleep(0)
        stopped.cancel()
    for other in (begun, *others):
        await is_closed(other.socket)
        other.socket.close()


async def test_grpcios_wire_refuses_it(tmp_path: Path) -> None:
    listener = LocalListener(str(tmp_path / "s"))
    with pytest.raises(ConfigError, match="wire: it is grpcio, which cannot do the mutual TLS"):
        await GrpcioServer().start(listener, {}, tls=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    assert listener.address == ""


def test_what_http2_asks_of_a_context() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    demand_http2(context)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    for option in (ssl.OP_NO_COMPRESSION, ssl.OP_NO_RENEGOTIATION):
        assert context.options & option
    old = [cipher for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"]
    assert old
    for cipher in old:
        assert cipher["aead"]
        assert cipher["kea"] == "kx-ecdhe"
