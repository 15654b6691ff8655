"""Rounds of a case: the targets take turns, so that what the machine does otherwise hits all."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.benchmarks.cases import WARM_SHARE, Case, Options, Sample
from tests.benchmarks.processes import BenchmarkError, Running
from tests.go_host import GoHostError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.benchmarks.targets import Target


@dataclass(frozen=True)
class Result:
    """A case's figures.

    Attributes:
        samples: by target, in the order of the rounds; each target that is here did all rounds.
        failed: why a target is not in `samples`.
    """

    case: Case
    options: Options
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def rounds(self) -> int:
        return self.options.long_rounds if self.case.long else self.options.rounds

    @property
    def title(self) -> str:
        return self.case.title.format_map(vars(self.options))


async def run_case(
    case: Case, targets: Sequence[Target], options: Options, say: Callable[[str], None]
) -> Result:
    """Start the targets that the case is for, warm each up, then round after round A B C, A B C.

    A target that cannot be started or measured is left out from then on, with its reason.
    """
    result = Result(case, options)
    taking_part = [target for target in targets if target.kind in case.kinds]
    async with contextlib.AsyncExitStack() as stack:
        running: dict[str, Running] = {}
        if case.measure is not None:
            running = await _start(taking_part, case, result, stack)
        for number in range(result.rounds + 1):
            for target in taking_part:
                if target.name in result.failed:
                    continue
                say(f"{case.name}: {f'round {number}' if number else 'warm-up'}, {target.name}")
                try:
                    sample = await _one(
                        case, target, running, options, 1.0 if number else WARM_SHARE
                    )
                except (BenchmarkError, GoHostError, OSError, TimeoutError) as error:
                    result.failed[target.name] = f"{type(error).__name__}: {error}"
                    result.samples.pop(target.name, None)
                    continue
                if number:
                    result.samples.setdefault(target.name, []).append(sample)
    return result


async def _start(
    targets: Sequence[Target], case: Case, result: Result, stack: contextlib.AsyncExitStack
) -> dict[str, Running]:
    running: dict[str, Running] = {}

    async def start(target: Target) -> None:
        try:
            running[target.name] = await stack.enter_async_context(target.start(case.app))
        except (BenchmarkError, GoHostError, OSError, TimeoutError) as error:
            result.failed[target.name] = f"{type(error).__name__}: {error}"

    # A released server waits 3 s for a handshake, however busy the machine is: those come after
    # the others, one at a time.
    hurried = [target for target in targets if target.name.startswith("netrpc")]
    await asyncio.gather(*(start(target) for target in targets if target not in hurried))
    for target in hurried:
        await start(target)
    return running


async def _one(
    case: Case, target: Target, running: Mapping[str, Running], options: Options, share: float
) -> Sample:
    if case.measure is not None:
        return await case.measure(running[target.name], options, share)
    assert case.measure_start is not None
    return {"errors": 0, **await case.measure_start(target, case.app)}
