"""Row S11: paths below the prefix, and what keeps the whole one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.roads import PLUGIN_ID, on

if TYPE_CHECKING:
    from tests.roads import Road

PREFIX = f"/mm/plugins/{PLUGIN_ID}"


@on(
    "m", "g", settings={"path": "mounted", "access_log": True, "cookie_path": "root"}, one_wire=True
)
async def test_S11_the_apps_paths_begin_below_the_prefix(road: Road) -> None:
    scope = (await road.http("GET", "/scope/a%2Fb%20c?x=1")).literal
    assert (scope["path"], scope["raw_path"]) == ("/scope/a/b c", b"/scope/a%2Fb%20c")
    assert scope["root_path"] == PREFIX
    logged = [f"{line.message} {line.fields}" for line in await road.lines()]
    assert [text for text in logged if f"{PREFIX}/scope/a/b c" in text], logged
    cookies = (await road.ask("cookies")).all("set-cookie")
    assert f"bare=2; Path={PREFIX}" in cookies
