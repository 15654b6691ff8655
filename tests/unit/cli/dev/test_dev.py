"""What `mm-asgi dev` makes of its arguments, and which saves matter."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from mm_asgi.cli import dev
from mm_asgi.cli.dev.debug import Debugger
from mm_asgi.cli.dev.session import Saves, matters
from mm_asgi.cli.plugin_command import plugin_command, plugin_id
from mm_asgi.errors import ConfigError
from mm_asgi.settings import Settings

ROOT = Path("/home/alice/.work/shop")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "main.py", "shop/main.py", "pyproject.toml", "shop/static/shop.css", "index.html", ".env",
        "plugin.json", "shop/templates/mail.txt", "pages/a.jinja2", "settings.yaml",
    ],
)  # fmt: skip
def test_these_saves_matter(name: str) -> None:
    assert matters(ROOT, ROOT / name)


@pytest.mark.parametrize(
    "name",
    [
        ".venv/lib/a.py", "venv/b.py", "env/lib/python3.11/site-packages/c.py", ".git/hooks/d.py",
        "shop/__pycache__/e.py", "node_modules/f.js", ".mypy_cache/g.py", "shop.sqlite",
        "db.sqlite3-journal", "data.json", "log.txt", "main.pyc", "main.py~", ".main.py.swp",
        ".#main.py", "../elsewhere.py",
    ],
)  # fmt: skip
def test_these_do_not(name: str) -> None:
    path = ROOT.parent / name.removeprefix("../") if name.startswith("..") else ROOT / name
    assert not matters(ROOT, path)


async def test_what_is_saved_is_kept_until_it_is_taken(tmp_path: Path) -> None:
    saves = Saves([tmp_path])
    await saves.start()
    try:
        (tmp_path / "a.py").write_text("")
        async with asyncio.timeout(10):
            await saves.wait()
            names = await saves.take()
            assert names == ["a.py"]
    finally:
        await saves.stop()


async def test_a_folder_that_cannot_be_watched_is_a_sentence(tmp_path: Path) -> None:
    saves = Saves([tmp_path / "missing"])
    with pytest.raises(ConfigError, match="reload: files cannot be watched here: "):
        await saves.start()
    await saves.stop()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"app": "shop.main:app"}, "shop"),
        ({"app": "a:app"}, "com.example.a"),
        ({"app": "grüße.main:app"}, "gr--e"),
        ({"app": "shop.main:app", "id": "com.acme.shop"}, "com.acme.shop"),
    ],
)
def test_the_id(folder: Path, settings: dict[str, Any], expected: str) -> None:
    assert plugin_id(Settings(**settings)) == expected


def test_the_id_in_plugin_json(folder: Path) -> None:
    (folder / "plugin.json").write_text('{"id": "com.acme.json"}')
    assert plugin_id(Settings(app="shop:app")) == "com.acme.json"
    (folder / "plugin.json").write_text('{"id": "a/b"}')
    with pytest.raises(ConfigError, match=r"plugin.json: the id is 'a/b', expected 3 to 190"):
        plugin_id(Settings(app="shop:app"))
    (folder / "plugin.json").write_text("{")
    with pytest.raises(ConfigError, match="plugin.json: it is no JSON"):
        plugin_id(Settings(app="shop:app"))


def test_the_command_is_serve_with_what_was_given(folder: Path) -> None:
    given = {"app": "shop:app", "port": "1", "factory": True, "access_log": False, "drain": "3"}
    assert plugin_command(Settings(app="shop:app"), given, "dev") == [
        sys.executable, "-m", "mm_asgi", "serve", "shop:app",
        "--factory", "--no-access-log", "--drain", "3",
    ]  # fmt: skip


def test_without_a_target_it_is_the_start_file(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"no target was given and there is no plugin.py here"):
        plugin_command(Settings(), {}, "dev")
    (folder / "plugin.py").write_text("")
    assert plugin_command(Settings(), {}, "dev") == [sys.executable, "plugin.py"]


def test_the_plugins_variables(folder: Path) -> None:
    assert variables() == {"MM_ASGI_ACCESS_LOG": "true"}
    assert variables(reload=True) == {"MM_ASGI_ACCESS_LOG": "true", "MM_ASGI_DRAIN": "2"}
    assert variables(app="shop:app", drain="5", reload=True) == {"MM_ASGI_ACCESS_LOG": "true"}


@pytest.mark.parametrize("switch", ["true", "false"])
@pytest.mark.parametrize("place", ["environment", "pyproject"])
def test_what_was_given_is_not_made_to_suit_a_terminal(
    folder: Path, monkeypatch: pytest.MonkeyPatch, place: str, switch: str
) -> None:
    if place == "environment":
        monkeypatch.setenv("MM_ASGI_ACCESS_LOG", switch)
        monkeypatch.setenv("MM_ASGI_DRAIN", "8")
    else:
        table = f"[tool.mm-asgi]\naccess-log = {switch}\ndrain = 8\n"
        (folder / "pyproject.toml").write_text(table)
    assert variables(reload=True) == {}


def test_the_variables_under_debug(folder: Path) -> None:
    stretched = {
        "MM_ASGI_STARTUP_WAIT": "86400", "MM_ASGI_IMPORT_BUDGET": "0", "MM_ASGI_HOOK_BUDGET": "0",
        "MM_ASGI_API_TIMEOUT": "0", "MM_ASGI_BLOCKED_WARN": "0", "MM_ASGI_BLOCKED_KILL": "0",
        "MM_ASGI_ACCESS_LOG": "true",
    }  # fmt: skip
    assert variables(debug=True) == stretched
    # What was given counts.
    del stretched["MM_ASGI_HOOK_BUDGET"]
    assert variables(app="shop:app", debug=True, hook_budget="3") == stretched


def test_the_command_under_debug(folder: Path) -> None:
    debugger = Debugger.find(Settings(debug=True, debug_port=0))
    assert debugger.port > 0
    assert debugger.command(["python", "plugin.py"]) == [
        "python", "-X", "frozen_modules=off", "-m", "mm_asgi.cli.dev.debuggee",
        str(debugger.port), "plugin.py",
    ]  # fmt: skip


def test_a_debugger_that_cannot_be(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"debug-port: {port} on 127.0.0.1 cannot be bound"):
            Debugger.find(Settings(debug=True, debug_port=port))
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ConfigError, match="debug: the package debugpy is missing; pip install"):
        Debugger.find(Settings(debug=True, debug_port=0))


def variables(**given: object) -> dict[str, str]:
    """What the plugin finds in its environment beside what is always there."""
    environ = dev._plugin_environment(dev._load_settings(given), given, "shop")
    assert environ.pop("PYTHONUNBUFFERED") == "1"
    environ.pop("MATTERMOST_PLUGIN_ID", None)
    return environ


def test_a_start_file_gets_the_flags_as_variables(folder: Path) -> None:
    given = {"access_log": False, "drain": "3", "port": "1"}
    environ = dev._plugin_environment(Settings(), given, "shop")
    assert environ["MM_ASGI_ACCESS_LOG"] == "False"
    assert environ["MM_ASGI_DRAIN"] == "3"
    assert "MM_ASGI_PORT" not in environ
    assert "MM_ASGI_DRAIN" not in dev._plugin_environment(Settings(app="shop:app"), given, "shop")


def test_a_plugin_without_a_manifest_is_given_its_id(folder: Path) -> None:
    (folder / "plugin.json").unlink(missing_ok=True)
    assert dev._plugin_environment(Settings(), {}, "shop")["MATTERMOST_PLUGIN_ID"] == "shop"
    (folder / "plugin.json").write_text('{"id": "com.example.shop"}')
    assert "MATTERMOST_PLUGIN_ID" not in dev._plugin_environment(Settings(), {}, "shop")


def test_the_folders_that_are_watched(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other").resolve()
    here = folder.resolve()
    (folder / "src").mkdir()
    assert dev._watched_folders(Settings()) == [here]
    assert dev._watched_folders(Settings(app_dir=str(folder / "src"))) == [here]
    assert dev._watched_folders(Settings(app_dir=str(other))) == [here, other]
