"""The host's calls over net/rpc: which are served, in which task, and what a failure leaves."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from mm_asgi import Plugin, Reject
from mm_asgi.errors import PLUGIN_FAILED
from mm_asgi.hooks import HOOKS, NOT_CHECKED
from mm_asgi.netrpc.hook_server import OFFERS, offered_by
from mm_asgi.wire.netrpc import tables
from mm_asgi.wire.netrpc.byte_pipe import BytePipe
from mm_asgi.wire.netrpc.gob_types import UINT
from mm_asgi.wire.netrpc.live_calls import CallRefused
from mm_asgi.wire.netrpc.rpc_conversation import IncomingCall
from mm_asgi.wire.netrpc.shapes import gob_type

from .called import Called

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Start = Callable[..., Awaitable[Called]]

POST = {"A": {"RequestId": "r"}, "B": {"Id": "p", "Message": "hello"}}


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    running: list[Called] = []

    async def begin(plugin: Plugin, *, active: bool = True, **settings: Any) -> Called:
        called = await Called(plugin, **settings).begin()
        running.append(called)
        if active:
            assert await called.activate() == {}
        return called

    yield begin
    for called in running:
        await called.end()


def filtering(function: Callable[..., Awaitable[Any]]) -> Plugin:
    plugin = Plugin()
    plugin.hook(function)
    return plugin


# ---------------------------------------------------------------- which calls are served


def test_each_call_that_offers_streams_is_known_to() -> None:
    """Of Go's arguments the unsigned numbers are the broker's, and no others."""
    found = {}
    for name, (arguments, *_) in tables.HOOKS.items():
        kind = None if arguments == "struct {}" else gob_type(arguments)
        numbers = [field.name for field in getattr(kind, "fields", ()) if field.type is UINT]
        if numbers:
            found[f"Plugin.{name}"] = tuple(numbers)
    assert found == OFFERS
    call = IncomingCall("Plugin.ServeHTTP", 1, {"ResponseWriterStream": 5, "Request": {}})
    assert offered_by(call) == [5]
    assert offered_by(IncomingCall("Plugin.ServeHTTP", 1, None)) == []
    assert offered_by(IncomingCall("Plugin.MessageHasBeenPosted", 1, {"B": 5})) == []


async def test_the_hooks_of_the_plugin_are_named_and_no_others(start: Start) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        while message["type"].startswith("lifespan"):
            await send({"type": message["type"] + ".complete"})
            message = await receive()

    plugin = Plugin(app)

    @plugin.hook
    async def message_will_be_posted(context: Any, post: Any) -> None: ...

    @plugin.hook
    async def file_will_be_uploaded(context: Any, info: Any, content: bytes) -> None: ...

    called = await start(plugin, active=False)
    assert sorted(await called.host.hook("Implemented")) == [
        "FileWillBeUploaded",
        "MessageWillBePosted",
        "OnActivate",
        "OnConfigurationChange",
        "OnDeactivate",
        "ServeHTTP",
    ]


async def test_a_hook_that_net_rpc_has_not_is_never_named(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that calls what is not served holds its user up for 5 s."""

    async def message_has_been_posted(context: Any, post: Any) -> None: ...

    called = await start(filtering(message_has_been_posted), active=False)
    monkeypatch.delitem(tables.HOOKS, "MessageHasBeenPosted")
    assert "MessageHasBeenPosted" not in await called.host.hook("Implemented")


async def test_every_hook_of_the_contract_is_served(start: Start) -> None:
    """Each is called with nothing, which Go sends for zero values, and is answered."""
    plugin = Plugin()
    seen = []
    for hook in HOOKS.values():
        if hook.rpc.startswith("On") and hook.name in (
            "on_activate", "on_deactivate", "on_configuration_change",
        ):  # fmt: skip
            continue

        async def function(*arguments: Any, name: str = hook.name) -> None:
            seen.append(name)

        plugin.hook(named(function, hook))
    called = await start(plugin)
    host = called.host
    for hook in HOOKS.values():
        if hook.rpc in ("OnActivate", "OnDeactivate", "FileWillBeUploaded"):
            continue
        assert await host.hook(hook.rpc) == {}, hook.rpc
    assert len(seen) == len(HOOKS) - 4
    assert await host.hook("OnDeactivate") == {}


def named(function: Any, hook: Any) -> Any:
    """Return the function with the hook's name and parameters."""
    scope: dict[str, Any] = {"function": function}
    parameters = ", ".join(hook.parameters)
    exec(f"async def {hook.name}({parameters}):\n    return await function({parameters})", scope)
    return scope[hook.name]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MessageHasBeenPosted", "the plugin does not list this hook"),
        ("ServeMetrics", "rpc: can't find method Plugin.ServeMetrics"),
    ],
)
async def test_what_is_not_served_is_refused(start: Start, name: str, text: str) -> None:
    called = await start(Plugin())
    with pytest.raises(CallRefused) as caught:
        await called.host.hook(name)
    assert caught.value.text == text


async def test_requests_go_to_the_http_side(start: Start) -> None:
    called = await start(Plugin())
    with pytest.raises(CallRefused, match="no requests here"):
        await called.host.hook("ServeHTTP", {"ResponseWriterStream": 3})
    assert [call.arguments for call in called.requests] == [{"ResponseWriterStream": 3}]


# ---------------------------------------------------------------- activation


async def test_activation_takes_the_api_and_the_driver_at_once(start: Start) -> None:
    """The host logs an error for what it offered in vain, 5 s later."""
    starting, go_on = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        starting.set()
        await go_on.wait()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    called = await start(Plugin(app), active=False)
    host = called.host
    await host.hook("Implemented")
    driver = BytePipe()
    numbers = {"APIMuxId": 7, "DriverMuxId": host.link.offer(driver)}
    activation = asyncio.create_task(host.hook("OnActivate", numbers))
    await starting.wait()
    await driver.wait_taken()
    assert called.apis == [7]
    assert not activation.done()
    go_on.set()
    assert await activation == {}


async def test_an_old_server_without_a_driver_is_served(start: Start) -> None:
    called = await start(Plugin(), active=False)
    assert await called.activate() == {}
    assert called.apis == [7]


async def test_a_start_that_fails_says_its_reason_once(start: Start) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database at db:5432"})

    called = await start(Plugin(app), active=False)
    error = (await called.activate())["A"]
    assert error.name == "*model.AppError"
    assert "no database at db:5432" in error.value["Message"]
    assert "DetailedError" not in error.value
    assert error.value["Where"] == "OnActivate"


async def test_a_fault_of_ours_is_an_activation_that_failed(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error of net/rpc would be logged by the host, which then calls the plugin active."""
    called = await start(Plugin(), active=False)

    async def broken() -> str | None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(called.serving.life, "activate", broken)
    error = (await called.activate())["A"]
    assert error.value["Message"] == PLUGIN_FAILED
    [record] = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert "mm_asgi OnActivate failed" in record.getMessage()
    assert record.exc_info


async def test_an_implemented_that_failed_is_an_error(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = await start(Plugin(), active=False)

    def broken() -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(called.serving.life, "load", broken)
    with pytest.raises(CallRefused, match="the plugin failed, see its log"):
        await called.host.hook("Implemented")


# ---------------------------------------------------------------- functions


async def test_a_function_s_answer_arrives(start: Start) -> None:
    async def message_will_be_posted(context: Any, post: Any) -> Any:
        assert context.request_id == "r"
        post.message = post.message.upper()
        return post

    called = await start(filtering(message_will_be_posted))
    assert await called.host.hook("MessageWillBePosted", POST) == {
        "A": {"Id": "p", "Message": "HELLO"}
    }


async def test_a_refusal_arrives(start: Start) -> None:
    async def message_will_be_posted(context: Any, post: Any) -> Any:
        raise Reject("not here")

    called = await start(filtering(message_will_be_posted))
    assert await called.host.hook("MessageWillBePosted", POST) == {"B": "not here"}


async def test_a_function_that_takes_too_long_is_answered_for_once(start: Start) -> None:
    cancelled = asyncio.Event()

    async def message_will_be_posted(context: Any, post: Any) -> Any:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
        post.message = "late"
        return post

    called = await start(filtering(message_will_be_posted), hook_budget=0.05)
    assert await called.host.hook("MessageWillBePosted", POST) == {}
    await cancelled.wait()
    assert await called.host.hook("Implemented")  # the stream of hooks goes on


async def test_a_stop_waits_for_hooks_and_not_for_itself(start: Start) -> None:
    there, go_on = asyncio.Event(), asyncio.Event()

    async def message_will_be_posted(context: Any, post: Any) -> Any:
        there.set()
        await go_on.wait()
        raise Reject("answered")

    called = await start(filtering(message_will_be_posted))
    before = len(called.serving.tasks)
    answer = asyncio.create_task(called.host.hook("MessageWillBePosted", POST))
    await there.wait()
    assert len(called.serving.tasks) == before + 1  # what a stop drains
    stop = asyncio.create_task(called.host.hook("OnDeactivate"))
    await called.host.hook("Implemented")
    assert not stop.done()
    go_on.set()
    assert await answer == {"B": "answered"}
    assert await stop == {}


async def test_calls_are_answered_in_any_order(start: Start) -> None:
    waiting: dict[str, asyncio.Event] = {}
    all_there = asyncio.Event()

    async def message_will_be_posted(context: Any, post: Any) -> Any:
        waiting[post.id] = asyncio.Event()
        if len(waiting) == 32:
            all_there.set()
        await waiting[post.id].wait()
        raise Reject(post.id)

    called = await start(filtering(message_will_be_posted))
    hook = called.host.hook
    calls = [
        asyncio.create_task(hook("MessageWillBePosted", {"B": {"Id": f"p{n}"}})) for n in range(32)
    ]
    await all_there.wait()
    for event in reversed(list(waiting.values())):
        event.set()
    assert await asyncio.gather(*calls) == [{"B": f"p{n}"} for n in range(32)]


# ---------------------------------------------------------------- arguments that no message holds


@pytest.mark.parametrize("closed", [False, True])
async def test_arguments_that_cannot_be_read_get_the_default(
    start: Start, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, closed: bool
) -> None:
    async def message_will_be_posted(context: Any, post: Any) -> Any:
        raise AssertionError("it is not called")

    plugin = Plugin()
    plugin.hook(fail="closed" if closed else "open")(message_will_be_posted)
    called = await start(plugin)

    def broken(message: Any, struct: str, values: Any) -> None:
        raise TypeError("a bool for a string")

    monkeypatch.setattr("mm_asgi.netrpc.open_call.fill", broken)
    expected = {"B": NOT_CHECKED} if closed else {}
    assert await called.host.hook("MessageWillBePosted", POST) == expected
    [record] = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert "MessageWillBePosted" in record.getMessage()
    assert await called.host.hook("Implemented")


async def test_metrics_go_to_their_own_side(start: Start) -> None:
    async def metrics(scope: Any, receive: Any, send: Any) -> None: ...

    called = await start(Plugin(metrics=metrics))
    listed = await called.host.hook("Implemented")
    assert "ServeMetrics" in listed
    assert "ServeHTTP" not in listed
    with pytest.raises(CallRefused, match="no metrics here"):
        await called.host.hook("ServeMetrics", {"ResponseWriterStream": 3})
    assert len(called.scrapes) == 1
