"""`mm-asgi init`: what it writes, what it leaves alone, and which app it finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mm_asgi.cli import main
from mm_asgi.cli.init.find_target import find_target
from mm_asgi.errors import ConfigError

APP = "from fastapi import FastAPI\n\napp = FastAPI()\n"

START_FILE = """\
#!/usr/bin/env python3
import sys

try:
    import mm_asgi
except ImportError as error:
    # Of what is printed here, a server shows its admin the first line.
    print(f"plugin.py: {error}; its packages belong beside it, for {sys.executable}")
    sys.exit(1)

if __name__ == "__main__":
    mm_asgi.run("shop.main:app")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the package shop in it, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "shop/main.py", APP)
    return tmp_path


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(text.encode())


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_bytes().decode()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_three_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--id", "com.acme.shop", "shop.main:app"]) == 0
    written = contents(folder)
    assert written.pop("shop/main.py") == APP
    assert json.loads(written.pop("plugin.json")) == {
        "id": "com.acme.shop",
        "name": "Shop",
        "version": "0.1.0",
        "server": {"runtime": "python", "executable": "plugin.py"},
    }
    assert written == {
        "plugin.py": START_FILE,
        "pyproject.toml": '[tool.mm-asgi]\napp = "shop.main:app"\n',
    }
    assert capsys.readouterr().out == (
        "wrote plugin.json (id com.acme.shop), plugin.py, [tool.mm-asgi] in pyproject.toml:"
        " shop.main:app is a plugin\nnext: mm-asgi dev\n"
    )


def test_without_arguments(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == 0
    assert json.loads((folder / "plugin.json").read_text())["id"] == "com.example.shop"
    assert "the id has to be yours before you ship it" in capsys.readouterr().out


PROJECTS = [
    '[project]\nname = "acme-shop"\nversion = "2.1.0"\ndescription = "Grüße"\n',
    '# no newline at its end\n[project]\nname = "acme-shop"\nversion = "2.1.0"\ndescription = "Grüße"',
    '[project]\r\nname = "acme-shop"\r\nversion = "2.1.0"\r\ndescription = "Grüße"\r\n',
    '[tool.ruff]\nline-length = 100\n[project]\nname = "acme-shop"\nversion = "2.1.0"\ndescription = "Grüße"\n',
]


@pytest.mark.parametrize("text", PROJECTS)
def test_what_stands_in_pyproject_stays(folder: Path, text: str) -> None:
    write(folder, "pyproject.toml", text)
    assert main(["init"]) == 0
    after = (folder / "pyproject.toml").read_bytes().decode()
    assert after.startswith(text)
    assert tomllib.loads(after) == {
        **tomllib.loads(text),
        "tool": {**tomllib.loads(text).get("tool", {}), "mm-asgi": {"app": "shop.main:app"}},
    }
    assert ("\r\n" in text) == (after.count("\r\n") == after.count("\n"))
    manifest = json.loads((folder / "plugin.json").read_text("utf-8"))
    assert (manifest["name"], manifest["version"]) == ("Acme shop", "2.1.0")
    assert manifest["description"] == "Grüße"


@pytest.mark.parametrize(
    ("given", "version"),
    [
        ("1.2.3", "1.2.3"),
        ("1.2.3-rc1+linux", "1.2.3-rc1+linux"),
        ("1.2", "1.2.0"),
        ("2026.01.05", "2026.1.5"),
        ("1!1.2.3.4", "1.2.3"),
        ("1.0rc1", "1.0.0"),
        ("next", "0.0.0"),
    ],
)
def test_a_version_that_a_server_takes(folder: Path, given: str, version: str) -> None:
    """It refuses a manifest whose version is not semantic, and one without a name."""
    write(folder, "pyproject.toml", f'[project]\nname = "-"\nversion = "{given}"\n')
    assert main(["init", "--id", "com.acme.shop"]) == 0
    manifest = json.loads((folder / "plugin.json").read_text("utf-8"))
    assert (manifest["version"], manifest["name"]) == (version, "Com.acme.shop")


def test_it_writes_all_files_or_none(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, "pyproject.toml", "[project]\n")
    (folder / ".pyproject.toml.mm-asgi").mkdir()  # the last of them cannot be written
    before = contents(folder)
    assert main(["init", "shop.main:app"]) == 2
    assert "pyproject.toml: it cannot be written (Is a directory), and nothing was: run init" in (
        capsys.readouterr().err
    )
    assert contents(folder) == before


def test_the_settings_file_keeps_its_mode_and_its_link(folder: Path) -> None:
    write(folder, "elsewhere/pyproject.toml", "[project]\n")
    (folder / "elsewhere" / "pyproject.toml").chmod(0o640)
    (folder / "pyproject.toml").symlink_to("elsewhere/pyproject.toml")
    assert main(["init", "shop.main:app"]) == 0
    assert (folder / "pyproject.toml").is_symlink()
    real = folder / "elsewhere" / "pyproject.toml"
    assert real.stat().st_mode & 0o777 == 0o640
    assert real.read_text().startswith("[project]\n")
    assert (folder / "plugin.py").stat().st_mode & 0o777 == 0o755


def test_an_app_that_stands_there_is_taken(folder: Path) -> None:
    text = '[tool.mm-asgi]\napp = "shop.other:app"\ndrain = 3\n'
    write(folder, "pyproject.toml", text)
    assert main(["init"]) == 0
    assert (folder / "pyproject.toml").read_text() == text
    assert "shop.other:app" in (folder / "plugin.py").read_text()


@pytest.mark.parametrize(
    ("name", "text", "argv", "sentence"),
    [
        ("plugin.py", "", [], "plugin.py: it is there already and init overwrites nothing"),
        ("plugin.json", "", [], "plugin.json: it is there already and init overwrites nothing"),
        ("pyproject.toml", "[tool", [], "pyproject.toml: it is not TOML"),
        ("pyproject.toml", "a = '\xff'\n", ["--id", "a/b"], "id: 'a/b' came from the command line"),
        ("pyproject.toml", "tool = {a = 1}\n", [], "its [tool.mm-asgi] cannot be extended"),
        ("pyproject.toml", "[tool.mm-asgi]\ndrain = 1\n", [], "its [tool.mm-asgi] cannot be extended"),
        ("pyproject.toml", '[tool.mm-asgi]\napp = "a:b"\n', ["c:d"], "its [tool.mm-asgi] cannot be extended"),
        ("x", "", ["shop/main.py"], "target: 'shop/main.py' was given, expected module:attribute"),
        ("x", "", ["shop.main:"], "target: 'shop.main:' was given, expected module:attribute"),
        ("other.py", APP, [], "target: other:app, shop.main:app could be meant; say which: mm-asgi init other:app"),
    ],
)  # fmt: skip
def test_one_sentence_and_nothing_written(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    text: str,
    argv: list[str],
    sentence: str,
) -> None:
    write(folder, name, text)
    before = contents(folder)
    assert main(["init", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert sentence in err
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"main.py": APP}, "main:app"),
        ({"a/b/web.py": "web: FastAPI = fastapi.FastAPI(title='x')\n"}, "a.b.web:web"),
        ({"shop/__init__.py": APP}, "shop:app"),
        ({"main.py": APP, "mm.py": "plugin = mm_asgi.Plugin(app)\n"}, "mm:plugin"),
        ({"s/asgi.py": "application = get_asgi_application()\n",
          "s/wsgi.py": "application = get_wsgi_application()\n"}, "s.asgi:application"),
        ({"main.py": APP, "tests/app.py": APP, ".x/app.py": APP, "test_app.py": APP,
          "a/b/c/d/app.py": APP, "broken.py": "app = FastAPI("}, "main:app"),
        ({"main.py": APP, "deep.py": f"x = {'-' * 9999}1\n", "far.py": f"x = a{'.a' * 1500}()\n",
          "call.py": "x = make()()\n"}, "main:app"),
    ],
)  # fmt: skip
def test_the_app_that_is_found(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    for name, text in files.items():
        write(tmp_path, name, text)
    assert find_target(tmp_path) == expected


def test_no_app_is_found(tmp_path: Path) -> None:
    write(tmp_path, "main.py", "def make():\n    app = FastAPI()\n")
    with pytest.raises(ConfigError, match="target: no app was found; say which: mm-asgi init shop"):
        find_target(tmp_path)


def test_the_start_file_is_one(folder: Path) -> None:
    assert main(["init"]) == 0
    assert (folder / "plugin.py").stat().st_mode & 0o777 == 0o755
    for command in ([sys.executable, "plugin.py"], ["./plugin.py"]):
        done = start(folder, *command)
        assert done.returncode == 1
        assert "started by hand" in done.stderr
        assert done.stdout == ""
    imported = start(folder, sys.executable, "-c", "import plugin")
    assert (imported.returncode, imported.stdout) == (0, "")


def test_the_start_file_tells_the_admin_what_is_missing(folder: Path) -> None:
    assert main(["init"]) == 0
    done = start(folder, sys.executable, "-I", "-S", "plugin.py")
    assert done.returncode == 1
    assert done.stdout == (
        "plugin.py: No module named 'mm_asgi'; its packages belong beside it, for"
        f" {sys.executable}\n"
    )
    assert done.stderr == ""
    old = "import runpy, sys; sys.version_info = (3, 9, 2); runpy.run_path('plugin.py')"
    done = start(folder, sys.executable, "-c", old)
    assert done.returncode == 1
    assert done.stdout.startswith("plugin.py: mm_asgi needs Python 3.11 or newer, and this is 3.")


def start(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
