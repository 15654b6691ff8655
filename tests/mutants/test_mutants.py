"""The list of planted faults does not rot, and a fault's trial says what became of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.mutants import __main__ as command
from tests.mutants.caught_before import CaughtBefore, Fingerprints
from tests.mutants.every_fault import EVERY_FAULT
from tests.mutants.fault import Fault
from tests.mutants.planted_tree import PlantedTree, why_not_planted
from tests.mutants.trial import BROKEN, CAUGHT, PASSED, PytestRun, Trial, TriedFault, shards

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("fault", EVERY_FAULT, ids=lambda fault: fault.name)
def test_a_fault_stands_in_its_file_once(fault: Fault) -> None:
    assert why_not_planted(fault) is None


def test_there_are_enough_of_them_and_each_has_its_name() -> None:
    assert len({fault.name for fault in EVERY_FAULT}) == len(EVERY_FAULT) >= 30


FAULT = Fault("box: it is empty", "mm_asgi/box.py", "True", "False", ("tests/test_box.py",), "full")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small tree with one module and its tests, to which pytest finds no plugin of ours."""
    root = tmp_path / "tree"
    for path, text in {
        "mm_asgi/box.py": "IS_FULL = True\nSIZE = 2\n",
        "mm_asgi/lid.py": "IS_OPEN = 1\n",
        "conftest.py": "",
        "tests/conftest.py": "",
        "tests/test_box.py": (
            "import runpy, pathlib\n"
            "BOX = runpy.run_path(str(pathlib.Path(__file__).parents[1] / 'mm_asgi' / 'box.py'))\n"
            "def test_full(): assert BOX['IS_FULL']\n"
            "def test_size(): assert BOX['SIZE'] == 2\n"
        ),
        "tests/test_broken.py": "def test_broken(): assert False\n",
        "pyproject.toml": "",
    }.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"old": "Treu"}, "mm_asgi/box.py has its text 0 times, expected once"),
        ({"old": " = "}, "mm_asgi/box.py has its text 2 times, expected once"),
        ({"file": "mm_asgi/bag.py"}, "there is no mm_asgi/bag.py"),
        ({"new": "True"}, "it changes nothing"),
        ({"new": "("}, "mm_asgi/box.py is no Python with it: '(' was never closed"),
        ({"paths": ("tests/test_bag.py",)}, "there is no tests/test_bag.py, which ought to catch"),
    ],
)
def test_a_fault_that_cannot_be_tried_says_why(
    tree: Path, changes: dict[str, str], why: str
) -> None:
    assert why_not_planted(FAULT, tree) is None
    assert why in (why_not_planted(replace(FAULT, **changes), tree) or "")  # type: ignore[arg-type]


# ----------------------------------------------------------------- the copied tree


def test_a_fault_is_taken_out_again_and_leaves_no_compiled_file(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    copy = PlantedTree(tmp_path / "copy", tree)
    box = copy.root / "mm_asgi" / "box.py"
    before, seconds = box.read_bytes(), [int(box.stat().st_mtime)]
    for new in ("False", "0   "):
        with copy.planted(replace(FAULT, new=new)):
            assert box.read_bytes() == before.replace(b"True", new.encode())
            seconds.append(int(box.stat().st_mtime))
        assert box.read_bytes() == before
        assert int(box.stat().st_mtime) == seconds[0]
    # Python takes a compiled file for another text's only by the seconds, or by the size.
    assert len(set(seconds)) == 3
    assert (tree / "mm_asgi" / "box.py").read_bytes() == before
    with (
        pytest.raises(ValueError, match="box: it is empty: .* 0 times"),
        copy.planted(replace(FAULT, old="Treu")),
    ):
        pass


def test_a_fault_is_taken_out_after_an_exception_too(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    copy = PlantedTree(tmp_path / "copy", tree)
    with pytest.raises(KeyboardInterrupt), copy.planted(FAULT):
        raise KeyboardInterrupt
    assert (copy.root / FAULT.file).read_bytes() == (tree / FAULT.file).read_bytes()


# ----------------------------------------------------------------- shards and trials


def test_a_shard_has_the_same_tests_and_is_not_large() -> None:
    faults = [replace(FAULT, name=str(number), only=f"a{number % 3}") for number in range(10)]
    other = replace(FAULT, paths=("tests/test_lid.py",))
    found = shards([faults[0], other, *faults[1:]], largest=8)
    assert [len(shard.faults) for shard in found] == [8, 2, 1]
    assert sorted(fault.name for shard in found for fault in shard.faults) == sorted(
        fault.name for fault in (*faults, other)
    )
    assert found[0].only == "(a0) or (a1) or (a2)"
    assert found[2].paths == ("tests/test_lid.py",)
    # A fault whose tests are not selected wants them all.
    assert shards([faults[0], replace(FAULT, only="")])[0].only == ""


def test_the_files_are_those_whose_tests_ran() -> None:
    said = (
        "collected 9 items / 6 deselected / 3 selected\n\n"
        "tests/contract/test_S_scope.py::test_S2_x[a::b] PASSED  [ 33%]\n"
        "tests/contract/test_S_scope.py::test_S2_y PASSED  [ 66%]\n"
        "tests/unit/test_a.py::test_S2_z PASSED  [100%]\n"
    )
    run = PytestRun(PASSED, 1.0, said)
    assert run.files == ["tests/contract/test_S_scope.py", "tests/unit/test_a.py"]


@pytest.mark.full
@pytest.mark.timeout(180)
def test_a_trial_tells_the_caught_from_the_living_and_the_untried(tree: Path) -> None:
    lives = replace(FAULT, name="box: it is one", new="1")
    none_selected = replace(FAULT, name="none", paths=("tests",), only="nothing_of_this_name")
    broken = replace(FAULT, name="broken", paths=("tests/test_broken.py",), only="")
    told: list[TriedFault] = []
    Trial(tree, told.append).run(shards([FAULT, lives, none_selected, broken]), jobs=2)
    verdicts = {tried.fault.name: tried for tried in told}
    assert {name: tried.verdict for name, tried in verdicts.items()} == {
        FAULT.name: CAUGHT,
        lives.name: PASSED,
        none_selected.name: BROKEN,
        broken.name: BROKEN,
    }
    assert "its tests do not pass without a fault" in verdicts["broken"].tail
    assert "deselected" in verdicts["none"].tail


# ----------------------------------------------------------------- what was caught before


def test_a_verdict_stands_until_its_fault_its_file_or_its_tests_change(tree: Path) -> None:
    known = Fingerprints(tree).of(FAULT)
    assert Fingerprints(tree).of(FAULT) == known
    assert Fingerprints(tree).of(replace(FAULT, new="None")) != known
    (tree / "mm_asgi" / "lid.py").write_text("IS_OPEN = 2\n")
    (tree / "tests" / "test_broken.py").write_text("")
    assert Fingerprints(tree).of(FAULT) == known
    for path in (
        "mm_asgi/box.py",
        "tests/test_box.py",
        "tests/conftest.py",
        "conftest.py",
        "pyproject.toml",
    ):
        text = (tree / path).read_text()
        (tree / path).write_text(text + "# a word more\n")
        assert Fingerprints(tree).of(FAULT) != known
        (tree / path).write_text(text)
    in_folder = replace(FAULT, paths=("tests",))
    known = Fingerprints(tree).of(in_folder)
    (tree / "tests" / "test_broken.py").write_text("# another test of the folder\n")
    assert Fingerprints(tree).of(in_folder) != known


def test_what_was_caught_is_kept_at_once_and_a_broken_file_is_nothing(tmp_path: Path) -> None:
    file = tmp_path / "cache" / "caught.json"
    CaughtBefore(file).add("one")
    again = CaughtBefore(file)
    again.add("two")
    assert "one" in CaughtBefore(file)
    assert "two" in CaughtBefore(file)
    file.write_text('["one", ')
    assert "one" not in CaughtBefore(file)


# ----------------------------------------------------------------- the command


@pytest.fixture
def small(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The command on the small tree, with two faults of which one has lost its text."""
    faults = (FAULT, replace(FAULT, name="box: lost", old="Treu"))
    monkeypatch.setattr(command, "EVERY_FAULT", faults)
    monkeypatch.setattr(command, "ROOT", tree)
    return tree


def test_the_check_names_a_fault_that_has_lost_its_text(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--check"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "not planted  box: lost: mm_asgi/box.py has its text 0 times, expected once",
        "mutants: 1 of 2 find their text",
    ]
    assert command.main(["--check", "empty"]) == 0
    assert command.main(["--check", "no such name"]) == 1


@pytest.mark.full
@pytest.mark.timeout(180)
def test_a_lost_fault_lives_and_a_caught_one_is_not_tried_again(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--jobs", "1"]) == 1
    said = capsys.readouterr().out
    assert "caught" in said
    assert "lives: box: lost\nmutants: 1 of 2 caught" in said
    assert command.main(["--resume", "empty"]) == 0
    assert "1 were caught before" in capsys.readouterr().out
