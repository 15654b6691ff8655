"""From samples to figures: medians, ratios pair by pair, and what the native wire aims at. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True)
class Spread:
    """The middle of some rounds and the two ends."""

    median: float
    low: float
    high: float


def spread(values: Iterable[float]) -> Spread:
    ordered = sorted(values)
    return Spread(median(ordered), ordered[0], ordered[-1])


def values(samples: Sequence[Mapping[str, float]], metric: str) -> list[float]:
    return [sample[metric] for sample in samples]


def ratios(
    ours: Sequence[Mapping[str, float]], theirs: Sequence[Mapping[str, float]], metric: str
) -> list[float]:
    """Ours over theirs, round by round: the two of a pair ran right after each other. A pair
    without a measurable figure of theirs (CPU time of 0 ticks) is left out."""
    pairs = zip(values(ours, metric), values(theirs, metric), strict=True)
    return [our / their for our, their in pairs if their]


@dataclass(frozen=True)
class Goal:
    """A target that is set for the wire.

    Attributes:
        over: the other side of the ratio; empty: the figure itself counts.
        sense: ``<=`` or ``>=``.
    """

    case: str
    metric: str
    over: str
    sense: str
    limit: float

    def met_by(self, value: float) -> bool:
        return value <= self.limit if self.sense == "<=" else value >= self.limit


GOALS = (
    Goal("hello", "cpu", "uvicorn", "<=", 0.9),
    Goal("hello", "cpu", "grpcio", "<=", 0.1),
    Goal("hello", "rate", "uvicorn", ">=", 1.0),
    Goal("hello-1", "p50", "uvicorn", "<=", 1.05),
    Goal("json", "cpu", "uvicorn", "<=", 1.0),
    Goal("json", "rate", "uvicorn", ">=", 1.0),
    Goal("json-1", "p50", "uvicorn", "<=", 1.05),
    Goal("up", "cpu", "uvicorn", "<=", 1.5),
    Goal("up", "rate", "uvicorn", ">=", 0.8),
    Goal("down", "cpu", "uvicorn", "<=", 1.5),
    Goal("down", "rate", "uvicorn", ">=", 0.8),
    Goal("sse", "cpu", "uvicorn", "<=", 0.8),
    Goal("sse", "peak", "uvicorn", "<=", 1.0),
    Goal("start", "start", "", "<=", 200),
    Goal("start", "rss", "", "<=", 40),
    Goal("api", "cpu", "grpcio", "<=", 0.5),
    Goal("api-1", "cpu", "grpcio", "<=", 0.33),
    Goal("hook", "ratio", "", "<=", 1.5),
)


@dataclass(frozen=True)
class Verdict:
    """A goal and what a run found; met or missed, by the median."""

    goal: Goal
    found: Spread

    @property
    def met(self) -> bool:
        return self.goal.met_by(self.found.median)


def judge(
    subject: str, case: str, samples: Mapping[str, Sequence[Mapping[str, float]]]
) -> list[Verdict]:
    """The case's goals that this run can tell: both sides of the ratio took part."""
    verdicts = []
    for goal in GOALS:
        if goal.case != case or subject not in samples or goal.over == subject:
            continue
        found = values(samples[subject], goal.metric)
        if goal.over:
            if goal.over not in samples:
                continue
            found = ratios(samples[subject], samples[goal.over], goal.metric)
        if found:
            verdicts.append(Verdict(goal, spread(found)))
    return verdicts
