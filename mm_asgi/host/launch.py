"""What a host is made from: the command line, the rules, the manifest; and a failure's words."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from mm_asgi.host.http.rules import Rules
from mm_asgi.host.mattermost import Mattermost

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mm_asgi.host.plugin.host_error import HostError
    from mm_asgi.host.plugin.log import HostLog

__all__ = ["command_line", "failure_page", "make_mattermost", "make_rules"]


def command_line(target: str | None, argv: Sequence[str] | None, python: str) -> list[str]:
    """``argv``, else ``mm-asgi serve`` with the target, else the start file."""
    if argv is not None:
        return list(argv)
    if target is not None:
        return [python, "-m", "mm_asgi", "serve", target]
    return [python, "plugin.py"]


def make_rules(
    plugin_id: str, subpath: str, user: str, strict_csrf: bool, proxy_headers: Sequence[str]
) -> Rules:
    """What the host does to each request."""
    return Rules(
        plugin_id=plugin_id,
        subpath="/" + subpath.strip("/"),
        user=user,
        strict_csrf=strict_csrf,
        trusted_proxy_headers=tuple(proxy_headers),
    )


def make_mattermost(plugin_id: str, directory: Path, log: HostLog) -> Mattermost:
    """The Mattermost behind the plugin's API."""
    return Mattermost(plugin_id, manifest=_manifest(directory), bundle_path=directory, log=log)


def _manifest(directory: Path) -> dict[str, Any]:
    """The plugin's plugin.json; without one, or with one that cannot be read, there is none."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((directory / "plugin.json").read_text("utf-8"))
        if isinstance(found, dict):
            return found
    return {}


def failure_page(plugin_id: str, exc: HostError) -> str:
    """What a request is told while there is no plugin."""
    said = "".join(f"\n  {line}" for line in exc.stderr)
    return f"{plugin_id} did not start ({exc.stage}): {exc.error}\n{said}"
