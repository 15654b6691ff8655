"""A body that the app left unread: named, once more is left than a server reads of it."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from mm_asgi.bridge.handler import SERVER_READS
from mm_asgi.grpc_hooks import SERVICE
from mm_asgi.plugin import Plugin
from mm_asgi.protocol.hooks_http_pb2 import ServeHTTPRequest, ServeHTTPRequestInit
from tests.unit.wired import Wired

CHUNK = 64 * 1024


def app_that_reads(events: int) -> Any:
    """It answers after so many events of the body."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        for _ in range(events):
            assert (await receive())["body"]
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"ok"})

    return app


@pytest.mark.parametrize(
    ("chunks", "events", "unread"),
    [(5, 0, 5 * CHUNK), (6, 1, 5 * CHUNK), (4, 0, None), (5, 1, None), (5, 5, None)],
)
async def test_a_body_that_is_left(
    chunks: int, events: int, unread: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    assert SERVER_READS == 4 * CHUNK
    caplog.set_level(logging.INFO)
    wired = Wired(Plugin(app_that_reads(events)))
    assert await wired.activate() is None
    peer = wired._server.open(SERVICE + "ServeHTTP")
    init = ServeHTTPRequestInit(
        method="POST", url="/up", request_uri="/plugins/com.example.demo/up",
        content_length=chunks * CHUNK,
    )  # fmt: skip
    for number in range(chunks):
        last = number == chunks - 1
        first = init if number == 0 else None
        peer.send(ServeHTTPRequest(init=first, body_chunk=bytes(CHUNK), body_complete=last))
    peer.half_close()
    answer: Any = await peer.receive()
    assert (answer.init.status_code, answer.body_chunk) == (200, b"ok")
    await wired.life.deactivate(1.0)
    said = [text for text in caplog.messages if "unread" in text]
    if unread is None:
        assert said == []
        return
    assert [text.partition(":")[0] for text in said] == [
        "the app answered POST /plugins/com.example.demo/up and left"
        f" {unread} of the body's {chunks * CHUNK} bytes unread"
    ]
