"""goplugin/line_writer.py: nobody waits for a host that does not read."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

import pytest

from mm_asgi.goplugin.line_writer import LineWriter

if TYPE_CHECKING:
    from collections.abc import Iterator


def note(count: int) -> bytes:
    return b"dropped %d" % count


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for fd in (reading, writing):
        with contextlib.suppress(OSError):
            os.close(fd)


def read_lines(fd: int, until: bytes) -> list[bytes]:
    data = b""
    while not data.endswith(until + b"\n"):
        data += os.read(fd, 65536)
    return data.splitlines()


def fill(fd: int) -> None:
    os.set_blocking(fd, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(fd, b"\n" * 4096)
    os.set_blocking(fd, True)


def test_lines_arrive_whole_and_in_order(pipe: tuple[int, int]) -> None:
    writer = LineWriter(pipe[1], note)
    for number in range(1000):
        assert writer.write(b"%d" % number)
    assert read_lines(pipe[0], b"999") == [b"%d" % number for number in range(1000)]
    assert writer.flush(1)
    writer.close(1)
    assert not writer.write(b"late")


def test_many_threads(pipe: tuple[int, int]) -> None:
    writer = LineWriter(pipe[1], note)
    start = threading.Barrier(8)

    def work(name: int) -> None:
        start.wait()
        for number in range(200):
            writer.write(b"%d %d" % (name, number))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.write(b"end")
    lines = read_lines(pipe[0], b"end")
    assert len(lines) == 1601
    for name in range(8):
        own = [line for line in lines if line.startswith(b"%d " % name)]
        assert own == [b"%d %d" % (name, number) for number in range(200)]
    writer.close(1)


def test_a_host_that_does_not_read_blocks_nobody(pipe: tuple[int, int]) -> None:
    fill(pipe[1])
    writer = LineWriter(pipe[1], note, limit=10_000)
    line = b"x" * 1000
    kept = sum(writer.write(line) for _ in range(500))
    assert kept < 500
    assert not writer.flush(0.01)
    # Now it reads again.
    received = bytearray()

    def read() -> None:
        while chunk := os.read(pipe[0], 65536):
            received.extend(chunk)

    reader = threading.Thread(target=read)
    reader.start()
    assert writer.flush(5)
    writer.close(1)
    os.close(pipe[1])
    reader.join()
    lines = bytes(received).lstrip(b"\n").splitlines()
    assert lines.count(line) == kept
    notes = [int(other.split()[1]) for other in lines if other != line]
    assert sum(notes) == 500 - kept


def test_chatter_leaves_room_for_the_log(pipe: tuple[int, int]) -> None:
    fill(pipe[1])
    writer = LineWriter(pipe[1], note, limit=1000)
    while writer.write(b"x" * 100, share=0.5):
        pass
    assert writer.write(b"log")
    os.close(pipe[0])
    writer.close(5)


def test_a_non_blocking_other_end(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    writer = LineWriter(pipe[1], note)
    line = b"x" * 300_000
    writer.write(line)
    writer.write(b"end")
    assert read_lines(pipe[0], b"end") == [line, b"end"]
    writer.close(1)


def test_the_host_is_gone(pipe: tuple[int, int]) -> None:
    writer = LineWriter(pipe[1], note)
    os.close(pipe[0])
    writer.write(b"x")
    assert writer.flush(1)
    assert not writer.write(b"y")
    writer.close(1)


def test_a_writer_that_is_interrupted_by_a_writer(pipe: tuple[int, int]) -> None:
    # As a signal handler or a finalizer does that logs: the lock's holder takes it again.
    writer = LineWriter(pipe[1], note)
    with writer._changed:
        assert writer.write(b"inner")
    assert read_lines(pipe[0], b"inner") == [b"inner"]
    writer.close(1)


def test_flush_in_its_own_thread_does_not_wait(pipe: tuple[int, int]) -> None:
    answers: list[bool] = []

    def flushing_note(count: int) -> bytes:
        answers.append(writer.flush(60))
        return note(count)

    writer = LineWriter(pipe[1], flushing_note, limit=10)
    writer.write(b"much too long for it")
    assert read_lines(pipe[0], b"dropped 1") == [b"dropped 1"]
    assert answers == [False]
    writer.close(1)
