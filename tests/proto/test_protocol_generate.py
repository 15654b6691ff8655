"""proto/generate.py: the tree is what it writes, and --check sees when it is not."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

needs_tools = pytest.mark.skipif(
    importlib.util.find_spec("grpc_tools") is None and "CI" not in os.environ,
    reason="needs the dependency group `generate` (CI must have it)",
)


def generate(*arguments: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *python, str(ROOT / "proto" / "generate.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@needs_tools
def test_the_tree_is_what_the_generator_writes() -> None:
    done = generate("--check")
    assert (done.returncode, done.stderr) == (0, "")


@needs_tools
def test_check_reports_each_kind_of_difference_and_generate_mends_it(tmp_path: Path) -> None:
    tree = ROOT / "mm_asgi" / "protocol"
    planted = tmp_path / "protocol"
    shutil.copytree(tree, planted, ignore=shutil.ignore_patterns("__pycache__"))
    changed = (
        (planted / "hooks_http_pb2.py").read_bytes().replace(b"flush\\x18\\x04", b"flush\\x18\\x05")
    )
    (planted / "hooks_http_pb2.py").write_bytes(changed)
    (planted / "user_pb2.pyi").unlink()
    (planted / "gone_pb2.py").write_text("")
    reported = [
        "extra: mm_asgi/protocol/gone_pb2.py",
        "differs: mm_asgi/protocol/hooks_http_pb2.py",
        "missing: mm_asgi/protocol/user_pb2.pyi",
    ]

    check = generate("--check", "--folder", str(planted))
    assert check.returncode == 1
    assert check.stderr.splitlines()[:-1] == reported
    assert (planted / "hooks_http_pb2.py").read_bytes() == changed

    assert generate("--folder", str(planted)).returncode == 0
    for name in ("hooks_http_pb2.py", "user_pb2.pyi", "_pool.py"):
        assert (planted / name).read_bytes() == (tree / name).read_bytes()
    assert not (planted / "gone_pb2.py").exists()


def test_without_its_tools_the_generator_says_what_to_install() -> None:
    done = generate("--check", python=("-I", "-S"))
    assert done.returncode == 2
    assert done.stderr.startswith("generate: needs grpcio-tools ")
    assert "pip install grpcio-tools==" in done.stderr
    assert done.stderr.count("\n") == 1
