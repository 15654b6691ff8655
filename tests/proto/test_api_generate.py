"""proto/generate.py api: the tree is what it writes, and --check sees when it is not."""

import importlib.util
import os
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


def test_calls_that_the_host_lacks_say_so() -> None:
    lacking = [
        line.split("\t")[0]
        for line in (ROOT / "proto/tables/api.tsv").read_text().splitlines()
        if "UNIMPLEMENTED always" in line
    ]
    assert len(lacking) == 36
    for name in ("aio", "sync"):
        text = (ROOT / f"mm_asgi/api/{name}.py").read_text()
        told = [part for part in text.split("def ") if "Unimplemented: always" in part]
        assert [part.split("PluginAPI.")[1].split(",")[0] for part in told] == lacking
    assert (ROOT / "docs/reference/api.md").read_text().count("**not on this host.**") == 36
