"""The environment variables that the host sets for a plugin, checked once. Pure.

Every refusal is a ConfigError of one line with fewer than three pipe signs. Before the handshake
the host shows such a line to its admin as "Unrecognized remote plugin message: <line>".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mm_asgi.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PROTOCOL_VERSION", "Environment", "StartedByHand", "read_environment"]

PROTOCOL_VERSION = 1
"""The one version of Mattermost's plugin protocol; go-plugin calls it the app protocol version."""

_COOKIE = "MATTERMOST_PLUGIN"
_COOKIE_VALUE = "Securely message teams, anywhere."


class StartedByHand(ConfigError):
    """No host started this process: the magic cookie is missing or has another value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The host's variables. None: the host did not set the variable, or set it to nothing.

    Of ``api_target`` alone the two differ: an unreleased host with gRPC always sets it.

    Attributes:
        plugin_id: the plugin's id; empty: the host did not set it.
        log_level: the name of the level that the host logs at.
        api_target: ``host:port`` of the host's PluginAPI server; empty: a host that speaks gRPC and
            serves no API; None: a released server, which knows no such variable.
        protocol_versions: the versions that the host speaks; empty: it sends no list.
        min_port, max_port: the range of ports for the tcp network; both 0: any port.
        socket_dir: the directory for the socket; None: a directory of our own.
        socket_group: name or number of the group that may connect to the socket.
        temporary_dir: the operator's TMPDIR.
        client_certificate: the host's certificate in PEM. With one the host demands mutual TLS
            (go-plugin's AutoMTLS), and plain text is never served.
        multiplex: whether the host asked if one connection can carry the broker's, too.
    """

    plugin_id: str
    log_level: str | None
    api_target: str | None
    protocol_versions: tuple[int, ...]
    min_port: int
    max_port: int
    socket_dir: str | None
    socket_group: str | None
    temporary_dir: str | None
    client_certificate: str | None
    multiplex: bool


def read_environment(environ: Mapping[str, str]) -> Environment:
    """Read and check the host's variables.

    Args:
        environ: ``os.environ``, as it was when the process started.

    Raises:
        ConfigError: one of them cannot be used. The certificate is checked where it is used.
    """
    if environ.get(_COOKIE) != _COOKIE_VALUE:
        found = "has another value here" if environ.get(_COOKIE) else "is missing here"
        raise StartedByHand(
            "started by hand: this program is a Mattermost plugin, which a Mattermost server "
            f"starts with the environment variable {_COOKIE}, and that {found}; put the plugin "
            "into a bundle and let the server start it, or for local work run mm-asgi dev in its "
            "folder, or its ASGI app with an ASGI server such as uvicorn"
        )
    min_port, max_port = _ports(environ)
    return Environment(
        plugin_id=environ.get("MATTERMOST_PLUGIN_ID", ""),
        log_level=environ.get("MATTERMOST_LOG_LEVEL") or None,
        api_target=environ.get("MATTERMOST_PLUGIN_API_TARGET"),
        protocol_versions=_protocol_versions(environ),
        min_port=min_port,
        max_port=max_port,
        socket_dir=environ.get("PLUGIN_UNIX_SOCKET_DIR") or None,
        socket_group=environ.get("PLUGIN_UNIX_SOCKET_GROUP") or None,
        temporary_dir=environ.get("TMPDIR") or None,
        client_certificate=environ.get("PLUGIN_CLIENT_CERT") or None,
        multiplex=bool(environ.get("PLUGIN_MULTIPLEX_GRPC")),
    )


def _protocol_versions(environ: Mapping[str, str]) -> tuple[int, ...]:
    text = environ.get("PLUGIN_PROTOCOL_VERSIONS", "")
    # As go-plugin, skip entries that are not numbers. Older hosts send no list.
    entries = (entry.strip() for entry in text.split(","))
    versions = tuple(int(entry) for entry in entries if _is_number(entry))
    if text and PROTOCOL_VERSION not in versions:
        raise ConfigError(
            f"PLUGIN_PROTOCOL_VERSIONS: the host speaks {_quoted(text)} and this plugin "
            f"{PROTOCOL_VERSION}; use a version of mm_asgi that was made for this host"
        )
    return versions


def _ports(environ: Mapping[str, str]) -> tuple[int, int]:
    low, high = _port(environ, "PLUGIN_MIN_PORT"), _port(environ, "PLUGIN_MAX_PORT")
    if low > high:
        raise ConfigError(
            f"PLUGIN_MIN_PORT: it is {low} and PLUGIN_MAX_PORT {high}, expected the smaller one "
            "first; correct the host's port range"
        )
    return low, high


def _port(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name) or "0"
    if not _is_number(text) or int(text) > 65535:
        raise ConfigError(
            f"{name}: it is {_quoted(text)}, expected a port from 0 to 65535; "
            "correct the host's port range"
        )
    return int(text)


def _is_number(text: str) -> bool:
    # int() alone accepts " 1_0 " and other scripts' digits, and raises for thousands of digits.
    return text.isascii() and text.isdigit() and len(text) < 10


def _quoted(text: str) -> str:
    """Return a foreign value as a part of the host's line: escaped, short, without pipe signs."""
    return ascii(text[:40]).replace("|", "/")
