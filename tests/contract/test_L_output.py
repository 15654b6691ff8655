"""Row L7: whatever an app prints, the host reads well-formed lines and the plugin goes on."""

from __future__ import annotations

from tests.contract.apps.process.prints import LIES
from tests.roads import ProcessHost, on
from tests.roads.line import find
from tests.roads.process.light_host import LightHost
from tests.roads.process.real_host import RealHost

PLACES = ("import", "startup", "request", "shutdown")


@on("p", "g")
def test_L7_whatever_is_printed_anywhere_arrives_as_lines_of_the_log(host: ProcessHost) -> None:
    with host("prints:app") as plugin:
        plugin.start()
        assert plugin.get("/burst").status == 200
        assert plugin.get("/").status == 200
        assert plugin.stop().code == 0
        lines = plugin.log()
    for place in PLACES:
        for way in ("printed", "written to 1", "without its end on 1", "from a thread"):
            assert find(lines, f"{place}: {way}", logger="stdout", level="info"), (place, way)
        for way in ("printed to stderr", "written to 2", "without its end on 2"):
            assert find(lines, f"{place}: {way}", logger="stderr", level="warn"), (place, way)
        assert find(lines, f"{place}: from a shell", logger="stdout", level="info")
    messages = [line.message for line in lines]
    for text in LIES:
        if "@level" not in text:
            assert messages.count(text) >= 4 * len(PLACES), text
    assert "no utf-8: \\xff\\xfe\\x80" in messages
    assert "nul: a\0b\x1b[31m" in messages
    long = [message for message in messages if message.startswith(("xxx", "yyy", "ccc"))]
    assert len(long) == 4 * len(PLACES)
    assert all(len(message) < 64 * 1024 for message in long)
    assert sum(message.endswith("[cut, 1048576 bytes in all]") for message in long) == 8


@on("p")
def test_L7_the_handshake_stays_the_only_line_on_stdout() -> None:
    with LightHost("prints:app") as host:
        host.start()
        assert host.stop().code == 0
        host.stdout.wait_end()
        assert len(host.stdout.all()) == 1


@on("p", "g")
def test_L7_a_flood_freezes_nothing(host: ProcessHost) -> None:
    # Some 7 MB a burst: more than any pipe or queue on the way holds.
    with host("prints:app", PROCESS_FLOOD=20_000, blocked_kill=0) as plugin:
        plugin.start()
        assert plugin.get("/").status == 200
        plugin.log()
        assert plugin.kill().code == 0


@on("g")
def test_L7_the_go_host_lives_and_parses_every_line() -> None:
    with RealHost("prints:app") as host:
        host.start()
        assert host.get("/burst").status == 200
        assert host.control("/ping")["ok"]
        assert host.stop().code == 0
        assert host.go.running
        # A line that go-plugin could not parse has no module and is logged as text.
        assert all(line.logger for line in host.log())
        assert {line["source"] for line in host.go.log_lines()} <= {"plugin", "go-plugin", "host"}
        assert not [line for line in host.go.log_lines("go-plugin") if line["level"] == "error"]
