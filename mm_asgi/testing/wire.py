"""What the transports for httpx and for httpx2 share: all but their base class.

Both libraries have the same interface under two names, so the one that a transport is for is
looked up in it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from mm_asgi.host.http import Rules
from mm_asgi.testing.client_exchange import (
    AnswerHead,
    ClientExchange,
    Left,
    Sent,
    SlowWrite,
    Truncated,
    prepare,
)
from mm_asgi.testing.engine import PLUGIN_ID, Engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator
    from types import TracebackType

    from mm_asgi.host import Mattermost
    from mm_asgi.settings import Settings

__all__ = ["BodyStream", "WireTransportBase"]

T = TypeVar("T")

HEARING = 10.0
"""Seconds that disconnect() waits for the app: over the setting disconnect-grace."""

EXTENSION = "mm_asgi"
"""The key of ``response.extensions`` that leads back to the exchange."""


class WireTransportBase:
    """See ``mm_asgi.testing.WireTransport``."""

    library: ClassVar[Any]
    stream_class: ClassVar[type[BodyStream]]

    def __init__(
        self,
        app_or_plugin: object,
        *,
        user: str | None = None,
        plugin_id: str = PLUGIN_ID,
        subpath: str = "/",
        settings: Settings | None = None,
        mattermost: Mattermost | None = None,
        raise_app_exceptions: bool = True,
        strict_csrf: bool = False,
        client: tuple[str, int] = ("127.0.0.1", 50000),
    ) -> None:
        if isinstance(app_or_plugin, Engine):
            self._engine, plugin_id = app_or_plugin, app_or_plugin.plugin_id
        else:
            self._engine = Engine(
                app_or_plugin, plugin_id=plugin_id, settings=settings, mattermost=mattermost
            )
        self._is_shared = isinstance(app_or_plugin, Engine)
        self.raise_app_exceptions = raise_app_exceptions
        self._client = client
        self._rules = Rules(
            plugin_id=plugin_id,
            subpath="/" + subpath.strip("/"),
            user=user or "",
            strict_csrf=strict_csrf,
        )
        self._entered = 0
        self._is_lazy = False  # entered by a request
        self._starting = asyncio.Lock()
        self._open: set[ClientExchange] = set()

    @property
    def base_url(self) -> str:
        """Where the plugin is: for the client's ``base_url``, so that cookies for it come back."""
        return f"http://mattermost.test{self._rules.prefix}"

    @property
    def mattermost(self) -> Mattermost:
        """The server in memory that answers the plugin's API calls."""
        return self._engine.mattermost

    # ---------------------------------------------------------------- life

    async def __aenter__(self) -> Any:
        await self._engine.enter()
        self._entered += 1
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._entered -= 1
        try:
            await self.aclose()
        finally:
            await self._engine.leave()

    async def aclose(self) -> None:
        """Leave what is open; the last who used the plugin stops it.

        Inside of ``async with`` this does nothing: there the end of the block does it.
        """
        if self._entered:
            return
        for exchange in tuple(self._open):
            await self._done(exchange)
        if self._is_lazy:
            self._is_lazy = False
            await self._engine.leave()

    async def settled(self) -> None:
        """Wait until the app is done with all requests, background tasks included.

        Raises:
            Exception: what the app raised meanwhile and no response has raised; of several an
                ExceptionGroup. Not with ``raise_app_exceptions=False``.
        """
        watch = self._engine.watch
        if watch is None:
            return
        await watch.settled()
        failures, watch.unraised = watch.unraised, []
        if self.raise_app_exceptions and failures:
            if len(failures) == 1:
                raise failures[0]
            raise BaseExceptionGroup("the app failed", failures)

    async def disconnect(self, response: Any, *, timeout: float = HEARING) -> None:
        """Leave a response that is not complete, and wait until the app knows of it.

        That is: until it was given http.disconnect, or has ended.

        Args:
            response: of this transport, while its body is open.
            timeout: seconds.

        Raises:
            TimeoutError: the app neither asked nor ended in that time.
            ValueError: the response is of another transport.
        """
        exchange = response.extensions.get(EXTENSION)
        if not isinstance(exchange, ClientExchange):
            raise ValueError(
                f"disconnect: the {response} did not come from the plugin by a WireTransport;"
                " expected one that did"
            )
        try:
            await exchange.disconnect(timeout)
        except TimeoutError:
            raise TimeoutError(
                f"disconnect: the client left {timeout:g} s ago, and the app neither received"
                " http.disconnect nor ended; listen for it in receive(), or send: after the"
                " setting disconnect-grace send() raises"
            ) from None
        finally:
            self._open.discard(exchange)

    # ---------------------------------------------------------------- requests

    async def handle_async_request(self, request: Any) -> Any:
        """Make one request. Exceptions are the library's own, and the app's."""
        timeouts = request.extensions.get("timeout", {})
        with self._translated(request):
            await self._ensure_started(timeouts.get("connect"))
        prepared = await prepare(self._sent(request), self._rules, self._engine)
        if isinstance(prepared, AnswerHead):
            return self._response(prepared, content=prepared.body)
        init, sent = prepared
        exchange = ClientExchange(
            self._engine,
            init,
            write_timeout=timeouts.get("write"),
            raise_failures=self.raise_app_exceptions,
        )
        self._open.add(exchange)
        try:
            with self._translated(request):
                await exchange.send(sent)
                head = await self._within(timeouts.get("read"), exchange.head(), request)
        except BaseException:
            await self._done(exchange)
            raise
        if head.body is not None:
            await self._done(exchange)
            return self._response(head, content=head.body)
        stream = self.stream_class(self, exchange, request, timeouts.get("read"))
        return self._response(head, stream=stream, exchange=exchange)

    async def _ensure_started(self, timeout: float | None) -> None:
        if self._is_shared:
            _ = self._engine.channel  # whose plugin it is starts and stops it: RuntimeError
            return
        async with self._starting:
            if not self._entered and not self._is_lazy:
                try:
                    async with asyncio.timeout(timeout):
                        await self._engine.enter()
                except TimeoutError:
                    text = "the plugin did not start in time (connect timeout)"
                    raise self.library.ConnectTimeout(text) from None
                self._is_lazy = True

    def _sent(self, request: Any) -> Sent:
        headers = [(bytes(name), bytes(value)) for name, value in request.headers.raw]
        names = {name.lower() for name, _ in headers}
        if request.url.scheme == "https" and b"x-forwarded-proto" not in names:
            # The client's URL says what a proxy in front of Mattermost would.
            headers.append((b"X-Forwarded-Proto", b"https"))
        is_whole = isinstance(request.stream, self.library.ByteStream)
        whole = b"".join(request.stream) if is_whole else None
        target = request.url.raw_path
        return Sent(request.method, target, headers, self._client, whole, request.stream)

    def _response(
        self,
        head: AnswerHead,
        *,
        content: bytes | None = None,
        stream: BodyStream | None = None,
        exchange: ClientExchange | None = None,
    ) -> Any:
        extensions: dict[str, Any] = {"http_version": b"HTTP/1.1"}
        if exchange is not None:
            extensions[EXTENSION] = exchange
        return self.library.Response(
            head.status,
            headers=list(head.headers),
            content=content,
            stream=stream,
            extensions=extensions,
        )

    async def _within(self, seconds: float | None, answer: Awaitable[T], request: Any) -> T:
        try:
            async with asyncio.timeout(seconds) as limit:
                return await answer
        except TimeoutError:
            if not limit.expired():
                raise  # the app's own
            text = "the plugin sent nothing in time (read timeout)"
            raise self.library.ReadTimeout(text, request=request) from None

    async def _done(self, exchange: ClientExchange) -> None:
        self._open.discard(exchange)
        await exchange.close()

    @contextlib.contextmanager
    def _translated(self, request: Any) -> Iterator[None]:
        """Raise the engine's exceptions as the library's own."""
        library = self.library
        try:
            yield
        except SlowWrite:
            text = "the plugin did not take the request's body in time (write timeout)"
            raise library.WriteTimeout(text, request=request) from None
        except Truncated:
            text = "the response ended before it was complete: the plugin broke it off, see its log"
            raise library.RemoteProtocolError(text, request=request) from None
        except Left:
            raise library.ReadError("the response was left", request=request) from None


class BodyStream:
    """The body of a response, message by message."""

    def __init__(
        self,
        transport: WireTransportBase,
        exchange: ClientExchange,
        request: Any,
        timeout: float | None,
    ) -> None:
        self._transport = transport
        self._exchange = exchange
        self._request = request
        self._timeout = timeout

    async def __aiter__(self) -> AsyncIterator[bytes]:
        transport, chunks = self._transport, self._exchange.chunks()
        while True:
            with transport._translated(self._request):
                chunk = await transport._within(self._timeout, anext(chunks, None), self._request)
            if chunk is None:
                return
            yield chunk

    async def aclose(self) -> None:
        """Leave what did not come yet."""
        await self._transport._done(self._exchange)
