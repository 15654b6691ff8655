"""One run of ``mm-asgi dev``: the simulated host, the terminal's lines, reload and the end.

The plugin has a session of its own (host/plugin/process.py). Ctrl-C therefore reaches only this process,
which then stops the plugin. This process knows the plugin's process id from the start: a second Ctrl-C
kills the plugin and all its children, wherever the first stop hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from watchfiles import Change, awatch

from mm_asgi.cli.dev.debug import HOST_STRETCHED
from mm_asgi.cli.terminal import LEVELS, Terminal, has_app_frames, is_raw, start_reason
from mm_asgi.errors import ConfigError
from mm_asgi.host import Host, HostError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mm_asgi.cli.dev.debug import Debugger
    from mm_asgi.host import LogLine
    from mm_asgi.settings import Settings

__all__ = ["Saves", "DevSession", "matters"]

PATIENCE = 3.0
"""Seconds for OnDeactivate before a reload, for which a person waits. A real host allows 30."""

SLOW = 5.0
"""Seconds after which the next save interrupts a reload, whose plugin may hang."""

ENDINGS = frozenset(
    ".py .pyi .toml .html .htm .css .js .mjs .jinja .jinja2 .j2 .mako .tmpl .tpl .ini .cfg .yaml .yml".split()
)
"""Endings of files that people write and apps do not: JSON, text or a database may be an app's data."""

NAMES = frozenset((".env", "plugin.json"))

IGNORED = frozenset(("__pycache__", "node_modules", "site-packages", "venv"))
"""Folders; those with a dot in front, such as .venv and .git, are ignored too."""

STEP = 100
"""Milliseconds without a save that end a group of saves, such as a checkout of many files."""

LONGEST_GROUP = 1600
"""Milliseconds that a group may last; watchfiles' own default."""

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class DevSession:
    """Start the host, show its log, replace the plugin on a save, end on Ctrl-C.

    Args:
        command: the plugin's command line.
        settings: host, port, user, reload and log_level are used.
        plugin_id: the plugin's id.
        folders: the folders to watch under reload.
        environ: variables for the plugin.
        debugger: debugpy's address, if the plugin is to be debugged.
    """

    def __init__(
        self,
        command: list[str],
        settings: Settings,
        plugin_id: str,
        folders: list[Path],
        environ: Mapping[str, str],
        debugger: Debugger | None = None,
    ) -> None:
        self._settings = settings
        self._debugger = debugger
        self._plugin_id = plugin_id
        self._level = LEVELS.index(_hclog_level(settings.log_level or "info"))
        self._terminal = Terminal(sys.stderr)
        self._saves = Saves(folders) if settings.reload else None
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._asked_to_stop = False
        # The ids of the plugin's running processes.
        self._processes: set[int] = set()
        # The present start's: how its process ended, and the lines that it wrote past its log.
        self._fate = ""
        self._raw: set[str] = set()
        self._starting = True
        self._released = settings.wire not in ("native", "grpcio")
        self._host = Host(
            argv=command,
            wire="netrpc" if self._released else "native",
            plugin_id=plugin_id,
            user=settings.user,
            host=settings.host,
            port=settings.port,
            log_level=settings.log_level or "info",
            env=environ,
            patience=PATIENCE,
            page=True,
            # Under reload the next save may mend it.
            keep_failed=settings.reload,
            on_log=self._show_line,
            **({} if debugger is None else HOST_STRETCHED),
        )

    async def run(self) -> int:
        """Run until Ctrl-C or the plugin's end, and return the exit code."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Not loop.add_signal_handler: a second Ctrl-C has to work while the loop hangs, too.
            signal.signal(number, self._on_signal)
        work = asyncio.create_task(self._run_plugin(), name="dev")
        stopping = asyncio.create_task(self._stop.wait(), name="Ctrl-C")
        try:
            await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return 0 if self._stop.is_set() else work.result()
        except HostError:
            return 1  # the terminal has it already
        except ConfigError as exc:
            self._terminal.plain(f"mm-asgi: {exc}")
            return 1
        finally:
            work.cancel()
            stopping.cancel()
            await asyncio.gather(work, stopping, return_exceptions=True)
            await self._host.close()
            if self._saves is not None:
                await self._saves.stop()

    async def _run_plugin(self) -> int:
        if self._saves is not None:
            # Before the start, so that saves during the app's import count.
            await self._saves.start()
        if self._debugger is not None:
            self._terminal.say(
                f"a debugger can attach to {self._debugger.address}; deadlines are stretched"
            )
        await self._host.__aenter__()
        self._starting = False
        self._say_addresses()
        if self._saves is not None:
            await self._replace_on_saves(self._saves)
        await self._host.plugin_ended()
        return 1

    def _say_addresses(self) -> None:
        user, shown = self._settings.user, self._settings.host
        verb = "will be" if self._host.failure else "is"
        self._terminal.say(
            f"{self._plugin_id} {verb} at {_local_address(self._host.url)}/", bold=True
        )
        if shown not in LOOPBACK:
            self._terminal.say(
                f"every client that reaches {shown} is {user or 'let in'}, without a login"
            )
        self._terminal.say(f"users, messages, hooks, calls: {_local_address(self._host.page_url)}")
        server = "a released server" if self._released else "the Python branch"
        notes = [f"{user} is logged in" if user else "nobody is logged in", f"{server} is played"]
        if self._saves is not None:
            notes.append("a save replaces the plugin")
        self._terminal.say("; ".join([*notes, "Ctrl-C stops it"]))

    # ---------------------------------------------------------------- reload

    async def _replace_on_saves(self, saves: Saves) -> None:
        while True:
            self._terminal.say(f"{_list_names(await saves.take())} changed: the plugin is replaced")
            self._starting, self._fate, self._raw = True, "", set()
            with contextlib.suppress(HostError):  # the terminal has it already
                await self._replace_plugin(saves)
                self._terminal.say(f"{self._plugin_id} runs again")
            self._starting = False

    async def _replace_plugin(self, saves: Saves) -> None:
        """Replace the plugin. The next save interrupts a start that takes long."""
        restart = asyncio.create_task(self._host.restart(), name="restart")
        saved = asyncio.create_task(saves.wait(), name="save")
        try:
            await asyncio.wait({restart}, timeout=SLOW)
            await asyncio.wait({restart, saved}, return_when=asyncio.FIRST_COMPLETED)
            if not restart.done():
                raise HostError("start", "it was saved again")
            restart.result()
        finally:
            restart.cancel()
            saved.cancel()
            await asyncio.gather(restart, saved, return_exceptions=True)

    # ---------------------------------------------------------------- the end

    def _on_signal(self, number: int, frame: object) -> None:
        # A closing terminal and its shell may both send SIGHUP. Only a second SIGINT means hurry.
        if self._asked_to_stop and number == signal.SIGINT:
            for pid in tuple(self._processes):
                with contextlib.suppress(OSError):
                    os.killpg(pid, signal.SIGKILL)
            os._exit(0)
        if not self._asked_to_stop:
            self._asked_to_stop = True
            self._loop.call_soon_threadsafe(self._begin_stop)

    def _begin_stop(self) -> None:
        self._stop.set()
        self._terminal.say("stopping; Ctrl-C again ends it at once")

    # ---------------------------------------------------------------- the log

    def _show_line(self, line: LogLine) -> None:
        if line.source == "go-plugin":
            self._note_process(line)
        elif line.source == "host":
            self._show_host_line(line)
        elif line.source == "api":  # the plugin's Log calls, to which its own level does not apply
            if LEVELS.index(line.level) >= self._level:
                self._terminal.show(line)
        elif not (self._starting and (_only_a_sentence(line) or _names_the_wire(line))):
            if self._starting and is_raw(line):
                self._raw.add(line.message)
            self._terminal.show(line)

    def _note_process(self, line: LogLine) -> None:
        """Note go-plugin's lines about the process, and show the one that a person needs."""
        pid = int(line.fields.get("pid", 0))
        if line.message == "plugin started":
            self._processes.add(pid)
        elif line.message == "plugin process exited":
            self._processes.discard(pid)
            self._fate = str(line.fields["end"])
        elif line.message == "plugin failed to exit gracefully":
            self._terminal.say("the app did not end in time and is killed", bad=True)

    def _show_host_line(self, line: LogLine) -> None:
        """Show the server's own lines; the outcome of a start is one sentence."""
        if self._stop.is_set():
            return
        if stage := line.fields.get("stage"):
            error = line.message.removeprefix(f"plugin: it failed at {stage}: ")
            hint = "; the next save may mend it" if self._saves is not None else ""
            reason = start_reason(str(stage), error, self._fate, self._raw)
            self._terminal.say(f"{self._plugin_id} did not start: {reason}{hint}", bad=True)
        elif line.message.startswith("the plugin's process ended by itself"):
            hint = "; the next save starts it again" if self._saves is not None else ""
            self._terminal.say(
                f"{self._plugin_id}: its process ended by itself ({line.fields['end']}){hint}",
                bad=True,
            )
        elif not self._starting and LEVELS.index(line.level) >= self._level:
            self._terminal.show(line)


def _local_address(address: str) -> str:
    """Return an address as a browser on this machine can use it."""
    for anywhere in ("//0.0.0.0:", "//[::]:"):
        address = address.replace(anywhere, "//127.0.0.1:")
    return address


def _only_a_sentence(line: LogLine) -> bool:
    """Return whether the start's own sentence has all of a line: a fault without the app's frames."""
    text = str(line.fields.get("exception") or "")
    return (
        line.module == "mm_asgi.life" and "\nmm_asgi.errors." in text and not has_app_frames(text)
    )


def _names_the_wire(line: LogLine) -> bool:
    """Return whether a line says which wire the plugin speaks, which is this host's own choice."""
    return line.module == "mm_asgi.process" and line.message.startswith("the wire to the host is")


def _list_names(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _hclog_level(name: str) -> str:
    return {"warning": "warn", "critical": "error"}.get(name, name)


class Saves:
    """Watch folders from `start` to `stop`, and keep the names of saved files until `take`.

    Args:
        folders: the folders, which are watched with all folders below them.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._names: dict[str, None] = {}
        self._some = asyncio.Event()
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._fault: Exception | None = None

    async def start(self) -> None:
        """Begin to watch: every save from now on counts.

        Raises:
            ConfigError: the system cannot watch the folders.
        """
        self._task = asyncio.create_task(self._watch_folders(), name="watchfiles")
        # The task's first step sets the watch up, up to the thread that waits for changes.
        await asyncio.sleep(0)
        self._raise_fault()

    async def stop(self) -> None:
        """Stop watching."""
        self._stop.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def wait(self) -> None:
        """Wait until there are saved files that were not taken yet."""
        await self._some.wait()

    async def take(self) -> list[str]:
        """Wait for saved files, and return and forget their names.

        Raises:
            ConfigError: the system cannot watch the folders any more.
        """
        await self._some.wait()
        self._raise_fault()
        self._some.clear()
        names, self._names = sorted(self._names), {}
        return names

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise ConfigError(f"reload: files cannot be watched here: {self._fault}")

    async def _watch_folders(self) -> None:
        try:
            async for changes in awatch(
                *self._folders,
                watch_filter=self._is_wanted,
                stop_event=self._stop,
                step=STEP,
                debounce=LONGEST_GROUP,
            ):
                self._names.update((Path(path).name, None) for _, path in changes)
                self._some.set()
        except (OSError, RuntimeError) as exc:  # such as too few inotify watches
            self._fault = exc
            self._some.set()

    def _is_wanted(self, change: Change, path: str) -> bool:
        return any(matters(folder, Path(path)) for folder in self._folders)


def matters(folder: Path, path: Path) -> bool:
    """Return whether a file below the folder may be part of the app's source."""
    if not path.is_relative_to(folder):
        return False
    *above, name = path.relative_to(folder).parts or ("",)
    if any(part in IGNORED or part.startswith(".") for part in above):
        return False
    if name in NAMES:
        return True
    if name.startswith(".") or name.endswith("~"):
        return False
    return path.suffix in ENDINGS or "templates" in above
