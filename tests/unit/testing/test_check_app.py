"""check_app: each faulty app is named in one sentence, a good one has no finding."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.applications import Starlette
from starlette.routing import Route

from mm_asgi import Plugin
from mm_asgi.errors import ConfigError
from mm_asgi.settings import Settings
from mm_asgi.testing import Finding, check_app
from tests.contract.apps import catalog
from tests.unit.testing.wire_apps import DISCONNECT, WireApp, answer, body, start

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

QUICK = Settings(blocked_warn=0.1)


def http_only(handler: Any) -> Any:
    """An app without a lifespan."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await handler(scope, receive, send)

    return app


# ---------------------------------------------------------------- good ones

api = FastAPI()


@api.get("/")
async def page() -> dict[str, int]:
    return {"a": 1}


@api.post("/")
async def form(request: Request) -> int:
    return len(await request.body())


@api.get("/events")
async def events() -> StreamingResponse:
    async def ticks() -> AsyncIterator[str]:
        while True:
            yield "data: tick\n\n"
            await asyncio.sleep(0.01)

    return StreamingResponse(ticks(), media_type="text/event-stream")


async def home(request: Request) -> PlainTextResponse:
    return PlainTextResponse("home")


@pytest.mark.parametrize(
    ("app", "paths"),
    [
        (api, ("/", "/nothing", "/docs")),
        (Starlette(routes=[Route("/", home)]), ("/",)),
        (WireApp(), ("/echo",)),
        (Plugin(), ("/",)),
    ],
    ids=["fastapi", "starlette", "asgi", "no app"],
)
async def test_a_good_app_has_no_finding(app: Any, paths: tuple[str, ...]) -> None:
    assert await check_app(app, paths=paths) == []


@pytest.mark.full
async def test_a_good_endless_stream_has_no_finding() -> None:
    assert await check_app(api, paths=("/events",)) == []


@pytest.mark.full
async def test_django_has_no_finding() -> None:
    from django.conf import settings
    from django.http import HttpResponse
    from django.urls import path

    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=(), SECRET_KEY="x")
    from django.apps import apps
    from django.core.handlers.asgi import ASGIHandler
    from django.test.utils import override_settings

    apps.populate(())
    urls = (path("", lambda request: HttpResponse(f"{len(request.body)} bytes")),)
    with override_settings(ROOT_URLCONF=urls, ALLOWED_HOSTS=["*"]):
        assert await check_app(ASGIHandler()) == []


# ---------------------------------------------------------------- faulty ones


async def blocking(scope: Any, receive: Any, send: Any) -> None:
    if scope["method"] == "GET":
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            pass
    await answer(send)


async def wrong_length(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, b"four", (b"content-length", b"5"))


async def double_start(scope: Any, receive: Any, send: Any) -> None:
    await start(send)
    try:
        await start(send)
    except Exception:  # noqa: BLE001 - that it is caught hides it from nobody
        await body(send)


async def injection(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, b"", (b"x-a", b"1\r\nset-cookie: a=b"))


async def str_headers(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, b"", ("x-a", "1"))


async def unread(scope: Any, receive: Any, send: Any) -> None:
    await answer(send)


async def raises_after_start(scope: Any, receive: Any, send: Any) -> None:
    await start(send)
    await body(send, b"half", more=True)
    raise ValueError("planted")


async def body_first(scope: Any, receive: Any, send: Any) -> None:
    await body(send)


async def returns(scope: Any, receive: Any, send: Any) -> None:
    return


FAULTY = {
    blocking: ("L10", "the event loop has been blocked for"),
    wrong_length: ("R5", "expected the 5 that its Content-Length declares"),
    double_start: ("R7", "sent http.response.start while the response was 'start held"),
    injection: ("R7", "expected no CR, LF or NUL in it"),
    str_headers: ("R7", "expected name and value as bytes"),
    unread: ("D7", "did not read its body of 70010 bytes"),
    raises_after_start: (
        "R9",
        "the app raised ValueError while the response was 'start sent'",
    ),
    body_first: ("R7", "sent http.response.body while the response was 'waiting for"),
    returns: ("R10", "the app returned while the response was 'waiting for"),
}


@pytest.mark.parametrize("handler", FAULTY, ids=lambda handler: handler.__name__)
async def test_a_fault_is_named(handler: Any) -> None:
    rule, sentence = FAULTY[handler]
    found = await check_app(http_only(handler), settings=QUICK)
    assert [finding.rule for finding in found if sentence in finding.sentence] == [rule]


@pytest.mark.full
async def test_an_endless_stream_that_swallows_its_end_is_named() -> None:
    over = asyncio.Event()

    async def deaf(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        while not over.is_set():
            if scope["method"] != "GET":
                break
            for step in (body(send, b"tick", more=True), asyncio.sleep(0.005)):
                with contextlib.suppress(OSError, asyncio.CancelledError):
                    await step
        await body(send)

    found = {finding.rule: finding for finding in await check_app(http_only(deaf))}
    over.set()
    assert "still runs 2 s after its client left" in found["D4"].sentence
    assert "catches CancelledError" in found["R14"].sentence


# ---------------------------------------------------------------- lifespan


async def startup_never_completes(receive: Any, send: Any) -> None:
    await receive()
    await receive()


async def startup_fails(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


async def startup_returns(receive: Any, send: Any) -> None:
    await receive()


async def startup_raises(receive: Any, send: Any) -> None:
    await receive()
    raise LookupError("planted")


async def shutdown_raises(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    raise LookupError("planted")


async def completes_twice(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.startup.complete"})


LIFESPANS = {
    startup_never_completes: (
        "L3",
        "sent neither lifespan.startup.complete nor",
        "in 0.1 s",
    ),
    startup_fails: ("L3", "lifespan.startup failed: no database", ""),
    startup_returns: ("L3", "returned without lifespan.startup.complete", ""),
    startup_raises: ("L3", "failed in lifespan.startup", "LookupError: planted"),
    shutdown_raises: ("L4", "failed in lifespan.shutdown", "LookupError: planted"),
    completes_twice: ("L3", "sent 'lifespan.startup.complete'; expected once", ""),
}


@pytest.mark.parametrize("lifespan", LIFESPANS, ids=lambda lifespan: lifespan.__name__)
async def test_a_fault_of_the_lifespan_is_named(lifespan: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
        else:
            await receive()
            await answer(send)

    rule, sentence, more = LIFESPANS[lifespan]
    found = await check_app(app, timeout=0.1 if "never" in lifespan.__name__ else 5.0, paths=())
    named = [finding for finding in found if sentence in finding.sentence]
    assert [(finding.rule, finding.severity) for finding in named] == [(rule, "error")]
    assert more in named[0].sentence


async def test_a_task_that_is_left_is_named() -> None:
    left: list[asyncio.Task[None]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if not left:
            left.append(asyncio.create_task(asyncio.Event().wait(), name="poller"))  # type: ignore[arg-type]
        raise RuntimeError("no lifespan")

    found = await check_app(app, paths=())
    assert [finding.rule for finding in found] == ["L4"]
    assert "left the task 'poller' running" in found[0].sentence
    left[0].cancel()


# ---------------------------------------------------------------- its own manners


async def test_a_path_that_never_reaches_the_app_is_named() -> None:
    found = await check_app(http_only(unread), paths=("/public/a.css",))
    assert found[0].sentence.startswith("the host itself answers /public/a.css with 404")


async def test_no_answer_is_named() -> None:
    async def silent(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != DISCONNECT:
            pass

    found = await check_app(http_only(silent), timeout=0.05)
    assert found[0].rule == "R10"
    assert "did not begin to answer GET in 0.05 s" in found[0].sentence


async def test_what_is_no_app_is_refused() -> None:
    with pytest.raises(ConfigError):
        await check_app("shop:app")


async def test_a_finding_is_one_line() -> None:
    found = await check_app(http_only(double_start))
    assert str(found[0]).startswith("R7 (GET /): http.response: the app sent")
    assert isinstance(found[0], Finding)
    assert found[0].spec == "ASGI HTTP, Connection Scope and events"


POLITE = {
    name
    for name, outcome in catalog.OUTCOMES.items()
    if " " not in name and not outcome.log and not outcome.saw and outcome.method == "GET"
}


@pytest.mark.full
@pytest.mark.timeout(120)
async def test_the_table_of_apps() -> None:
    """Every app of the contract's table, as its row says: faulty or not."""
    wrong = []
    for name, outcome in catalog.OUTCOMES.items():
        if " " in name or name == "exits_in_a_task":  # which would end the test's own loop
            continue
        found = await check_app(catalog.app, paths=(f"/{name}?token=check",), timeout=1.0)
        errors = [finding for finding in found if finding.severity == "error"]
        if bool(errors) != bool(outcome.log or outcome.saw):
            wrong.append((name, [str(finding) for finding in errors]))
    assert wrong == []
    assert len(POLITE) > 20
