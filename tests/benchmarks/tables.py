"""Figures as tables, for a terminal or as Markdown. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.benchmarks.figures import judge, ratios, spread, values
from tests.benchmarks.processes import COMPILED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.benchmarks.cases import Case, Sample
    from tests.benchmarks.figures import Goal, Verdict
    from tests.benchmarks.rounds import Result


@dataclass(frozen=True)
class Table:
    """Cells as text; the first column is names and goes left, the others right."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def render(self, *, markdown: bool) -> str:
        lines = [self.header, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.header))]
        padded = [
            [
                cell.rjust(width) if column else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ]
            for line in lines
        ]
        if not markdown:
            body = ["  ".join(line).rstrip() for line in padded]
            return "\n".join([self.title, *(f"  {line}" for line in [*body, *self.notes])])
        rule = [
            "-" * width if not column else "-" * (width - 1) + ":"
            for column, width in enumerate(widths)
        ]
        body = [f"| {' | '.join(line)} |" for line in [padded[0], rule, *padded[1:]]]
        notes = [f"\n{note}" for note in self.notes]
        return "\n".join([f"**{self.title}**\n", *body, *notes])


def case_table(result: Result, subject: str) -> Table:
    """Medians of each target, then the subject over every other, as medians of the pairs."""
    case, samples = result.case, result.samples
    rows = [
        [name, *(f"{spread(values(rounds, m.key)).median:,.{m.digits}f}" for m in case.metrics)]
        for name, rounds in samples.items()
    ]
    if subject in samples:
        others = [name for name in samples if name != subject]
        rows += [
            [f"{subject}/{name}", *_ratio_cells(case, samples, subject, name)] for name in others
        ]
    many = f"{result.rounds} round{'s' if result.rounds > 1 else ''}"
    header = ["", *(metric.title for metric in case.metrics)]
    return Table(f"{case.name}: {result.title}; {many}", header, rows, list(_notes(result)))


def _ratio_cells(
    case: Case, samples: Mapping[str, Sequence[Sample]], subject: str, other: str
) -> Iterable[str]:
    for metric in case.metrics:
        found = ratios(samples[subject], samples[other], metric.key)
        yield f"{spread(found).median:.2f}" if found else "-"


def _notes(result: Result) -> Iterable[str]:
    for name, rounds in result.samples.items():
        errors = sum(sample["errors"] for sample in rounds)
        if errors:
            yield f"{name}: {errors:.0f} errors, which count in no figure"
    for name, reason in result.failed.items():
        yield f"{name}: not measured: {' '.join(reason.split())}"


def goal_table(results: Sequence[Result], subject: str) -> Table:
    """The native wire's goals beside what was found of it, or of what stands in for it."""
    stands_in = "" if subject in (COMPILED, "native") else f", with {subject} in its place"
    cases = {result.case.name: result.case for result in results}
    verdicts = [v for result in results for v in judge(subject, result.case.name, result.samples)]
    rows = [
        [
            _goal_name(verdict.goal, cases[verdict.goal.case], subject),
            f"{verdict.goal.sense} {verdict.goal.limit:g}",
            _number(verdict.found.median),
            f"{_number(verdict.found.low)} - {_number(verdict.found.high)}",
            "met" if verdict.met else "MISSED",
        ]
        for verdict in verdicts
    ]
    return Table(
        f"goals of the native wire{stands_in}",
        ["", "goal", "median", "rounds", ""],
        rows,
        _score(verdicts),
    )


def _score(verdicts: Sequence[Verdict]) -> list[str]:
    return [f"{sum(verdict.met for verdict in verdicts)} of {len(verdicts)} met"]


def _goal_name(goal: Goal, case: Case, subject: str) -> str:
    title = next(metric.title for metric in case.metrics if metric.key == goal.metric)
    return f"{goal.case}: {title}" + (f", {subject}/{goal.over}" if goal.over else "")


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"
