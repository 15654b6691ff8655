"""What a planted fault is; the faults themselves stand in a module a room, ``*_faults.py``."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Fault"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: ``old``, which stands in ``file`` exactly once, becomes ``new``.

    A fault names the small selection of tests that have to catch it, contract rows by their ids.

    Attributes:
        paths: where the tests are that have to catch it.
        only: which of them, as pytest's ``-k``; empty: all.
    """

    name: str
    file: str
    old: str
    new: str
    paths: tuple[str, ...]
    only: str = ""
