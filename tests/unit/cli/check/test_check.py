"""`mm-asgi check`: what it makes of an import and a life, and one whole run."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any, get_args

import pytest

from mm_asgi.cli import main
from mm_asgi.cli.check.findings import LIMITS, CheckFinding, Code, find
from mm_asgi.cli.check.imports import Imported, Module, parse_importtime, probe_import
from mm_asgi.cli.check.links import leaving, links_of
from mm_asgi.cli.check.observed import Observed, ObservedAnswer, PrintedLines
from mm_asgi.cli.check.probe import Printed, public_routes
from mm_asgi.cli.check.report import Report
from mm_asgi.cli.check.start_file import start_file_faults
from mm_asgi.host import HostError, LogLine
from mm_asgi.plugin import Plugin
from mm_asgi.settings import Settings

APP = """
import sys, threading
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

print("made at import")

async def root(request):
    threading.Event().wait(0.6)
    return PlainTextResponse("ok")

app = Starlette(routes=[Route("/", root), Mount("/public", routes=[Route("/logo", root)])])
"""

TEXT = """\
some words of the app's
import time: self [us] | cumulative | imported package
import time:       150 |        150 |     shop.parts
import time:      2000 |       2150 |   shop.main
import time: nonsense
"""


def line(message: str, **facts: Any) -> LogLine:
    """A line of the plugin's log."""
    facts = {"source": "plugin", "level": "warn", "time": 1.0, **facts}
    return LogLine(message=message, **facts)


def codes(life: Observed, imported: Imported | None = None) -> list[str]:
    return [finding.code for finding in find(imported or Imported(), life)]


def texts(life: Observed, imported: Imported | None = None) -> list[str]:
    return [finding.text for finding in find(imported or Imported(), life)]


def test_importtimes_lines_are_read_among_others() -> None:
    assert parse_importtime(TEXT) == [
        Module("shop.parts", 0.00015, 0.00015),
        Module("shop.main", 0.002, 0.00215),
    ]


def test_a_good_life_has_no_findings() -> None:
    life = Observed(
        seconds={"handshake": 0.2, "implemented": 1.0}, answers=[ObservedAnswer("/", 200)]
    )
    assert find(Imported(seconds=1.0, public=[]), life) == []


@pytest.mark.parametrize(
    ("life", "code"),
    [
        (Observed(seconds={"handshake": 3.1}), "slow-handshake"),
        (Observed(seconds={"implemented": 10.1}), "slow-import"),
        (Observed(killed=True), "killed"),
        (Observed(crashed=True, fate="exit code 3"), "crash"),
        (Observed(answers=[ObservedAnswer("/", None, left=True)]), "no-answer"),
        (Observed(answers=[ObservedAnswer("/", 200, broken=True)]), "broken-answer"),
        (Observed(answers=[ObservedAnswer("/", 500)]), "server-error"),
        (Observed(printed={"stdout": PrintedLines(1, "x")}), "printed"),
        (Observed(printed={"stderr": PrintedLines(1000, "x")}), "print-flood"),
        (
            Observed(lines=[line("9 log lines were dropped", module="mm_asgi.streams")]),
            "print-flood",
        ),
        (Observed(lines=[line("lifespan: odd", module="mm_asgi.lifespan")]), "lifespan"),
        (Observed(lines=[line("cookie", module="mm_asgi.handler")]), "log"),
        (Observed(failure=HostError("start", "no")), "start"),
    ],
)
def test_one_finding(life: Observed, code: str) -> None:
    assert codes(life) == [code]


def test_a_flood_is_one_finding() -> None:
    lines = [
        line(f"{count} log lines were dropped: x", module="mm_asgi.streams", level="warn")
        for count in (9, 12)
    ]
    (text,) = texts(Observed(lines=lines))
    assert text.startswith("21 log lines were dropped")


def test_what_the_app_logs_itself_is_no_finding() -> None:
    assert codes(Observed(lines=[line("only 3 left", module="shop.orders", level="error")])) == []


def test_a_route_below_public() -> None:
    (text,) = texts(Observed(), Imported(public=["/public/logo"]))
    assert text.startswith("the route /public/logo is never asked: a server serves /public itself")


PAGE = """<html><head><link rel=stylesheet href="/static/app.css"><base></head>
<a href="items/1">one</a> <a href='/plugins/shop/items'>all</a> <a href=//cdn.example.com/x>cdn</a>
<form action="/save?x=1"></form><img src="/api/v4/users/me/image"><a name="/n">n</a>
<script>let x = "/no/link"</script><a href="/save?x=1">again</a><a href="/plugins/shopping">other</a>"""


def test_the_links_of_a_page_that_leave_the_plugin() -> None:
    links = links_of(PAGE)
    assert links[:2] == ["/static/app.css", "items/1"]
    assert leaving(links, "/plugins/shop") == ["/static/app.css", "/save?x=1"]
    site = ["/chat/x", "/chat/plugins/shop", "/chat/plugins/shopping", "/"]
    assert leaving(site, "/chat/plugins/shop") == ["/chat/x", "/chat/plugins/shopping", "/"]
    answer = ObservedAnswer("/", 200, links=links)
    [text] = texts(Observed(prefix="/plugins/shop", answers=[answer]))
    assert text.startswith("GET /: it links to /static/app.css, /save?x=1, which a browser asks")


def test_errors_come_first() -> None:
    life = Observed(
        killed=True, printed={"stdout": PrintedLines(1, "x")}, seconds={"handshake": 4.0}
    )
    assert codes(life) == ["killed", "slow-handshake", "printed"]


@pytest.mark.parametrize(("at", "expected"), [(1.0, []), (2.5, ["warning"]), (4.0, ["error"])])
def test_a_blocked_loop_counts_once_the_app_is_imported(at: float, expected: list[str]) -> None:
    blocked = line("the event loop has been blocked for 1.0 s at x.py:1", time=at)
    life = Observed(seconds={"activate": 1.0}, active_at=3.0, stop_at=5.0, lines=[blocked])
    assert [finding.level for finding in find(Imported(), life)] == expected


def test_a_fault_is_said_with_its_path_and_its_last_line() -> None:
    fields = {"request_id": "r", "exception": "Traceback\n  File\nshop.errors.Empty: no: rows"}
    life = Observed(
        answers=[ObservedAnswer("/a", 200, seconds=0.5, at=2.5), ObservedAnswer("/b", 200, at=9.0)]
    )
    life.lines = [
        line("it raised", module="mm_asgi.bridge", level="error", time=2.2, fields=fields)
    ]
    assert texts(life) == ["GET /a: it raised: Empty: no: rows"]


@pytest.mark.parametrize(("ended", "found"), [(10.9, 0), (11.5, 1)])
def test_an_app_has_a_second_to_see_that_its_client_left(ended: float, found: int) -> None:
    life = Observed(answers=[ObservedAnswer("/s", 200, left=True, at=10.0)], ended_at={"/s": ended})
    assert codes(life) == ["ignores-disconnect"] * found


def test_what_was_printed_at_import_has_its_place() -> None:
    imported = Imported(printed=[{"place": "shop/main.py:3", "text": "hi", "count": 1}])
    (text,) = texts(Observed(printed={"stdout": PrintedLines(2, "hi")}), imported)
    assert text.startswith("stdout: 2 lines were printed, the first at shop/main.py:3 is 'hi';")


def test_the_one_who_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = Printed()
    monkeypatch.setattr(sys, "stdout", printed)
    for word in ("a", "b"):
        print(word, "c")  # noqa: T201
    ((place, entry),) = printed.places.items()
    assert Path(place.rpartition(":")[0]).name == "test_check.py"
    assert entry["text"] == "a c\nb c\n"
    assert entry["count"] == 2


class Route:
    def __init__(self, path: str, routes: list[Any] | None = None) -> None:
        self.path = path
        self.routes = routes


class Wrapped:
    """Middleware around an app."""

    def __init__(self, app: Any) -> None:
        self.app = app


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ([Route("/"), Route("/publicity")], []),
        ([Route("/public"), Route("/public/a")], ["/public", "/public/a"]),
        ([Route("/public", [Route("/a")])], ["/public"]),
        ([Route("/api", [Route("/public")]), Route("", [Route("/public/b")])], ["/public/b"]),
    ],
)
def test_routes_that_are_never_asked(routes: list[Any], expected: list[str]) -> None:
    app = Route("", routes)
    assert public_routes(app) == expected
    assert public_routes(Plugin(Wrapped(app))) == expected  # type: ignore[arg-type]


def test_of_other_apps_the_routes_are_not_known() -> None:
    knot = Wrapped(None)
    knot.app = knot
    assert [public_routes(app) for app in (Plugin(), knot, 5)] == [None, None, None]


def test_the_text_fits_a_terminal() -> None:
    life = Observed(
        seconds={"handshake": 0.2},
        hooks=[
            "ServeHTTP",
            *(f"MessageHasBeen{word}" for word in ("Posted", "Updated", "Deleted")),
        ],
        answers=[ObservedAnswer("/a/path/that/is/long", 200, size=1500)],
    )
    imported = Imported(slowest=[Module("m" * 90, 1.5, 2.0)], modules=3, app="X")
    report = Report(
        target="shop:app",
        plugin_id="shop",
        imported=imported,
        life=life,
        findings=[
            CheckFinding("start", "error", "word " * 40),
            CheckFinding("log", "warning", "\x1b[2J"),
        ],
    )
    text = report.as_text(80)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert text.endswith("\n1 error, 1 warning")


def test_the_reference_has_the_codes_and_the_json() -> None:
    page = (Path(__file__).resolve().parents[4] / "docs/reference/check.md").read_text("utf-8")
    rows = re.findall(r"^\| ([`a-z, -]+) \| (?:error|warning)", page, re.MULTILINE)
    assert sorted(re.findall(r"`([a-z-]+)`", " ".join(rows))) == sorted(get_args(Code))
    written = json.loads(page.partition("```json\n")[2].partition("```")[0])
    report = Report(
        target="", plugin_id="", imported=Imported(), life=Observed(), findings=[]
    ).as_json()
    assert written.keys() == json.loads(report).keys()
    assert written["limits"] == LIMITS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_whole_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "shop.py").write_text(APP)
    (folder / "plugin.py").write_text("import mm_asgi\n\nmm_asgi.run('shop:app')\n")
    (folder / "plugin.py").chmod(0o755)
    assert main(["check", "--json", "--id", "com.acme.shop"]) == 1
    facts = json.loads(capsys.readouterr().out)
    found = {finding["code"]: finding["text"] for finding in facts["findings"]}
    assert found.keys() == {"public-route", "blocked-loop", "printed", "start-file"}
    assert found["start-file"].startswith("plugin.py does not begin with #!")
    assert "in root, inside of threading." in found["blocked-loop"]
    assert "the first at shop.py:7 is 'made at import'" in found["printed"]
    assert facts["seconds"].keys() == facts["limits"].keys()
    assert all(0 < facts["seconds"][name] < facts["limits"][name] for name in facts["limits"])
    (request,) = facts["requests"]
    assert (request["path"], request["status"], request["bytes"]) == ("/", 200, 2)
    assert request["complete"] is True
    assert (facts["format"], facts["ok"], facts["id"]) == (1, False, "com.acme.shop")
    assert len(facts["imports"]) == 10
    assert 10e6 < facts["memory"] < 1e9
    assert facts["public_routes"] == ["/public"]
    assert "ServeHTTP" in facts["hooks"]


@pytest.mark.parametrize(
    "left",
    [
        "import threading; threading.Thread(target=threading.Event().wait).start()",
        "import subprocess; print(subprocess.Popen(['sleep', '60'], stdin=subprocess.PIPE).pid)",
    ],
)
def test_the_import_is_measured_although_the_app_leaves_something(folder: Path, left: str) -> None:
    (folder / "shop.py").write_text(f"{left}\nclass app:\n    routes = []\n")
    began = time.monotonic()
    imported = probe_import(Settings(app="shop:app", app_dir=str(folder)), "shop")
    assert (imported.error, imported.public) == (None, [])
    assert time.monotonic() - began < 30
    for entry in imported.printed:
        os.kill(int(entry["text"]), signal.SIGKILL)


def test_wrong_calls(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 2
    assert "as the argument of mm-asgi check" in capsys.readouterr().err
    assert main(["check", "x:y", "--get", "docs"]) == 2
    assert "get: 'docs' was given, expected a path such as /docs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("manifest", "name", "first", "mode", "faults"),
    [
        (None, "plugin.py", "#!/usr/bin/env python3\n", 0o755, []),
        (None, "plugin.py", "#!/usr/bin/env python3\n", 0o644, ["chmod +x plugin.py"]),
        (None, "plugin.py", "import mm_asgi\n", 0o600, ["is not executable", "with #!"]),
        (None, "plugin.py", "#!/usr/bin/env python3\r\n", 0o755, ["CR LF"]),
        (None, "other.py", "import mm_asgi\n", 0o644, []),
        ("server/start.py", "server/start.py", "pass", 0o755, ["server/start.py does not begin"]),
        ("bin/python", "bin/python", "\x7fELF", 0o755, []),
        ("bin/python", "bin/python", "\x7fELF", 0o644, ["bin/python is not executable"]),
        ("../away", "plugin.py", "", 0o644, []),
    ],
)
def test_a_start_file_that_a_released_server_cannot_run(
    manifest: str | None, name: str, first: str, mode: int, faults: list[str], folder: Path
) -> None:
    if manifest is not None:
        text = json.dumps({"server": {"executable": manifest}})
        (folder / "plugin.json").write_text(text)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(first.encode())
    (folder / name).chmod(mode)
    found = list(start_file_faults(folder))
    assert len(found) == len(faults), found
    assert all(part in text for part, text in zip(faults, found, strict=True))


# ---------------------------------------------------------------- what a server gets

SMALL = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})
"""
MANIFEST = {
    "id": "com.acme.shop",
    "version": "1.0.0",
    "server": {"runtime": "python", "executable": "plugin.py"},
}
PROJECT = '[tool.mm-asgi]\napp = "shop:app"\n'


def shop(folder: Path, target: str = "shop:app", **manifest: Any) -> None:
    (folder / "shop.py").write_text(SMALL)
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "plugin.json").write_text(json.dumps(MANIFEST | manifest))
    start = f"#!/usr/bin/env python3\nimport mm_asgi\n\nmm_asgi.run({target!r})\n"
    (folder / "plugin.py").write_text(start)
    (folder / "plugin.py").chmod(0o755)


def checked(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """The codes and texts of what check finds here."""
    main(["check", "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert facts["ok"] is not any(each["level"] == "error" for each in facts["findings"])
    return {finding["code"]: finding["text"] for finding in facts["findings"]}


def test_a_folder_that_a_server_can_run_has_no_finding(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop(folder)
    assert checked(capsys) == {}


def test_the_start_file_counts_and_not_the_target_of_the_settings(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop(folder, "nonsense.main:plugin")
    found = checked(capsys)
    assert 'the module "nonsense.main" was not found' in found["start"]
    shop(folder, "shop:other")
    (folder / "shop.py").write_text(f"{SMALL}\nother = app\n")
    found = checked(capsys)
    assert found.keys() == {"two-targets"}
    assert "serves shop:other, and [tool.mm-asgi] names shop:app" in found["two-targets"]


def test_the_manifest_is_read_as_a_server_does(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop(folder, version="one", server={"runtime": "pyhton", "executable": "nothere.py"})
    assert main(["check", "--json"]) == 1
    texts = [each["text"] for each in json.loads(capsys.readouterr().out)["findings"]]
    assert [text.partition(",")[0] for text in texts] == [
        "plugin.json: the version is 'one'",
        "plugin.json: the runtime is 'pyhton'",
        "plugin.json: the executable nothere.py is not there: name the start file",
    ]
    (folder / "plugin.json").write_text('{"id": ')
    assert main(["check"]) == 2
    assert "plugin.json: it is no JSON" in capsys.readouterr().err


def test_what_fails_on_a_released_server_alone_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop(folder)
    with (folder / "shop.py").open("a") as file:
        file.write("import os\nassert 'MATTERMOST_PLUGIN_API_TARGET' in os.environ\n")
    found = checked(capsys)
    assert found["start"].startswith(
        "on a released server: the plugin does not start: importing shop failed: AssertionError"
    )


def test_a_redirect_out_of_the_plugin_is_found(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop(folder)
    text = SMALL.replace(
        '"status": 200, "headers": []', '"status": 302, "headers": [(b"location", b"/in")]'
    )
    (folder / "shop.py").write_text(text)
    found = checked(capsys)
    assert found.keys() == {"leaves-prefix"}
    assert "GET /: it links to /in, which a browser asks Mattermost for" in found["leaves-prefix"]
