"""Which wire a plugin's process speaks, and the wires' own words; tests/contract runs them."""

from __future__ import annotations

import logging

import pytest

from mm_asgi.goplugin.environ import read_environment
from mm_asgi.process.wires import choose_wire, new_wire

COOKIE = {"MATTERMOST_PLUGIN": "Securely message teams, anywhere."}


@pytest.mark.parametrize(
    ("setting", "target", "wire", "because"),
    [
        ("auto", None, "netrpc", "is absent"),
        ("auto", "", "native", "is there"),
        ("auto", "127.0.0.1:4000", "native", "is there"),
        ("native", None, "native", "the setting wire"),
        ("grpcio", None, "grpcio", "the setting wire"),
        ("netrpc", "127.0.0.1:4000", "netrpc", "the setting wire"),
    ],
)
def test_the_wire_is_the_settings_or_what_the_hosts_environment_says(
    setting: str, target: str | None, wire: str, because: str
) -> None:
    more = {} if target is None else {"MATTERMOST_PLUGIN_API_TARGET": target}
    name, reason = choose_wire(setting, read_environment({**COOKIE, **more}))
    assert name == wire
    assert because in reason


def test_the_log_names_the_wire_and_why(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "mm_asgi.process")
    assert new_wire("auto", read_environment(COOKIE)).protocol == "netrpc"
    assert new_wire("native", read_environment(COOKIE)).protocol == "grpc"
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "INFO",
            "the wire to the host is netrpc: MATTERMOST_PLUGIN_API_TARGET is absent, as on every"
            " released server",
        ),
        ("DEBUG", "the wire to the host is native: the setting wire says so"),
    ]
