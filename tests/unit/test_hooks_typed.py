"""hooks_typed.py holds for mypy and for pyright: hooks keep their types, and each mistake is seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.api import test_api_typed as checkers

TYPED = Path(__file__).with_name("hooks_typed.py")


@pytest.fixture(autouse=True)
def this_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkers, "TYPED", TYPED)


@pytest.mark.full
@pytest.mark.timeout(120)
def test_mypy() -> None:
    checkers.test_mypy()


@pytest.mark.full
@pytest.mark.timeout(120)
@pytest.mark.skipif(not checkers.has_pyright(), reason="needs pyright and node")
def test_pyright(tmp_path: Path) -> None:
    checkers.test_pyright(tmp_path)
