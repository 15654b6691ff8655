"""The rows of docs/behaviour.md against the tests: which test holds a row, and on which roads.

A test is named after its row, ``test_S1_...``; its roads are read from its decorators and its body,
so nothing is imported and no road can be claimed that no test takes.

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

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from enum import Enum

__all__ = ["PAGE", "ROADS", "Test", "find_tests", "rows_of", "written"]

FOLDER = Path(__file__).parent
PAGE = FOLDER.parents[1] / "docs" / "behaviour.md"
ROADS = "mwgsp"

NAME = re.compile(r"test_([SDRLHA]\d+)_(\w+)")
# What a test names when it takes a road, beside the letters in its decorators.
PROCESS = ("test_L_", "test_A_process", "test_H_life", "test_S_site")
HOSTS = {"both_hosts": "pg", "BOTH": "pg", "LightHost": "p", "RealHost": "g"}

ROW = re.compile(r"^\| ([SDRLHA]\d+) \| (.*) \| ([mwgsp ]*) \|$", re.MULTILINE)
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
        body = ast.parse(file.read_text()).body
        names = {
            target.id: node.value
            for node in body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (
                found := NAME.fullmatch(node.name)
            ):
                taken = _roads(node, names)
                if not taken and file.name.startswith(PROCESS):
                    taken = {"p"}  # it starts the process itself
                roads = "".join(road for road in ROADS if road in taken)
                yield Test(found[1], node.name, file.name, roads)


def _roads(node: ast.FunctionDef | ast.AsyncFunctionDef, names: dict[str, ast.expr]) -> set[str]:
    """The letters in the decorators, through the module's own names, and the hosts anywhere."""
    found: set[str] = set()
    todo: list[ast.AST] = list(node.decorator_list)
    while todo:
        for part in ast.walk(todo.pop()):
            match part:
                case ast.Constant(value="m" | "w" | "g" | "s" as road):
                    found.add(road)
                case ast.Call(func=ast.Name(id="roads"), keywords=[]) as call:
                    if any(isinstance(arg, ast.Constant) and arg.value == "g" for arg in call.args):
                        found.add("s")  # the same is seen on s, unless the test says no
                case ast.Name(id=name) if name in names:
                    todo.append(names[name])
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            found.update(HOSTS.get(part.id, ""))
    return found


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
