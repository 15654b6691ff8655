"""The files of ``public/``: the simulated host beside net/http, for ranges and conditions."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_asgi.host import Host
from tests.go_host import GoHost, go_missing_reason
from tests.unit.host.raw_http import RawAnswer, ask

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(bool(go_missing_reason()), reason=str(go_missing_reason())),
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]

PLUGIN = Path(__file__).parent / "plugins" / "wire_plugin.py"
PUBLIC = "/plugins/com.example.demo/public"
CHANGED = 1_700_000_000.75  # Tue, 14 Nov 2023 22:13:20 GMT, and a fraction that no header carries
SAME, EARLIER, LATER = (
    f"Tue, 14 Nov 2023 22:13:{second} GMT" for second in (20, 19, 21)
)  # fmt: skip
FILES = {
    "page.html": b"<p>hello</p>",
    "ten": b"0123456789",
    "picture": b"\x89PNG\r\n\x1a\n" + bytes(600_000),
    "empty.txt": b"",
}

Hosts = tuple[str, str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hosts(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hosts]:
    """The addresses of the Go host and of the simulated one, on one folder."""
    folder = tmp_path_factory.mktemp("bundle")
    shutil.copy(PLUGIN, folder)
    (folder / "public").mkdir()
    for name, content in FILES.items():
        (folder / "public" / name).write_bytes(content)
        os.utime(folder / "public" / name, (CHANGED, CHANGED))
    argv = [sys.executable, PLUGIN.name]
    async with (
        GoHost(folder, PLUGIN.name) as real,
        Host(argv=argv, directory=folder) as simulated,
    ):
        yield real.http, simulated.address


def comparable(answer: RawAnswer) -> Any:
    """An answer without its date, and without the random line between parts."""
    left_out = ("date", "connection", "transfer-encoding")
    headers = {name: value for name, value in answer.headers.items() if name not in left_out}
    body = answer.body
    [kind] = headers.get("content-type", [""])
    if kind.startswith("multipart/byteranges; boundary="):
        boundary = kind.partition("=")[2]
        headers["content-type"] = [f"multipart, {len(boundary)} digits"]
        body = body.replace(boundary.encode(), b"boundary")
    return answer.status, headers, body, answer.whole


async def compare(hosts: Hosts, method: str, path: str, headers: list[tuple[str, str]]) -> Any:
    """Ask both hosts, and return what both answer."""
    lines = [f"{method} {PUBLIC}/{path} HTTP/1.1", "Host: x"]
    lines += [f"{name}: {value}" for name, value in headers]
    request = "\r\n".join([*lines, "", ""]).encode()
    is_head = method == "HEAD"
    real, simulated = await asyncio.gather(*(ask(host, request, head=is_head) for host in hosts))
    assert comparable(simulated) == comparable(real), request
    return comparable(simulated)


NUMBERS = st.sampled_from(
    ["", "0", "1", "4", "9", "10", "11", "600000", "+3", "-1", "x", "9223372036854775808"]
)
SPANS = st.tuples(NUMBERS, st.sampled_from(["-", " - ", ""]), NUMBERS).map("".join)
RANGES = st.tuples(
    st.sampled_from(["bytes=", "bytes=", "Bytes=", "items=", ""]),
    st.lists(SPANS, min_size=1, max_size=3).map(",".join),
).map("".join)
DATES = st.sampled_from(
    [SAME, EARLIER, LATER, "Tuesday, 14-Nov-23 22:13:20 GMT", "Tue Nov 14 22:13:20 2023", "today", ""]
)  # fmt: skip
TAGS = st.sampled_from(["*", '"a"', 'W/"a"', '"a", *', '"a", "b"', "a", '"', ",*", " *"])
HEADERS = st.lists(
    st.one_of(
        st.tuples(st.just("Range"), RANGES),
        st.tuples(st.just("If-Range"), st.one_of(DATES, TAGS)),
        st.tuples(st.sampled_from(["If-Modified-Since", "If-Unmodified-Since"]), DATES),
        st.tuples(st.sampled_from(["If-Match", "If-None-Match"]), TAGS),
    ),
    max_size=3,
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(["GET", "GET", "HEAD", "POST"]), st.sampled_from([*FILES, "none"]), HEADERS)
async def test_both_answer_the_same(
    hosts: Hosts, method: str, path: str, headers: list[tuple[str, str]]
) -> None:
    await compare(hosts, method, path, headers)


async def test_a_part_is_206_and_what_the_client_has_is_304(hosts: Hosts) -> None:
    status, headers, body, _ = await compare(hosts, "GET", "ten", [("Range", "bytes=2-4")])
    assert (status, body, headers["content-range"]) == (206, b"234", ["bytes 2-4/10"])
    assert headers["accept-ranges"] == ["bytes"]
    status, _, body, _ = await compare(hosts, "GET", "ten", [("If-Modified-Since", SAME)])
    assert (status, body) == (304, b"")
    status, _, body, _ = await compare(hosts, "GET", "ten", [("Range", "bytes=0-0,-1")])
    assert status == 206
    assert b"\r\n\r\n0\r\n--boundary" in body
    status, headers, _, _ = await compare(hosts, "GET", "ten", [("Range", "bytes=10-")])
    assert (status, headers["content-range"]) == (416, ["bytes */10"])
    later = [("Range", "bytes=2-4"), ("If-Range", EARLIER)]
    assert (await compare(hosts, "GET", "ten", later))[0] == 200
    assert (await compare(hosts, "GET", "picture", []))[1]["content-type"] == ["image/png"]
