"""FileWillBeUploaded over net/rpc: both streams are dialled, read, written and ended."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from mm_asgi import Plugin, Reject, types
from mm_asgi.hooks import NOT_CHECKED
from mm_asgi.wire.netrpc.byte_pipe import BytePipe
from mm_asgi.wire.netrpc.gob_types import BOOL
from mm_asgi.wire.netrpc.permits import read_all, send_permitted

from .called import Called

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Start = Callable[..., Awaitable["Uploads"]]


class Uploads:
    """A host that uploads files through a plugin, as Go does."""

    def __init__(self, called: Called) -> None:
        self.called = called
        self.host = called.host
        self.file = BytePipe()
        self.replacement = BytePipe()

    def call(self, **info: Any) -> asyncio.Task[Any]:
        """Call the hook; the streams are on offer."""
        self.file, self.replacement = BytePipe(), BytePipe()
        arguments = {
            "A": {"RequestId": "r"},
            "B": info,
            "UploadedFileStream": self.host.link.offer(self.file),
            "ReplacementFileStream": self.host.link.offer(self.replacement),
        }
        return asyncio.create_task(self.host.hook("FileWillBeUploaded", arguments))

    async def upload(self, content: bytes, **info: Any) -> tuple[Any, bytes]:
        """Return Go's returns and the replacement, once both streams have ended."""
        answer = self.call(**info)
        sending = asyncio.create_task(send_permitted(self.file, content))
        await self.replacement.wait_taken()
        replacement = await read_all(self.replacement, 2**30)
        await asyncio.gather(sending, return_exceptions=True)
        return await answer, replacement

    async def no_stream_is_left(self) -> None:
        for _ in range(2):
            await self.host.control.call("Control.Ping", BOOL, True)
        assert (
            len(self.host.session.link.session.streams) == 4
        )  # control, two that are silent, hooks


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    running: list[Uploads] = []

    async def begin(function: Any, fail: Any = "open", **settings: Any) -> Uploads:
        plugin = Plugin()
        plugin.hook(fail=fail)(function)
        uploads = Uploads(await Called(plugin, **settings).begin())
        running.append(uploads)
        assert await uploads.called.activate() == {}
        return uploads

    yield begin
    for uploads in running:
        await uploads.no_stream_is_left()
        await uploads.called.end()


# ---------------------------------------------------------------- answers


async def test_a_file_that_stays_ends_both_streams(start: Start) -> None:
    seen = []

    async def file_will_be_uploaded(context: Any, file_info: Any, file_content: bytes) -> None:
        seen.append((context.request_id, file_info.name, file_content))

    uploads = await start(file_will_be_uploaded)
    assert await uploads.upload(b"abc", Name="a.txt") == ({}, b"")
    assert seen == [("r", "a.txt", b"abc")]


async def test_a_file_is_replaced_and_renamed(start: Start) -> None:
    async def file_will_be_uploaded(context: Any, file_info: Any, file_content: bytes) -> Any:
        file_info.name = "b.txt"
        return file_info, file_content[::-1]

    uploads = await start(file_will_be_uploaded)
    content = bytes(range(256)) * 4096  # more than a window, both ways
    returned, replacement = await uploads.upload(content, Name="a.txt", Size=len(content))
    assert returned == {"A": {"Name": "b.txt", "Size": len(content)}}
    assert replacement == content[::-1]


async def test_a_file_is_refused(start: Start) -> None:
    async def file_will_be_uploaded(context: Any, file_info: Any, file_content: bytes) -> Any:
        raise Reject("no such files")

    uploads = await start(file_will_be_uploaded)
    assert await uploads.upload(b"abc") == ({"B": "no such files"}, b"")


async def test_an_empty_file_is_seen(start: Start) -> None:
    async def file_will_be_uploaded(context: Any, file_info: Any, file_content: bytes) -> Any:
        assert file_content == b""
        return types.FileInfo(name="empty")

    uploads = await start(file_will_be_uploaded)
    assert await uploads.upload(b"") == ({"A": {"Name": "empty"}}, b"")


async def test_a_function_that_fails_ends_both_streams(start: Start) -> None:
    async def file_will_be_uploaded(context: Any, file_info: Any, file_content: bytes) -> Any:
        raise RuntimeError("broken")

    uploads = await start(file_will_be_uploaded, "closed")
    assert await uploads.upload(b"abc") == ({"B": NOT_CHECKED}, b"")


async def test_a_function_that_takes_too_long_is_answered_for(start: Start) -> None:
    """What it returns later is not written behind the answer."""
    returned = asyncio.Event()

    async def file_will_be_uploaded(context: Any, file_info: Any, file_content: bytes) -> Any:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            returned.set()
            return b"late"

    uploads = await start(file_will_be_uploaded, hook_budget=0.05)
    assert await uploads.upload(b"abc") == ({}, b"")
    await returned.wait()


# ---------------------------------------------------------------- streams that fail


async def test_a_file_over_the_limit_passes_unseen(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    async def file_will_be_uploaded(context: Any, file_info: Any, file_content: bytes) -> Any:
        raise AssertionError("it is not called")

    uploads = await start(file_will_be_uploaded, "closed", upload_limit=1000)
    assert await uploads.upload(bytes(3_000_000)) == ({}, b"")
    [record] = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert "more than 1000 bytes (setting upload-limit); it passes unseen" in record.getMessage()


@pytest.mark.parametrize("fail", ["open", "closed"])
async def test_a_file_that_breaks_off_is_not_shown(
    start: Start, caplog: pytest.LogCaptureFixture, fail: str
) -> None:
    async def file_will_be_uploaded(context: Any, file_info: Any, file_content: bytes) -> Any:
        raise AssertionError("it is not called")

    uploads = await start(file_will_be_uploaded, fail)
    answer = uploads.call()
    await uploads.file.wait_taken()
    assert await uploads.file.read()  # the permission
    uploads.file.write(b"abc")
    uploads.file.reset()
    assert await answer == ({} if fail == "open" else {"B": NOT_CHECKED})
    assert await uploads.replacement.read() == b""
    uploads.replacement.close()
    [record] = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert "the file broke off" in record.getMessage()


async def test_both_streams_are_dialled_before_anything_is_waited_for(start: Start) -> None:
    """A stream that is not dialled holds the user's upload up for 5 s."""
    go_on = asyncio.Event()

    async def file_will_be_uploaded(context: Any, file_info: Any, file_content: bytes) -> Any:
        await go_on.wait()

    uploads = await start(file_will_be_uploaded)
    answer = uploads.call()
    await uploads.file.wait_taken()
    await uploads.replacement.wait_taken()
    assert not answer.done()
    uploads.file.close()
    go_on.set()
    assert await answer == {}
    assert await uploads.replacement.read() == b""
    uploads.replacement.close()
