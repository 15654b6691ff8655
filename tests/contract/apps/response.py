"""Polite cases: the shapes that an answer and its headers may take (rows R1, R3, R4, R6, R12, R13)."""

from __future__ import annotations

import asyncio
import http

from tests.contract.apps.registry import Call, Outcome, row, unlisted

__all__ = ["BLOCK", "HOP_BY_HOP"]

BLOCK = bytes(range(256)) * 256  # 64 KiB

# ---------------------------------------------------------------- shapes


@row(Outcome(body=b"hello", headers={"content-length": "5", "x-a": "1"}, messages=1))
@row(Outcome(method="HEAD", body=b"", headers={"content-length": "5"}, messages=1))
async def hello(call: Call) -> None:
    await call.start(200, (b"X-A", b"1"))
    await call.body(b"hello")


@row(Outcome(body=b"", headers={"content-length": "0"}, messages=1))
@row(Outcome(method="HEAD", body=b"", headers={"content-length": None}, messages=1))
async def empty(call: Call) -> None:
    await call.start()
    await call.body(b"")


@row(Outcome(body=b"", headers={"content-length": "0"}, messages=1))
async def no_keys(call: Call) -> None:
    await call.send({"type": "http.response.start", "status": 200})
    await call.send({"type": "http.response.body"})


@row(Outcome(body=b"hello", headers={"content-length": "5"}, messages=1))
@row(Outcome(method="HEAD", body=b"", headers={"content-length": "5"}, messages=1))
async def declared(call: Call) -> None:
    await call.start(200, (b"Content-Length", b"5"))
    await call.body(b"hello")


@row(Outcome(method="HEAD", body=b"", headers={"content-length": "12345"}, messages=1))
async def declared_head(call: Call) -> None:
    await call.start(200, (b"content-length", b"12345"))
    await call.body(b"")


@row(Outcome(status=204, body=b"", headers={"content-length": None}, messages=1))
async def no_content(call: Call) -> None:
    await call.start(204, (b"content-length", b"5"))
    await call.body(b"hello")


@row(Outcome(status=304, body=b"", headers={"etag": '"a"'}, messages=2))
async def not_modified(call: Call) -> None:
    await call.start(304, (b"content-length", b"5"), (b"etag", b'"a"'))
    await call.body(b"hello", more=True)
    await call.body(b"and more")


@row(Outcome(status=999, messages=1, but="s"))  # uvicorn has no line for it
async def status_999(call: Call) -> None:
    await call.start(999)
    await call.body()


@row(Outcome(status=201, messages=1))
async def status_enum(call: Call) -> None:
    await call.start(http.HTTPStatus.CREATED)
    await call.body()


@row(Outcome(body=BLOCK * 16, headers={"content-length": str(len(BLOCK) * 16)}, messages=16))
async def megabyte(call: Call) -> None:
    await call.start()
    await call.body(BLOCK * 16)


@row(Outcome(body=BLOCK * 16 + b"!", headers={"content-length": None}, messages=17))
async def megabyte_streamed(call: Call) -> None:
    await call.start()
    await call.body(BLOCK * 16, more=True)
    await call.body(b"!")


@row(Outcome(body=b"0123456789" * 100, headers={"content-length": None}, messages=101))
async def many_chunks(call: Call) -> None:
    await call.start()
    for _ in range(100):
        await call.body(b"0123456789", more=True)
    await call.body(b"")


@row(Outcome(body=b"ab", headers={"content-length": None}, messages=4))
async def empty_chunks(call: Call) -> None:
    await call.start()
    for chunk in (b"", b"a", b"", b"", b"b", b""):
        await call.body(chunk, more=True)
    await call.body(b"")


@row(Outcome(body=b"abcd", headers={"content-length": "4"}, messages=3))
async def declared_chunks(call: Call) -> None:
    await call.start(200, (b"content-length", b"4"))
    await call.body(b"ab", more=True)
    await call.body(b"cd", more=True)
    await call.body(b"")


@row(Outcome(body=b"bytes, view, last", messages=3))
async def buffers(call: Call) -> None:
    await call.start()
    await call.body(bytearray(b"bytes, "), more=True)
    await call.body(memoryview(b"v-i-e-w-,- -")[::2], more=True)
    await call.body(memoryview(b"last").cast("B", (2, 2)))


@row(Outcome(body=b"a" * 200_000 + b"b" * 200_000 + b"c", headers={"content-length": None}))
async def concurrent_sends(call: Call) -> None:
    await call.start()
    async with asyncio.TaskGroup() as group:
        for chunk in (b"a" * 200_000, b"b" * 200_000):
            group.create_task(call.body(chunk, more=True))
        group.create_task(call.body(b"c"))


# ---------------------------------------------------------------- headers


@row(Outcome(headers={"x-one": "1", "x-two": "2"}))
async def headers_generator(call: Call) -> None:
    pairs = [(b"X-One", b"1"), (b"x-TWO", b"2")]
    headers = (pair for pair in pairs)
    await call.send({"type": "http.response.start", "status": 200, "headers": headers})
    await call.body()


@row(Outcome(headers={"x-one": "1", "x-two": "2"}))
async def headers_tuple(call: Call) -> None:
    headers = ((b"X-ONE", bytearray(b"1")), (memoryview(b"x-two"), b"2"))
    await call.send({"type": "http.response.start", "status": 200, "headers": headers})
    await call.body()


@row(Outcome(headers={"x-one": "1", "x-two": "2"}))
async def headers_lists(call: Call) -> None:
    headers = [[b"x-one", b"1"], [b"x-two", b"2"]]
    await call.send({"type": "http.response.start", "status": 200, "headers": headers})
    await call.body()


@row(Outcome(headers={"x-one": "1", "x-two": "2"}))
async def headers_items(call: Call) -> None:
    headers = {b"x-one": b"1", b"x-two": b"2"}.items()
    await call.send({"type": "http.response.start", "status": 200, "headers": headers})
    await call.body()


@row(Outcome(headers={"x-latin": "gr\u00fcn", "x-utf": "gr\u00fcn \u20ac"}))
async def headers_not_ascii(call: Call) -> None:
    await call.start(200, (b"x-latin", b"gr\xfcn"), (b"x-utf", "gr\u00fcn \u20ac".encode()))
    await call.body()


HOP_BY_HOP = ("transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer")


@row(Outcome(headers={**dict.fromkeys(HOP_BY_HOP), "content-length": "2", "x-a": "1"}))
async def headers_hop_by_hop(call: Call) -> None:
    names = [(name.title().encode(), b"chunked") for name in HOP_BY_HOP]
    await call.start(200, *names, (b"x-a", b"1"))
    await call.body()


@row(Outcome(headers={"content-length": "2"}))
async def length_with_spaces(call: Call) -> None:
    await call.start(200, (b"content-length", b" 2 "))
    await call.body()


@unlisted
async def cookies(call: Call) -> None:
    await call.start(
        200,
        (b"set-cookie", b"wide=1; Path=/; HttpOnly"),
        (b"set-cookie", b"bare=2"),
        (b"set-cookie", b"narrow=3; Path=/elsewhere"),
        (b"Set-Cookie", b"odd=4;path = / ;Path=/"),
    )
    await call.body()
