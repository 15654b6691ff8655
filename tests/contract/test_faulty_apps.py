"""Ten faulty apps: each is named in one sentence, by ``mm-asgi check`` or by the log."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import pytest_asyncio

from mm_asgi.cli.check.findings import find
from mm_asgi.cli.check.imports import Imported
from mm_asgi.cli.check.observed import Start, lives
from mm_asgi.host import Host
from tests.contract.faulty_apps import FAULTS, LARGE

if TYPE_CHECKING:
    from mm_asgi.cli.check.findings import CheckFinding
    from tests.contract.faulty_apps import Fault

pytestmark = [pytest.mark.full, pytest.mark.timeout(60)]
in_one_loop = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).resolve().parents[2]
CHECKED = [name for name, fault in FAULTS.items() if not fault.post]


def command(name: str) -> list[str]:
    """The plugin's command line."""
    target = f"tests.contract.{FAULTS[name].module}:{name}"
    return [sys.executable, "-m", "mm_asgi", "serve", target, "--app-dir", str(ROOT)]


def variables(fault: Fault) -> dict[str, str]:
    """Its settings, as its process finds them."""
    return {f"MM_ASGI_{name.upper()}": str(value) for name, value in fault.settings.items()}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def findings() -> dict[str, list[CheckFinding]]:
    """What check finds, by app; all at once, since they mostly wait."""

    async def check(name: str) -> list[CheckFinding]:
        environ = variables(FAULTS[name])
        starts = [Start("native", command(name))]
        [life] = await lives(starts, plugin_id="faulty", environ=environ, paths=["/"])
        return find(Imported(), life)

    return dict(zip(CHECKED, await asyncio.gather(*map(check, CHECKED)), strict=True))


def test_there_are_ten() -> None:
    assert len(FAULTS) == 10


@in_one_loop
@pytest.mark.parametrize("name", CHECKED)
async def test_check_names_it(name: str, findings: dict[str, list[CheckFinding]]) -> None:
    fault = FAULTS[name]
    said = [finding.text for finding in findings[name] if finding.code == fault.code]
    assert [text for text in said if re.fullmatch(fault.says, text)], findings[name]


@pytest.mark.parametrize("name", FAULTS.keys() - set(CHECKED))
async def test_the_log_names_it(name: str) -> None:
    host = Host(argv=command(name), plugin_id="faulty", env=variables(FAULTS[name]))
    async with host, httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{host.url}/", content=bytes(LARGE))
        assert (answer.status_code, answer.content) == (200, b"ok")
        await host.log.wait_for(lambda line: bool(re.fullmatch(FAULTS[name].says, line.message)))
