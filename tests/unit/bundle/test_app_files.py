"""Which files of a project go into its bundle."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from mm_asgi.bundle.app_files import app_files
from mm_asgi.errors import BundleError

if TYPE_CHECKING:
    from pathlib import Path

FILES = (
    "plugin.py", "shop/main.py", "shop/page.html", "shop/__pycache__/main.cpython-311.pyc", ".env",
    ".venv/bin/python", "shop/.DS_Store", "._plugin.py", "old.tar.gz", "build/lib/x.py", "notes.txt",
)  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "link.py").symlink_to(tmp_path / "plugin.py")
    (tmp_path / "linked").symlink_to(tmp_path / "shop")
    return tmp_path


def test_without_git_it_is_what_no_tool_has_made(project: Path) -> None:
    assert app_files(project) == ["notes.txt", "plugin.py", "shop/main.py", "shop/page.html"]


def test_with_git_it_is_what_is_tracked(project: Path) -> None:
    for words in (["init", "-q"], ["add", "-f", "plugin.py", "shop/main.py", ".env", "build"]):
        subprocess.run(["git", "-C", str(project), *words], check=True)
    (project / "shop" / "main.py").unlink()  # tracked, and not there
    assert app_files(project) == ["build/lib/x.py", "plugin.py"]


def test_a_list_says_what_goes_in(project: Path) -> None:
    assert app_files(project, ["plugin.py", "shop"], ["*.html"]) == ["plugin.py", "shop/main.py"]
    with pytest.raises(BundleError, match=r"bundle.include: 'data/\*' fits no file below"):
        app_files(project, ["plugin.py", "data/*"])


@pytest.mark.parametrize("secret", [".env", "._plugin.py", "link.py", "linked/main.py"])
def test_what_may_be_a_secret_or_is_a_link_never_goes_in(project: Path, secret: str) -> None:
    with pytest.raises(BundleError, match="fits no file"):
        app_files(project, [secret])
