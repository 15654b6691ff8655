"""One request of a client through the host's rules and over the wire; knows no HTTP library."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mm_asgi.host.http import (
    USER_ID,
    identify_by_form,
    init_message,
    read_request,
    rewrite,
    route,
)
from mm_asgi.protocol.hooks_http_pb2 import ServeHTTPRequest, ServeHTTPResponse
from mm_asgi.testing.request_line import with_prefix
from mm_asgi.wire.port import RPCError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Mapping

    from mm_asgi.host.http import Rules
    from mm_asgi.protocol.hooks_http_pb2 import ServeHTTPRequestInit
    from mm_asgi.testing.engine import Engine
    from mm_asgi.testing.watch import AppCall
    from mm_asgi.wire.port import Call

__all__ = ["ClientExchange", "AnswerHead", "Left", "Sent", "SlowWrite", "Truncated", "prepare"]

CHUNK = 64 * 1024
"""Bytes of one body_chunk: serveHTTPChunkSize of hooks_grpc_client.go."""

PLAIN = ((b"content-type", b"text/plain; charset=utf-8"),)


class Truncated(Exception):
    """The plugin's answer ended before it was complete."""


class Left(Exception):
    """This side has left the request."""


class SlowWrite(Exception):
    """The plugin did not take the request's next bytes in time."""


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """The beginning of an answer; ``body`` is all of it when the host itself answers."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """What a client sends. ``target`` is the request line's, ``whole`` a body that is there."""

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    client: tuple[str, int]
    whole: bytes | None
    stream: AsyncIterable[bytes]


async def prepare(
    sent: Sent, rules: Rules, engine: Engine
) -> tuple[ServeHTTPRequestInit, Sent] | AnswerHead:
    """Return the request as the host passes it on, or the host's own answer."""
    raw, mark, query = sent.target.partition(b"?")
    scope: Mapping[str, Any] = {
        "method": sent.method,
        "raw_path": with_prefix(raw, rules.prefix),
        "query_string": query if mark else b"",
        "headers": sent.headers,
        "http_version": "1.1",
        "client": sent.client,
    }
    try:
        request = read_request(scope)
    except ValueError:
        return AnswerHead(400, PLAIN, b"400 Bad Request")
    way = route(request.url, rules)
    if way.kind == "redirect":
        return AnswerHead(way.status, ((b"location", way.location.encode("latin-1")),), b"")
    if way.kind != "plugin" or "ServeHTTP" not in engine.implemented:
        text = b"404 page not found\n"
        if way.kind == "public":
            text += b"The host serves /public/ from the bundle: the app never sees such a path.\n"
        return AnswerHead(404, PLAIN, text)
    rewritten = rewrite(request, rules)
    if rewritten.form_of is not None:
        # The host, too, reads all of it for the CSRF field.
        if sent.whole is None:
            whole = b"".join([chunk async for chunk in sent.stream])
            sent = Sent(sent.method, sent.target, sent.headers, sent.client, whole, sent.stream)
        assert sent.whole is not None
        identify_by_form(request, rewritten, sent.whole, strict=rules.strict_csrf)
    for user_id in request.header.get(USER_ID, ()):
        engine.mattermost.log_in(user_id)
    try:
        return init_message(request, rewritten.context), sent
    except UnicodeDecodeError:
        # proto3 text has to be UTF-8: such a request never reaches a plugin.
        return AnswerHead(502, PLAIN, b"Bad Gateway\n")


class ClientExchange:
    """One ServeHTTP stream, from the client's side.

    Args:
        engine: the plugin.
        init: the first message's.
        write_timeout: seconds for one piece of the body; None: any.
        raise_failures: raise the app's exceptions, where they come.

    Attributes:
        app_call: what the app does with it; None for a plugin without an app.
    """

    def __init__(
        self,
        engine: Engine,
        init: ServeHTTPRequestInit,
        *,
        write_timeout: float | None,
        raise_failures: bool,
    ) -> None:
        self._init: ServeHTTPRequestInit | None = init
        self._watch = engine.watch
        self._request_id = init.plugin_context.request_id
        self.app_call: AppCall | None = None
        if self._watch is not None:
            self.app_call = self._watch.expect(self._request_id)
            self.app_call.is_raised = raise_failures
        self._write_timeout = write_timeout
        self._raise_failures = raise_failures
        self._call: Call = engine.serve_http(ServeHTTPResponse)
        self._sender: asyncio.Task[None] | None = None
        self._upload_failure: BaseException | None = None
        self._first = b""
        self._is_error = False
        self._is_over = False
        self._complete = False
        self._has_left = False

    # ---------------------------------------------------------------- the request

    async def send(self, sent: Sent) -> None:
        """Send the request: what fits one message at once, else beside the answer."""
        if sent.whole is not None and len(sent.whole) <= CHUNK:
            await self._write(sent.whole, complete=True)
            self._call.half_close()
        else:
            pieces = _cut(sent.whole) if sent.whole is not None else _pieces(sent.stream)
            self._sender = asyncio.create_task(self._send_all(pieces), name="request body")

    async def _send_all(self, pieces: AsyncIterator[bytes]) -> None:
        try:
            async for piece in pieces:
                await self._write(piece, complete=False)
            await self._write(b"", complete=True)
            self._call.half_close()
        except Exception as exc:  # noqa: BLE001 - raised where the answer is waited for
            self._upload_failure = exc
            if self._init is not None:  # the host sends init all the same
                await self._write(b"", complete=False)
            # Without body_complete: the client broke its body off, and is gone.
            self._call.half_close()
            self._leave()
        finally:
            await pieces.aclose()  # type: ignore[attr-defined]

    async def _write(self, chunk: bytes, *, complete: bool) -> None:
        message = ServeHTTPRequest(init=self._init, body_chunk=chunk, body_complete=complete)
        self._init = None
        try:
            async with asyncio.timeout(self._write_timeout):
                await self._call.write(message)
        except TimeoutError:
            raise SlowWrite from None

    # ---------------------------------------------------------------- the answer

    async def head(self) -> AnswerHead:
        """Wait for the beginning of the answer.

        Raises:
            Left: this side has left.
            Exception: the app's own, or that of the request's body.
        """
        message = await self._read()
        if message is None:
            await self._raise_failure()
            return AnswerHead(502, PLAIN, b"Bad Gateway\n")
        init = message.init
        status = init.status_code or 200
        if message.body_complete and status >= 500:
            # Who answers its own fault with a 500 raises it afterwards (Starlette's outermost
            # middleware), and may go through others on its way out.
            await self._raise_failure(wait=True)
        self._first = message.body_chunk
        headers = tuple(
            (header.key.encode(), value.encode())
            for header in init.headers
            for value in header.values
        )
        self._is_error = status >= 500
        return AnswerHead(status, headers)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes. Call this after ``head()``.

        Raises:
            Truncated, Left: it ended before it was complete.
            Exception: as ``head()``.
        """
        if self._first:
            first, self._first = self._first, b""
            yield first
        while not self._complete:
            message = await self._read()
            if message is None:
                await self._raise_failure()
                raise Truncated
            if message.body_chunk:
                yield message.body_chunk
        if self._is_error:
            await self._raise_failure(wait=True)

    async def _read(self) -> ServeHTTPResponse | None:
        """Return the next message; None when the answer ended although it is not complete."""
        try:
            message: ServeHTTPResponse | None = await self._call.read()
        except RPCError:
            message = None
        if message is None:
            self._end()
            if self._upload_failure is not None:
                failure, self._upload_failure = self._upload_failure, None
                raise failure
            if self._has_left:
                raise Left
        elif message.body_complete:
            self._complete = True
            self._end()
        return message

    async def _raise_failure(self, *, wait: bool = False) -> None:
        call = self.app_call
        if not self._raise_failures or call is None or not call.is_begun or self._watch is None:
            return
        if wait:
            await call.ended.wait()
        failure, call.failure = call.failure, None
        if failure is not None and failure in self._watch.unraised:  # else settled() raised it
            self._watch.unraised.remove(failure)
            raise failure

    # ---------------------------------------------------------------- the end

    @property
    def is_over(self) -> bool:
        """Whether the stream has ended."""
        return self._is_over

    def _end(self) -> None:
        """End the stream: release the host's sender, and cancel the RPC."""
        if not self._is_over:
            self._is_over = True
            self._call.cancel()
            if self._sender is not None and self._sender is not asyncio.current_task():
                self._sender.cancel()
            if self._watch is not None:
                self._watch.forget(self._request_id)

    def _leave(self) -> None:
        self._has_left = True
        if self.app_call is not None and not self._complete:
            self.app_call.left = True
        self._end()

    async def close(self) -> None:
        """Leave, unless all of the answer came."""
        if not self._is_over:
            self._leave()
        if self._sender is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait((self._sender,))

    async def disconnect(self, timeout: float) -> None:
        """Leave, and wait until the app knows.

        Raises:
            TimeoutError: it did not ask in that time, and did not end.
        """
        await self.close()
        if self.app_call is not None and self.app_call.is_begun:
            async with asyncio.timeout(timeout):
                await self.app_call.disconnected_or_ended()


async def _cut(whole: bytes) -> AsyncIterator[bytes]:
    view = memoryview(whole)
    for start in range(0, len(view), CHUNK):
        yield bytes(view[start : start + CHUNK])


async def _pieces(stream: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    async for chunk in stream:
        if len(chunk) <= CHUNK:
            if chunk:
                yield chunk
        else:
            async for piece in _cut(chunk):
                yield piece
