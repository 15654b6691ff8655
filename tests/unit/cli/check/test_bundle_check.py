"""`mm-asgi check BUNDLE`: each way to break a bundle has its sentence, and a good one has none."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from mm_asgi.bundle import unpack
from mm_asgi.cli import main
from mm_asgi.cli.check.bundle_check import check_bundle
from tests.roads.road import ROOT

if TYPE_CHECKING:
    from pathlib import Path

ID = "com.acme.shop"
MANIFEST: dict[str, Any] = {
    "id": ID,
    "version": "1.0.0",
    "server": {"runtime": "python", "executable": "plugin.py"},
}
START = f"""#!/usr/bin/env python3
import sys
sys.path.insert(1, {str(ROOT)!r})
sys.path += {[path for path in __import__("sys").path if path.endswith("site-packages")]!r}
import mm_asgi

if __name__ == "__main__":
    mm_asgi.run("shop:app")
"""
APP = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})
"""
STAMPED = START.replace("import mm_asgi", "print('this bundle needs Python 3.99'); sys.exit(1)")


def manifest(**changed: Any) -> str:
    return json.dumps({name: v for name, v in (MANIFEST | changed).items() if v is not ...})


def archive(
    changed: dict[str, str | bytes | tarfile.TarInfo | None], *, mode: int = 0o755
) -> bytes:
    """A bundle with some of its files changed, left out (None) or beside its top folder (``/``)."""
    files = {"plugin.json": manifest(), "plugin.py": START, "shop.py": APP, **changed}
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as packed:
        for name, content in files.items():
            full = name.removeprefix("/") if name.startswith("/") else f"{ID}/{name}"
            if isinstance(content, tarfile.TarInfo):
                content.name = full
                packed.addfile(content)
            elif content is not None:
                data = content.encode() if isinstance(content, str) else content
                info = tarfile.TarInfo(full)
                info.size, info.mode = len(data), mode
                packed.addfile(info, io.BytesIO(data))
    return made.getvalue()


def zipped() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as packed:
        packed.writestr(f"{ID}/plugin.json", manifest())
    return made.getvalue()


def link(target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


def broken(server: dict[str, Any]) -> bytes:
    return archive({"plugin.json": manifest(server=server)})


UNREAD = {
    "a zip": (zipped(), "a server cannot extract it"),
    "no archive": (b"hello", "a server cannot extract it"),
    "empty": (b"", "a server cannot extract it"),
    "cut": (archive({"big": bytes(range(256)) * 999})[:-500], "a server cannot extract it"),
    "a path out of it": (archive({"../../x": "x"}), "leads out of the plugin's folder"),
    "a second top entry": (
        archive({"/notes.txt": "x"}),
        "at the top there is com.acme.shop, notes",
    ),
    "macOS": (archive({f"/._{ID}": "x"}), "macOS adds such files; set COPYFILE_DISABLE=1"),
    "no manifest": (archive({"plugin.json": None}), "plugin.json: it is not there"),
    "BOM": (archive({"plugin.json": b"\xef\xbb\xbf{}"}), "it begins with a byte order mark"),
    "no JSON": (archive({"plugin.json": "{"}), "plugin.json: it is no JSON"),
    "no object": (archive({"plugin.json": "[]"}), "it holds a list, expected an object"),
    "no id": (archive({"plugin.json": manifest(id=...)}), "the id is None, expected 3 to 190"),
    "a bad id": (archive({"plugin.json": manifest(id="a b")}), "the id is 'a b'"),
    "no executable": (broken({"runtime": "python"}), "the server has no executable for"),
    "missing entry": (broken({"executable": "start.py"}), "start.py is not there"),
    "outside": (broken({"executable": "../start.py"}), "../start.py is outside of the bundle"),
    "no server": (archive({"plugin.json": manifest(server=...)}), 'it has no "server"'),
}
"""Bundles of which a server starts nothing."""

STARTED = {
    "a bad version": (archive({"plugin.json": manifest(version="1")}), "the version is '1'"),
    "a bad least version": (
        archive({"plugin.json": manifest(min_server_version="new")}),
        "min_server_version is 'new', which a server cannot read",
    ),
    "a bad runtime": (
        broken({"runtime": "pyhton", "executable": "plugin.py"}),
        "the runtime is 'pyhton', expected \"python\"",
    ),
    "links": (archive({"venv/bin/python": link("/usr/bin/python3")}), "a server leaves out links"),
    "no execute bit": (archive({}, mode=0o644), "plugin.py is not executable"),
    "no first line": (
        archive({"plugin.py": START.partition("\n")[2]}),
        "plugin.py does not begin with #!",
    ),
    "a missing package": (
        archive({"shop.py": "import nowhere_to_be_found"}),
        "No module named 'nowhere_to_be_found'",
    ),
    "prints first": (
        archive({"plugin.py": START.replace("import sys", "import sys; print('hello')", 1)}),
        "it printed 'hello' where the handshake was awaited",
    ),
    "another Python": (archive({"plugin.py": STAMPED}), "this bundle needs Python 3.99"),
}
"""Bundles that are started."""


def texts(tmp_path: Path, data: bytes) -> list[str]:
    (tmp_path / "shop.tar.gz").write_bytes(data)
    return [finding.text for finding in check_bundle(tmp_path / "shop.tar.gz", ["/"]).findings]


@pytest.mark.parametrize("name", UNREAD)
def test_a_bundle_that_cannot_start_has_its_sentence(tmp_path: Path, name: str) -> None:
    data, expected = UNREAD[name]
    found = texts(tmp_path, data)
    assert [text for text in found if expected in text], found
    assert [path.name for path in tmp_path.iterdir()] == ["shop.tar.gz"]


@pytest.mark.full
@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", STARTED)
def test_a_bundle_that_fails_or_may_fail_has_its_sentence(tmp_path: Path, name: str) -> None:
    data, expected = STARTED[name]
    found = texts(tmp_path, data)
    assert [text for text in found if expected in text], found


def test_a_huge_one_has_its_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "LARGEST", 100)
    found = texts(tmp_path, archive({"plugin.json": manifest(id="")}))
    assert [text for text in found if "unless FileSettings.MaxFileSize was changed" in text]


def test_there_are_25_ways() -> None:
    assert len(UNREAD) + len(STARTED) + 1 >= 25


def test_a_good_one_has_no_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "shop.tar.gz").write_bytes(archive({}))
    assert main(["check", "--json", str(tmp_path / "shop.tar.gz")]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["findings"] == []
    assert (facts["id"], facts["target"]) == (ID, "shop.tar.gz")
    assert [answer["status"] for answer in facts["requests"]] == [200]


def test_a_folder_is_checked_as_it_lies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in {"plugin.json": manifest(id="x"), "plugin.py": START}.items():
        (tmp_path / name).write_text(text)
    assert main(["check", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert said.startswith(f"{tmp_path.name}, Python ")
    assert "plugin.json: the id is 'x'" in " ".join(said.split())
