"""docs/behaviour.md against the tests and the code: no row without its test, no road made up."""

from __future__ import annotations

from tests.contract.rows import PAGE, ROADS, find_tests, rows_of, written

# Taking a row away is a decision: it is taken out here too.
ROWS = [
    *(f"S{number}" for number in range(1, 12)),
    *(f"D{number}" for number in range(1, 9)),
    *(f"R{number}" for number in range(1, 18)),
    *(f"L{number}" for number in range(1, 13)),
    *(f"H{number}" for number in range(1, 8)),
    *("A1", "A2"),
]


def test_the_page_has_every_row_once() -> None:
    assert list(rows_of(PAGE.read_text())) == ROWS


def test_every_row_has_a_test() -> None:
    tested = {test.row for test in find_tests()}
    assert [row for row in ROWS if row not in tested] == []
    assert tested <= set(ROWS), "a test of a row that docs/behaviour.md does not have"


def test_every_test_takes_a_road() -> None:
    assert [test.name for test in find_tests() if not test.roads] == []


def test_the_default_tier_sees_every_row() -> None:
    # m and p need no Go; D7's host and S9's call are seen there as messages.
    seen = {test.row for test in find_tests() if set(test.roads) & {"m", "p"}}
    assert [row for row in ROWS if row not in seen] == []


def test_roads_tests_and_states_on_the_page_are_the_real_ones() -> None:
    text = PAGE.read_text()
    assert set("".join(rows_of(text).values())) <= {*ROADS, " "}
    assert text == written(text), "run: python -m tests.contract.rows"
