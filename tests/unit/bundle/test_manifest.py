"""plugin.json as a server reads it: each fault has one sentence, and a good one has none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from mm_asgi.bundle.manifest import SEMANTIC_VERSION, read_manifest

if TYPE_CHECKING:
    from pathlib import Path

GOOD: dict[str, Any] = {
    "id": "com.acme.shop",
    "version": "1.0.0",
    "min_server_version": "10.11.0",
    "server": {"runtime": "python", "executable": "plugin.py"},
}


def written(folder: Path, **changed: Any) -> None:
    facts = {name: value for name, value in (GOOD | changed).items() if value is not ...}
    (folder / "plugin.json").write_text(json.dumps(facts))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "plugin.py").write_text("#!/usr/bin/env python3\n")
    written(tmp_path)
    return tmp_path


def test_a_good_one_has_no_faults(folder: Path) -> None:
    found = read_manifest(folder)
    assert (found.id, found.executable, found.is_python) == ("com.acme.shop", "plugin.py", True)
    assert (found.faults, found.facts) == ((), GOOD)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"id": ...}, "the id is None, expected 3 to 190 letters"),
        ({"id": "ab"}, "the id is 'ab'"),
        ({"id": "a" * 191}, "expected 3 to 190"),
        ({"id": "shop ü"}, "the id is 'shop ü'"),
        ({"id": "com.acme.Shop"}, "a server makes the id com.acme.Shop com.acme.shop"),
        ({"version": ...}, "the version is None, expected three numbers such as 1.0.0"),
        ({"version": "latest"}, "the version is 'latest'"),
        ({"version": "1.0"}, "the version is '1.0'"),
        ({"version": 1}, "the version is 1,"),
        ({"min_server_version": "10.11"}, "min_server_version is '10.11', which a server cannot"),
        ({"server": ...}, 'it has no "server"'),
        ({"server": {"runtime": "pyhton", "executable": "plugin.py"}}, "the runtime is 'pyhton'"),
        ({"server": {"runtime": "python"}}, "the server has no executable for "),
        ({"server": {"executable": "nothere.py"}}, "the executable nothere.py is not there"),
        ({"server": {"executable": "../x.py"}}, "../x.py is outside of the bundle"),
        ({"server": {"executable": "/bin/sh"}}, "/bin/sh is outside of the bundle"),
        ({"server": {"executable": "."}}, "the executable . is not there"),
    ],
)
def test_each_fault_has_a_sentence(folder: Path, changed: dict[str, Any], sentence: str) -> None:
    written(folder, **changed)
    [fault] = read_manifest(folder).faults
    assert fault.startswith("plugin.json: ")
    assert sentence in fault


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b'{"id": ', "it is no JSON (Expecting value: line 1 column 8"),
        (b"[]", "it holds a list, expected an object"),
        (b"\xef\xbb\xbf{}", "it begins with a byte order mark"),
        (b"\xff", "it is no JSON"),
        (None, "it is not there, and a server needs it: mm-asgi init writes one"),
    ],
)
def test_what_cannot_be_read_has_one_sentence(
    folder: Path, data: bytes | None, sentence: str
) -> None:
    (folder / "plugin.json").unlink()
    if data is not None:
        (folder / "plugin.json").write_bytes(data)
    found = read_manifest(folder)
    [fault] = found.faults
    assert sentence in fault
    assert (found.id, found.executable, found.facts) == ("", "", {})


def test_several_faults_are_all_told(folder: Path) -> None:
    written(folder, id="", version="one", server={"runtime": "go", "executable": "x"})
    assert len(read_manifest(folder).faults) == 4


@pytest.mark.parametrize(
    ("version", "good"),
    [("1.0.0-rc.1+build.5", True), ("1.0.0-01", False), ("01.0.0", False), ("1.0.0-", False)],
)
def test_versions_are_semantic(version: str, good: bool) -> None:
    assert bool(SEMANTIC_VERSION.fullmatch(version)) is good
