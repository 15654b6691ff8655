"""A plugin's process on a released server: what differs there from a host with gRPC, in rows L1
and L5. The host is the real plugin package, and the plugin a bundle as a server unpacks it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.go_host import StartFailed
from tests.net_host import NetHost
from tests.roads import on
from tests.roads.road import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

APP = """
import json, os, sys

async def app(scope, receive, send):
    assert scope["type"] == "http"
    seen = [os.getcwd(), scope["root_path"], sys.path[0]]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})
"""
START = """#!/usr/bin/env python3
import mm_asgi

if __name__ == "__main__":
    mm_asgi.run("demo:app")
"""


def bundle(folder: Path, app: str = APP, start: str = START, executable: str = "plugin.py") -> Path:
    """Lay out a bundle whose start file runs itself, as a released server runs it."""
    manifest = {
        "id": "com.example.released",
        "version": "1.0.0",
        "server": {"executable": executable},
    }
    (folder / executable).parent.mkdir(parents=True, exist_ok=True)
    (folder / "plugin.json").write_text(json.dumps(manifest))
    (folder / "demo.py").write_text(app)
    (folder / executable).write_text(start)
    (folder / executable).chmod(0o755)
    return folder


def environ(**more: str) -> Mapping[str, str]:
    """Python's folder first on PATH, as if this Python were the machine's python3."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **more}


@on("n")
@pytest.mark.parametrize("executable", ["plugin.py", "server/plugin.py"])
async def test_L1_it_runs_with_nothing_said_and_a_working_directory_elsewhere(
    executable: str, tmp_path: Path
) -> None:
    async with (
        NetHost(bundle(tmp_path / "b", executable=executable), env=environ()) as host,
        httpx.AsyncClient(base_url=host.plugin_url, trust_env=False, timeout=30) as client,
    ):
        folder, root_path, first = (await client.get("/")).json()
        assert (root_path, first) == ("/plugins/com.example.released", folder)
        assert (Path(folder) / "plugin.json").is_file()
        assert folder != os.getcwd()
        [why] = [
            line["message"]
            for line in host.log_lines("plugin")
            if line["message"].startswith("the wire to the host is ")
        ]
        assert "netrpc" in why
        assert (await host.stop())["exit_code"] == 0


@on("n")
@pytest.mark.parametrize(
    ("name", "path", "status"),
    [
        ("django", "/", 200),
        ("fastapi", "/", 200),
        ("flask", "/", 200),
        ("mcp", "/mcp", 400),  # the library wants a session
        ("moderator", "/", 200),
        ("starlette", "/", 200),
    ],
)
async def test_L1_each_example_runs_as_it_stands(
    name: str, path: str, status: int, tmp_path: Path
) -> None:
    copied = shutil.copytree(ROOT / "examples" / name, tmp_path / name)
    alice = {"Authorization": "Bearer token-alice"}
    only = tmp_path / "path"
    only.mkdir()
    # No link: from another folder this interpreter would not find its environment's packages.
    (only / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (only / "python3").chmod(0o755)
    async with (
        NetHost(copied, env={"PATH": str(only), "PYTHONDONTWRITEBYTECODE": "1"}) as host,
        httpx.AsyncClient(base_url=host.plugin_url, headers=alice, trust_env=False) as client,
    ):
        assert (await client.get(path, timeout=30)).status_code == status
        assert (await host.control("/ping"))["ok"]
    assert [line for line in host.log_lines() if line["level"] == "error"] == []


@on("n")
@pytest.mark.parametrize(
    ("app", "more", "text"),
    [
        ("import a_package_that_nobody_has", {}, "No module named 'a_package_that_nobody_has'"),
        (
            "import threading; threading.Event().wait()",
            {"MM_ASGI_IMPORT_BUDGET": "0.3"},
            "the setting blocked-kill, too, ends a plugin that stands still for long",
        ),
    ],
    ids=["missing package", "slow import"],
)
async def test_L1_what_an_activation_failed_of_is_told_once(
    app: str, more: dict[str, str], text: str, tmp_path: Path
) -> None:
    with pytest.raises(StartFailed) as failed:
        async with NetHost(bundle(tmp_path / "b", app), env=environ(**more)):
            pass
    assert failed.value.error.count(text) == 1


@on("n")
async def test_L5_without_its_host_it_is_gone_at_once(tmp_path: Path) -> None:
    host = NetHost(bundle(tmp_path / "b"), env=environ())
    async with host:
        await host.kill9()
        await host.wait_gone()


@on("n")
async def test_a_killed_plugin_comes_back_at_the_next_health_check(tmp_path: Path) -> None:
    async with (
        NetHost(bundle(tmp_path / "b"), env=environ()) as host,
        httpx.AsyncClient(base_url=host.plugin_url, trust_env=False, timeout=30) as client,
    ):
        first = host.pid
        os.kill(first, signal.SIGKILL)
        await host.wait_gone()
        assert (await client.get("/")).status_code == 500
        checked = await host.control("/health?after_exit=1")
        assert (checked["healthy"], checked["restarted"]) == (False, True)
        assert (await client.get("/")).status_code == 200
        assert host.pid != first
