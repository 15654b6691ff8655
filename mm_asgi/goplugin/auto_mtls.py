"""go-plugin's AutoMTLS: a certificate for each start of the plugin, and the host's as its CA.

This does the same as go-plugin's mtls.go and server.go (hashicorp/go-plugin, dd3617a), with a P-256
key instead of P-521. Only a host that sets PLUGIN_CLIENT_CERT needs it. So ``cryptography`` (50 ms of
import) is an extra, and imported only here. Each failure is a ConfigError: the plugin never goes on
in plain text.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mm_asgi.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MutualTLS", "mutual_tls"]

_NAME = "localhost"
"""The name that go-plugin's client expects (its ServerName), on a unix socket too."""

_FOLDER = "/dev/fd"
_CLOCKS_DIFFER = datetime.timedelta(seconds=30)
_LIFE = datetime.timedelta(days=10_957)
"""Thirty years, as in go-plugin: no certificate outlives its process."""


@dataclass(frozen=True, slots=True)
class MutualTLS:
    """The parts of AutoMTLS for a server and for the handshake.

    Attributes:
        context: a server's context; it accepts only clients with the host's certificate.
        certificate: our certificate in DER form, for the handshake line.
    """

    context: ssl.SSLContext
    certificate: bytes


def mutual_tls(client_certificate: str) -> MutualTLS:
    """Make a certificate for this process, and trust the host's.

    Args:
        client_certificate: PEM, from PLUGIN_CLIENT_CERT.

    Raises:
        ConfigError: the host's certificate cannot be used, or ``cryptography`` is not installed.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    # As in Go, the given certificate is trusted although it may not be a root.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    # A resumed session would show no certificate, and a host connects once.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    _trust(context, client_certificate)
    key, certificate = _make_certificate()
    _load_certificate(context, key, certificate)
    return MutualTLS(context, ssl.PEM_cert_to_DER_cert(certificate.decode()))


def _trust(context: ssl.SSLContext, client_certificate: str) -> None:
    try:
        context.load_verify_locations(cadata=client_certificate)
    except (ValueError, TypeError, ssl.SSLError) as exc:
        # The variable's value is not repeated: it might be a key.
        reason = exc.reason if isinstance(exc, ssl.SSLError) and exc.reason else "it is not PEM"
        raise ConfigError(
            "PLUGIN_CLIENT_CERT: the host demands mutual TLS (go-plugin's AutoMTLS) and its "
            f"certificate cannot be read ({reason}), expected PEM; correct the host or switch "
            "AutoMTLS off there, as Mattermost does"
        ) from exc


def _make_certificate() -> tuple[bytes, bytes]:
    """Return a new key and its self-signed certificate, both in PEM."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
    except ImportError as exc:
        raise ConfigError(
            "PLUGIN_CLIENT_CERT: the host demands mutual TLS (go-plugin's AutoMTLS), which needs "
            f"cryptography, and that cannot be imported ({exc}); pip install 'mm-asgi[mtls]' into "
            "the plugin, or switch AutoMTLS off in the host, as Mattermost does"
        ) from exc
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + _LIFE)
        # Go looks for the name only here.
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(_NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return (
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        certificate.public_bytes(pem),
    )


def _load_certificate(context: ssl.SSLContext, key: bytes, certificate: bytes) -> None:
    try:
        with _as_file(certificate) as certificate_file, _as_file(key) as key_file:
            context.load_cert_chain(certificate_file, key_file)
    except OSError as exc:
        raise ConfigError(
            f"mutual TLS: the plugin's own certificate cannot be loaded: {exc.strerror or exc}; "
            f"{_FOLDER} has to be there (on Linux it leads to /proc)"
        ) from exc


@contextlib.contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Provide a path from which ``content`` can be read once.

    It is a pipe's path, so that a key is never written to a disk. ``content`` has to fit into a
    pipe (4 KiB at the least).
    """
    reading, writing = os.pipe()
    try:
        try:
            os.write(writing, content)
        finally:
            os.close(writing)
        yield f"{_FOLDER}/{reading}"
    finally:
        os.close(reading)
