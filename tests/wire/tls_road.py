"""The native wire over mutual TLS, as one more road of the port's conformance suite."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING
from urllib.parse import quote

import grpc
from cryptography.hazmat.primitives.asymmetric import ec

from mm_asgi.goplugin.auto_mtls import mutual_tls
from mm_asgi.wire.http2.server import NativeServer

from .roads import GrpcRoad
from .tls_peer import host_identity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mm_asgi.wire.port import Listener, Method

__all__ = ["TLSRoad"]


class TLSServer(NativeServer):
    """A native server that is always given the same context."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        super().__init__()
        self._tls = tls

    async def start(
        self,
        listener: Listener,
        methods: Mapping[str, Method],
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Serve over TLS."""
        await super().start(listener, methods, tls=tls or self._tls)


class TLSRoad(GrpcRoad):
    """Over a unix socket and mutual TLS, with grpcio's sync client."""

    def __init__(self, name: str) -> None:
        # grpcio's BoringSSL signs with no P-521 key.
        self._host = host_identity(ec.SECP256R1)
        self._tls = mutual_tls(self._host.certificate.decode())
        super().__init__(name, TLSServer(self._tls.context))

    def dial(self) -> grpc.Channel:
        """A channel of its own, with its own connection."""
        options = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_receive_message_length", -1),
            ("grpc.ssl_target_name_override", "localhost"),
        ]
        ours = ssl.DER_cert_to_PEM_cert(self._tls.certificate).encode()
        credentials = grpc.ssl_channel_credentials(ours, self._host.key, self._host.certificate)
        return grpc.secure_channel(f"unix:{quote(self.listener.address)}", credentials, options)
