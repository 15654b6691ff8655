"""One hook's call: its function under its budget, and what the host gets when that fails.

Theory. The host waits for a hook with a deadline, and takes a late answer for none. So a function
has a budget a little below that deadline. At its end two things have to happen at once: the host
gets the hook's default, and the function is cancelled. They are apart, because a function may
swallow its cancel or run in a thread, which cannot be stopped: it goes on in the task that the stop
drains, while its host has been answered. Hence ``overdue``, which a wire passes in: it is called
with the default at that moment, and whatever the call returns later is to be dropped.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mm_asgi.functions import Overrun, within
from mm_asgi.hooks import Reject
from mm_asgi.importer import last_line
from mm_asgi.observe.context import LOG_CONTEXT, LogContext
from mm_asgi.requester import Identity
from mm_asgi.user_secrets import hide_secrets

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

    from mm_asgi.hooks import Hook
    from mm_asgi.life import Life
    from mm_asgi.plugin import Handler

    Overdue = Callable[[Message], None]

__all__ = ["HookCalls", "NotListed"]

logger = logging.getLogger("mm_asgi.hooks")

HOOK_MARGIN = 0.5  # s that a hook stays below the host's deadline, which the answer has to meet


class NotListed(Exception):
    """The host called a hook that the plugin does not list in Implemented."""

    def __init__(self) -> None:
        super().__init__("the plugin does not list this hook")


class HookCalls:
    """Calls the functions of one plugin's hooks.

    Args:
        life: the plugin's.
        budget: seconds for one function (setting hook-budget); 0: as long as the host waits.
    """

    def __init__(self, life: Life, budget: float) -> None:
        self._life = life
        self._budget = budget

    async def answer(
        self, hook: Hook, request: Message, left: float | None, overdue: Overdue
    ) -> Message:
        """Return the hook's response to a request.

        Args:
            hook: the hook.
            request: the host's message.
            left: seconds until the host gives up; None: it did not say.
            overdue: called with the default when the function's time is over; what is returned
                after that has to be dropped.

        Raises:
            NotListed: the plugin does not list this hook.
        """
        admitted = await self._life.admits_hooks()
        handler = self._life.hooks.get(hook.name)
        if handler is None:
            raise NotListed
        if not admitted:
            return hook.default(closed=handler.closed)
        return await self._run(handler, request, self._seconds_for(hook, left), overdue)

    def default(self, hook: Hook) -> Message:
        """Return the response for a call of a hook that failed on its way to the function."""
        handler = self._life.hooks.get(hook.name)
        return hook.default(closed=handler is not None and handler.closed)

    async def _run(
        self, handler: Handler, request: Message, seconds: float, overdue: Overdue
    ) -> Message:
        """Return what the function answers within its budget, or the default (row H2)."""
        hook, function, closed = handler
        facts = getattr(request, "plugin_context", None)
        context = Identity.of_hook(self._life.identity.plugin_id, facts)
        if context.request_id:
            LOG_CONTEXT.set(LogContext(context.request_id))

        def overrun() -> None:
            overdue(hook.default(closed=closed))
            text = (
                "the hook %s did not end in %.3g s (setting hook-budget); the host got its default"
            )
            logger.error(text, hook.name, seconds)

        hide_secrets(request)
        try:
            call = function(context, *hook.arguments(request))
            return hook.answer(await within(seconds, call, overrun))
        except Overrun as exc:
            logger.debug("where the hook %s was cancelled", hook.name, exc_info=exc.__cause__)
        except BaseException as exc:
            if isinstance(exc, Reject) and hook.refusal:
                return hook.refuse(str(exc))
            # SystemExit too, and the cancel of a stop's drain: the host gets its answer.
            text = "the hook %s failed: %s; the host got its default"
            logger.error(text, hook.name, last_line(exc), exc_info=exc)
        return hook.default(closed=closed)

    def _seconds_for(self, hook: Hook, left: float | None) -> float:
        if left is None:
            left = hook.deadline
        left -= min(HOOK_MARGIN, left / 10)
        return min(left, self._budget or left)
