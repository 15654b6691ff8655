"""The plugin's process: environment, handshake, what it says, how it ends."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from mm_asgi.host.plugin.host_error import HostError
from mm_asgi.host.plugin.log import HostLog
from mm_asgi.host.plugin.process import PluginProcess, plugin_environment, read_handshake

if TYPE_CHECKING:
    from pathlib import Path

SHAKE = "import sys, time; print('1|1|unix|/no/such/socket|grpc', flush=True);"
STAY = "sys.stdin.close(); import signal; signal.pause()"


async def start(code: str, log: HostLog | None = None, **options: Any) -> PluginProcess:
    settings = {"directory": ".", "environ": os.environ, "timeout": 10.0, **options}
    return await PluginProcess.start(
        [sys.executable, "-S", "-c", code], log=log or HostLog(), **settings
    )


def test_what_a_plugin_finds_in_its_environment() -> None:
    base = {"HOME": "/h", "EMPTY": "", "X": "1", "PLUGIN_CLIENT_CERT": "of an outer host"}
    environ = plugin_environment(base, plugin_id="shop", extra={"X": "", "Y": "2"})
    assert environ == {
        "HOME": "/h",
        "EMPTY": "",
        "Y": "2",
        "MATTERMOST_PLUGIN_ID": "shop",
        "MATTERMOST_PLUGIN_API_TARGET": "",
        "MATTERMOST_PLUGIN": "Securely message teams, anywhere.",
        "PLUGIN_MIN_PORT": "10000",
        "PLUGIN_MAX_PORT": "25000",
        "PLUGIN_PROTOCOL_VERSIONS": "1",
    }
    more = plugin_environment({}, plugin_id="shop", log_level="debug", api_target="h:1")
    assert more["MATTERMOST_LOG_LEVEL"] == "debug"
    assert more["MATTERMOST_PLUGIN_API_TARGET"] == "h:1"
    without = plugin_environment({}, plugin_id="shop", extra={"MATTERMOST_PLUGIN_API_TARGET": ""})
    assert "MATTERMOST_PLUGIN_API_TARGET" not in without


@pytest.mark.parametrize(
    ("line", "target"),
    [
        ("1|1|unix|/tmp/s|grpc", "unix:/tmp/s"),
        ("1|1|unix|/tmp/a b%|grpc|", "unix:/tmp/a%20b%25"),
        (" 1|1|tcp|127.0.0.1:5|grpc\r", "127.0.0.1:5"),
    ],
)
def test_a_handshake_names_the_target(line: str, target: str) -> None:
    assert read_handshake(line) == target


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("hello", "Unrecognized remote plugin message: hello"),
        ("2|1|unix|/s|grpc", "incompatible core API version"),
        ("1|2|unix|/s|grpc", "incompatible API version"),
        ("1|1|pipe|/s|grpc", "unknown address type"),
        ("1|1|unix|/s", "unsupported plugin protocol"),
    ],
)
def test_a_bad_handshake_is_told_in_the_hosts_words(line: str, error: str) -> None:
    with pytest.raises(HostError, match=error):
        read_handshake(line)


async def test_a_process_that_shakes_hands_and_is_killed() -> None:
    process = await start(SHAKE + STAY)
    assert process.target == "unix:/no/such/socket"
    assert process.running
    assert not await process.wait(0.01)
    fate = await process.kill()
    assert (fate.pid, fate.signal, fate.exit_code, fate.killed) == (process.pid, 9, None, True)
    assert str(fate) == "ended by SIGKILL"
    assert await process.kill() == fate


async def test_a_killed_process_leaves_no_socket(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    code = (
        "import os, socket, sys; os.mkdir('own'); s = socket.socket(socket.AF_UNIX);"
        "s.bind('own/s'); print('1|1|unix|' + os.path.abspath('own/s') + '|grpc', flush=True);"
    )
    process = await start(code + STAY, directory=tmp_path)
    assert (folder / "s").exists()
    await process.kill()
    assert not folder.exists()


async def test_its_end_is_told() -> None:
    told = asyncio.Event()
    log = HostLog()
    process = await start(SHAKE + "sys.stderr.write('[WARN] bye'); sys.exit(3)", log)
    process.on_exit(told.set)
    await told.wait()
    late = asyncio.Event()
    process.on_exit(late.set)
    assert late.is_set()
    assert str(await process.kill()) == "exit code 3"
    assert [line.message for line in log.lines("plugin")] == ["[WARN] bye"]
    started, ended = log.lines("go-plugin")
    assert (started.message, started.fields["pid"]) == ("plugin started", process.pid)
    assert (ended.message, ended.fields["end"]) == ("plugin process exited", "exit code 3")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (
            "import sys; sys.stderr.write('because\\n'); sys.exit(2)",
            r"before we could connect \(exit",
        ),
        ("print('not a plugin')", "Unrecognized remote plugin message: not a plugin"),
        ("import sys; sys.stdout.write('no newline')", "Unrecognized remote plugin message: no n"),
        ("print('x' * 70000)", "a first line over 64 KiB"),
    ],
)
async def test_a_process_that_is_no_plugin(code: str, error: str) -> None:
    with pytest.raises(HostError, match=error) as caught:
        await start(code)
    assert caught.value.stage == "start"
    if "because" in code:
        assert caught.value.stderr == ("because",)


async def test_no_handshake_in_time() -> None:
    log = HostLog()
    with pytest.raises(HostError, match=r"timeout while waiting for plugin to start \(0.3 s\)"):
        await start("import sys, signal; signal.pause()", log, timeout=0.3)
    assert [line.fields.get("end") for line in log.lines()] == [None, "ended by SIGKILL"]


async def test_a_start_that_is_given_up_leaves_no_process() -> None:
    log = HostLog()
    code = "import sys, signal; sys.stderr.write('up\\n'); sys.stderr.flush(); signal.pause()"
    task = asyncio.create_task(start(code, log))
    await log.wait_for(lambda line: line.message == "up")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log.lines("go-plugin")[-1].fields["end"] == "ended by SIGKILL"


async def test_an_interpreter_that_is_not_there() -> None:
    with pytest.raises(HostError, match="/no/such/python: it cannot be started"):
        await PluginProcess.start(
            ["/no/such/python"], directory=".", environ={}, timeout=1, log=HostLog()
        )


async def test_what_is_printed_after_the_handshake_is_dropped() -> None:
    log = HostLog()
    many = (
        "[print('x' * 1000) for _ in range(1000)]; sys.stderr.write('done\\n'); sys.stderr.flush();"
    )
    process = await start(SHAKE + many + STAY, log)
    await log.wait_for(lambda line: line.message == "done")
    await process.kill()


async def test_a_long_printed_line_ends_the_reading_as_in_the_host() -> None:
    log = HostLog()
    process = await start(SHAKE + "print('x' * 70000, flush=True);" + STAY, log)
    line = await log.wait_for(lambda line: "scanning stdout" in line.message)
    assert line.fields == {"error": "token too long"}
    await process.kill()


async def test_the_log_is_kept_iterated_and_waited_for() -> None:
    seen: list[str] = []
    log = HostLog(lambda line: seen.append(line.message))
    log.host("info", "one")
    waiting = asyncio.create_task(log.wait_for(lambda line: line.message == "two"))
    await asyncio.sleep(0)
    log.go_plugin("warn", "two", pid=1)
    assert (await waiting).fields == {"pid": 1}
    log.close()
    assert [line.message async for line in log] == ["one", "two"] == seen
    assert [line.message for line in log.lines("host")] == ["one"]
    with pytest.raises(LookupError):
        await log.wait_for(lambda line: False)
    with pytest.raises(TimeoutError):
        await HostLog().wait_for(lambda line: True, timeout=0.01)
