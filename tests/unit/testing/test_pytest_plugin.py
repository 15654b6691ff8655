"""The pytest plugin, in sessions of its own: each runner of async tests, and what it says else."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

SHOP = """
from mm_asgi import Plugin, Reject

async def app(scope, receive, send):
    if scope["type"] == "http":
        user = scope["extensions"]["mattermost"]["user_id"]
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": str(user).encode()})

plugin = Plugin(app)

@plugin.hook
async def message_will_be_posted(context, post):
    raise Reject("no")
"""
PYPROJECT = """
[tool.mm-asgi]
app = "shop:plugin"
id = "com.example.shop"
drain = 0.2
"""
TESTS = """
import asyncio
import pytest

@pytest.fixture
def anyio_backend():
    return "asyncio"

{mark}
async def test_page(mm):
    response = await mm.client(user="alice").get("/who")
    assert response.text == "alice"
    assert response.url.path == "/plugins/com.example.shop/who"
    assert mm._engine._loop is asyncio.get_running_loop()
    assert mm._engine.settings.drain == 0.2

{mark}
async def test_post(mm):
    assert (await mm.post("hello")).rejected == "no"
"""
OTHER_APP = """
import pytest
from shop import app

@pytest.fixture
def mm_app():
    return app

@pytest.mark.asyncio
async def test_no_filter(mm):
    assert (await mm.post("hello")).rejected is None
"""
TRIO = """
import pytest

@pytest.fixture
def anyio_backend():
    return ("trio", {})

@pytest.mark.anyio
def test_trio(mm, anyio_backend):
    pass
"""
SYNC = "def test_sync(mm):\n    pass\n"
MARKS = {
    "strict": "@pytest.mark.asyncio",
    "module": '@pytest.mark.asyncio(loop_scope="module")',
    "session": '@pytest.mark.asyncio(loop_scope="session")',
    "anyio": "@pytest.mark.anyio",
}


def session(folder: Path, *arguments: str) -> str:
    """What a pytest of its own says."""
    command = [
        sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *arguments
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


LOOP_SCOPE = ("-o", "asyncio_default_fixture_loop_scope=function")


@pytest.mark.full
def test_each_runner_of_a_strict_session(folder: Path) -> None:
    for name, mark in MARKS.items():
        (folder / f"test_{name}.py").write_text(TESTS.format(mark=mark))
    (folder / "test_other_app.py").write_text(OTHER_APP)
    (folder / "test_sync.py").write_text(SYNC)
    (folder / "test_trio.py").write_text(TRIO)
    said = session(folder, *LOOP_SCOPE)
    assert "9 passed, 2 errors" in said, said
    assert "mm: test_trio runs on anyio's backend ('trio', {}); expected asyncio" in said
    assert "mm: test_sync is run by neither pytest-asyncio nor anyio" in said


@pytest.mark.full
def test_auto_mode(folder: Path) -> None:
    (folder / "test_auto.py").write_text(TESTS.format(mark=""))
    assert "2 passed" in session(folder, *LOOP_SCOPE, "-o", "asyncio_mode=auto")


@pytest.mark.full
def test_anyio_alone(folder: Path) -> None:
    (folder / "test_anyio.py").write_text(TESTS.format(mark=MARKS["anyio"]))
    assert "2 passed" in session(folder, "-p", "no:asyncio")


@pytest.mark.full
@pytest.mark.parametrize(
    ("pyproject", "sentence"),
    [
        ("", "mm: which app? expected [tool.mm-asgi]"),
        (
            '[tool.mm-asgi]\napp = "shop:ap"\n',
            'mm: app: the module "shop" has no attribute "ap"',
        ),
    ],
)
def test_an_app_that_is_not_there(folder: Path, pyproject: str, sentence: str) -> None:
    (folder / "pyproject.toml").write_text(pyproject)
    (folder / "test_strict.py").write_text(TESTS.format(mark=MARKS["strict"]))
    said = session(folder, *LOOP_SCOPE)
    assert "2 errors" in said, said
    assert sentence in said


WITHOUT_GRPC = """
import asyncio, sys
for name in ("grpc", "uvicorn", "starlette", "hpack", "asgiref", "pytest_asyncio"):
    sys.modules[name] = None
from mm_asgi.testing import MM, WireTransport, as_user, check_app
from shop import plugin

async def main():
    async with MM(plugin) as mm:
        assert (await mm.client(user="alice").get("/")).text == "alice"
        assert (await mm.post("hello")).rejected == "no"
        assert (await plugin.api.get_user(user_id="bob")).username == "bob"
    assert [finding.rule for finding in await check_app(plugin)] == ["D7"]  # a body unread

asyncio.run(main())
"""


@pytest.mark.full
def test_httpx_and_pytest_are_all_that_it_needs(folder: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", WITHOUT_GRPC]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_loading_it_imports_next_to_nothing() -> None:
    code = (
        "import sys, pytest\n"
        "before = set(sys.modules)\n"
        "import mm_asgi.testing.pytest_plugin\n"
        "new = {name for name in set(sys.modules) - before}\n"
        "sys.exit(' '.join(sorted(new - {'mm_asgi', 'mm_asgi.testing',"
        " 'mm_asgi.testing.pytest_plugin'})) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
