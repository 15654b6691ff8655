"""The length of a request's way through the package, and that the walk sees what it should."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from mm_asgi.tasks import TaskSet
from tests.benchmarks.walk import KINDS, Walk, run, table, walk
from tests.benchmarks.walked import Notes

# Of one POST, above the port. The figures may only fall: each call is one more place to look at.
MOST_CALLS, MOST_FILES = 44, 8

needs_epoll = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="the walk sees the loop rest by Linux's epoll"
)


@needs_epoll
def test_a_POST_takes_no_more_calls_above_the_port_than_its_budget() -> None:
    found = walk("post").above
    shown = "\n".join("  ".join(call) for call in found.calls)
    assert len(found.calls) <= MOST_CALLS, shown
    assert len(found.files) <= MOST_FILES, found.files


@needs_epoll
def test_a_walk_is_whole_and_the_same_again() -> None:
    found = walk("post")
    names = [name.partition(":")[0] for _, _, name in found.calls]
    # From the first byte that is read to the piece that is handed to the socket.
    assert names[0] == "Transport.get_buffer"
    assert "assemble_http" in names
    assert "Sender.take" in names
    assert walk("post") == found


@needs_epoll
@pytest.mark.parametrize("kind", ["hook", "api"])
def test_the_other_ways_are_walked_on_both_sides_of_the_port(kind: str) -> None:
    found = walk(kind)
    assert len(found.wire.calls) > 20
    assert len(found.above.calls) > 5
    assert len(found.calls) == len(found.wire.calls) + len(found.above.calls)


def test_figures_are_of_calls_functions_files_and_changes() -> None:
    a, b, c = (
        ("mm_asgi", "wire/a.py", "f:1"),
        ("mm_asgi", "b.py", "g:1"),
        ("mm_asgi", "b.py", "h:2"),
    )
    found = Walk((a, b, c, b, a))
    assert table("post", {"here": found}).rows == [
        ["here: above the port", "3", "2", "1", "0"],
        ["here: wire", "2", "1", "1", "0"],
        ["here: all", "5", "3", "2", "2"],
    ]
    assert found.files == ["mm_asgi/wire/a.py", "mm_asgi/b.py"]


async def test_a_coroutine_that_goes_on_is_no_new_call() -> None:
    notes = Notes(["mm_asgi"])
    tasks = TaskSet()

    async def pause() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    before = sys.getprofile()
    sys.setprofile(notes.note)
    try:
        await tasks.start(pause(), "pause")
    finally:
        sys.setprofile(before)
    notes.rests.set()
    names = [name.partition(":")[0] for _, _, name in notes.take()]
    assert names.count("TaskSet._run") == 1
    assert notes.take() == []


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["get"], f"'get': there is no such walk, expected some of {', '.join(KINDS)}"),
        (["post", "--against", "docs"], "walk: --against: docs holds no mm_asgi"),
    ],
)
def test_a_wrong_command_line_is_named(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(argv)
    assert said in f"{caught.value} {capsys.readouterr().err}"
