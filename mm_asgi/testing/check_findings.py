"""What was found wrong with an app, and the rules that it is wrong by. Pure."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from mm_asgi.errors import AppProtocolError, StartupError
from mm_asgi.importer import last_line

__all__ = ["Finding", "Findings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that an app does wrong.

    Attributes:
        rule: the row of docs/behaviour.md that says what comes of it.
        probe: what it was asked: ``GET /``, ``startup``.
        sentence: what it did, and what was expected.
        spec: where the ASGI specification says so; empty where that is silent.
        severity: ``error``, or ``advice`` for what works and is better done otherwise.
    """

    rule: str
    probe: str
    sentence: str
    spec: str = ""
    severity: Literal["error", "advice"] = "error"

    def __str__(self) -> str:
        return f"{self.rule} ({self.probe}): {self.sentence}"


class _Rule(NamedTuple):
    pattern: str
    row: str
    spec: str = ""


_START = "ASGI HTTP, Response Start - send event"
_BODY = "ASGI HTTP, Response Body - send event"
_LIFESPAN = "ASGI Lifespan, "

RULES = (
    _Rule(r"Content-Length declares|shorter than its Content-Length", "R5", _BODY),
    _Rule(r"^http\.response: (status|header|second content-length|content-length|trailers)", "R7", _START),
    _Rule(r"^http\.response: body", "R7", _BODY),
    _Rule(r"^http\.response: the app sent", "R7", "ASGI HTTP, Connection Scope and events"),
    _Rule(r"^lifespan: the app sent", "L3", _LIFESPAN + "send events"),
    _Rule(r"lifespan\.startup|lifespan: ", "L3", _LIFESPAN + "Startup Complete - send event"),
    _Rule(r"lifespan ended while", "L3", _LIFESPAN + "Scope"),
    _Rule(r"lifespan\.shutdown", "L4", _LIFESPAN + "Shutdown Complete - send event"),
    _Rule(r"^drain: .* run on", "R14", "asyncio, Task Cancellation"),
    _Rule(r"^drain: ", "R14"),
    _Rule(r"event loop has been blocked", "L10"),
    _Rule(r"^the app returned while", "R10", "ASGI HTTP, Response Start - send event"),
    _Rule(r"^the app raised .* while the response was '(start sent|complete|aborted)'", "R9"),
    _Rule(r"^the app raised", "R8"),
    _Rule(r"^cookie ", "R17"),
    _Rule(r"^the hook|^the app's start-up", "H2"),
)  # fmt: skip

# Said more exactly elsewhere: of a start-up that failed, of a body that the probe broke off.
_SAID_ELSEWHERE = re.compile(r"^the app's start-up failed|^the hook on_configuration_change")


class Findings:
    """Gathers findings, each sentence once.

    Attributes:
        probe: what is under way.
    """

    def __init__(self) -> None:
        self.probe = ""
        self._found: dict[str, Finding] = {}

    @property
    def findings(self) -> list[Finding]:
        """In the order in which they were found."""
        return list(self._found.values())

    def add(
        self, row: str, sentence: str, *, severity: Literal["error", "advice"] = "error"
    ) -> None:
        """Keep a finding, unless its sentence is known."""
        spec = next((rule.spec for rule in RULES if re.search(rule.pattern, sentence)), "")
        found = Finding(rule=row, probe=self.probe, sentence=sentence, spec=spec, severity=severity)
        self._found.setdefault(sentence, found)

    def refused(self, exc: Exception) -> None:
        """Keep what a ``send()`` of the app, or its start-up, raised."""
        if isinstance(exc, AppProtocolError | StartupError):
            text = str(exc).removeprefix("OnActivate: ")
            self.add(_row(text), text)

    def logged(self, record: logging.LogRecord) -> None:
        """Keep what the package has logged."""
        text = record.getMessage()
        failure = record.exc_info[1] if record.exc_info else None
        if _SAID_ELSEWHERE.search(text) or isinstance(failure, AppProtocolError):
            return
        if failure is not None:
            text = f"{text}: {last_line(failure)}"
        self.add(_row(text), text, severity="error" if _is_error(record, text) else "advice")


def _is_error(record: logging.LogRecord, text: str) -> bool:
    # These are warnings since the plugin goes on; the app is wrong all the same.
    return record.levelno >= logging.ERROR or text.startswith(("lifespan", "drain", "the event"))


def _row(text: str) -> str:
    return next((rule.row for rule in RULES if re.search(rule.pattern, text)), "R8")
