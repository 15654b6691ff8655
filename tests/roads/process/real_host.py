"""The Go hosts with the light host's face, so that one test runs over all."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx
import pytest

from tests import go_host
from tests.net_host import NetHost
from tests.roads.line import find, from_host_log
from tests.roads.process.bell import WAIT, Bell
from tests.roads.process.facts import (
    APPS,
    Exit,
    StartFailed,
    plugin_env,
)
from tests.roads.road import PLUGIN_ID, Answer

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from pathlib import Path
    from types import TracebackType

    from tests.roads.line import Line

__all__ = ["FlushlessHost", "RealHost", "ReleasedHost", "as_exit"]

Result = TypeVar("Result")


class RealHost:
    """A Go host with one plugin, driven from a test that is no coroutine.

    Args:
        app: the target that the start file runs.
        flags: of gohost.
        directory: instead of the folder of apps.
        api: the host serves the PluginAPI too.
        settings: of the plugin; names in capitals are environment variables.
    """

    def __init__(
        self,
        app: str = "polite:app",
        *,
        flags: Sequence[str] = ("-log-level=debug",),
        directory: Path = APPS,
        api: bool = False,
        **settings: object,
    ) -> None:
        if (reason := go_host.go_missing_reason()) is not None:
            pytest.skip(reason)
        self.bell = Bell()
        env = plugin_env(app, self.bell.address, settings)
        self.go = self._make_host(directory, env, flags, api=api)
        self.hooks: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def _make_host(
        self, directory: Path, env: dict[str, str], flags: Sequence[str], *, api: bool
    ) -> go_host.HostProcess:
        return go_host.GoHost(
            directory,
            "start.py",
            plugin_id=PLUGIN_ID,
            env=env,
            flags=flags,
            api="beside" if api else None,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.bell.close()
        self.run(self.go.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT)
        self._loop.close()

    def run(self, coroutine: Coroutine[Any, Any, Result], timeout: float = 60) -> Result:
        """The result of a coroutine on the loop that drives the host."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout)

    @property
    def pid(self) -> int:
        return self.go.pid

    def start(self) -> Self:
        try:
            self.run(self.go.start())
        except go_host.StartFailed as exc:
            raise StartFailed(exc.error) from exc
        self.hooks = self.go.implemented
        return self

    def client(self) -> httpx.Client:
        """An HTTP client whose paths are below the plugin's."""
        return httpx.Client(base_url=self.go.plugin_url, timeout=30, trust_env=False)

    def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        with self.client() as client:
            response = client.get(path, headers=headers)
        return Answer(response.status_code, response.headers.multi_items(), response.content)

    def control(self, path: str, body: object = None, *, method: str = "POST") -> dict[str, Any]:
        """Ask gohost's control API."""
        return self.run(self.go.control(path, body, method=method))

    def call_hook(self, name: str) -> None:
        """Call a lifecycle hook, which must not answer an error."""
        answer = self.control(f"/hook/{name}")
        assert answer["ok"], answer

    def log(self) -> list[Line]:
        """What the plugin wrote to stderr, as the host's log has it."""
        return from_host_log(self.go.log_lines("plugin"))

    def wait_log(self, text: str, **facts: str) -> Line:
        """The first log line, past or future, that ``find`` finds."""
        return self.run(self._wait_log(text, facts))

    async def _wait_log(self, text: str, facts: dict[str, str]) -> Line:
        until = time.monotonic() + WAIT
        while (line := find(self.log(), text, **facts)) is None:
            assert time.monotonic() < until, f"{text!r} did not come:\n{self.log()}"
            # The host's log is a file, and a file tells nobody that it has grown.
            await asyncio.sleep(0.01)
        return line

    def begin(self, path: str) -> threading.Thread:
        """Begin a request; the app says by the bell that it has it."""

        def ask() -> None:
            with contextlib.suppress(httpx.HTTPError):
                self.get(path)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        return thread

    def stop(self) -> Exit:
        """What an admin's click does: OnDeactivate, then go-plugin's Kill."""
        return as_exit(self.control("/deactivate"))

    def kill(self) -> Exit:
        """go-plugin's Kill alone."""
        return as_exit(self.control("/kill"))

    def kill9(self) -> None:
        """SIGKILL to the host alone."""
        self.run(self.go.kill9())

    def wait_gone(self, timeout: float = 5.0) -> None:
        """Wait until the plugin's process has ended, whoever is its parent now."""
        with contextlib.suppress(ProcessLookupError):
            self.run(self.go.wait_gone(timeout))


class ReleasedHost(RealHost):
    """The host made of the real plugin package; the API is always served."""

    flush = True

    def _make_host(
        self, directory: Path, env: dict[str, str], flags: Sequence[str], *, api: bool
    ) -> go_host.HostProcess:
        env = {"MM_ASGI_LOG_LEVEL": "debug", **env}
        # A log level is nothing that a released server says.
        flags = [flag for flag in flags if not flag.startswith("-log-level")]
        return NetHost(
            directory, "start.py", plugin_id=PLUGIN_ID, env=env, flags=flags, flush=self.flush
        )


class FlushlessHost(ReleasedHost):
    """The same with the plugin package of a server that has no Flush."""

    flush = False


def as_exit(facts: dict[str, Any]) -> Exit:
    """What gohost tells of a process that has ended."""
    return Exit(
        facts["exit_code"],
        facts["sigkill"],
        facts.get("deactivate_ms", 0.0) / 1000,
        facts.get("kill_ms", 0.0) / 1000,
    )
