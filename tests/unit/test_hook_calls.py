"""One call of a hook around its function: the plugin's phases, the stop, broken calls."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest

from mm_asgi.grpc_hooks import SERVICE, methods
from mm_asgi.hooks import HOOKS
from mm_asgi.life import Phase
from mm_asgi.plugin import Plugin
from mm_asgi.serving import Serving
from mm_asgi.settings import Settings
from mm_asgi.wire.port import StatusCode
from tests.wire.memory import MemoryServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from mm_asgi.plugin import Loaded
    from mm_asgi.requester import Identity
    from tests.wire.memory import MemoryPeer

LOGIN, POST = "UserWillLogIn", "MessageWillBePosted"


class Called:
    """A plugin with these functions, called over the memory wire."""

    def __init__(
        self,
        plugin: Plugin,
        *,
        load: Callable[[], Loaded] | None = None,
        self_starting: bool = False,
        **settings: Any,
    ) -> None:
        self.serving = Serving(
            Settings(**settings), "demo", load=load or plugin.freeze, self_starting=self_starting
        )
        self.life = self.serving.life
        self._server = MemoryServer()

    async def open(self, rpc: str, **fields: Any) -> MemoryPeer:
        await self._server.start(None, methods(self.serving))
        peer = self._server.open(SERVICE + rpc)
        hook = next(hook for hook in HOOKS.values() if hook.rpc == rpc)
        peer.send(hook.messages[0](**fields))
        peer.half_close()
        return peer

    async def call(self, rpc: str, **fields: Any) -> tuple[Any, StatusCode]:
        peer = await self.open(rpc, **fields)
        response = await peer.receive()
        return response, (await peer.ended())[0]

    async def silent(self, rpc: str) -> StatusCode:
        """A call without its message."""
        await self._server.start(None, methods(self.serving))
        peer = self._server.open(SERVICE + rpc)
        peer.half_close()
        return (await peer.ended())[0]


def refusing() -> Plugin:
    """Refuses every login; of posts it has to be asked."""
    plugin = Plugin()

    @plugin.hook
    async def user_will_log_in(context: Identity, user: Any) -> str:
        return f"no login of {user.username}"

    @plugin.hook(fail="closed")
    async def message_will_be_posted(context: Identity, post: Any) -> None: ...

    return plugin


async def test_what_is_not_listed_is_unimplemented() -> None:
    called = Called(refusing())
    assert await called.call(LOGIN) == (None, StatusCode.UNIMPLEMENTED)  # nothing is loaded yet
    called.life.load()
    assert await called.call("UserHasLoggedIn") == (None, StatusCode.UNIMPLEMENTED)
    assert (await called.call(LOGIN))[0].rejection_reason == "no login of "


async def test_a_plugin_that_could_not_be_imported_has_no_hooks() -> None:
    def load() -> Loaded:
        raise LookupError("no database")

    called = Called(refusing(), load=load)
    await called.life.activate()
    assert await called.call(LOGIN) == (None, StatusCode.UNIMPLEMENTED)


async def test_a_call_without_its_message() -> None:
    called = Called(refusing())
    called.life.load()
    assert await called.silent(LOGIN) is StatusCode.INVALID_ARGUMENT


async def test_a_hook_needs_no_end_of_the_startup_which_may_wait_for_it() -> None:
    plugin = refusing()
    called = Called(plugin)

    @plugin.hook
    async def on_activate(context: Identity) -> None:
        assert called.life.phase is Phase.STARTING
        response, _ = await called.call(LOGIN, user={"username": "bob"})
        assert response.rejection_reason == "no login of bob"

    assert await called.life.activate() is None


async def test_after_the_stop_the_answer_is_the_default() -> None:
    called = Called(refusing())
    await called.life.activate()
    await called.life.deactivate(0.5)
    response, code = await called.call(LOGIN)
    assert (response.rejection_reason, code) == ("", StatusCode.OK)
    response, _ = await called.call(POST)
    assert response.rejection_reason == "refused, because the plugin that has to check this failed"


async def test_a_stop_cancels_what_still_runs_and_the_host_gets_the_default() -> None:
    plugin, begun = Plugin(), asyncio.Event()

    @plugin.hook(fail="closed")
    async def user_will_log_in(context: Identity, user: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    called = Called(plugin)
    await called.life.activate()
    peer = await called.open(LOGIN)
    await begun.wait()
    await called.life.deactivate(0.3)
    response: Any = await peer.receive()
    assert response.rejection_reason.startswith("refused")


async def test_without_a_host_the_first_hook_starts_the_plugin() -> None:
    plugin = refusing()
    started = []

    @plugin.hook
    async def on_activate(context: Identity) -> None:
        started.append(context.plugin_id)

    called = Called(plugin, self_starting=True)
    for _ in range(2):
        assert (await called.call(LOGIN))[0].rejection_reason == "no login of "
    assert started == ["demo"]


async def test_nobody_waits_for_ever_when_logging_itself_fails() -> None:
    plugin = Plugin()

    @plugin.hook
    async def user_will_log_in(context: Identity, user: Any) -> None:
        raise LookupError("app")

    def broken(record: logging.LogRecord) -> bool:
        raise AttributeError("filter")

    called = Called(plugin)
    called.life.load()
    logger = logging.getLogger("mm_asgi.hooks")
    logger.addFilter(broken)
    try:
        assert await called.call(LOGIN) == (None, StatusCode.INTERNAL)
    finally:
        logger.removeFilter(broken)


async def test_a_budget_of_0_is_as_long_as_the_host_waits() -> None:
    called = Called(refusing(), hook_budget=0.0)
    called.life.load()
    assert (await called.call(LOGIN))[1] is StatusCode.OK


async def test_an_overrun_in_a_thread_leaves_the_thread_its_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    plugin, gate, ended = Plugin(), threading.Event(), threading.Event()

    @plugin.hook
    def user_will_log_in(context: Identity, user: Any) -> str:
        gate.wait(10)
        ended.set()
        return "too late"

    called = Called(plugin, hook_budget=0.05)
    called.life.load()
    response, _ = await called.call(LOGIN)
    assert response.rejection_reason == ""
    assert not ended.is_set()
    gate.set()
    assert await asyncio.to_thread(ended.wait, 5)
    assert "the hook user_will_log_in did not end in 0.05 s" in caplog.text


@pytest.mark.parametrize(("limit", "code"), [(40, StatusCode.RESOURCE_EXHAUSTED), (4000, None)])
async def test_the_limit_of_a_file_is_the_setting(limit: int, code: StatusCode | None) -> None:
    plugin = Plugin()

    @plugin.hook
    async def file_will_be_uploaded(
        context: Identity, file_info: Any, file_content: bytes
    ) -> bytes:
        return file_content * 2

    called = Called(plugin, upload_limit=limit)
    called.life.load()
    response, ended = await called.call("FileWillBeUploaded", file_content=bytes(100))
    assert ended is (code or StatusCode.OK)
    if code is None:
        assert response.modified_content == bytes(200)


async def test_an_overrun_on_the_loop_is_cancelled() -> None:
    plugin, cancelled = Plugin(), asyncio.Event()

    @plugin.hook
    async def user_will_log_in(context: Identity, user: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    called = Called(plugin, hook_budget=0.05)
    called.life.load()
    response, _ = await called.call(LOGIN)
    assert response.rejection_reason == ""
    async with asyncio.timeout(5):
        await cancelled.wait()
