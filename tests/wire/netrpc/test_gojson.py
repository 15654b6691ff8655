"""JSON as Go's encoding/json would write it."""

from typing import Any

import pytest

from mm_asgi.wire.netrpc.gob_values import GoTime, Registered, write_time
from mm_asgi.wire.netrpc.gojson import as_json, plain


def test_a_setting_that_is_absent_has_its_zero_value() -> None:
    config = as_json("model.Config", {"ServiceSettings": {"SiteURL": "https://chat.example"}})
    assert config["ServiceSettings"]["SiteURL"] == "https://chat.example"
    assert config["ServiceSettings"]["EnableDeveloper"] is False
    assert config["TeamSettings"]["MaxUsersPerTeam"] == 0
    assert config["PluginSettings"]["Plugins"] == {}


def test_names_are_those_of_the_json_tags() -> None:
    licence = as_json("model.License", {"Id": "x", "Features": {"LDAP": True}})
    assert licence["id"] == "x"
    assert licence["features"]["ldap"] is True


def test_an_empty_field_with_omitempty_is_left_out() -> None:
    assert "create_at" not in as_json("model.User", {"Id": "u"})
    assert "feature_flags" not in as_json("model.Config", {})
    assert "FeatureFlags" not in as_json("model.Config", {})


def test_embedded_fields_stand_among_the_others() -> None:
    sent = {"PostId": "p", "EmailNotificationContent": {"Subject": "hello"}}
    notification = as_json("model.EmailNotification", sent)
    assert (notification["post_id"], notification["subject"]) == ("p", "hello")
    assert "EmailNotificationContent" not in notification


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (GoTime(1_700_000_000), "2023-11-14T22:13:20Z"),
        (GoTime(1_700_000_000, 120_000_000, 3600), "2023-11-14T23:13:20.12+01:00"),
        (GoTime.zero(), "0001-01-01T00:00:00Z"),
        (GoTime(2**62), "0001-01-01T00:00:00Z"),  # a year that Python has not
    ],
)
def test_a_time_is_written_as_RFC_3339(time: GoTime, text: str) -> None:
    assert as_json("GobEncoder(time.Time)", write_time(time)) == text


@pytest.mark.parametrize(
    ("shape", "value", "expected"),
    [
        ("bytes", b"\xff\x00", "/wA="),
        ("[]string", None, []),
        ("map[string]int", {"a": 1}, {"a": 1}),
        ("[]bytes", [b"x"], ["eA=="]),
        ("interface", None, None),
    ],
)
def test_other_values(shape: str, value: Any, expected: object) -> None:
    assert as_json(shape, value) == expected


def test_plain_takes_the_names_off_at_every_depth() -> None:
    value = {"a": [Registered("*model.PreviewPost", {"Post": Registered("x", 1)})]}
    assert plain(value) == {"a": [{"Post": 1}]}
