"""A bundle: what is in it, that it is the same everywhere, and what is refused."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from mm_asgi.bundle import libraries
from mm_asgi.bundle.bundle_start import find_fault
from mm_asgi.bundle.make_bundle import make_bundle
from mm_asgi.cli import main
from mm_asgi.errors import BundleError
from tests.unit.bundle.wheels import tiny_wheel

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = """
[project]
name = "shop"
version = "1.2.0"
dependencies = ["needed", "mm-asgi[dev]"]

[tool.mm-asgi]
app = "shop:app"
drain = 3

[tool.mm-asgi.bundle]
exclude = ["test_*.py"]
"""
MANIFEST: dict[str, Any] = {
    "id": "com.acme.shop",
    "version": "1.2.0",
    "server": {"runtime": "python", "executable": "plugin.py"},
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plugin's folder, and an index with what it needs."""
    index = tmp_path / "index"
    index.mkdir()
    tiny_wheel(index, "needed", requires="deeper")
    tiny_wheel(index, "deeper")
    tiny_wheel(index, "compiled", tag="cp311-cp311-linux_x86_64")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setattr(libraries, "_needed_by_ours", lambda given: [])
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "plugin.json").write_text(json.dumps(MANIFEST))
    (folder / "plugin.py").write_text("#!/usr/bin/env python3\n")
    (folder / "plugin.py").chmod(0o755)
    (folder / "shop.py").write_text("app = 1\n")
    (folder / "test_shop.py").write_text("")
    (folder / ".env").write_text("TOKEN=secret")
    return folder


def contents(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        found = {}
        for member in archive.getmembers():
            file = archive.extractfile(member)
            assert file is not None, f"{member.name} is no plain file"
            found[member.name.removeprefix("com.acme.shop/")] = file.read()
        return found


def test_it_holds_the_app_its_settings_and_its_packages(project: Path) -> None:
    made = make_bundle(project, None, "")
    assert made.path == project / "com.acme.shop-1.2.0.tar.gz"
    found = contents(made.path)
    ours = [name for name in found if name.startswith("lib/mm_asgi/")]
    assert {"lib/mm_asgi/__init__.py", "lib/mm_asgi/py.typed"} <= set(ours)
    assert sorted(found.keys() - set(ours)) == [
        "lib/deeper-1.0.dist-info/METADATA", "lib/deeper-1.0.dist-info/WHEEL",
        "lib/deeper-1.0.dist-info/entry_points.txt", "lib/deeper.py", "lib/mm_asgi_bundle.json",
        "lib/needed-1.0.dist-info/METADATA", "lib/needed-1.0.dist-info/WHEEL",
        "lib/needed-1.0.dist-info/entry_points.txt", "lib/needed.py", "mm_asgi_start.py",
        "plugin.json", "plugin.py", "pyproject.toml", "shop.py",
    ]  # fmt: skip
    assert json.loads(found["plugin.json"])["server"] == {
        "runtime": "python",
        "executable": "mm_asgi_start.py",
    }
    assert (made.is_pure, made.files) == (True, 4)
    assert made.sizes.keys() == {"mm-asgi", "needed", "deeper"}
    with tarfile.open(made.path) as archive:
        modes = {member.name.partition("/")[2]: member.mode for member in archive.getmembers()}
    assert {name for name, mode in modes.items() if mode == 0o755} == {
        "mm_asgi_start.py",
        "plugin.py",
    }
    assert set(modes.values()) == {0o755, 0o644}


def test_two_environments_make_the_same_bytes(project: Path, tmp_path: Path) -> None:
    """Another home, umask, time zone and user, another time, and another order of the folder."""
    here = make_bundle(project, tmp_path / "one.tar.gz", "").path.read_bytes()
    os.utime(project / "shop.py", (1, 1))
    (project / "shop.py").chmod(0o640)
    code = (
        "import os; os.umask(0o077); from pathlib import Path; from mm_asgi.bundle import libraries;"
        "libraries._needed_by_ours = lambda given: [];"
        "from mm_asgi.bundle.make_bundle import make_bundle;"
        f"make_bundle(Path({str(project)!r}), Path({str(tmp_path / 'two.tar.gz')!r}), '')"
    )
    environ = {**os.environ, "HOME": str(tmp_path), "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", code], env=environ, check=True)
    assert (tmp_path / "two.tar.gz").read_bytes() == here
    for name, data in contents(tmp_path / "one.tar.gz").items():
        assert str(tmp_path).encode() not in data, name
        assert b"TOKEN=secret" not in data, name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# the web\nneeded  # this one\n\n", ["needed"]),
        ("", []),
        ("-e .\n", "'-e .' is an option of pip's"),
        ("needed \\\n --hash=x\n", r"is an option of pip's"),
    ],
)
def test_requirements_txt_says_what_is_needed(
    project: Path, text: str, expected: list[str] | str
) -> None:
    (project / "pyproject.toml").unlink()
    (project / "requirements.txt").write_text(text)
    if isinstance(expected, list):
        assert make_bundle(project, None, "").requirements == expected
        return
    with pytest.raises(BundleError) as refused:
        make_bundle(project, None, "")
    assert expected in str(refused.value)


@pytest.mark.parametrize(
    ("requirement", "text"),
    [
        ("absent", "pip finds no wheels for Python"),
        ("compiled", "linux-arm64, and nothing is built from source"),
    ],
)
def test_a_package_without_a_wheel_is_a_sentence(
    project: Path, requirement: str, text: str
) -> None:
    (project / "pyproject.toml").write_text(f'[project]\ndependencies = ["{requirement}"]\n')
    with pytest.raises(BundleError, match=text):
        make_bundle(project, None, "linux-arm64")
    assert not (project / "com.acme.shop-1.2.0.tar.gz").exists()


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"plugin.json": "{"}, "plugin.json: it is no JSON"),
        ({"plugin.json": json.dumps({**MANIFEST, "version": "1"})}, "the version is '1'"),
        ({"lib/x.py": ""}, "lib/x.py: the bundle has a file of its own there"),
        ({"pyproject.toml": "["}, "pyproject.toml: it cannot be read"),
        ({"pyproject.toml": "[tool.mm-asgi.bundle]\nexclud = []"}, "exclud: it stands in"),
        ({"pyproject.toml": "[tool.mm-asgi.bundle]\nexclude = 'x'"}, "expected a list of texts"),
        (
            {"pyproject.toml": "[tool.mm-asgi.bundle]\ninclude = ['shop.py']"},
            "plugin.py: it is not",
        ),
        ({"pyproject.toml": "[tool.mm-asgi.bundle]\nplatforms = ['vax']"}, "platform: 'vax' was"),
    ],
)
def test_what_cannot_be_a_bundle_is_a_sentence(
    project: Path, changed: dict[str, str], text: str
) -> None:
    for name, content in changed.items():
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(content)
    with pytest.raises(BundleError) as refused:
        make_bundle(project, None, "")
    assert text in str(refused.value)


def test_the_command_says_what_it_wrote(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    assert main(["bundle", "-o", "shop.tar.gz"]) == 0
    said = capsys.readouterr().out
    assert "0.0 MB  needed" in said
    assert "wrote shop.tar.gz: 4 files of the app, 3 packages, " in said
    assert said.endswith("MB, for any machine\n")
    assert main(["bundle", "-o", "nowhere/shop.tar.gz"]) == 1
    assert "nowhere/shop.tar.gz" in capsys.readouterr().err
    (project / "plugin.json").unlink()
    assert main(["bundle"]) == 1
    assert "plugin.json: it is not there" in capsys.readouterr().err


HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"
STAMP = {"pure": False, "python": HERE, "platform": "x", "machine": platform.machine()}


@pytest.mark.parametrize(
    ("stamp", "text"),
    [
        (STAMP, ""),
        ({**STAMP, "pure": True, "python": "3.99", "machine": "vax"}, ""),
        (
            {**STAMP, "python": "3.99"},
            "this bundle needs Python 3.99 on x, and the server has Python",
        ),
        ({**STAMP, "machine": "vax"}, "this bundle needs Python"),
    ],
)
def test_a_wrong_python_is_a_sentence_for_the_admin(stamp: dict[str, object], text: str) -> None:
    fault = find_fault(stamp)
    assert fault.startswith(text)
    assert bool(fault) is bool(text)
    assert "\n" not in fault
