"""What only some of the contract's tests need."""

from __future__ import annotations

import pytest

from mm_asgi.bridge.http import Holds


@pytest.fixture
def long_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start is held until a body event comes."""
    monkeypatch.setattr(Holds, "add", lambda self, cycle: None)
