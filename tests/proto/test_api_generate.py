"""proto/generate.py api: the tree is what it writes, and --check sees when it is not."""

import csv
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = [
    "docs/reference/api.md",
    "mm_asgi/api/aio.py",
    "mm_asgi/api/facts.py",
    "mm_asgi/api/sync.py",
    "mm_asgi/types.py",
]


pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("grpc_tools") is None and "CI" not in os.environ,
    reason="needs the dependency group `generate` (CI must have it)",
)


def generate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "proto" / "generate.py"), "api", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_tree_is_what_the_generator_writes() -> None:
    done = generate("--check")
    assert (done.returncode, done.stderr) == (0, "")


def test_check_names_what_differs_and_generate_mends_it(tmp_path: Path) -> None:
    for name in WRITTEN:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    changed = tmp_path / "mm_asgi/api/aio.py"
    changed.write_text(changed.read_text().replace("user_id: str", "user_id: int"))
    (tmp_path / "mm_asgi/types.py").unlink()
    page = tmp_path / "docs/reference/api.md"
    page.write_text(page.read_text().replace("`get_user(user_id)`", "`get_user()`"))
    before = changed.read_text()

    check = generate("--check", "--root", str(tmp_path))
    assert check.returncode == 1
    assert check.stderr.splitlines()[:-1] == [
        "differs: docs/reference/api.md",
        "differs: mm_asgi/api/aio.py",
        "missing: mm_asgi/types.py",
    ]
    assert changed.read_text() == before

    assert generate("--root", str(tmp_path)).returncode == 0
    for name in WRITTEN:
        assert (tmp_path / name).read_bytes() == (ROOT / name).read_bytes()


def rows() -> list[dict[str, str]]:
    with (ROOT / "proto/tables/api.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def methods(name: str) -> dict[str, str]:
    """The text of each method of aio.py or sync.py, by the call that it makes."""
    _, *parts = (ROOT / f"mm_asgi/api/{name}.py").read_text().split("def ")
    called = (re.findall(r'_call\(\s*"\w+",\s*"(\w+)"', part) for part in parts)
    return {call: part for [call], part in zip(called, parts, strict=True)}


@pytest.mark.parametrize("name", ["aio", "sync"])
def test_calls_that_the_host_lacks_say_so(name: str) -> None:
    lacking = [row["rpc"] for row in rows() if "UNIMPLEMENTED always" in row["errors"]]
    assert len(lacking) == 36
    told = [call for call, text in methods(name).items() if "Unimplemented: always" in text]
    assert told == lacking
    assert (ROOT / "docs/reference/api.md").read_text().count("**not on this host.**") == 36


@pytest.mark.parametrize("name", ["aio", "sync"])
def test_a_method_says_only_the_errors_that_its_class_does_not(name: str) -> None:
    shared = (
        "grpc-status: AppError mapped by its HTTP code",
        "grpc-status: AppError mapped by its HTTP code, any other Go error INTERNAL",
        "response field error (AppError), grpc status OK",
    )
    own = [row["rpc"] for row in rows() if row["errors"] not in shared]
    assert [call for call, text in methods(name).items() if "Raises:" in text] == own
    assert (ROOT / f"mm_asgi/api/{name}.py").read_text().count("APIError: the host failed.") == 1


@pytest.mark.parametrize("name", ["aio", "sync"])
def test_a_method_explains_no_id_that_says_what_it_is(name: str) -> None:
    texts = methods(name)
    assert not [call for call, text in texts.items() if " user_id: id of the user.\n" in text]
    # Here the name says too little.
    assert "as_user_id: id of the user that invites." in texts["AddUserToChannel"]
    assert "bot_user_id: user id of the bot." in texts["GetBot"]
