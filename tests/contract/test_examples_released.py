"""Each example, unchanged, as a bundle on a released server: unpacked, and started by its first line.

On PATH is a python3 and nothing else, and the working directory is the server's, not the bundle's.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import httpx
import pytest

from tests.go_host import go_missing_reason
from tests.net_host import NetHost

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(bool(go_missing_reason()), reason=str(go_missing_reason())),
    pytest.mark.timeout(120),
]

EXAMPLES = Path(__file__).parents[2] / "examples"
ALICE = {"Authorization": "Bearer token-alice"}
STATUS = {
    "django": 200, "fastapi": 200, "flask": 200, "mcp": 404, "moderator": 200, "starlette": 200
}  # fmt: skip
"""Of a GET at the plugin's root; the app itself answers it."""


@pytest.mark.parametrize("name", sorted(STATUS))
async def test_an_example_is_enabled_serves_and_stops(name: str, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(EXAMPLES / name, bundle, ignore=shutil.ignore_patterns("__pycache__", "*.db"))
    path = tmp_path / "path"
    path.mkdir()
    # Not a link: from another folder this interpreter would not find its environment's packages.
    python = path / "python3"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    env = {"PATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"}
    async with NetHost(bundle, env=env) as host:
        assert "ServeHTTP" in host.implemented
        async with httpx.AsyncClient(trust_env=False, headers=ALICE, timeout=30) as client:
            answer = await client.get(f"{host.plugin_url}/")
        assert answer.status_code == STATUS[name], answer.text
        assert answer.text.rstrip() not in (
            "404 page not found",
            "500 internal server error",
        )  # the host's
        assert (await host.control("/ping"))["ok"]
    wrong = [line for line in host.log_lines() if line["level"] == "error"]
    assert wrong == []
