"""goplugin/environ.py: what the host's variables say, and what is refused in one line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_asgi.errors import ConfigError
from mm_asgi.goplugin.environ import Environment, StartedByHand, read_environment

COOKIE = {"MATTERMOST_PLUGIN": "Securely message teams, anywhere."}


def test_all_variables() -> None:
    environment = read_environment(
        {
            **COOKIE,
            "MATTERMOST_PLUGIN_ID": "com.example.demo",
            "MATTERMOST_LOG_LEVEL": "debug",
            "MATTERMOST_PLUGIN_API_TARGET": "127.0.0.1:4000",
            "PLUGIN_PROTOCOL_VERSIONS": "2,1,x",
            "PLUGIN_MIN_PORT": "10000",
            "PLUGIN_MAX_PORT": "25000",
            "PLUGIN_UNIX_SOCKET_DIR": "/run/host",
            "PLUGIN_UNIX_SOCKET_GROUP": "plugins",
            "PLUGIN_MULTIPLEX_GRPC": "true",
            "TMPDIR": "/scratch",
            "MM_SQLSETTINGS_DATASOURCE": "secret",
        }
    )
    assert environment == Environment(
        plugin_id="com.example.demo",
        log_level="debug",
        api_target="127.0.0.1:4000",
        protocol_versions=(2, 1),
        min_port=10000,
        max_port=25000,
        socket_dir="/run/host",
        socket_group="plugins",
        temporary_dir="/scratch",
        client_certificate=None,
        multiplex=True,
    )
    assert "secret" not in repr(environment)


def test_cookie_alone() -> None:
    assert read_environment(COOKIE) == Environment(
        plugin_id="",
        log_level=None,
        api_target=None,
        protocol_versions=(),
        min_port=0,
        max_port=0,
        socket_dir=None,
        socket_group=None,
        temporary_dir=None,
        client_certificate=None,
        multiplex=False,
    )


def test_an_empty_target_of_the_API_is_not_an_absent_one() -> None:
    empty = {"MATTERMOST_PLUGIN_API_TARGET": "", "MATTERMOST_LOG_LEVEL": ""}
    environment = read_environment({**COOKIE, **empty})
    assert (environment.api_target, environment.log_level) == ("", None)


@pytest.mark.parametrize(
    ("environ", "found"),
    [({}, "is missing"), ({"MATTERMOST_PLUGIN": "other"}, "has another value")],
)
def test_L6_started_by_hand(environ: dict[str, str], found: str) -> None:
    with pytest.raises(StartedByHand) as caught:
        read_environment(environ)
    text = str(caught.value)
    assert found in text
    assert "Mattermost server" in text
    assert "\n" not in text


def test_mutual_tls_is_demanded_by_a_certificate_that_is_not_empty() -> None:
    for text, found in (("-----BEGIN", "-----BEGIN"), ("", None)):
        environment = read_environment({**COOKIE, "PLUGIN_CLIENT_CERT": text})
        assert environment.client_certificate == found


@pytest.mark.parametrize("text", ["2", "2,3", "x", "1.0", ","])
def test_no_common_protocol_version(text: str) -> None:
    with pytest.raises(ConfigError, match="PLUGIN_PROTOCOL_VERSIONS"):
        read_environment({**COOKIE, "PLUGIN_PROTOCOL_VERSIONS": text})


@pytest.mark.parametrize("text", ["-1", "65536", "http", "1_0", " 1", "٣", "9" * 5000])
@pytest.mark.parametrize("name", ["PLUGIN_MIN_PORT", "PLUGIN_MAX_PORT"])
def test_bad_port(name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=name):
        read_environment({**COOKIE, name: text})


def test_ports_in_the_wrong_order() -> None:
    with pytest.raises(ConfigError, match="smaller one"):
        read_environment({**COOKIE, "PLUGIN_MIN_PORT": "2", "PLUGIN_MAX_PORT": "1"})


@given(
    st.dictionaries(
        st.sampled_from(
            ["PLUGIN_PROTOCOL_VERSIONS", "PLUGIN_MIN_PORT", "PLUGIN_MAX_PORT", "PLUGIN_CLIENT_CERT"]
        ),
        st.text(),
    )
)
def test_every_refusal_fits_the_hosts_one_line(environ: dict[str, str]) -> None:
    try:
        read_environment({**COOKIE, **environ})
    except ConfigError as exc:
        text = str(exc)
        assert text.isprintable()
        assert text.count("|") < 3
        assert len(text) < 1000
