"""Hostile cases: events that break ASGI, and bodies that break their length (rows R5, R7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.contract.apps.failures import (
    HELD,
    STREAMING,
    TOO_SHORT,
    WAITING,
    Unprintable,
    broke,
    failed,
    raised,
)
from tests.contract.apps.registry import PLAIN, Call, Outcome, row

if TYPE_CHECKING:
    from tests.contract.apps.registry import Handler

__all__ = ["BAD_EVENTS", "BAD_STARTS"]

# ---------------------------------------------------------------- events


def with_header(name: Any, value: Any) -> dict[str, Any]:
    """A start with one more header."""
    return {"type": "http.response.start", "status": 200, "headers": [PLAIN, (name, value)]}


def with_length(*values: bytes) -> dict[str, Any]:
    """A start with these Content-Lengths."""
    headers = [(b"content-length", value) for value in values]
    return {"type": "http.response.start", "status": 200, "headers": headers}


def with_status(status: Any) -> dict[str, Any]:
    """A start with this status."""
    return {"type": "http.response.start", "status": status, "headers": []}


BAD_STARTS: dict[str, Any] = {
    "status_1000": with_status(1000),
    "status_199": with_status(199),
    "status_100": with_status(100),
    "status_99": with_status(99),
    "status_text": with_status("200"),
    "status_bool": with_status(True),
    "status_none": with_status(None),
    "status_unprintable": with_status(Unprintable()),
    "status_missing": {"type": "http.response.start"},
    "value_with_crlf": with_header(b"x-a", b"1\r\nset-cookie: a=b"),
    "value_with_nul": with_header(b"x-a", b"1\0"),
    "name_with_crlf": with_header(b"x-a\r\nx-b", b"1"),
    "name_with_nul": with_header(b"x\0a", b"1"),
    "name_with_space": with_header(b"x a", b"1"),
    "name_empty": with_header(b"", b"1"),
    "name_text": with_header("x-a", b"1"),
    "value_text": with_header(b"x-a", "1"),
    "headers_dict": {"type": "http.response.start", "status": 200, "headers": {b"x-a": b"1"}},
    "headers_none": {"type": "http.response.start", "status": 200, "headers": None},
    "length_twice": with_length(b"2", b"2"),
    "length_two": with_length(b"2", b"3"),
    "length_plus": with_length(b"+3"),
    "length_minus": with_length(b"-1"),
    "length_empty": with_length(b""),
    "length_of_spaces": with_length(b"  "),
    "length_list": with_length(b"2, 2"),
    "trailers": {"type": "http.response.start", "status": 200, "trailers": True},
}
"""Starts that break ASGI; what makes each wrong is in its name."""

BAD_EVENTS: dict[str, Any] = {
    "body_text": {"type": "http.response.body", "body": "text"},
    "body_none": {"type": "http.response.body", "body": None},
    "body_list": {"type": "http.response.body", "body": [b"a"]},
    "unknown_type": {"type": "http.response.trailers", "headers": []},
    "websocket_type": {"type": "websocket.accept"},
    "mistyped": {"type": "http.response.boddy", "body": b"ok"},
    "type_none": {"type": None},
    "no_type": {"body": b"ok"},
    "no_dict": ["http.response.body"],
    "nothing": None,
}
"""Events that break ASGI whenever they come."""


def _sends(event: Any, *, started: bool) -> Handler:
    async def handler(call: Call) -> None:
        if started:
            await call.start()
        await call.send(event)

    return handler


def _list_bad_events() -> None:
    saw = ("AppProtocolError",)
    for name, event in {**BAD_STARTS, **BAD_EVENTS}.items():
        outcome = failed(raised("AppProtocolError", WAITING), saw=saw)
        row(outcome, f"bad_{name}")(_sends(event, started=False))
    second = {"second_start": {"type": "http.response.start", "status": 200}}
    for name, event in {**BAD_EVENTS, **second}.items():
        outcome = failed(raised("AppProtocolError", HELD), saw=saw)
        row(outcome, f"held_{name}")(_sends(event, started=True))


_list_bad_events()


@row(failed(raised("AppProtocolError", WAITING), saw=("AppProtocolError",)))
async def body_before_start(call: Call) -> None:
    await call.body()


@row(
    broke(
        raised("AppProtocolError", STREAMING),
        b"some",
        saw=("AppProtocolError",),
        headers={"content-length": None},
    )
)
async def second_start_late(call: Call) -> None:
    await call.start()
    await call.body(b"some", more=True)
    await call.start(500)


async def _refused(call: Call, event: Any) -> None:
    try:
        await call.send(event)
    except Exception as exc:
        if type(exc).__name__ != "AppProtocolError":
            raise
    else:
        raise AssertionError(f"{event!r} was taken")


MANY_FAULTS = 1 + len(BAD_STARTS) + 3 * (len(BAD_EVENTS) + 1)


@row(Outcome(body=b"right", saw=("AppProtocolError",) * MANY_FAULTS))
async def recovers(call: Call) -> None:
    """Each wrong event in each state, caught; the right ones still do."""
    again = {"type": "http.response.start", "status": 200}
    await _refused(call, {"type": "http.response.body", "body": b"early"})
    for event in [*BAD_STARTS.values(), *BAD_EVENTS.values()]:
        await _refused(call, event)
    await call.start(200, (b"content-length", b"5"))
    for event in [*BAD_EVENTS.values(), again, {"type": "http.response.body", "body": b"six..."}]:
        await _refused(call, event)
    await call.body(b"ri", more=True)
    for event in [*BAD_EVENTS.values(), again]:
        await _refused(call, event)
    await call.body(b"ght")


@row(Outcome(messages=1))
async def sends_after_the_end(call: Call) -> None:
    await call.start()
    await call.body()
    await call.start(500)
    await call.body(b"late", more=True)
    await call.body(b"later")
    for event in [*BAD_STARTS.values(), *BAD_EVENTS.values()]:
        await call.send(event)


# ---------------------------------------------------------------- lengths


@row(failed(raised("AppProtocolError", HELD), saw=("AppProtocolError",)))
async def short(call: Call) -> None:
    await call.start(200, (b"content-length", b"5"))
    await call.body(b"hell")


@row(failed(raised("AppProtocolError", HELD), saw=("AppProtocolError",)))
async def long(call: Call) -> None:
    await call.start(200, (b"content-length", b"4"))
    await call.body(b"hello")


@row(failed(raised("AppProtocolError", HELD), saw=("AppProtocolError",)))
async def long_first_chunk(call: Call) -> None:
    await call.start(200, (b"content-length", b"4"))
    await call.body(b"hello", more=True)


@row(
    Outcome(
        body=b"he",
        end=TOO_SHORT,
        cut=True,
        headers={"content-length": "5"},
        saw=("AppProtocolError",),
        log=raised("AppProtocolError", "aborted"),
    )
)
async def short_late(call: Call) -> None:
    await call.start(200, (b"content-length", b"5"))
    await call.body(b"he", more=True)
    await call.body(b"")


@row(
    Outcome(
        body=b"hello",
        headers={"content-length": "5"},
        messages=2,
        saw=("AppProtocolError",),
        log=raised("AppProtocolError", "complete"),
    )
)
async def long_late(call: Call) -> None:
    await call.start(200, (b"content-length", b"5"))
    await call.body(b"hel", more=True)
    await call.body(b"lo, world", more=True)


@row(Outcome(body=b"hello", headers={"content-length": "5"}, saw=("AppProtocolError",)))
async def long_late_caught(call: Call) -> None:
    await call.start(200, (b"content-length", b"5"))
    await call.body(b"hello", more=True)
    await _refused(call, {"type": "http.response.body", "body": b"!", "more_body": True})
    await call.body(b"goes nowhere")
