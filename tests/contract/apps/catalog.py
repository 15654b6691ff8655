"""All cases, loaded: the app of every road, and the table of what has to come of its rows."""

from __future__ import annotations

from tests.contract.apps import ends, leaving, request, response, streams, wrong_events
from tests.contract.apps.registry import CASES, JOURNAL, OUTCOMES, Note, Outcome, app

__all__ = [
    "CASES",
    "JOURNAL",
    "OUTCOMES",
    "Note",
    "Outcome",
    "app",
    "ends",
    "leaving",
    "request",
    "response",
    "streams",
    "wrong_events",
]
