"""Start tests/nethost, the host made of the real plugin package, from Python tests.

    async with NetHost(plugin_dir) as host:                     # a folder with a plugin.json
        async with httpx.AsyncClient(base_url=host.plugin_url) as client: ...
        answer = await host.hook("MessageWillBePosted", {}, {"message": "hello"})

It is driven as tests/go_host.py drives the host of gRPC; GoAPI of tests/go_api.py works on both.
What differs is in tests/nethost/README.md.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.go_build import GoProgram
from tests.go_host import HostProcess
from tests.net_hooks import arguments_of, response_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.go_host import Event

__all__ = ["GOB_ECHO", "GO_PLUGIN", "HOST", "HOST_WITHOUT_FLUSH", "NetHost", "go_plugin_bundle"]

MODULE = Path(__file__).resolve().parent / "nethost"
HOST = GoProgram(MODULE, "nethost", "./host")
# The same source with the plugin package of a server before 11.3, which has no Flush.
HOST_WITHOUT_FLUSH = GoProgram(MODULE, "nethost-noflush", "./host", ("-modfile=noflush.mod",))
GO_PLUGIN = GoProgram(MODULE, "goplugin", "./goplugin")
GOB_ECHO = GoProgram(MODULE, "gobecho", "./gobecho")


class NetHost(HostProcess):
    """A released server's environment with one plugin.

    Args:
        directory: a bundle folder, which the host installs as the server unpacks a bundle; with
            `executable` the folder of a bare start file, for which the host writes a manifest.
        executable: the start file, relative to `directory`; it stays where it is.
        python: the interpreter of `executable`, this one by default; None: the file runs itself.
        plugin_id: the id of a bare start file; a bundle has its own.
        subpath: the site's subpath, for example "/mm".
        env: variables for the plugin; an empty value unsets one.
        flags: further flags of the host.
        flush: False: the plugin package of a server that has no Flush.
    """

    def __init__(
        self,
        directory: Path | str,
        executable: str | None = None,
        *,
        python: Path | str | None = sys.executable,
        plugin_id: str = "com.example.demo",
        subpath: str = "/",
        env: Mapping[str, str] | None = None,
        flags: Sequence[str] = (),
        flush: bool = True,
    ) -> None:
        arguments = [f"-dir={directory}", f"-subpath={subpath}"]
        if executable is None:
            plugin_id = json.loads((Path(directory) / "plugin.json").read_text())["id"]
        else:
            arguments += [f"-executable={executable}", f"-id={plugin_id}"]
            if python is not None:
                arguments.append(f"-python={python}")
        arguments += [f"-env={name}={value}" for name, value in (env or {}).items()]
        super().__init__(
            [*arguments, *flags],
            f"{subpath.rstrip('/')}/plugins/{plugin_id}",
            HOST if flush else HOST_WITHOUT_FLUSH,
        )

    async def hook(self, name: str, *arguments: object) -> Event:
        """Call a hook with the arguments of its Go signature, in Mattermost's JSON.

        Returns:
            listed, called, ok, response (the list of results), error (the plugin's), message (why
            the call failed on the way), written (base64 of what went to an io.Writer), ms.
        """
        return await super().control(f"/hook/{name}", arguments)

    async def control(self, path: str, body: object = None, *, method: str = "POST") -> Event:
        """Ask the control API, as on the host of gRPC: a hook's request and response are protojson.

        `hook` is the way to its own form, the list of arguments.
        """
        name, _, rest = path.removeprefix("/hook/").partition("?")[0].partition("/")
        if not path.startswith("/hook/") or isinstance(body, list | tuple):
            return await super().control(path, body, method=method)
        arguments = arguments_of(name, body if isinstance(body, dict) else {})
        answer = await super().control(path, arguments, method=method)
        if rest or not answer["called"]:
            return answer
        failed = bool(answer["message"])
        response = None
        if not failed:
            response = response_of(name, answer["response"], answer.get("written"))
        return {**answer, "response": response, "code": "Unavailable" if failed else "OK"}

    def _folder_flags(self) -> list[str]:
        return [*super()._folder_flags(), f"-folder={self._folder}/server"]


def go_plugin_bundle(folder: Path) -> Path:
    """Build the plugin in Go and lay its bundle out in `folder`."""
    bundle = folder / "goplugin"
    bundle.mkdir()
    manifest = (MODULE / "goplugin" / "plugin.json").read_bytes()
    (bundle / "plugin.json").write_bytes(manifest)
    executable = bundle / "goplugin"
    executable.write_bytes(GO_PLUGIN.build().read_bytes())
    executable.chmod(0o755)
    return bundle
