"""Apps for the tests of the test kit: each does one thing, by the last part of its path."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mm_asgi import Plugin, Reject

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

DISCONNECT = "http.disconnect"


async def start(send: Send, *headers: tuple[Any, Any], status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})


async def body(send: Send, data: bytes = b"", *, more: bool = False) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def answer(send: Send, data: bytes = b"ok", *headers: tuple[Any, Any]) -> None:
    await start(send, *headers)
    await body(send, data)


class WireApp:
    """One app; ``seen`` is what happened in it, ``gates`` what it waits for."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.scopes: list[Scope] = []
        self.gate = asyncio.Event()
        self.at_gate = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        self.scopes.append(scope)
        name = scope["path"].rpartition("/")[2] or "hello"
        await getattr(self, name)(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        scope["state"]["greeting"] = "hello"
        self.seen.append("startup")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.seen.append("shutdown")
        await send({"type": "lifespan.shutdown.complete"})

    # ---------------------------------------------------------------- good ones

    async def hello(self, scope: Scope, receive: Receive, send: Send) -> None:
        user = scope["extensions"]["mattermost"]["user_id"]
        await answer(send, f"{scope['state']['greeting']} {user}".encode())

    async def echo(self, scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        more = True
        while more:
            event = await receive()
            self.at_gate.set()
            if event["type"] == DISCONNECT:
                self.seen.append(DISCONNECT)
                return
            more = event["more_body"]
            await body(send, event["body"], more=more)

    async def events(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Endless, but for the client's leaving."""
        await start(send, (b"content-type", b"text/event-stream"))
        await body(send, b"data: 0\n\n", more=True)
        self.at_gate.set()
        while (await receive())["type"] != DISCONNECT:
            pass
        self.seen.append(DISCONNECT)

    async def two(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The second half of the answer comes when the gate is open."""
        await start(send)
        await body(send, b"one", more=True)
        self.at_gate.set()
        await self.gate.wait()
        await body(send, b"two")

    async def background(self, scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send)
        self.at_gate.set()
        await self.gate.wait()
        self.seen.append("background")

    async def waits(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.at_gate.set()
        await receive()
        await receive()
        self.seen.append(DISCONNECT)

    async def early(self, scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"too large")

    async def cookie(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["root_path"].encode()
        await answer(send, b"", (b"set-cookie", b"a=1; Path=" + path))

    # ---------------------------------------------------------------- bad ones

    async def raises(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("planted")

    async def raises_late(self, scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, b"half", more=True)
        raise ValueError("planted late")

    async def raises_after(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As a framework's outermost middleware: its own 500, and the exception again."""
        await start(send, status=500)
        await body(send, b"my own words")
        for _ in range(5):
            await asyncio.sleep(0)
        raise ValueError("planted after")

    async def raises_after_pieces(self, scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, status=500)
        await body(send, b"my own ", more=True)
        await body(send, b"words")
        await asyncio.sleep(0)
        raise ValueError("planted after")

    async def raises_behind(self, scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send)
        raise ValueError("planted behind")

    async def raises_timeout(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise TimeoutError

    async def half(self, scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, b"half", more=True)

    async def str_headers(self, scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"ok", ("x-a", "1"))

    async def deaf(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Neither listens nor sends."""
        await start(send)
        await body(send, b"deaf", more=True)
        await self.gate.wait()


def plugin_of(app: WireApp) -> Plugin:
    """A plugin with a filter, a hook that tells, and a command."""
    plugin = Plugin(app)

    @plugin.hook
    async def message_will_be_posted(context: Any, post: Any) -> None:
        if "badword" in post.message:
            raise Reject("no")

    @plugin.hook
    async def message_has_been_posted(context: Any, post: Any) -> None:
        app.seen.append(f"posted {post.message}")

    @plugin.command("/shop")
    async def shop(context: Any, item: str) -> str:
        user = await plugin.api.get_user(user_id=context.user_id)
        return f"ordered {item} for @{user.username}"

    return plugin
