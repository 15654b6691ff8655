"""Row L3: what becomes of an app that treats the lifespan protocol in its own way."""

from __future__ import annotations

import pytest

from tests.roads import ProcessHost, on
from tests.roads.line import find
from tests.roads.process.facts import StartFailed
from tests.roads.process.light_host import LightHost

# app -> what mode "auto" says in the log (level, text), what mode "on" answers to OnActivate.
TREATED = {
    "without": (("debug", "the app has no lifespan"), "raised AssertionError"),
    "silent": (("debug", "the app has no lifespan"), "returned without"),
    "raises": (("error", "the app failed in lifespan.startup"), "raised LookupError"),
    "returns": (("warn", "returned without lifespan.startup.complete"), "returned without"),
    "mistypes": (("error", "the app failed in lifespan.startup"), "raised AppProtocolError"),
    "exits": (("error", "the app failed in lifespan.startup"), "raised SystemExit"),
}


@on("p", "g")
@pytest.mark.parametrize("app", TREATED)
def test_L3_auto_serves_an_app_without_a_lifespan(host: ProcessHost, app: str) -> None:
    (level, text), _ = TREATED[app]
    with host(f"lifespans:{app}") as plugin:
        plugin.start()
        assert plugin.get("/").status == 200
        line = plugin.wait_log(text, level=level)
        if level == "error":
            assert "Traceback" in line.fields["exception"]
        else:
            assert not find(plugin.log(), "", level="error")
        assert plugin.stop().code == 0


@on("p", "g")
@pytest.mark.parametrize(
    "app",
    [
        pytest.param(app, marks=[] if app in ("without", "returns") else [pytest.mark.full])
        for app in TREATED
    ],
)
def test_L3_on_fails_OnActivate_for_an_app_without_a_lifespan(host: ProcessHost, app: str) -> None:
    _, fault = TREATED[app]
    with host(f"lifespans:{app}", lifespan="on") as plugin:
        with pytest.raises(StartFailed, match=fault) as failed:
            plugin.start()
        assert 'expected lifespan.startup.complete with lifespan = "on"' in str(failed.value)


@on("p", "g")
@pytest.mark.parametrize("mode", ["auto", "on"])
def test_L3_a_startup_that_failed_fails_OnActivate_in_every_mode(
    host: ProcessHost, mode: str
) -> None:
    with (
        host("lifespans:refuses", lifespan=mode) as plugin,
        pytest.raises(StartFailed, match="the database is closed"),
    ):
        plugin.start()


@on("p", "g")
def test_L3_off_asks_nothing(host: ProcessHost) -> None:
    with host("polite:app", lifespan="off") as plugin:
        plugin.start()
        assert plugin.get("/").status == 200
        assert plugin.stop().code == 0
        assert plugin.bell.names == []


@on("p", "g")
def test_L3_requests_get_the_lifespans_state(host: ProcessHost) -> None:
    with host("lifespans:stateful", lifespan="on") as plugin:
        plugin.start()
        assert plugin.get("/").body == b"from the lifespan"


@on("p")
def test_L3_a_lifespan_that_dies_later_is_logged_and_the_app_served_on() -> None:
    with LightHost("lifespans:dies") as host:
        host.start()
        line = host.wait_log("the app's lifespan ended", level="error")
        assert "the poller failed" in line.fields["exception"]
        assert host.get("/").status == 200
        assert host.stop().code == 0
