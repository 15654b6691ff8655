"""The first line on stdout: go-plugin's handshake, or the fault that prevents it. Pure."""

from __future__ import annotations

import base64

from mm_asgi.errors import ConfigError
from mm_asgi.goplugin.environ import PROTOCOL_VERSION

__all__ = ["fault_line", "handshake_line"]

_CORE_PROTOCOL = 1
_FAULT_LIMIT = 1000
"""Characters: a guess at how much an admin reads. The host itself takes a line of 64 KiB."""


def handshake_line(
    network: str,
    address: str,
    *,
    protocol: str = "grpc",
    certificate: bytes = b"",
    multiplex: bool = False,
) -> str:
    """Return the line that tells the host where to connect, without its newline.

    Args:
        network: ``unix`` or ``tcp``.
        address: the socket's path or ``127.0.0.1:port``.
        protocol: the protocol that is spoken there, ``grpc`` or ``netrpc``.
        certificate: the server's certificate in DER form, if the host demands mutual TLS.
        multiplex: whether PLUGIN_MULTIPLEX_GRPC was set. The answer to hosts that set it is no.
            Hosts that do not set it split the line in six, and would take a seventh field for the
            end of the certificate.

    Raises:
        ConfigError: the address does not fit into the line.
    """
    if "|" in address or not address.isprintable():
        raise ConfigError(
            f"socket path: it is {ascii(address).replace('|', '/')}, which a handshake line "
            "cannot carry; choose a directory without pipe signs and control characters"
        )
    fields = [str(_CORE_PROTOCOL), str(PROTOCOL_VERSION), network, address, protocol]
    if certificate or multiplex:
        # Go's base64.RawStdEncoding: the standard alphabet, no padding.
        fields.append(base64.b64encode(certificate).rstrip(b"=").decode())
    if multiplex:
        fields.append("false")
    return "|".join(fields)


def fault_line(text: str) -> str:
    """Return a text as one line for the admin, which no host takes for a handshake."""
    line = " ".join(text.split()).replace("|", "/")
    return "".join(char if char.isprintable() else "?" for char in line)[:_FAULT_LIMIT]
