"""Plugins with lifecycle hooks (rows H1, H6), well-behaved and not."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import TYPE_CHECKING

from mm_asgi import Plugin
from tests.contract.apps.process import polite
from tests.contract.apps.process.process_bell import hold_here, ring

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mm_asgi.requester import Identity

alone = Plugin()
plugin = Plugin(polite.app)


@plugin.hook
async def on_activate(context: Identity) -> None:
    ring(f"activate {context.plugin_id}")


@plugin.hook
def on_configuration_change(context: Identity) -> None:
    """Sync: in a thread, where it may block."""
    is_main = threading.current_thread() is threading.main_thread()
    ring(f"configuration in the {'main' if is_main else 'other'} thread")


@plugin.hook
async def on_deactivate(context: Identity) -> None:
    ring("deactivate")


def named(name: str, function: Callable[[Identity], Awaitable[None]]) -> Plugin:
    """A plugin with one hook, of this name."""

    async def hook(context: Identity) -> None:
        await function(context)

    hook.__name__ = name
    made = Plugin(polite.app)
    made.hook(hook)
    return made


async def _hold(context: Identity) -> None:
    ring("deactivate")
    await hold_here("hook")


async def _raise(context: Identity) -> None:
    raise LookupError("no such channel")


async def _exit(context: Identity) -> None:
    sys.exit("no licence")


async def _cancel(context: Identity) -> None:
    raise asyncio.CancelledError


slow = named("on_deactivate", _hold)
raises = named("on_activate", _raise)
exits = named("on_activate", _exit)
cancels = named("on_activate", _cancel)
misconfigured = named("on_configuration_change", _exit)
