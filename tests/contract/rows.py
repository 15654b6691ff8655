"""The rows of docs/behaviour.md against the tests: which test holds a row, and on which roads.

A test is named after its row, ``test_S1_...``, and names its roads in one way, ``@on("m", "g")``.
Both are read from its text. So no road can be claimed that no test takes, and none of the tests'
modules is imported.

    python -m tests.contract.rows      writes the columns that docs/behaviour.md takes from here
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm_asgi.bridge.state import (
    REQUEST_TRANSITIONS,
    TRANSITIONS,
    RequestState,
    RequestStep,
    ResponseState,
    ResponseStep,
)
from mm_asgi.life import TRANSITIONS as LIFE_TRANSITIONS
from mm_asgi.life import LifeStep, Phase
from tests.roads import LETTERS, spread

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from enum import Enum

__all__ = ["PAGE", "ROADS", "Test", "find_tests", "rows_of", "written"]

FOLDER = Path(__file__).parent
PAGE = FOLDER.parents[1] / "docs" / "behaviour.md"
ROADS = "".join(LETTERS)

NAME = re.compile(r"test_([SDRLHA]\d+)_(\w+)")

ROW = re.compile(rf"^\| ([SDRLHA]\d+) \| (.*) \| ([{ROADS} ]*) \|$", re.MULTILINE)
TESTS = ("<!-- tests: python -m tests.contract.rows -->\n", "<!-- end of tests -->\n")
REQUEST = ("<!-- request: python -m tests.contract.rows -->\n", "<!-- end of request -->\n")
LIFE = ("<!-- life: python -m tests.contract.rows -->\n", "<!-- end of life -->\n")
RESPONSE = ("<!-- response: python -m tests.contract.rows -->\n", "<!-- end of response -->\n")


@dataclass(frozen=True, slots=True)
class Test:
    """A test of a row; ``roads`` is in the order of ROADS."""

    __test__ = False

    row: str
    name: str
    module: str
    roads: str


def find_tests() -> Iterator[Test]:
    """The tests of all rows, module by module."""
    for file in sorted(FOLDER.glob("test_*.py")):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (
                found := NAME.fullmatch(node.name)
            ):
                yield Test(found[1], node.name, file.name, "".join(roads_of(node)))


def roads_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """The letters of the test's ``@on(...)``, with those that are like one of them."""
    for decorator in node.decorator_list:
        match decorator:
            case ast.Call(func=ast.Name(id="on"), args=args, keywords=keywords):
                letters = [ast.literal_eval(argument) for argument in args]
                words = [word.value for word in keywords if word.arg == "but"]
                but = "".join(ast.literal_eval(word) for word in words)
                if any(argument.arg == "road" for argument in node.args.args):
                    return spread(*letters, but=but)
                return [letter for letter in LETTERS if letter in letters]
    return []


def rows_of(text: str) -> dict[str, str]:
    """The rows of the page, with the roads that it says."""
    return {row: roads for row, _, roads in ROW.findall(text)}


def written(text: str) -> str:
    """The page with what comes from the tests and the code."""
    tests = defaultdict(list)
    for test in find_tests():
        tests[test.row].append(test)

    def with_roads(found: re.Match[str]) -> str:
        taken = {road for test in tests[found[1]] for road in test.roads}
        return f"| {found[1]} | {found[2]} | {' '.join(r for r in ROADS if r in taken)} |"

    text = ROW.sub(with_roads, text)
    lines = [_tests_line(row, tests[row]) for row in rows_of(text)]
    text = _between(text, TESTS, ["| row | tests |", "|---|---|", *lines])
    text = _between(
        text, REQUEST, list(_states_table(RequestState, RequestStep, REQUEST_TRANSITIONS))
    )
    text = _between(text, LIFE, list(_states_table(Phase, LifeStep, LIFE_TRANSITIONS)))
    return _between(text, RESPONSE, list(_states_table(ResponseState, ResponseStep, TRANSITIONS)))


def _tests_line(row: str, tests: list[Test]) -> str:
    by_module = defaultdict(list)
    for test in tests:
        short = test.name.removeprefix(f"test_{row}_")
        by_module[test.module].append(f"{short} ({' '.join(test.roads)})")
    listed = [
        f"[{module}](../tests/contract/{module}): {', '.join(names)}"
        for module, names in by_module.items()
    ]
    return f"| {row} | {'<br>'.join(listed)} |"


def _states_table(
    states: type[Enum], steps: type[Enum], transitions: Mapping[Any, Enum]
) -> Iterator[str]:
    yield "| state | " + " | ".join(step.value for step in steps) + " |"
    yield "|---|" + "---|" * len(steps)
    for state in states:
        targets = [transitions.get((state, step)) for step in steps]
        cells = [target.name if target else "-" for target in targets]
        yield f"| {state.name}: {state.value} | " + " | ".join(cells) + " |"


def _between(text: str, marks: tuple[str, str], lines: list[str]) -> str:
    before, _, rest = text.partition(marks[0])
    _, _, after = rest.partition(marks[1])
    return before + marks[0] + "\n".join(lines) + "\n" + marks[1] + after


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
