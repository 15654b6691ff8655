"""WSGI apps (Flask, Bottle, Django's WSGI handler) as the plugin's app; needs ``mm-asgi[wsgi]``.

``mm_asgi.run`` and ``mm-asgi serve`` do it by themselves, see the setting ``interface``. What runs
a request in a thread, and its queue, are a2wsgi's. What it leaves open is done here, from both ends:

- a failed send ends its sender and then the app's thread waits for ever (a2wsgi#48, #49): its
  sender never sees a failure, and the app ends at its next chunk;
- a body that was cut looks whole, ``readline(limit)`` reads nothing: an input of our own;
- headers leave with ``start_response``: held until the first chunk, as PEP 3333 wants it;
- SCRIPT_NAME of the process, a query that is not ASCII, cookies joined by commas: set right.
"""

from __future__ import annotations

import asyncio
import io
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from mm_asgi.contrib.threads import DaemonThreads
from mm_asgi.errors import AppProtocolError, ClientDisconnected, StartupError
from mm_asgi.requester import identity as identity_of_scope

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping

    from mm_asgi.requester import Identity

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
    WSGIApp = Callable[[dict[str, Any], Any], Iterable[bytes]]

__all__ = ["WSGIMiddleware", "identity"]

THREADS = 40  # as many as Starlette has for what is not async
_EXCHANGE = "mm_asgi.exchange"
_GONE = "wsgi: the client left before the request or its answer was complete"


class WSGIMiddleware:
    """An ASGI app of a WSGI app.

    The environ has ``REMOTE_USER`` when the host vouches for a user, ``asgi.scope``, and all that
    PEP 3333 asks for. Each request that runs, a stream as long as it is open, takes a thread.

    Args:
        app: the WSGI app.
        threads: how many requests run at once; more of them wait.

    Raises:
        StartupError: a2wsgi is not installed.
    """

    def __init__(self, app: WSGIApp, *, threads: int = THREADS) -> None:
        try:
            import a2wsgi  # an extra
        except ImportError:
            raise StartupError(
                "interface: the app is WSGI, which needs a2wsgi: pip install 'mm-asgi[wsgi]'"
            ) from None
        self._app = app
        # One place in the queue: the client's pace is the app's.
        answer: Any = self._answer  # a2wsgi has its own types for an environ
        self._bridge: Any = a2wsgi.WSGIMiddleware(answer, workers=threads, send_queue_size=1)
        self._bridge.executor = DaemonThreads(threads)  # type: ignore[assignment]
        self._running: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._bridge(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send)
        # A task of its own: a cancel would end a2wsgi's sender and leave the app's thread waiting.
        task = asyncio.create_task(self._bridge(exchange.bridged_scope(), receive, exchange.send))
        self._running.add(task)
        task.add_done_callback(self._forget)
        listener = asyncio.create_task(exchange.listen())
        try:
            await asyncio.shield(task)
        finally:
            listener.cancel()
            exchange.abandon()
        if exchange.fault is not None:
            raise exchange.fault

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # raised already, or the request is over

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        """Run the app in the request's thread: a2wsgi calls this, and iterates over the answer."""
        exchange: _Exchange = environ["asgi.scope"][_EXCHANGE]
        if exchange.is_over:  # left while it waited for a thread
            return
        response = _Response(exchange, start_response)
        iterable: Iterable[bytes] = ()
        try:
            try:
                iterable = self._app(exchange.complete(environ), response.start)
                for chunk in iterable:
                    if exchange.is_over:
                        break
                    response.begin()
                    yield chunk
                else:
                    response.begin()
            finally:
                getattr(iterable, "close", _nothing)()
        # An app may raise anything. It is raised again in the request's task: a Future lets
        # SystemExit stop the loop and never ends with a StopIteration (python/cpython#112182).
        except BaseException as exc:  # noqa: BLE001
            exchange.fail(exc)


def identity(environ: MutableMapping[str, Any]) -> Identity:
    """Return ``mm_asgi.identity`` of a WSGI request, such as of Flask's ``request.environ``.

    Raises:
        LookupError: the request did not come through a Mattermost host.
    """
    return identity_of_scope(environ.get("asgi.scope") or {})


def _nothing() -> None:
    pass


class _Exchange:
    """One request between the loop and its thread.

    Attributes:
        is_over: the answer is not waited for any more.
        fault: what the app, or a send of it, raised.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.is_over = False
        self.fault: BaseException | None = None
        self._scope = scope
        self._receive = receive
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._body: asyncio.Queue[MutableMapping[str, Any] | None] = asyncio.Queue()
        self._body_is_complete = False
        self._sending: asyncio.Task[Any] | None = None

    # ---------------------------------------------------------------- on the loop

    def bridged_scope(self) -> Scope:
        """Return the scope for a2wsgi, which takes nothing but ASCII for a query."""
        return {**self._scope, "query_string": b"", _EXCHANGE: self}

    async def listen(self) -> None:
        """Take the body, one message ahead of the app, and notice when the client leaves."""
        try:
            while not self.is_over:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    self._end()
                    return
                self._body.put_nowait(message)
                if message.get("more_body"):
                    await self._body.join()
        except Exception as exc:  # noqa: BLE001
            self.fail(exc)
            self._end()

    async def send(self, event: MutableMapping[str, Any]) -> None:
        """Send an event for a2wsgi. It never fails: a fault is kept, and ends the app's iteration."""
        is_last = event["type"] == "http.response.body" and not event.get("more_body")
        if self.is_over or (is_last and self.fault is not None):
            return
        self._sending = asyncio.current_task()
        try:
            await self._send(event)
        except asyncio.CancelledError:
            if not self.is_over:
                raise
        except Exception as exc:  # noqa: BLE001
            self.fail(exc)
            self._end()
        finally:
            self._sending = None

    def fail(self, exc: BaseException) -> None:
        """Keep a fault; the first one counts."""
        if self.fault is None:
            self.fault = exc

    def abandon(self) -> None:
        """Let go of the thread, whatever it waits for: the request's task ends."""
        self._end()
        if self._sending is not None:
            self._sending.cancel()

    def _end(self) -> None:
        self.is_over = True
        self._body.put_nowait(None)

    async def _next_message(self) -> MutableMapping[str, Any]:
        message = await self._body.get()
        self._body.task_done()
        if message is None:
            self._body.put_nowait(None)  # for a second read
            raise ClientDisconnected(_GONE)
        return message

    # ---------------------------------------------------------------- in the thread

    def read(self) -> bytes:
        """Return the next piece of the body, b"" after the last.

        Raises:
            ClientDisconnected: the body was cut.
        """
        while not self._body_is_complete:
            future = asyncio.run_coroutine_threadsafe(self._next_message(), self._loop)
            message = future.result()
            self._body_is_complete = not message.get("more_body", False)
            if piece := message.get("body", b""):
                return bytes(piece)
        return b""

    def complete(self, environ: dict[str, Any]) -> dict[str, Any]:
        """Return a2wsgi's environ, with what it leaves out or gets wrong."""
        scope = self._scope
        script_name, path = _paths(scope)
        headers = scope["headers"]
        environ |= {
            "asgi.scope": scope,
            "SCRIPT_NAME": script_name,
            "PATH_INFO": path,
            "QUERY_STRING": scope["query_string"].decode("latin-1"),
            "wsgi.errors": sys.stderr,
            "wsgi.input": io.BufferedReader(_Input(self), 65536),
            # A body of unknown length, which a framework would else take for none.
            "wsgi.input_terminated": True,
            "wsgi.multiprocess": False,
        }
        if cookies := [value for name, value in headers if name == b"cookie"]:
            environ["HTTP_COOKIE"] = b"; ".join(cookies).decode("latin-1")
        facts = (scope.get("extensions") or {}).get("mattermost") or {}
        if user_id := facts.get("user_id"):
            environ["REMOTE_USER"] = user_id
        return environ


def _paths(scope: Scope) -> tuple[str, str]:
    """SCRIPT_NAME and PATH_INFO: bytes as Latin-1, as PEP 3333 has them."""
    root, path = scope.get("root_path", "").encode(), scope["path"].encode()
    raw = unquote_to_bytes(scope.get("raw_path") or b"")
    if raw.decode(errors="replace") == scope["path"]:
        path = raw  # what is not UTF-8 is whole only here
    below = path.removeprefix(root)
    return root.decode("latin-1"), below.decode("latin-1")


class _Input(io.RawIOBase):
    """``wsgi.input`` below its buffer."""

    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._rest or self._exchange.read()
        size = min(len(buffer), len(piece))
        buffer[:size] = piece[:size]
        self._rest = piece[size:]
        return size


class _Response:
    """PEP 3333's start_response: status and headers may change until the first chunk."""

    def __init__(self, exchange: _Exchange, forward: Any) -> None:
        self._exchange = exchange
        self._forward = forward
        self._head: tuple[str, list[tuple[str, str]]] | None = None
        self._write: Callable[[bytes], object] | None = None

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        if exc_info and self._write is not None:
            raise exc_info[1].with_traceback(exc_info[2])
        if self._head is not None and not exc_info:
            raise AppProtocolError(
                f"wsgi: start_response({status!r}) came a second time, expected it once, or with"
                " exc_info before the body"
            )
        self._head = (status, headers)
        return self.write

    def begin(self) -> None:
        """Let status and headers go."""
        if self._write is not None:
            return
        if self._head is None:
            raise AppProtocolError(
                "wsgi: the app gave its body without start_response, expected a call before it"
            )
        status, headers = self._head
        # a2wsgi cannot read a status without a reason.
        self._write = self._forward(status if " " in status else f"{status} ", headers)

    def write(self, chunk: bytes) -> None:
        if self._exchange.is_over:
            raise ClientDisconnected(_GONE)
        self.begin()
        assert self._write is not None
        self._write(chunk)
