"""Rows H1 and H6: which hooks are listed, and when the three lifecycle hooks run."""

from __future__ import annotations

import pytest

from tests.roads import ProcessHost, on
from tests.roads.process.facts import StartFailed
from tests.roads.process.light_host import LightHost

LIFECYCLE = ["OnActivate", "OnDeactivate", "OnConfigurationChange"]

LISTED = {
    "a bare app": ("polite:app", [*LIFECYCLE, "ServeHTTP"]),
    "app and hooks": ("hooks:plugin", [*LIFECYCLE, "ServeHTTP"]),
    "neither": ("hooks:alone", LIFECYCLE),
    "an app that cannot be imported": ("nowhere:app", LIFECYCLE),
}


@on("p")
@pytest.mark.parametrize("kind", LISTED)
def test_H1_exactly_these_hooks_are_listed(kind: str) -> None:
    target, hooks = LISTED[kind]
    with LightHost(target) as host:
        assert host.peer.implemented() == hooks
        assert "ServeMetrics" not in host.peer.implemented()


@on("p", "g")
@pytest.mark.parametrize("kind", list(LISTED)[:3])
def test_H1_a_host_starts_each_of_them(host: ProcessHost, kind: str) -> None:
    target, hooks = LISTED[kind]
    with host(target) as plugin:
        plugin.start()
        assert plugin.hooks == hooks
        assert plugin.stop().code == 0


@on("p", "g")
def test_H6_the_configuration_hook_runs_at_activation_and_at_each_change(host: ProcessHost) -> None:
    with host("hooks:plugin") as plugin:
        plugin.start()
        changed = "configuration in the other thread"
        started = ["startup", changed, "activate com.example.demo"]
        assert plugin.bell.names == started
        plugin.call_hook("OnConfigurationChange")
        assert plugin.bell.names == [*started, changed]
        assert plugin.stop().code == 0
        assert plugin.bell.names == [*started, changed, "deactivate", "shutdown"]


@on("p")
def test_H6_before_the_activation_a_change_needs_no_hook() -> None:
    with LightHost("hooks:plugin") as host:
        host.peer.implemented()
        assert not host.peer.hook("OnConfigurationChange").HasField("error")
        assert host.bell.names == []


FAILED = {
    "hooks:raises": "LookupError: no such channel (hooks.py:",
    "hooks:exits": "the hook on_activate raised SystemExit: no licence (hooks.py:",
    "hooks:cancels": "the hook on_activate raised asyncio.exceptions.CancelledError",
}


@on("p", "g")
@pytest.mark.parametrize("target", FAILED)
def test_H6_a_failed_activation_hook_is_OnActivates_error(host: ProcessHost, target: str) -> None:
    with host(target) as plugin:
        with pytest.raises(StartFailed) as failed:
            plugin.start()
        assert FAILED[target] in str(failed.value)
        assert plugin.bell.names[0] == "startup"
        line = plugin.wait_log("the app's start-up failed", level="error")
        assert "Traceback" in line.fields["exception"]


@on("p")
def test_H6_after_a_failed_activation_hook_the_lifespan_is_shut_down() -> None:
    with LightHost("hooks:exits") as host:
        host.peer.implemented()
        assert "no licence" in (host.peer.activate() or "")
        assert host.get("/").status == 503
        host.peer.shutdown()
        assert host.exit_code() == 0
        assert host.bell.names == ["startup", "shutdown"]


@on("p")
def test_H6_a_failed_configuration_hook_fails_the_change_and_not_the_activation() -> None:
    with LightHost("hooks:misconfigured") as host:
        host.start()
        answer = host.peer.hook("OnConfigurationChange")
        assert "raised SystemExit: no licence" in answer.error.detailed_error
        assert answer.error.id
        host.wait_log("the hook on_configuration_change failed", level="error")
        assert host.get("/").status == 200
