"""A plugin of ours on the simulated released server, as a process of its own."""

from __future__ import annotations

import sys

import pytest

from mm_asgi.host import Host
from tests.roads import PLUGIN_ID, Plan
from tests.roads.hosts import FOLDER, START_FILE
from tests.unit.host.raw_http import ask

pytestmark = pytest.mark.timeout(60)


@pytest.mark.asyncio
async def test_a_plugin_answers_over_net_rpc() -> None:
    environ = Plan().environ()
    argv = [sys.executable, str(FOLDER / START_FILE)]
    options = {"directory": FOLDER, "plugin_id": PLUGIN_ID, "env": environ}
    async with Host(argv=argv, wire="netrpc", **options) as host:  # type: ignore[arg-type]
        assert "ServeHTTP" in host.implemented
        await host.ping()
        answer = await ask(
            host.address, b"GET /plugins/%b/hello HTTP/1.1\r\nHost: h\r\n\r\n" % PLUGIN_ID.encode()
        )
        assert (answer.status, answer.body) == (200, b"hello")
        fate = await host.deactivate()
        assert str(fate) == "exit code 0"  # by Quit, not by a signal
