"""The example of docs/how-to/hooks.md as it stands there: behind mm-asgi dev's host, and the Go host."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mm_asgi.host import Mattermost
from mm_asgi.host.api import APIServer
from mm_asgi.host.log import HostLog
from tests.go_host import GoHost, go_missing_reason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ROOT = Path(__file__).parents[3]
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
    mattermost = Mattermost("com.example.demo", log=HostLog())
    server = APIServer(mattermost)
    await server.start()
    flags = [f"-api-target={server.target}"]
    try:
        async with GoHost(folder, env={"MM_ASGI_WIRE": wire}, flags=flags) as host:
            assert {command.trigger for command in mattermost.plugin_commands.values()} == {"dice"}

            async def hook(name: str, **request: Any) -> Any:
                answer = await host.control(f"/hook/{name}", request)
                assert answer["ok"], answer
                return answer["response"]

            answer = await hook("MessageWillBePosted", post={"message": "teh cat"})
            assert answer == {"modified_post": {"message": "the cat"}}
            answer = await hook("MessageWillBePosted", post={"message": "darn"})
            assert answer == {"rejection_reason": "mind your language"}
            answer = await hook("MessageWillBePosted", post={"message": "hello"})
            assert answer == {}
            args = {"command": "/dice 1", "user_id": "alice"}
            answer = await hook("ExecuteCommand", args=args)
            assert answer["response"]["text"] == "alice rolled 1"
    finally:
        await mattermost.hooks.close()
        await server.stop()
