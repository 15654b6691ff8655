"""A bundle of mm-asgi on both kinds of servers, with a python3 that knows no package: row L1.

Its wheels are made of what is installed here, so that no index is asked.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import httpx
import pytest

from mm_asgi.bundle.make_bundle import Made, make_bundle
from mm_asgi.bundle.unpack import unpack
from tests.go_host import GoHost, StartFailed
from tests.net_host import NetHost
from tests.roads import on
from tests.roads.road import ROOT
from tests.unit.bundle.wheels import wheel_of_installed, wheels_needed

LARGEST = 15_000_000  # bytes
REQUIREMENTS = "fastapi\npython-multipart\nmm-asgi[fastapi]\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The bundle of the FastAPI example."""
    index, folder = tmp_path_factory.mktemp("index"), tmp_path_factory.mktemp("made") / "shop"
    for name in wheels_needed("protobuf", "fastapi", "python-multipart", "fastapi-offline"):
        wheel_of_installed(index, name)
    shutil.copytree(ROOT / "examples" / "fastapi", folder)
    (folder / "requirements.txt").write_text(REQUIREMENTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(index))
        return make_bundle(folder, None, "")


@pytest.fixture
def unpacked(made: Made, tmp_path: Path) -> Path:
    """The folder that a server makes of it."""
    (tmp_path / "plugins").mkdir()
    found = unpack(made.path, tmp_path / "plugins")
    assert (found.faults, found.left_out) == ((), ())
    return found.folder


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder with this Python as the only python3, without its packages."""
    base = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(base)
    return tmp_path / "bin"


def environ(bare: Path) -> dict[str, str]:
    return {"PATH": str(bare), "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(bare)}


async def check(plugin_url: str) -> None:
    client = httpx.AsyncClient(base_url=plugin_url, trust_env=False, timeout=30)
    async with client:
        assert (await client.get("/")).status_code == 200
        schema = (await client.get("/openapi.json")).json()
        assert schema["info"]["title"]


@on("n")
async def test_L1_a_bundle_runs_on_a_released_server(unpacked: Path, bare: Path) -> None:
    async with NetHost(unpacked, env=environ(bare)) as host:
        await check(host.plugin_url)
        assert (await host.stop())["exit_code"] == 0


@on("g")
async def test_L1_the_same_bundle_runs_on_the_python_branch(unpacked: Path, bare: Path) -> None:
    executable = json.loads((unpacked / "plugin.json").read_text())["server"]["executable"]
    options = {"python": bare / "python3", "plugin_id": "com.example.shop", "env": environ(bare)}
    async with GoHost(unpacked, executable, **options) as host:  # type: ignore[arg-type]
        await check(host.plugin_url)


@on("n")
async def test_L1_a_bundle_for_another_python_says_so_to_the_admin(
    unpacked: Path, bare: Path
) -> None:
    stamp = unpacked / "lib" / "mm_asgi_bundle.json"
    stamp.write_text(json.dumps(json.loads(stamp.read_text()) | {"python": "3.99"}))
    with pytest.raises(StartFailed) as failed:
        async with NetHost(unpacked, env=environ(bare)):
            pass
    assert "this bundle needs Python 3.99 on linux-amd64" in failed.value.error


def test_the_examples_bundle_is_small(made: Made) -> None:
    assert made.size < LARGEST
    assert not made.is_pure
    assert {"fastapi", "pydantic_core", "protobuf"} <= made.sizes.keys()
    assert os.fspath(made.path).endswith("com.example.shop-0.1.0.tar.gz")
