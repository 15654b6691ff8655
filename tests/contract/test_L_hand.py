"""Row L6: a plugin that was started by hand, or by a host that it cannot serve, says so."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tests.roads import on
from tests.roads.process.facts import APPS, StartFailed, clean_environ
from tests.roads.process.light_host import LightHost
from tests.roads.process.real_host import RealHost

COMMANDS = {
    "start file": (sys.executable, "start.py"),
    "mm-asgi serve": ("mm-asgi", "serve", "polite:app"),
    "python -m mm_asgi serve": (sys.executable, "-m", "mm_asgi", "serve", "polite:app"),
}

# What is wrong with the host's environment or the settings -> what its admin has to see.
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "versions": ({"PLUGIN_PROTOCOL_VERSIONS": "2,3"}, "PLUGIN_PROTOCOL_VERSIONS: the host speaks"),
    "certificate": ({"PLUGIN_CLIENT_CERT": "pem"}, "the host demands mutual TLS"),
    "ports": ({"PLUGIN_MIN_PORT": "9", "PLUGIN_MAX_PORT": "8"}, "PLUGIN_MIN_PORT: it is 9"),
    "setting": ({"MM_ASGI_DRAIN": "soon"}, "drain: 'soon' came from the variable MM_ASGI_DRAIN"),
    "group": ({"PLUGIN_UNIX_SOCKET_GROUP": "no-such-group"}, "PLUGIN_UNIX_SOCKET_GROUP"),
}


@on("p")
@pytest.mark.parametrize(
    ("name", "cookie"), [*((name, "") for name in COMMANDS), ("start file", "another value")]
)
def test_L6_started_by_hand_it_explains_itself_and_fails(name: str, cookie: str) -> None:
    env = clean_environ() | {"PROCESS_APP": "polite:app"}
    if cookie:
        env["MATTERMOST_PLUGIN"] = cookie
    done = subprocess.run(
        COMMANDS[name], cwd=APPS, env=env, capture_output=True, text=True, timeout=15, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    for part in ("started by hand", "is a Mattermost plugin", "Mattermost server", "mm-asgi dev"):
        assert part in done.stderr


@on("p")
@pytest.mark.parametrize("kind", WRONG)
def test_L6_a_host_that_cannot_be_served_reads_why_in_the_first_line(kind: str) -> None:
    env, sentence = WRONG[kind]
    with LightHost(**env) as host:
        assert host.process.wait(10) == 1
        host.stdout.wait_end()
        (line,) = host.stdout.all()
        assert sentence in line.decode()
        assert line.count(b"|") < 3


@on("p")
@pytest.mark.parametrize("name", list(COMMANDS)[1:])
def test_L6_a_host_can_start_serve(name: str) -> None:
    with LightHost(command=COMMANDS[name]) as host:
        host.start()
        assert host.get("/").body == b"hello"
        assert host.stop().code == 0


@on("g")
@pytest.mark.parametrize(
    ("flags", "settings", "sentence"),
    [
        (["-automtls"], {"wire": "grpcio"}, "wire: it is grpcio, which cannot do the mutual TLS"),
        ([], {"drain": "soon"}, "drain: 'soon' came from the variable MM_ASGI_DRAIN"),
        (["-socket-group=no-such-group"], {}, "PLUGIN_UNIX_SOCKET_GROUP"),
    ],
)
def test_L6_what_fails_before_the_handshake_is_the_activation_error(
    flags: list[str], settings: dict[str, Any], sentence: str
) -> None:
    with RealHost(flags=flags, **settings) as host:
        with pytest.raises(StartFailed) as failed:
            host.start()
        assert sentence in str(failed.value)
        assert host.go.events[-1]["stage"] == "start"


@on("g")
def test_L6_a_host_that_asks_for_multiplexing_is_told_no() -> None:
    with RealHost(flags=["-multiplex"]) as host:
        with pytest.raises(StartFailed):
            host.start()
