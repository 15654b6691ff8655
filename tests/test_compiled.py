"""What the modules that pyproject.toml has compiled must be like, and that a build has them all."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from tests import compiled

ROOT = Path(__file__).resolve().parents[1]
HOOK = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"][
    "wheel"
]["hooks"]["mypyc"]


def modules() -> list[Path]:
    """Those that are compiled."""
    named = [ROOT / name.lstrip("/") for name in HOOK["include"]]
    excluded = {ROOT / name.lstrip("/") for name in HOOK["exclude"] if "*" not in name}
    assert all(path.exists() for path in (*named, *excluded))
    found = [path for name in named for path in ([name] if name.is_file() else name.glob("*.py"))]
    return sorted({path for path in found if path.name != "__init__.py"} - excluded)


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.stem)
def test_a_function_names_each_caught_exception_once(path: Path) -> None:
    # mypyc gives a name the type of its first except clause, and refuses the second's exception.
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            names = [
                node.name
                for node in ast.walk(function)
                if isinstance(node, ast.ExceptHandler) and node.name
            ]
            assert len(names) == len(set(names)), (function.name, names)


@pytest.mark.full
@pytest.mark.timeout(300)
def test_a_build_has_them_all() -> None:
    try:
        folder = compiled.build()
    except compiled.NoCompilerError as error:
        pytest.skip(str(error))
    for path in modules():
        source = folder / path.relative_to(ROOT)
        assert source.read_bytes() == path.read_bytes()
        assert list(source.parent.glob(f"{path.stem}.*.so")), path
