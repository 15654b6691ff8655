"""The latest API calls, hooks and websocket events, for tests and for the page. Bounded."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from google.protobuf.message import Message

    from mm_asgi.host.plugin.hook_answer import HookAnswer

__all__ = ["APICall", "Event", "HookCall", "Journal"]

KEPT = 1000
"""Entries of each kind; a guess at how far a page and a test look back."""

LARGE = 64 * 1024
"""Bytes of a message from which on the sizes are added up."""

KEPT_SIZE = 64 * 1024 * 1024
"""Bytes of all entries of a kind, if there are large ones: a call may contain a file of 4 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class APICall:
    """One call of the plugin to the API.

    Attributes:
        name: the RPC's name.
        request: the plugin's request.
        response: the server's response; None when the call failed with a gRPC status.
        code: the gRPC status' name.
        error: the status' text, or the id of the AppError in the response; empty: none.
        time: Unix milliseconds of the server's clock when it ended.
        seconds: its duration.
    """

    name: str
    request: Message
    response: Message | None = None
    code: str = "OK"
    error: str = ""
    time: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HookCall:
    """One call of a hook.

    Attributes:
        name: the RPC's name.
        request: the server's request.
        answer: the outcome.
        time: Unix milliseconds of the server's clock when it ended.
    """

    name: str
    request: Message
    answer: HookAnswer
    time: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One websocket event, as the server would send it to browsers.

    Attributes:
        name: such as ``posted`` or ``custom_com.example.shop_refresh``.
        data: its payload.
        user_id, channel_id, team_id: its receivers; all empty: every user.
        omit_users: users among them who do not get it.
        omit_connection_id: a connection that does not get it.
        time: Unix milliseconds of the server's clock.
    """

    name: str
    data: Mapping[str, Any] = field(default_factory=dict)
    user_id: str = ""
    channel_id: str = ""
    team_id: str = ""
    omit_users: frozenset[str] = frozenset()
    omit_connection_id: str = ""
    time: int = 0


class Journal:
    """The latest entries of each kind, and the listeners for new ones."""

    def __init__(self) -> None:
        self.calls: deque[APICall] = deque(maxlen=KEPT)
        self.hooks: deque[HookCall] = deque(maxlen=KEPT)
        self.events: deque[Event] = deque(maxlen=KEPT)
        self._listeners: list[Callable[[APICall | HookCall | Event], None]] = []

    def listen(self, listener: Callable[[APICall | HookCall | Event], None]) -> Callable[[], None]:
        """Hand every new entry to ``listener``, and return a function that ends this."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def add(self, entry: APICall | HookCall | Event) -> None:
        """Keep an entry and hand it to the listeners."""
        if isinstance(entry, APICall):
            self.calls.append(entry)
        elif isinstance(entry, HookCall):
            self.hooks.append(entry)
        else:
            self.events.append(entry)
        if _size_of(entry) > LARGE:
            _drop_oldest(self.calls)
            _drop_oldest(self.hooks)
        for listener in tuple(self._listeners):
            listener(entry)


def _size_of(entry: APICall | HookCall | Event) -> int:
    if isinstance(entry, Event):
        return 0
    answer = entry.response if isinstance(entry, APICall) else entry.answer.response
    return entry.request.ByteSize() + (answer.ByteSize() if answer is not None else 0)


def _drop_oldest(entries: deque[Any]) -> None:
    """Drop the oldest entries until the rest is small enough. The newest always stays."""
    total = sum(map(_size_of, entries))
    while total > KEPT_SIZE and len(entries) > 1:
        total -= _size_of(entries.popleft())
