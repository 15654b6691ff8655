"""Row L8: what an app logs reaches the host's log with its level, logger, request and user."""

from __future__ import annotations

import pytest

from tests.roads import ProcessHost, on
from tests.roads.line import find
from tests.roads.process.light_host import LightHost
from tests.roads.process.real_host import RealHost

ALICE = {"Mattermost-User-Id": "alice", "Authorization": "Bearer token-alice"}
LEVELS = {
    "at debug": "debug",
    "at info": "info",
    "at warning": "warn",
    "at error": "error",
    "at critical": "error",
}


@on("p", "g")
def test_L8_lines_have_their_true_level_logger_request_and_user(host: ProcessHost) -> None:
    with host("logs:app") as plugin:
        plugin.start()
        # The Go host takes the user from the token and drops the header that anybody could send.
        assert plugin.get("/log", ALICE).status == 200
        for text, level in LEVELS.items():
            line = plugin.wait_log(text, logger="shop.pay", level=level)
            assert line.fields["user_id"] == "alice"
            assert line.fields["request_id"]
        assert line.fields["request_id"] == plugin.wait_log("from a thread").fields["request_id"]
        assert "request_id" not in plugin.wait_log("at import").fields


@on("p", "g")
def test_L8_lines_carry_the_apps_own_facts_and_tracebacks(host: ProcessHost) -> None:
    with host("logs:app") as plugin:
        plugin.start()
        plugin.get("/log")
        line = plugin.wait_log("at info, 5 of them")
        assert (line.fields["amount"], line.fields["field_message"]) == (12.5, 5)
        assert "user_id" not in line.fields
        trace = plugin.wait_log("with a traceback", level="error").fields["exception"]
        assert trace.startswith("Traceback")
        assert trace.endswith("LookupError: no such order")
        long = plugin.wait_log("zzz", level="info")
        assert len(long.message) < 64 * 1024
        assert long.message.endswith("[cut, 200000 characters in all]")


@on("p", "g")
def test_L8_a_handler_that_prints_keeps_its_level_and_request(host: ProcessHost) -> None:
    with host("logs:app") as plugin:
        plugin.start()
        plugin.get("/log", ALICE)
        line = plugin.wait_log("to a terminal", logger="terminal", level="error")
        assert line.fields["user_id"] == "alice"


@on("p")
@pytest.mark.parametrize(
    ("hosts", "setting", "least"),
    [
        ("debug", "", "debug"),
        ("WARN", "", "warn"),
        ("error", "", "error"),
        ("", "", "info"),
        ("error", "debug", "debug"),
    ],
)
def test_L8_the_host_says_from_which_level(hosts: str, setting: str, least: str) -> None:
    with LightHost("logs:app", MATTERMOST_LOG_LEVEL=hosts, log_level=setting) as host:
        host.start()
        host.get("/log")
        host.wait_log("at critical")
        order = list(LEVELS.values())
        for text, level in LEVELS.items():
            wanted = order.index(level) >= order.index(least)
            assert bool(find(host.log(), text, logger="shop.pay")) == wanted, text


@on("g")
def test_L8_the_go_host_says_from_which_level() -> None:
    with RealHost("logs:app", flags=["-log-level=warn"]) as host:
        host.start()
        host.get("/log")
        host.wait_log("at critical")
        assert not find(host.log(), "at info")
