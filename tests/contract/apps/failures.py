"""What comes of an app that fails: the lines of the log and the outcomes that rows share."""

from __future__ import annotations

from typing import Any

from tests.contract.apps.registry import Outcome

__all__ = [
    "HELD",
    "STREAMING",
    "TOO_SHORT",
    "WAITING",
    "Unprintable",
    "broke",
    "failed",
    "raised",
    "returned",
]

SERVER_ERROR = b"Internal Server Error"
FAILED_LATE = "the app failed after its response had begun"
TOO_SHORT = "the app's response is shorter than its Content-Length"

WAITING = "waiting for http.response.start"
HELD = "start held, nothing sent"
STREAMING = "start sent"


class Unprintable(Exception):
    """Neither str() nor repr() gives anything."""

    def __str__(self) -> str:
        raise RuntimeError("no str")

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def raised(what: str, state: str) -> str:
    """The log line for an app that raised."""
    return f"the app raised {what} while the response was {state!r}"


def returned(state: str) -> str:
    """The log line for an app that returned too early."""
    return f"the app returned while the response was {state!r}; expected a complete response"


def failed(log: str, **more: Any) -> Outcome:
    """An app that failed before anything left."""
    return Outcome(status=500, body=SERVER_ERROR, messages=1, log=log, **more)


def broke(log: str, body: bytes, **more: Any) -> Outcome:
    """An app that failed after something had left."""
    return Outcome(body=body, end=FAILED_LATE, log=log, **more)
