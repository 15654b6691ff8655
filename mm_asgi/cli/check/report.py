"""The report of ``mm-asgi check``: a short table and the findings, as text or as JSON. Pure."""

from __future__ import annotations

import json
import platform
import textwrap
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mm_asgi import __version__
from mm_asgi.cli.check.findings import LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mm_asgi.cli.check.findings import CheckFinding
    from mm_asgi.cli.check.imports import Imported, Module
    from mm_asgi.cli.check.observed import Observed, ObservedAnswer

__all__ = ["Report"]

FORMAT = 1
"""The version of the JSON's form. New keys may be added to it; a key's meaning does not change."""

_STEPS = {
    "handshake": "handshake",
    "import": "import",
    "activate": "OnActivate",
    "deactivate": "OnDeactivate",
    "shutdown": "shutdown",
}
_COLUMN = 14

SHOWN = 0.001
"""A module's own seconds from which on its import is shown in the text."""

_LIFECYCLE = {"OnActivate", "OnDeactivate", "OnConfigurationChange", "ServeHTTP"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All facts and findings of one check."""

    target: str
    plugin_id: str
    imported: Imported
    life: Observed
    findings: Sequence[CheckFinding]

    @property
    def ok(self) -> bool:
        """Whether no finding is an error."""
        return not any(finding.level == "error" for finding in self.findings)

    def as_json(self) -> str:
        """Return the JSON that docs/reference/check.md describes."""
        life = self.life
        facts: dict[str, Any] = {
            "format": FORMAT,
            "ok": self.ok,
            "target": self.target,
            "id": self.plugin_id,
            "python": platform.python_version(),
            "mm_asgi": __version__,
            "seconds": {name: _round_seconds(self._seconds(name)) for name in _STEPS},
            "limits": LIMITS,
            "memory": life.memory,
            "hooks": list(life.hooks),
            "requests": [
                {
                    "path": answer.path,
                    "status": answer.status,
                    "bytes": answer.size,
                    "seconds": _round_seconds(answer.seconds),
                    "complete": not (answer.left or answer.broken),
                }
                for answer in life.answers
            ],
            "imports": [
                {"module": module.name, "own": module.own, "total": module.total}
                for module in self.imported.slowest
            ],
            "public_routes": None if self.imported.public is None else list(self.imported.public),
            "findings": [asdict(finding) for finding in self.findings],
        }
        return json.dumps(facts, indent=2)

    def _seconds(self, name: str) -> float | None:
        return self.life.seconds.get("implemented" if name == "import" else name)

    def as_text(self, width: int = 80) -> str:
        """Return the text, in lines of at most ``width`` columns; words are never broken."""
        rows = [
            f"{self.target}{' as ' if self.plugin_id else ''}{self.plugin_id},"
            f" Python {platform.python_version()}, mm_asgi {__version__}",
            "",
            *self._step_rows(width),
        ]
        if slow := [module for module in self.imported.slowest if module.own >= SHOWN]:
            rows += ["", *self._import_rows(slow, width)]
        if self.findings:
            rows += [""]
        for finding in self.findings:
            rows += _wrap_row(finding.level, finding.text, width)
        return "\n".join([*rows, "", self._verdict_text()])

    def _step_rows(self, width: int) -> Iterator[str]:
        for name, shown in _STEPS.items():
            if (seconds := self._seconds(name)) is not None:
                yield f"{shown:{_COLUMN}}{seconds:6.2f} s of {LIMITS[name]:g} s"
        if self.life.memory is not None:
            yield f"{'memory':{_COLUMN}}{self.life.memory / 1e6:6.0f} MB"
        hooks = [hook for hook in self.life.hooks if hook not in _LIFECYCLE]
        if self.life.hooks:
            yield from _wrap_row("hooks", ", ".join(hooks) or "none beside the lifecycle's", width)
            if "ServeHTTP" not in self.life.hooks:
                yield from _wrap_row("HTTP", "none: there is no app", width)
        for answer in self.life.answers:
            yield from _wrap_row(f"GET {answer.path}", _answer_text(answer), width)
        if self.imported.app is not None and self.imported.public is None:
            text = "not known whether the app has it; a server serves it itself"
            yield from _wrap_row("/public", text, width)

    def _import_rows(self, modules: Sequence[Module], width: int) -> Iterator[str]:
        room = width - 22
        head = f"slowest of {self.imported.modules} imports"
        yield f"{head:{room}}{'own':>10}{'in all':>12}"
        for module in modules:
            name = module.name if len(module.name) < room else f"{module.name[: room - 4]}..."
            yield f"{name:{room}}{module.own * 1000:7.0f} ms{module.total * 1000:9.0f} ms"

    def _verdict_text(self) -> str:
        errors = sum(finding.level == "error" for finding in self.findings)
        warnings = len(self.findings) - errors
        if not self.findings:
            return "nothing found that a server would object to"
        return f"{_count_text(errors, 'error')}, {_count_text(warnings, 'warning')}"


def _answer_text(answer: ObservedAnswer) -> str:
    if answer.status is None:
        return "no answer" + (f", left after {answer.seconds:.1f} s" if answer.left else "")
    end = " so far, then left" if answer.left else ", cut" if answer.broken else ""
    return f"{answer.status} in {answer.seconds * 1000:.0f} ms, {_size_text(answer.size)}{end}"


def _size_text(size: int) -> str:
    if size < 1000:
        return f"{size} bytes"
    return f"{size / 1e3:.1f} kB" if size < 1e6 else f"{size / 1e6:.1f} MB"


def _wrap_row(label: str, text: str, width: int) -> list[str]:
    """Return a label with a text beside it, or below it when the label is too long."""
    indent = " " * _COLUMN
    body = textwrap.wrap(
        _printable(text), max(width - _COLUMN, 20), break_long_words=False, break_on_hyphens=False
    ) or [""]
    label = _printable(label)
    if len(label) >= _COLUMN:
        return [label, *(indent + line for line in body)]
    return [label.ljust(_COLUMN) + body[0], *(indent + line for line in body[1:])]


def _printable(text: str) -> str:
    # An app's output may contain escape sequences for the terminal.
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _count_text(count: int, word: str) -> str:
    return f"{count or 'no'} {word}{'' if count == 1 else 's'}"


def _round_seconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
