"""The example of docs/how-to/hooks.md as it stands there: behind mm-asgi dev's host, and the Go host."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.go_api import GoAPI
from tests.go_host import GoHost, go_missing_reason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "hooks.md"
FILES = dict(re.findall(r"^```python title=(\S+)\n(.*?)^```$", PAGE.read_text(), re.M | re.S))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, code in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(code)
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def test_it_runs_as_its_own_test_says(folder: Path) -> None:
    names: dict[str, Any] = {}
    exec(compile(FILES["test_tidy.py"], str(folder / "test_tidy.py"), "exec"), names)
    test: Callable[[], Awaitable[None]] = names["test_tidy"]
    await test()


@pytest.mark.full
@pytest.mark.timeout(60)
@pytest.mark.skipif(go_missing_reason() is not None, reason="needs Go")
@pytest.mark.parametrize("wire", ["native", "grpcio"])
async def test_it_runs_in_the_go_host(folder: Path, wire: str) -> None:
    (folder / "plugin.py").write_text('import mm_asgi\n\nmm_asgi.run("tidy.main:plugin")\n')
    async with GoHost(folder, env={"MM_ASGI_WIRE": wire}, api="beside") as host:
        api = GoAPI(host)
        [command] = (await api.state())["commands"]
        assert (command["trigger"], command["auto_complete_hint"]) == ("dice", "[sides]")
        for message, kept in (("teh cat", "the cat"), ("hello", "hello")):
            assert (await api.post("alice", message))["post"]["message"] == kept
        refused = await api.post("alice", "darn")
        assert refused["error"]["id"] == "Post rejected by plugin. mind your language"
        answer = await api.command("alice", "/dice 1")
        assert answer["response"]["text"] == "alice rolled 1"
        [shown] = (await api.state())["ephemeral"]
        assert (shown["user_id"], shown["post"]["message"]) == ("alice", "alice rolled 1")
