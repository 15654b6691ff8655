"""Plugins with every hook, whose functions all do what a test has just ordered.

The order is a word: ``GET /do/WORD`` of the plugin's app, whose other cases are the catalog's.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from mm_asgi import Plugin, Reject, types
from mm_asgi.hooks import HOOKS, LIFECYCLE
from tests.contract.apps import catalog
from tests.contract.apps.registry import Call

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "ODD", "SCRIPTS", "Script", "build", "closed", "opened", "released", "released_closed",
    "released_threaded", "threaded",
]  # fmt: skip


class Script:
    """What the functions do: none, value, other, one of ODD, reject, or a way to fail."""

    def __init__(self) -> None:
        self.word = "none"
        self.threads: set[str] = set()
        self._thread_gate = threading.Event()
        self._gate: asyncio.Event | None = None

    def do(self, word: str) -> None:
        """Let what hangs go, and do this from now on."""
        self.word = word
        self._thread_gate.set()
        self._thread_gate = threading.Event()
        if self._gate is not None:
            self._gate.set()
        self._gate = asyncio.Event()

    async def hang(self, *, stubbornly: bool) -> None:
        assert self._gate is not None
        gate = self._gate
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                if not stubbornly:
                    raise

    def block(self) -> None:
        self._thread_gate.wait()

    def obey(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """All but the ways to hang."""
        self.threads.add("main" if _in_main_thread() else "other")
        if self.word in ("value", "other"):
            values = VALUES if self.word == "value" else OTHERS
            return values[name](*arguments[1:]) if name in values else None
        if self.word == "nonsense":
            return object()
        if self.word in ODD:
            return ODD[self.word]
        faults = {
            "raise": LookupError("secret"),
            "exit": SystemExit("secret"),
            "cancel": asyncio.CancelledError(),
            "stop": StopIteration(),
            "reject": Reject("mind your words"),
            "reject without a word": Reject(""),
        }
        if self.word in faults:
            raise faults[self.word]
        return None


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _changed(message: Any, /, **fields: Any) -> Any:
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def _renamed(info: Any) -> Any:
    return _changed(info, name="new.txt")


VALUES: dict[str, Callable[..., Any]] = {
    "run_data_retention": lambda now, size: now + size,
    "configuration_will_be_saved": lambda config: _changed(config, config_json=b"{}"),
    "message_will_be_posted": lambda post: _changed(post, message=post.message + "!"),
    "message_will_be_updated": lambda new, old: _changed(new, message=old.message + "!"),
    "messages_will_be_consumed": lambda posts: [_changed(posts[0], message="read")],
    "file_will_be_uploaded": lambda info, content: content.upper(),
    "notification_will_be_pushed": lambda push, user: _changed(push, message=user),
    "email_notification_will_be_sent": lambda mail: types.EmailNotificationContent(subject="s"),
    "user_will_log_in": lambda user: f"not you, {user.username}",
    "execute_command": lambda args: f"you typed {args.command}",
    "on_shared_channels_sync_msg": lambda message, cluster: types.SyncResponse(users_syncd=["u"]),
    "on_shared_channels_ping": lambda cluster: True,
    "generate_support_data": lambda: [("a.txt", b"a")],
    "channel_member_will_be_added": lambda member: _changed(member, roles="channel_guest"),
    "team_member_will_be_added": lambda member: _changed(member, roles="team_guest"),
    "channel_will_be_archived": lambda channel: f"{channel.name} stays",
    "file_will_be_downloaded": lambda info, user, kind: f"no {kind} of {info.name} for {user}",
}
OTHERS: dict[str, Callable[..., Any]] = {
    "messages_will_be_consumed": lambda posts: (),
    "file_will_be_uploaded": lambda info, content: (_renamed(info), content + b"!"),
    "execute_command": lambda args: types.CommandResponse(response_type="in_channel", text="hi"),
    "on_shared_channels_ping": lambda cluster: False,
    "generate_support_data": lambda: iter([types.FileData(filename="b", data=b"b"), ("c", b"c")]),
    "channel_member_will_be_added": lambda member: types.ChannelMember(
        user_id="u9", msg_count=2**63 - 1, last_viewed_at=-(2**63), notify_props={"": "\N{SNOWMAN}"}
    ),
    "team_member_will_be_added": lambda member: _changed(member, roles="", delete_at=-1),
    "channel_will_be_archived": lambda channel: "",
    "file_will_be_downloaded": lambda info, user, kind: LONG,
}
LONG = "\N{SNOWMAN}" * 100_000
"""More than a frame, and than a window of the wire."""
ODD: dict[str, object] = {
    "a text": "no",
    "a number": 7,
    "a truth": True,
    "bytes": b"\xff",
    "a list": ["no"],
    "a dict": {"rejection_reason": "no"},
    "half a letter": "\ud800",
    "another message": types.Post(message="no"),
    "a class": types.ChannelMember,
}
"""What all functions return at the word; some hooks have a place for some of them."""


def build(script: Script, *, kind: str = "opened", released: bool = False) -> Plugin:
    """A plugin with all hooks of the contract but those of its life: opened, closed, or threaded.

    ``released``: with those that released servers alone have, and no others.
    """
    app = _app(script)
    plugin = Plugin(app)
    for hook in HOOKS.values():
        if hook in LIFECYCLE or bool(hook.since) != released:
            continue
        function = _function(script, hook.name, threaded=kind == "threaded")
        function.__name__ = hook.name
        if kind == "closed" and hook.is_gate:
            plugin.hook(fail="closed")(function)
        else:
            plugin.hook(function)
    return plugin


def _function(script: Script, name: str, *, threaded: bool) -> Callable[..., Any]:
    def in_a_thread(*arguments: Any) -> Any:
        if script.word in ("hang", "stubborn"):
            script.block()
        return script.obey(name, arguments)

    async def on_the_loop(*arguments: Any) -> Any:
        if script.word in ("hang", "stubborn"):
            await script.hang(stubbornly=script.word == "stubborn")
        return script.obey(name, arguments)

    return in_a_thread if threaded else on_the_loop


def _app(script: Script) -> Callable[..., Any]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        before, _, word = scope.get("path", "").rpartition("/")
        if not before.endswith("/do"):
            await catalog.app(scope, receive, send)
            return
        script.do(word)
        await Call(scope, receive, send).answer(word.encode())

    return app


KINDS = ("opened", "closed", "threaded")
SCRIPTS = {kind: Script() for kind in KINDS}
opened, closed, threaded = (build(SCRIPTS[kind], kind=kind) for kind in KINDS)
released, released_closed, released_threaded = (
    build(Script(), kind=kind, released=True) for kind in KINDS
)
