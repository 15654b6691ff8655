"""An app that logs, in each way that matters to the host's log (row L8)."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING

from tests.contract.apps.process.process_parts import answer, route

if TYPE_CHECKING:
    from tests.contract.apps.process.process_parts import Receive, Scope, Send

logger = logging.getLogger("shop.pay")

# As an app that was made for a terminal: its own handler, which prints.
terminal = logging.getLogger("terminal")
terminal.addHandler(logging.StreamHandler(sys.stderr))
terminal.propagate = False


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        raise NotImplementedError
    if route(scope) == "log":
        log_all()
        await asyncio.to_thread(logger.info, "from a thread of the request")
        terminal.error("to a terminal")
    await answer(send, "logged")


def log_all() -> None:
    logger.debug("at debug")
    logger.info("at info, %d of %s", 5, "them", extra={"amount": 12.5, "@message": 5})
    logger.warning("at warning")
    logger.error("at error")
    logger.critical("at critical")
    logger.info("z" * 200_000)
    try:
        raise LookupError("no such order")
    except LookupError:
        logger.exception("with a traceback")


logger.info("at import")
