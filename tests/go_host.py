"""Start tests/gohost, the real go-plugin and net/http host in Go, from Python tests.

    async with GoHost(plugin_dir) as host:
        async with httpx.AsyncClient(base_url=host.plugin_url) as client: ...
        await host.control("/hook/OnConfigurationChange")

This module drives the process; it makes no fixtures. The flags and the control API are described in
tests/gohost/README.md. tests/net_host.py has the host of net/rpc, which is driven alike.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import httpx

from tests.go_build import GoHostError, GoProgram, find_go, go_missing_reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

__all__ = [
    "BINARY", "Event", "GoHost", "GoHostError", "HostProcess", "PluginProcess", "StartFailed", "build",
    "find_go", "go_missing_reason",
]  # fmt: skip

PROGRAM = GoProgram(Path(__file__).resolve().parent / "gohost", "gohost")
BINARY = PROGRAM.binary

# A server stop takes 1 s for HTTP, 10 s for OnDeactivate and 2 s for Kill.
STOP_TIMEOUT = 20.0
# The handshake's 10 s, twice Implemented and OnActivate could take 100 s; a test wants to know
# sooner.
START_TIMEOUT = 45.0

Event = dict[str, Any]


class StartFailed(GoHostError):
    """The plugin did not start. `event` is the host's `failed` line: stage, error, exit_code."""

    def __init__(self, event: Event, stderr: "Sequence[str]" = ()) -> None:
        self.event = event
        self.stage: str = event.get("stage", "")
        self.error: str = event.get("error", "")
        said = "".join(f"\n  {line}" for line in stderr)
        super().__init__(f"the plugin's start failed at {self.stage!r}: {self.error}{said}")


def build() -> Path:
    """Build gohost if its sources changed since the last time; safe in parallel test runs."""
    return PROGRAM.build()


class HostProcess:
    """A Go host with one plugin; `async with` starts both and stops them as the server does.

    Args:
        arguments: the host's command line; `-log` is added.
        prefix: the path of the plugin's root.
        program: the host.
    """

    def __init__(self, arguments: "Sequence[str]", prefix: str, program: GoProgram) -> None:
        self._arguments = [*arguments]
        self._prefix = prefix
        self._program = program
        self._news = asyncio.Condition()
        self._folder: str | None = None
        self._log_text: str | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._client: httpx.AsyncClient | None = None
        self._plugins: list[PluginProcess] = []  # more than one after /activate
        self._ended = False
        self.events: list[Event] = []
        self.address: str = ""  # "127.0.0.1:PORT" of the HTTP side
        self.api_target: str = ""  # "127.0.0.1:PORT" of the PluginAPI
        self.implemented: list[str] = []

    # life

    async def __aenter__(self) -> Self:
        try:
            return await self.start()
        except BaseException:
            await self.close()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        try:
            if self.running:
                await self.stop()
        finally:
            await self.close()

    async def start(self, timeout: float = START_TIMEOUT) -> Self:
        """Start host and plugin, wait for `ready`; StartFailed when the plugin does not start."""
        await self.launch()
        event = await self.wait_event("ready", "failed", timeout=timeout)
        if event["event"] == "failed":
            said = [line["message"] for line in self.log_lines("plugin")]
            raise StartFailed(event, said[-20:])
        self.implemented = event["implemented"]
        return self

    async def launch(self) -> Self:
        """Start, but wait only until both listeners are open: for tests that watch the start."""
        binary = await asyncio.to_thread(self._program.build)
        self._folder = tempfile.mkdtemp(prefix="gohost-")
        self._process = await asyncio.create_subprocess_exec(
            str(binary),
            *self._arguments,
            *self._folder_flags(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 20,
        )
        self._reader = asyncio.create_task(self._read_events(self._process))
        event = await self.wait_event("listening")
        self.address = event["http"]
        self.api_target = event.get("api", "")
        self._client = httpx.AsyncClient(
            base_url=f"http://{event['control']}", timeout=120, trust_env=False
        )
        return self

    async def stop(self, timeout: float = STOP_TIMEOUT) -> Event:
        """SIGTERM: the server's own stop. Gives the `stopped` event and the host's end."""
        process = self._started()
        process.send_signal(signal.SIGTERM)
        try:
            event = await self.wait_event("stopped", timeout=timeout)
            await asyncio.wait_for(process.wait(), timeout)
        except TimeoutError:
            await self.kill9()
            raise GoHostError(
                f"the host did not stop in {timeout} s; events: {self.events}"
            ) from None
        return event

    async def kill9(self) -> None:
        """SIGKILL to the host alone. Nothing tells the plugin, as in reality."""
        process = self._started()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def close(self) -> None:
        """Leave nothing behind: no host, no plugin, no folder. The log stays readable."""
        if self.running:
            await self.kill9()
        for plugin in self._plugins:
            plugin.kill()
            plugin.close()
        if self._client is not None:
            await self._client.aclose()
        if self._reader is not None:
            await self._reader
        if self._folder is not None:
            self._log_text = self._read_log()
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    # what a test asks

    @property
    def http(self) -> str:
        """The host's root: http://127.0.0.1:PORT"""
        return f"http://{self.address}"

    @property
    def plugin_url(self) -> str:
        """The plugin's root: http://127.0.0.1:PORT{subpath}/plugins/{id}"""
        return self.http + self._prefix

    @property
    def pid(self) -> int:
        """The plugin's process id; 0 under `gohost raw` and before the handshake."""
        return self._plugins[-1].pid if self._plugins else 0

    @property
    def host_pid(self) -> int:
        """The host's own process id."""
        return self._started().pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def control(self, path: str, body: object = None, *, method: str = "POST") -> Event:
        """Ask the control API; `body` is sent as JSON. GoHostError for an answer that is not 200."""
        if self._client is None:
            raise GoHostError("the Go host is not started")
        response = await self._client.request(
            method, path, content=b"" if body is None else json.dumps(body).encode()
        )
        answer: Event = response.json()
        if response.status_code != 200:
            raise GoHostError(f"{method} {path}: {response.status_code} {answer.get('error')}")
        return answer

    async def stats(self) -> Event:
        return await self.control("/stats", method="GET")

    def log_lines(self, source: str | None = None) -> list[Event]:
        """What the host's log received, oldest first; `source` "plugin" is the plugin's stderr."""
        text = self._read_log() if self._log_text is None else self._log_text
        # The host may be in the middle of its last line.
        whole = text[: text.rfind("\n") + 1]
        lines: list[Event] = [json.loads(line) for line in whole.splitlines()]
        return [line for line in lines if source in (None, line["source"])]

    async def wait_event(self, *names: str, timeout: float = 20.0) -> Event:
        """The first event with one of these names, past or future."""
        async with asyncio.timeout(timeout), self._news:
            while True:
                for event in self.events:
                    if event["event"] in names:
                        return event
                if self._ended:
                    raise GoHostError(f"the host ended without {names}; events: {self.events}")
                await self._news.wait()

    async def wait_gone(self, timeout: float = 5.0) -> None:
        """Wait until the plugin's process has ended, whoever is its parent now."""
        if self._plugins:
            await asyncio.wait_for(self._plugins[-1].wait(), timeout)

    # inside

    def _started(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise GoHostError("the Go host is not started")
        return self._process

    def _folder_flags(self) -> list[str]:
        """Return the flags that name files in the host's folder, which exists now."""
        return [f"-log={self._log_path}"]

    @property
    def _log_path(self) -> Path:
        return Path(self._folder or "") / "host.log"

    def _read_log(self) -> str:
        return self._log_path.read_text() if self._log_path.is_file() else ""

    async def _read_events(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                event: Event = json.loads(line)
                if event["event"] == "started" and event["pid"]:
                    self._plugins.append(PluginProcess(event["pid"]))
                async with self._news:
                    self.events.append(event)
                    self._news.notify_all()
        finally:
            async with self._news:
                self._ended = True
                self._news.notify_all()


class GoHost(HostProcess):
    """The host of the Python branch: go-plugin with gRPC.

    Args:
        directory: the plugin's folder; its working directory.
        executable: the start file, relative to `directory`.
        python: the interpreter, this one by default.
        plugin_id: MATTERMOST_PLUGIN_ID and the route.
        subpath: the site's subpath, for example "/mm".
        env: variables for the plugin; an empty value unsets one.
        flags: further flags of gohost, for example ["-automtls", "-start-timeout=3s"].
        target: instead of a plugin process, a gRPC target that offers PluginHooks (`gohost raw`).
        proxy: instead of a plugin, an HTTP server, unix:PATH or HOST:PORT (`gohost proxy`).
        api: "beside": the host serves the PluginAPI, and the plugin gets its address;
            "alone": it does nothing else (`gohost api`).
    """

    def __init__(
        self,
        directory: Path | str = ".",
        executable: str = "plugin.py",
        *,
        python: Path | str = sys.executable,
        plugin_id: str = "com.example.demo",
        subpath: str = "/",
        env: "Mapping[str, str] | None" = None,
        flags: "Sequence[str]" = (),
        target: str | None = None,
        proxy: str | None = None,
        api: Literal["beside", "alone"] | None = None,
    ) -> None:
        common = [f"-dir={directory}", f"-id={plugin_id}", f"-subpath={subpath}"]
        if api == "alone":
            common = ["api", *common]
        elif proxy is not None:
            common = ["proxy", f"-target={proxy}", *common]
        elif target is None:
            common += [f"-executable={executable}", f"-python={python}"]
            common += [f"-env={name}={value}" for name, value in (env or {}).items()]
        else:
            common = ["raw", f"-target={target}", *common]
        if api == "beside":
            common.append("-api")
        super().__init__([*common, *flags], f"{subpath.rstrip('/')}/plugins/{plugin_id}", PROGRAM)


class PluginProcess:
    """A process that is not our child: a pidfd where there is one, so that no pid is mistaken."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._fd: int | None = None
        self._gone = False
        if sys.platform == "linux":
            try:
                self._fd = os.pidfd_open(pid)
            except ProcessLookupError:
                self._gone = True

    async def wait(self) -> None:
        if self._fd is None:
            while not self._gone and _alive(self.pid):  # noqa: ASYNC110
                await asyncio.sleep(0.02)  # no pidfd on this system: look again and again
            return
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(self._fd, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._fd)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            if sys.platform == "linux" and self._fd is not None:
                signal.pidfd_send_signal(self._fd, signal.SIGKILL)
            elif not self._gone:
                os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        self._gone = True


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
