"""net/http's ReadTimeout and WriteTimeout: what they cut, and what they leave alone.

Each promise is kept by the simulated host and, where there is Go, by the real one.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from mm_asgi.host import Host
from tests.go_host import GoHost, go_missing_reason
from tests.unit.host.raw_http import ask, read_answer
from tests.unit.host.raw_script import message, record, release, written

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FOLDER = Path(__file__).parents[1] / "plugins"
LIMIT = 0.5
LONG = 0.7
AFTER = ["after", LONG]  # a plugin that takes longer than the limit
OK = message(b"ok", status=200, complete=True)
FIRST = message(b"a", status=200, flush=True)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(60)]
HOSTS = [
    "simulated",
    pytest.param(
        "go",
        marks=[
            pytest.mark.full,
            pytest.mark.skipif(bool(go_missing_reason()), reason=str(go_missing_reason())),
        ],
    ),
]


@asynccontextmanager
async def started(kind: str, read: float, write: float) -> AsyncIterator[str]:
    if kind == "go":
        flags = [f"-read-timeout={read}s", f"-write-timeout={write}s"]
        async with GoHost(FOLDER, "wire_plugin.py", subpath="/mm", flags=flags) as real:
            yield real.http
    else:
        argv = [sys.executable, "wire_plugin.py"]
        async with Host(
            argv=argv, directory=FOLDER, subpath="/mm", read_timeout=read, write_timeout=write
        ) as simulated:
            yield simulated.address


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=HOSTS)
async def impatient_reader(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A host with a short ReadTimeout; its address."""
    async with started(request.param, LIMIT, 0) as address:
        yield address


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=HOSTS)
async def impatient_writer(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A host with a short WriteTimeout; its address."""
    async with started(request.param, 0, LIMIT) as address:
        yield address


async def everything(address: str, *sent: bytes) -> bytes:
    """All that comes back until the host closes the connection."""
    reader, writer = await dial(address)
    for data in sent:
        writer.write(data)
        await writer.drain()
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


async def dial(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = address.removeprefix("http://").rpartition(":")
    return await asyncio.open_connection(host, int(port))


def key() -> str:
    return uuid.uuid4().hex


# -------------------------------------------------------------------- ReadTimeout


async def slow_body(address: str, steps: list[object], *headers: str, version: str = "1.1",
                    body: bytes = b"abc") -> tuple[int, bytes, bool, list[str]]:  # fmt: skip
    """A body of which a part never comes: the answer, and what the plugin met."""
    name = key()
    data = written("POST", steps, *headers, key=name, body=body, version=version)
    answer = await ask(address, data)
    # Whether the plugin hears first that the body has ended is a race in either host.
    met = [event for event in await record(address, name) if event != "truncated"]
    return answer.status, answer.body, answer.whole, met


@pytest.mark.full
async def test_a_head_that_does_not_come_ends_the_connection(impatient_reader: str) -> None:
    silent, half, second = await asyncio.gather(
        everything(impatient_reader),
        everything(impatient_reader, b"GET / HTTP/1.1\r\nHo"),
        everything(impatient_reader, written("GET", [OK]), b"GET / HTTP/1.1\r\nHo"),
    )
    assert silent == b""
    assert half.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\nConnection: close\r\n" in half
    assert second.startswith(b"HTTP/1.1 200 OK\r\n")
    assert second.endswith(b"\r\n\r\nokHTTP/1.1" + half.removeprefix(b"HTTP/1.1"))


async def test_a_body_that_does_not_come_cancels_the_plugin(impatient_reader: str) -> None:
    failed = (502, b"Bad Gateway\n", True, ["cancelled"])
    declared = "Content-Length: 10"
    got = await asyncio.gather(
        slow_body(impatient_reader, ["read", "hold"], declared),
        slow_body(impatient_reader, ["hold"], declared),
        slow_body(impatient_reader, ["hold"], declared, body=b""),
        slow_body(impatient_reader, ["hold"], declared, version="1.0"),
        slow_body(
            impatient_reader, ["read", "hold"], "Transfer-Encoding: chunked", body=b"3\r\nabc\r\n"
        ),
        # What was answered early waits for the body, and leaves when that is given up.
        slow_body(
            impatient_reader, [message(b"no", status=413, flush=True), "hold"], declared
        ),
    )  # fmt: skip
    assert list(got) == [*[failed] * 5, (413, b"no", True, ["cancelled"])]


@pytest.mark.full
async def test_a_body_that_the_csrf_check_waits_for_never_reaches_the_plugin(
    impatient_reader: str,
) -> None:
    data = written("POST", [OK], "Cookie: MMAUTHTOKEN=token-joe", "Content-Length: 10", body=b"abc")
    answer = await ask(impatient_reader, data)
    assert (answer.status, answer.headers["connection"]) == (503, ["close"])


@pytest.mark.full
async def test_a_request_that_is_there_may_take_longer_than_the_read_timeout(
    impatient_reader: str,
) -> None:
    get, post = await asyncio.gather(
        ask(impatient_reader, written("GET", [FIRST, AFTER, message(b"b", complete=True)])),
        ask(impatient_reader, written("POST", [AFTER, OK], "Content-Length: 3", body=b"abc")),
    )
    assert (get.status, get.body, get.whole) == (200, b"ab", True)
    assert (post.status, post.body, post.whole) == (200, b"ok", True)


# -------------------------------------------------------------------- WriteTimeout


async def late(address: str, steps: list[object]) -> tuple[bytes, list[str]]:
    """What of the answer came, without its head, and what the plugin met."""
    name = key()
    got = await everything(address, written("GET", steps, key=name))
    return got.partition(b"\r\n\r\n")[2], await record(address, name)


async def test_what_is_written_late_cuts_the_connection(impatient_writer: str) -> None:
    end = message(b"b", flush=True, complete=True)
    got = await asyncio.gather(
        late(impatient_writer, [AFTER, OK]),  # not a byte, and the plugin hears nothing of it
        late(impatient_writer, [FIRST, AFTER, message(b"b", flush=True), "hold"]),
        late(impatient_writer, [FIRST, AFTER, message(b"b"), message(complete=True)]),
        late(impatient_writer, [message(b"a", status=200, length=2, flush=True), AFTER, end]),
        late(impatient_writer, [FIRST, AFTER, *[message(b"b" * 100_000)] * 2, "hold"]),
    )
    assert list(got) == [
        (b"", ["done"]),
        (b"1\r\na\r\n", ["cancelled"]),
        (b"1\r\na\r\n", ["done"]),  # nothing was to be written before the end
        (b"a", ["done"]),
        (b"1\r\na\r\n", ["cancelled"]),
    ]


@pytest.mark.full
async def test_who_is_silent_is_left_alone(impatient_writer: str) -> None:
    """The limit is no timer: an idle stream lives until its next byte."""
    reader, writer = await dial(impatient_writer)
    name = key()
    writer.write(written("GET", [FIRST, "hold"], key=name))
    assert (await reader.readuntil(b"a\r\n")).endswith(b"1\r\na\r\n")
    assert await late(impatient_writer, [AFTER, OK]) == (b"", ["done"])  # it is over now
    await release(impatient_writer, name)
    assert await record(impatient_writer, name) == ["done"]
    writer.close()


@pytest.mark.full
async def test_each_request_of_a_connection_has_its_own_time(impatient_writer: str) -> None:
    reader, writer = await dial(impatient_writer)
    writer.write(written("GET", [OK]))
    assert (await read_answer(reader)).body == b"ok"
    assert await late(impatient_writer, [AFTER, OK]) == (b"", ["done"])  # the first's is over now
    writer.write(written("GET", [OK]))
    assert (await read_answer(reader)).body == b"ok"
    writer.close()


@pytest.mark.full
async def test_a_client_that_does_not_read_is_cut(impatient_writer: str) -> None:
    reader, writer = await dial(impatient_writer)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    name = key()
    writer.write(written("GET", [["flood", 24], "hold"], key=name))
    assert (await record(impatient_writer, name))[-1] == "cancelled"
    writer.transport.resume_reading()  # type: ignore[attr-defined]
    try:
        assert len(await reader.read()) < 24 << 20
    except ConnectionError:
        pass  # what was unread went with the connection
    writer.close()
