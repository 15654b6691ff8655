"""The base classes of the generated AsyncAPI and API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_asgi.api.api_connection import TIMEOUT, APIConnection

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import Self

__all__ = ["AsyncClient", "BlockingClient", "Client"]


class Client:
    """A client of the host's PluginAPI.

    Args:
        source: another client, to share its connection and event loop; or the server's address
            as Go writes it (``host:port``, ``unix:/path``); None: the host's, from the
            environment, read at the first call.
        timeout: seconds for a call, repetitions included; 0: no limit; None: the source's timeout
            (api-timeout for ``plugin.api``, otherwise 10 s).

    A call raises:
        APIError: the call failed, and the subclass says why, no matter in which of its two ways the
            host reports it.
        TypeError, ValueError: an argument does not fit its field.
    """

    def __init__(
        self, source: Client | APIConnection | str | None = None, *, timeout: float | None = None
    ) -> None:
        self._owned = source is None or isinstance(source, str)
        self._timeout = timeout
        if isinstance(source, Client):
            if timeout is None:
                self._timeout = source._timeout
            source = source._connection
        elif not isinstance(source, APIConnection):
            source = APIConnection(source, timeout=TIMEOUT if timeout is None else timeout)
        self._connection: APIConnection = source

    def _limit(self) -> float:
        return self._connection.timeout if self._timeout is None else self._timeout


class AsyncClient(Client):
    """A client whose calls are coroutines, for any event loop."""

    def _call(self, file: str, name: str, /, **fields: Any) -> Awaitable[Any]:
        return self._connection.call(file, name, fields, self._limit())

    async def close(self) -> None:
        """Close the connection, if it is this client's own; later calls raise Unavailable."""
        if self._owned:
            await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()


class BlockingClient(Client):
    """A client whose calls block, for threads.

    On an event loop's own thread a call raises RuntimeError.
    """

    def _call(self, file: str, name: str, /, **fields: Any) -> Any:
        return self._connection.call_blocking(file, name, fields, self._limit())

    def close(self) -> None:
        """Close the connection, if it is this client's own; later calls raise Unavailable."""
        if self._owned:
            self._connection.close_blocking()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
