"""goplugin/standard_streams.py, contract row L7, in processes of their own with real pipes."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from mm_asgi.observe.hclog import LEVELS, LINE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

TAKE = """
import os, subprocess, sys
from mm_asgi.goplugin.standard_streams import StandardStreams
from mm_asgi.observe.hclog import encode, relay
streams = StandardStreams.take(relay)
"""


@contextlib.contextmanager
def plugin(code: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    # Since 3.12 Python warns of a fork beside threads.
    command = [sys.executable, "-Wignore", "-c", TAKE + textwrap.dedent(code)]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, **{**pipes, **options}) as process:
        try:
            yield process
        finally:
            process.kill()


def run(code: str, *, expect: int = 0) -> tuple[bytes, list[dict[str, Any]]]:
    """What the host gets: stdout, and the lines of stderr, each checked."""
    with plugin(code) as process:
        out, err = process.communicate()
    assert process.returncode == expect, err
    return out, [parse(line) for line in err.splitlines(keepends=True)]


def parse(line: bytes) -> dict[str, Any]:
    assert len(line) <= LINE_LIMIT
    entry: dict[str, Any] = json.loads(line)
    assert entry["@level"] in LEVELS
    for name in ("@message", "@module", "@timestamp"):
        assert type(entry[name]) is str
    return entry


def said(entries: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(entry["@module"], entry["@level"], entry["@message"]) for entry in entries]


def test_everything_that_prints_becomes_log_lines() -> None:
    out, entries = run(
        """
        streams.announce("1|1|unix|/s|grpc")
        print("by print")
        os.write(1, b"by os.write\\n")
        sys.stdout.buffer.write(b"by bytes\\n"); sys.stdout.flush()
        os.system("echo by a child")
        subprocess.run([sys.executable, "-c", "print('by python')"])
        print("to stderr", file=sys.stderr)
        os.write(2, b"to 2\\n")
        os.system("echo child to stderr >&2")
        streams.write(encode("error", "app", "by the log"))
        """
    )
    assert out == b"1|1|unix|/s|grpc\n"
    lines = said(entries)
    assert [line for line in lines if line[0] == "stdout"] == [
        ("stdout", "info", f"by {what}")
        for what in ("print", "os.write", "bytes", "a child", "python")
    ]
    assert [line for line in lines if line[0] == "stderr"] == [
        ("stderr", "warn", what) for what in ("to stderr", "to 2", "child to stderr")
    ]
    assert ("app", "error", "by the log") in lines


def test_a_line_that_would_kill_the_host() -> None:
    _, entries = run(
        r"""
        evil = ['{"@message": 5}', '{"@level": "info", "@message": {}}', '{"@timestamp": 1}', "null"]
        for line in evil:
            print(line)
            print(line, file=sys.stderr)
        """
    )
    assert len(entries) == 8
    assert {entry["@message"][:2] for entry in entries} == {'{"', "nu"}


def test_a_line_made_for_the_host_keeps_its_level_and_fields() -> None:
    _, entries = run(
        """
        line = encode("error", "child.module", "told", fields={"request_id": "r1"})
        os.write(2, line + b"\\n")
        """
    )
    assert said(entries) == [("child.module", "error", "told")]
    assert entries[0]["request_id"] == "r1"


def test_long_lines_and_odd_bytes() -> None:
    _, entries = run(
        r"""
        os.write(2, b"\0\xff\n")
        print("\udc80 \ud83d")
        for char in ("x", "\x01", "\U0001f600", "\""):
            print(char * 1_000_000)
        print("after")
        """
    )
    messages = [entry["@message"] for entry in entries]
    assert "\0\\xff" in messages
    assert r"\udc80 \ud83d" in messages
    assert messages[-1] == "after"
    cut = [message for message in messages if len(message) > 1000]
    assert len(cut) == 4
    for message in cut:
        assert "[cut, " in message
    assert cut[0].endswith(" [cut, 1000000 bytes in all]")


def test_unterminated_output_is_sent_after_a_moment() -> None:
    code = """
    sys.stdout.write("question? "); sys.stdout.flush()
    sys.stdin.read()
    print("half a line", end="")
    """
    with plugin(code) as process:
        assert process.stderr is not None
        assert parse(process.stderr.readline())["@message"] == "question? "
        assert process.stdin is not None
        process.stdin.close()
        assert parse(process.stderr.readline())["@message"] == "half a line"
        assert process.wait() == 0


def test_what_is_printed_while_the_process_ends() -> None:
    _, entries = run(
        """
        import atexit
        atexit.register(print, "last words")
        for number in range(2000):
            print(number)
        """
    )
    assert [entry["@message"] for entry in entries] == [*map(str, range(2000)), "last words"]


def test_flush_before_a_hard_exit() -> None:
    _, entries = run(
        """
        for number in range(2000):
            print(number)
        print("end", end="")
        assert streams.flush()
        os._exit(0)
        """
    )
    assert [entry["@message"] for entry in entries] == [*map(str, range(2000)), "end"]


def test_a_host_that_does_not_read_stalls_nothing() -> None:
    code = """
    line = encode("info", "app", "x" * 10_000)
    for _ in range(1000):
        streams.write(line)
        print("y" * 10_000)
    assert not streams.flush(0.05)
    streams.announce("not stalled")
    sys.stdin.read()
    """
    with plugin(code) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"not stalled\n"
        _, err = process.communicate()
    assert process.returncode == 0
    entries = [parse(line) for line in err.splitlines(keepends=True)]
    assert any("log lines were dropped" in entry["@message"] for entry in entries)
    assert any(entry["@module"] == "app" for entry in entries)


def test_a_forked_child_reaches_the_log_through_its_parent() -> None:
    _, entries = run(
        """
        streams.announce("line")
        child = os.fork()
        if child == 0:
            print("child prints", flush=True)
            streams.write(encode("error", "app", "child logs"))
            assert not streams.flush()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        """
    )
    assert set(said(entries)) == {
        ("stdout", "info", "child prints"),
        ("app", "error", "child logs"),
    }


@pytest.mark.parametrize("how", ["subprocess.Popen(['cat'])", "os.fork() or sys.stdin.read()"])
def test_a_child_left_behind_does_not_hold_the_hosts_pipes(how: str) -> None:
    # go-plugin's Kill waits for the end of both, without a deadline.
    with plugin(f"pid = os.getpid()\n{how}\nif os.getpid() == pid: os._exit(0)") as process:
        assert process.stdout is not None
        assert process.stdout.read() == b""
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_the_host_is_gone_before_the_handshake() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    code = """
    from mm_asgi.errors import ConfigError
    try:
        streams.announce("1|1|unix|/s|grpc")
    except ConfigError as exc:
        streams.write(encode("error", "app", str(exc)))
    """
    with plugin(code, stdout=writing) as process:
        os.close(writing)
        _, err = process.communicate()
    assert "the host that started this plugin is gone" in parse(err)["@message"]
    assert process.returncode == 0


def test_the_host_is_gone_and_nothing_fails() -> None:
    code = """
    sys.stdin.read()
    for _ in range(100):
        print("x" * 10_000)
        streams.write(b"y")
    """
    with plugin(code) as process:
        for pipe in (process.stderr, process.stdout, process.stdin):
            assert pipe is not None
            pipe.close()
        assert process.wait() == 0


def test_stdout_has_one_line() -> None:
    out, entries = run(
        """
        streams.announce("one | \\udc80")
        assert streams.announced
        try:
            streams.announce("two")
        except AssertionError as exc:
            print(exc)
        """
    )
    assert out == b"one | \\udc80\n"
    assert entries[0]["@message"] == "stdout has had its line"


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_started_without_standard_streams(closed: str) -> None:
    code = TAKE + "print('x'); print('y', file=sys.stderr); streams.announce('z')"
    command = ["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, code]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0
    if "1" not in closed:
        assert done.stdout == b"z\n"
    if "2" not in closed:
        messages = {parse(line)["@message"] for line in done.stderr.splitlines()}
        assert messages == {"x", "y"}


def test_the_app_closes_its_streams() -> None:
    _, entries = run(
        """
        sys.stdout.close()
        print("to stderr", file=sys.stderr)
        sys.stderr.flush()
        streams.flush()
        os.close(2)
        streams.write(encode("info", "app", "log goes on"))
        """
    )
    assert set(said(entries)) == {("stderr", "warn", "to stderr"), ("app", "info", "log goes on")}


def test_a_stream_that_the_app_replaced_before() -> None:
    code = TAKE.replace("import os,", "import io, os,").replace(
        "streams =", "sys.stdout = io.StringIO()\nstreams ="
    )
    command = [sys.executable, "-c", code + "print('captured'); streams.restore()\nprint('own')"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.stdout == b""
    assert parse(done.stderr)["@message"] == "captured"


def test_a_crash_shows_its_stack() -> None:
    with plugin("import ctypes\nctypes.string_at(0)") as process:
        _, err = process.communicate()
    assert process.returncode != 0
    assert b"Segmentation fault" in err
    assert b'File "<string>"' in err
    for line in err.splitlines():
        assert not line.startswith(b"{")


def test_restore_gives_the_streams_back() -> None:
    with plugin(
        """
        print("before")
        streams.restore()
        streams.restore()
        print("after")
        os.write(2, b"plain\\n")
        if os.fork() == 0:
            os._exit(0)
        os.wait()
        """
    ) as process:
        out, err = process.communicate()
    assert process.returncode == 0
    assert out == b"after\n"
    first, second = err.splitlines()
    assert parse(first)["@message"] == "before"
    assert second == b"plain"


def test_a_fifo_of_threads_prints_whole_lines() -> None:
    _, entries = run(
        """
        import threading
        def work(name):
            for number in range(200):
                print(f"{name} {number}\\n", end="")
        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        """
    )
    assert sorted(entry["@message"] for entry in entries) == sorted(
        f"{name} {number}" for name in "abcd" for number in range(200)
    )


def test_a_grandchild_keeps_its_files() -> None:
    # The child's first files take the numbers of the pipes that it closed.
    _, entries = run(
        """
        child = os.fork()
        if child == 0:
            files = [os.open(os.devnull, os.O_RDONLY) for _ in range(8)]
            grandchild = os.fork()
            if grandchild == 0:
                for fd in files:
                    os.fstat(fd)
                print("all there", flush=True)
                os._exit(0)
            os._exit(os.waitpid(grandchild, 0)[1] != 0)
        assert os.waitpid(child, 0)[1] == 0
        """
    )
    assert said(entries) == [("stdout", "info", "all there")]
