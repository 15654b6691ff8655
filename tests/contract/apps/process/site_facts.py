"""A plugin that says what it knows of the server's configuration (row S7)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mm_asgi import Plugin
from tests.contract.apps.process.process_parts import answer

if TYPE_CHECKING:
    from tests.contract.apps.process.process_parts import Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        return
    await answer(send, json.dumps([scope["scheme"], plugin.config]))


plugin = Plugin(app)
