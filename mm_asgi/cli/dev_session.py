"""One run of ``mm-asgi dev``: the simulated host, what the terminal shows, reload and the end."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

from watchfiles import DefaultFilter, awatch

from mm_asgi.cli.terminal import Terminal
from mm_asgi.errors import ConfigError
from mm_asgi.host import Host, HostError
from mm_asgi.settings import Settings

__all__ = ["Session"]


class Session:
    """Starts the host, shows its log, replaces the plugin on a save, ends on Ctrl-C.

    Args:
        command: the plugin's command line.
        settings: host, port, user, reload, log_level, access_log and app_dir are used.
        plugin_id: the plugin's id.
    """

    def __init__(self, command: list[str], settings: Settings, plugin_id: str) -> None:
        self._settings = settings
        self._plugin_id = plugin_id
        self._folder = Path(settings.app_dir or ".").resolve()
        self._terminal = Terminal(sys.stderr)
        self._stop = asyncio.Event()
        self._host = Host(
            argv=command,
            plugin_id=plugin_id,
            user=settings.user,
            host=settings.host,
            port=settings.port,
            log_level=settings.log_level or "info",
            env=self._environment(),
            # Under reload the next save may heal it.
            keep_failed=settings.reload,
            on_log=self._terminal.show,
        )

    def _environment(self) -> dict[str, str]:
        # On here, off under a real host, whose own log has a line for each request.
        access = {} if "MM_ASGI_ACCESS_LOG" in os.environ else {"MM_ASGI_ACCESS_LOG": "true"}
        return {"PYTHONUNBUFFERED": "1", **access}

    async def run(self) -> int:
        """The whole run; the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)
        entering = asyncio.create_task(self._host.__aenter__())
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({entering, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not entering.done():
                return 0
            entering.result()
            self._greet()
            if self._settings.reload:
                await self._reload_until_stop()
            else:
                return await self._wait_for_end(stopping)
        except HostError as exc:
            self._terminal.say(f"{self._plugin_id} did not start: {exc.error}", bad=True)
            return 1
        except ConfigError as exc:
            self._terminal.say(f"mm-asgi: {exc}", bad=True)
            return 1
        finally:
            stopping.cancel()
            entering.cancel()
            await asyncio.gather(entering, stopping, return_exceptions=True)
            await self._host.close()
        return 0

    def _on_signal(self) -> None:
        if self._stop.is_set():  # asked twice: at once
            if self._host.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._host.pid, signal.SIGKILL)
            os._exit(130)
        self._stop.set()
        self._terminal.say("stopping; Ctrl-C again ends it at once")

    def _greet(self) -> None:
        who = (
            f"{self._settings.user} is logged in" if self._settings.user else "nobody is logged in"
        )
        if self._host.failure:
            self._terminal.say(
                f"{self._plugin_id} did not start; the next save may heal it", bad=True
            )
        self._terminal.say(f"{self._plugin_id} is at {self._host.url}/ ({who}); Ctrl-C stops it")

    async def _wait_for_end(self, stopping: "asyncio.Task[bool]") -> int:
        """Until Ctrl-C, or until the plugin's process ends by itself."""
        ended = asyncio.create_task(self._host.plugin_ended())
        await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if stopping.done():
            ended.cancel()
            return 0
        self._terminal.say(self._host.failure, bad=True)
        return 1

    async def _reload_until_stop(self) -> None:
        async for changes in awatch(
            self._folder, watch_filter=DefaultFilter(), stop_event=self._stop, debounce=200, step=50
        ):
            names = sorted({Path(path).name for _, path in changes})
            shown = ", ".join(names[:3]) + (" and more" if len(names) > 3 else "")
            self._terminal.say(f"{shown} changed: the plugin is replaced")
            try:
                await self._host.restart()
            except HostError as exc:
                if not self._stop.is_set():
                    self._terminal.say(f"{self._plugin_id} did not start: {exc.error}", bad=True)
            else:
                self._terminal.say(f"{self._plugin_id} runs again")
