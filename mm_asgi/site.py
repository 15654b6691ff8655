"""The part of the server's configuration that every plugin gets without a call (row S7).

It is read at activation and after each change. Hosts that lack the API, or these calls, work too:
the site's URL then comes from the settings only.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mm_asgi.errors import APIError, Unavailable, Unimplemented

if TYPE_CHECKING:
    from mm_asgi.api.api_connection import APIConnection

__all__ = ["Site"]

logger = logging.getLogger("mm_asgi.site")

TIMEOUT = 3.0  # s a call, of the 28 that a start-up has: the app can do without


class Site:
    """The site's URL and the plugin's settings, as the host's API returned them last.

    Args:
        connection: the way to the API.

    Attributes:
        url: where users reach the server, or None.
        config: the plugin's settings.
    """

    def __init__(self, connection: APIConnection) -> None:
        self.url: str | None = None
        self.config: dict[str, Any] = {}
        self._connection = connection
        self._turn = asyncio.Lock()  # after two changes the later one's answer has to stay
        self._has_logged = False

    async def read(self) -> None:
        """Read both anew; keep a value that the host does not return, and log that once."""
        async with self._turn:
            try:
                self.config = await self._call("LoadPluginConfiguration")
            except Unavailable as exc:
                self._log_once(exc)
                return  # the next call would wait as long
            except (APIError, ValueError) as exc:
                self._log_once(exc)
            try:
                self.url = _url(await self._call("GetConfig"))
            except (APIError, ValueError) as exc:
                self._log_once(exc)

    async def _call(self, name: str) -> dict[str, Any]:
        data: bytes = await self._connection.call("api_kv_config", name, {}, TIMEOUT)
        found = json.loads(data or b"null")  # null: nothing is set
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise ValueError(f"{name}: the host sent {type(found).__name__}; expected an object")
        return found

    def _log_once(self, exc: Exception) -> None:
        if not self._has_logged:
            self._has_logged = True
            logger.log(
                logging.INFO if isinstance(exc, Unavailable | Unimplemented) else logging.WARNING,
                "the plugin's settings or the site's URL could not be read: %s; said once",
                exc,
            )


def _url(config: dict[str, Any]) -> str | None:
    """Return SiteURL, or None if it is not a URL; a freshly installed server has none."""
    services = config.get("ServiceSettings")
    url = services.get("SiteURL") if isinstance(services, dict) else None
    if not isinstance(url, str):
        return None
    return url if urlsplit(url).scheme.lower() in ("http", "https") else None
