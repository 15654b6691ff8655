"""proto/generate.py protocol: the tree is what it writes, and --check sees when it is not."""

import ast
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
    script = str(ROOT / "proto" / "generate.py")
    command = [sys.executable, *python, script, "protocol", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@needs_tools
def test_the_tree_is_what_the_generator_writes() -> None:
    done = generate("--check")
    assert (done.returncode, done.stderr) == (0, "")


@needs_tools
def test_check_reports_each_kind_of_difference_and_generate_mends_it(tmp_path: Path) -> None:
    tree = ROOT / "mm_asgi" / "protocol"
    planted = tmp_path / "mm_asgi" / "protocol"
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

    check = generate("--check", "--root", str(tmp_path))
    assert check.returncode == 1
    assert check.stderr.splitlines()[:-1] == reported
    assert (planted / "hooks_http_pb2.py").read_bytes() == changed

    assert generate("--root", str(tmp_path)).returncode == 0
    for name in ("hooks_http_pb2.py", "user_pb2.pyi", "_pool.py"):
        assert (planted / name).read_bytes() == (tree / name).read_bytes()
    assert not (planted / "gone_pb2.py").exists()


def test_without_its_tools_the_generator_says_what_to_install() -> None:
    done = generate("--check", python=("-E", "-S"))
    assert done.returncode == 2
    assert done.stderr.startswith("generate: needs grpcio-tools ")
    assert "pip install grpcio-tools==" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_name_that_is_no_generator_is_refused() -> None:
    done = generate("protocoll", "--check")
    assert done.returncode == 2
    assert "there is no generator 'protocoll'; expected one of protocol, api" in done.stderr


def test_the_contract_knows_nothing_of_the_package() -> None:
    """The package follows from the sources in proto/; an import of it there would be a circle."""
    imported = {
        (path.name, name.partition(".")[0])
        for path in (ROOT / "proto").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in imported_modules(node)
    }
    assert ("generate.py", "sources") in imported  # the look itself sees imports
    assert not [path for path, package in imported if package in ("mm_asgi", "tests")]


def imported_modules(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(module)):
            return [module]
        case ast.Call(func=ast.Name(id="import_module"), args=[ast.Constant(value=str(module))]):
            return [module]
    return []
