"""What the host does with a plugin's answers to its hooks; and the request's body, the gate."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from mm_asgi.host import Host, HostError
from mm_asgi.host.gateway import Gateway
from mm_asgi.host.http.body import Body
from mm_asgi.host.http.rules import Rules
from mm_asgi.host.plugin.gate import Gate
from mm_asgi.host.plugin.log import HostLog
from mm_asgi.protocol.hooks_lifecycle_pb2 import OnActivateRequest
from tests.unit.host.raw_http import ask

ERROR = {
    "error": {"where": "OnActivate", "id": "no.database", "detailed_error": "gone", "message": "x"}
}


def full(*values: Any) -> Any:
    return pytest.param(*values, marks=pytest.mark.full)


def wired(**answers: Any) -> Host:
    return Host(
        argv=[sys.executable, "wire_plugin.py"],
        directory=Path(__file__).parent / "plugins",
        env={"WIRE_ANSWERS": json.dumps(answers)},
    )


@pytest.mark.parametrize(
    ("answers", "stage", "error"),
    [
        ({"Check": "abort"}, "health", "the plugin does not answer: .*as the test asked"),
        ({"Implemented": "abort"}, "implemented", "gRPC Implemented call failed: INTERNAL: as the"),
        ({"OnActivate": ERROR}, "activate", "OnActivate: no.database, gone$"),
        full({"Implemented": {"error": {}}}, "implemented", "query implemented hooks: $"),
        full({"OnActivate": "abort"}, "activate", "gRPC OnActivate call failed: INTERNAL: as the"),
        full({"OnActivate": {"error": {}}}, "activate", "^$"),
    ],
)
async def test_a_start_that_the_plugin_refuses(
    answers: dict[str, Any], stage: str, error: str
) -> None:
    with pytest.raises(HostError) as caught:
        await wired(**answers).__aenter__()
    assert caught.value.stage == stage
    assert re.search(error, caught.value.error)


async def test_a_plugin_without_serve_http_is_a_404() -> None:
    async with wired(Implemented={"hooks": ["OnDeactivate", "ServeMetrics", "OnNonsense"]}) as host:
        data = b"GET /plugins/com.example.demo/ HTTP/1.1\r\nHost: x\r\n\r\n"
        assert (await ask(host.address, data)).status == 404
        warned = [line.fields for line in host.log.lines("host") if line.level == "warn"]
        assert warned == [{"name": "OnNonsense"}]
        assert (await host.hook("Implemented", force=True)).response.hooks[0] == "OnDeactivate"


async def test_hooks_tell_how_they_ended() -> None:
    answers = {"OnActivate": {}, "OnDeactivate": ERROR}
    async with wired(**answers) as host:
        failed = await host.hook("OnDeactivate")
        assert (failed.ok, failed.code, failed.error) == (
            False,
            "OK",
            "OnActivate: no.database, gone",
        )
        assert failed.json()["error"]["id"] == "no.database"
        fine = await host.hook("OnActivate", OnActivateRequest())
        assert (fine.ok, fine.json()) == (True, {})
        unknown = await host.hook("UserHasLoggedIn", force=True)
        assert (unknown.ok, unknown.listed, unknown.called) == (False, False, True)
        assert (unknown.code, unknown.json()) == ("UNKNOWN", {})
    errors = [line.fields["error"] for line in host.log.lines("host") if line.level == "error"]
    assert [error.partition(" desc")[0] for error in errors] == [
        "rpc error: code = UNKNOWN",
        "OnActivate: no.database, gone",
    ]


async def test_a_hook_that_hangs_does_not_hold_up_the_end() -> None:
    loop = asyncio.get_running_loop()
    async with wired(OnDeactivate="hang") as host:
        assert (await host.hook("OnDeactivate", timeout=0.1)).code == "DEADLINE_EXCEEDED"
        began = loop.time()
    assert loop.time() - began < 2


# -------------------------------------------------------------------- body, gate, gateway


def body_of(*events: dict[str, Any] | None, closing: bool = False) -> Body:
    """A body from these events; None is the client's leaving, after the last nothing comes."""
    queue = list(events)

    async def receive() -> dict[str, Any]:
        if not queue:
            await asyncio.Event().wait()
        event = queue.pop(0)
        return {"type": "http.disconnect"} if event is None else {"type": "http.request", **event}

    return Body(receive, closing=closing)


def part(size: int, *, more: bool = True) -> dict[str, Any]:
    return {"body": b"x" * size, "more_body": more}


async def test_reads_are_cut_and_the_last_one_says_so() -> None:
    body = body_of(part(0), part(100_000), part(5, more=False))
    got = [await body.read() for _ in range(3)]
    assert [(len(chunk), complete) for chunk, complete in got] == [
        (65536, False),
        (100_000 - 65536, False),
        (5, True),
    ]
    assert await body.read() == (b"", True)
    assert await body.settle()


async def test_a_client_that_leaves_breaks_the_body() -> None:
    body = body_of(part(3), None)
    await body.read()
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await body.read()
    assert body.broken
    assert not await body.settle()
    whole = body_of(part(3), None)
    assert await whole.read_all() == b"xxx"
    assert await whole.read() == (b"xxx", True)  # as if it were all


async def test_the_rest_is_read_away_and_then_the_body_is_closed() -> None:
    body = body_of(part(10), part(200_000), part(1, more=False))
    await body.read()
    assert await body.settle()
    with pytest.raises(ConnectionError):
        await body.read()
    big = body_of(part(10), part(200_000), part(100_000), part(1, more=False))
    assert not await big.settle()
    assert (await big.read())[1]  # net/http lets it be read on
    assert not await body_of(part(10), closing=True).settle()


async def test_lingering_ends() -> None:
    await body_of(part(1), part(1, more=False)).linger()
    await body_of(part(1), None).linger()
    await body_of(part(1)).linger()  # nothing more comes


async def test_the_gate_gives_up_waiting_for_answers() -> None:
    gate = Gate()
    waiting = gate.handed_over()
    assert not await gate.answered(0.01)
    asyncio.get_running_loop().call_soon(waiting.settle)
    assert await gate.answered(5)


async def test_what_fails_in_the_gateway_is_logged(tmp_path: Path) -> None:
    log = HostLog()
    gateway = Gateway(Rules(plugin_id="x"), Gate(), log, tmp_path)

    async def send(event: Any) -> None:
        raise OSError("no line")

    scope = {
        "method": "GET", "raw_path": b"/", "query_string": b"", "http_version": "1.1",
        "headers": [(b"host", b"x")], "client": None,
    }  # fmt: skip
    with pytest.raises(OSError, match="no line"):
        await gateway(scope, body_of(part(0, more=False))._receive, send)
    assert log.lines("host")[0].fields == {"error": "OSError: no line"}
