"""What a released server's log has of a plugin's line."""

from __future__ import annotations

import pytest

from tests.roads.line import from_host_log

TRACE = 'Traceback (most recent call last):\n  File "a.py", line 1, in path\nLookupError: secret'
KEYS = {"@module": "mm_asgi.hooks", "request_id": "request-OnInstall", "exception": TRACE}


@pytest.mark.parametrize("turn", range(3))
def test_further_keys_are_found_in_any_order(turn: int) -> None:
    pairs = [*KEYS.items(), ("timestamp", "2026-11-30T23:15:51.899Z")]
    extras = "".join(name + value for name, value in pairs[turn:] + pairs[:turn])
    event = {"level": "error", "message": "failed", "fields": {"wrapped_extras": extras}}
    [line] = from_host_log([event])
    assert line.logger == "mm_asgi.hooks"
    assert line.fields == {"request_id": "request-OnInstall", "exception": TRACE}


def test_an_access_line_has_its_request() -> None:
    request_id = "m13ospzqexdaf3kzms838go33o"
    extras = (
        f"client127.0.0.1user_id<nil>request_id{request_id}path/mm/xbytes0ms1@modulemm_asgi.access"
    )
    [line] = from_host_log([{"message": "GET", "fields": {"wrapped_extras": extras}}])
    assert (line.request_id, line.logger) == (request_id, "mm_asgi.access")
