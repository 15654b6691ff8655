"""A host's connection, as go-plugin begins it.

The host dials once, and the order is fixed: it opens the control stream, then standard output,
then standard error; every further stream of its own is the broker's. On the control stream it
calls ``Dispenser.Dispense("hooks")`` and gets a number, which it dials: that stream carries every
hook, ServeHTTP among them. ``Control.Ping`` is the health check, ``Control.Quit`` asks for the end.

What a plugin prints goes another way (goplugin/standard_streams.py), so that the two standard
streams stay silent; the host only waits for them.

A lost connection is the end: the host never dials a running plugin twice. A stream of calls that
cannot be read is a lost connection too, because the host would go on believing in a plugin whose
hooks are gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mm_asgi.wire.netrpc.gob_types import UINT32
from mm_asgi.wire.netrpc.live_calls import RPCAnswerer
from mm_asgi.wire.netrpc.mux_link import MuxLink
from mm_asgi.wire.netrpc.rpc_conversation import NOTHING, GobBook
from mm_asgi.wire.netrpc.stream_owner import StreamOwner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mm_asgi.wire.netrpc.rpc_conversation import IncomingCall

__all__ = ["PluginSession"]

_HOOKS: Final = "hooks"
"""The one plugin that Mattermost's plugins have, in go-plugin's sense of the word."""


class PluginSession:
    """One host's connection, the plugin's side.

    Args:
        book: what all gob streams share.
        handle: called with each hook's call (``Plugin.MessageWillBePosted``), the answerer for
            ``reply()`` or ``refuse()``, and this session. It starts a task for what takes time.
        on_quit: called when the host asks for the end; the answer leaves first.
        on_lost: called once when the connection is over, with the reason.
        offers: returns the broker's numbers that a hook's call offers; they are dialled for it
            while the loop stands still.

    Attributes:
        book: what all gob streams share; for a caller of one's own.
        link: dials and offers.
    """

    def __init__(
        self,
        book: GobBook,
        *,
        handle: Callable[[IncomingCall, RPCAnswerer, PluginSession], None],
        on_quit: Callable[[], None],
        on_lost: Callable[[str], None] = lambda why: None,
        offers: Callable[[IncomingCall], Iterable[int]] = lambda call: (),
    ) -> None:
        self.book = book
        self._offers = offers
        self._handle = handle
        self._on_quit = on_quit
        self.link = MuxLink(client=False, greet=self._greet, on_lost=on_lost)
        # In the order in which the host opens them.
        self._first: list[StreamOwner] = [
            RPCAnswerer(book, self._control, self.link.fail, self._hurry_control),
            StreamOwner(),
            StreamOwner(),
        ]

    def _greet(self) -> StreamOwner | None:
        return self._first.pop(0) if self._first else None

    def _control(self, call: IncomingCall, answerer: RPCAnswerer) -> None:
        if call.method == "Control.Ping":
            answerer.reply(call, NOTHING, {})
        elif call.method == "Control.Quit":
            answerer.reply(call, NOTHING, {})
            self._on_quit()
        elif call.method != "Dispenser.Dispense":
            answerer.refuse(call, _not_found(call.method))
        elif call.arguments != _HOOKS:
            answerer.refuse(call, f"unknown plugin type: {call.arguments}")
        else:
            hooks = RPCAnswerer(self.book, self._hook, self.link.fail, self._hurry_hook)
            answerer.reply(call, UINT32, self.link.offer(hooks))

    def _hurry_control(self, call: IncomingCall, answerer: RPCAnswerer) -> bool:
        """Answer the health check of a plugin whose loop stands still: the process lives."""
        if call.method != "Control.Ping":
            return False
        answerer.reply(call, NOTHING, {})
        return True

    def _hurry_hook(self, call: IncomingCall, answerer: RPCAnswerer) -> bool:
        self.link.dial_meanwhile(self._offers(call))
        return False

    def _hook(self, call: IncomingCall, answerer: RPCAnswerer) -> None:
        self.link.begin()
        self._handle(call, answerer, self)


def _not_found(method: str) -> str:
    """Go's own words, which hosts compare."""
    service = method.rpartition(".")[0]
    if not service:
        return f"rpc: service/method request ill-formed: {method}"
    what = "method" if service in ("Control", "Dispenser") else "service"
    return f"rpc: can't find {what} {method}"
