"""A bundle as a server unpacks it."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_asgi.bundle import unpack as module
from mm_asgi.bundle.manifest import read_manifest
from mm_asgi.bundle.unpack import unpack
from mm_asgi.errors import BundleError

if TYPE_CHECKING:
    from pathlib import Path

    from mm_asgi.bundle.unpack import Unpacked


def packed(*members: tuple[str, bytes | tarfile.TarInfo]) -> bytes:
    """A tar.gz of these members."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in members:
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                archive.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def special(kind: bytes, target: str = "", mode: int = 0o777) -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type, info.linkname, info.mode = kind, target, mode
    return info


def opened(tmp_path: Path, data: bytes) -> Unpacked:
    (tmp_path / "shop.tar.gz").write_bytes(data)
    (tmp_path / "into").mkdir()
    return unpack(tmp_path / "shop.tar.gz", tmp_path / "into")


@pytest.mark.parametrize("top", ["com.acme.shop/", "any/", "./any/", "", "./"])
def test_one_top_folder_of_any_name_or_none(tmp_path: Path, top: str) -> None:
    found = opened(tmp_path, packed((f"{top}plugin.json", b"{}"), (f"{top}a/b.py", b"x")))
    assert (found.folder / "plugin.json").read_bytes() == b"{}"
    assert (found.folder / "a" / "b.py").read_bytes() == b"x"
    assert (found.faults, found.left_out) == ((), ())


def test_links_and_devices_are_left_out(tmp_path: Path) -> None:
    data = packed(
        ("x/plugin.json", b"{}"),
        ("x/link", special(tarfile.SYMTYPE, "/etc/passwd")),
        ("x/hard", special(tarfile.LNKTYPE, "x/plugin.json")),
        ("x/fifo", special(tarfile.FIFOTYPE)),
        ("x/link/through", b"y"),
    )
    found = opened(tmp_path, data)
    assert found.left_out == ("x/link", "x/hard", "x/fifo")
    assert not (found.folder / "link").is_symlink()
    assert (found.folder / "link" / "through").read_bytes() == b"y"


def test_folders_are_the_servers_and_files_keep_what_makes_them_run(tmp_path: Path) -> None:
    info = tarfile.TarInfo()
    info.mode = 0o6777
    found = opened(
        tmp_path,
        packed(("x", special(tarfile.DIRTYPE)), ("x/run", info), ("x/plugin.json", b"{}")),
    )
    assert stat.S_IMODE(found.folder.stat().st_mode) == 0o744
    assert stat.S_IMODE((found.folder / "run").stat().st_mode) == 0o755


def test_of_a_name_that_comes_twice_the_last_counts(tmp_path: Path) -> None:
    found = opened(tmp_path, packed(("x/plugin.json", b"one"), ("x/plugin.json", b"two")))
    assert (found.folder / "plugin.json").read_bytes() == b"two"


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x/plugin.json", "{}")
    return file.getvalue()


GOOD = packed(("x/plugin.json", b"{}"), ("x/big", bytes(range(256)) * 400))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "a server cannot extract it"),
        (b"no archive", "expected a tar.gz, such as mm-asgi bundle writes"),
        (zipped(), "a server cannot extract it"),
        (gzip.compress(b"no tar"), "a server cannot extract it"),
        (GOOD[:-300], "a server cannot extract it"),
        (packed(("../x/plugin.json", b"{}")), "'../x/plugin.json' leads out of the plugin's folder"),
        (packed(("x/../../y", b"{}")), "leads out of the plugin's folder"),
        (packed(("..", special(tarfile.DIRTYPE))), "leads out of the plugin's folder"),
    ],
)  # fmt: skip
def test_what_a_server_cannot_extract(tmp_path: Path, data: bytes, text: str) -> None:
    with pytest.raises(BundleError) as refused:
        opened(tmp_path, data)
    assert text in str(refused.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["into", "shop.tar.gz"]


def test_an_absolute_name_stays_below_the_folder(tmp_path: Path) -> None:
    found = opened(tmp_path, packed(("/x/plugin.json", b"{}")))
    assert found.folder == tmp_path / "into" / "x"


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ([("x/plugin.json", b"{}"), ("y", b"")], "at the top there is x, y, expected one folder"),
        ([("x/plugin.json", b"{}"), ("._x", b"")], "macOS adds such files; set COPYFILE_DISABLE=1"),
        ([], "at the top there is nothing, expected one folder"),
    ],
)
def test_a_second_top_entry_hides_the_manifest(
    tmp_path: Path, members: list[Any], text: str
) -> None:
    [fault] = opened(tmp_path, packed(*members)).faults
    assert text in fault


def test_a_large_one_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 100)
    [fault] = opened(tmp_path, GOOD).faults
    assert "and a server takes 0 MB unless FileSettings.MaxFileSize was changed" in fault


NAMES = st.text(st.sampled_from("ab./x"), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(names=st.lists(NAMES, max_size=4), cut=st.integers(0, 200))
def test_whatever_comes_nothing_is_written_elsewhere(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], cut: int
) -> None:
    above = tmp_path_factory.mktemp("above")
    data = packed(*((name, b"x") for name in names))
    try:
        found = opened(above, data[: len(data) - cut])
    except BundleError:
        pass
    else:
        read_manifest(found.folder)
    assert {path.name for path in above.iterdir()} == {"into", "shop.tar.gz"}
