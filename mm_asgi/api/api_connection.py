"""The connection to the host's PluginAPI: a Channel, and the loop that it runs on.

The address is not needed before the first call (row A2). The Channel belongs to the loop of the
first call, or of ``use()``. Calls from other loops and from threads are made there. Without any loop,
as in a script, a thread with a loop of its own is started.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any

from mm_asgi.api.call_shape import CallShape
from mm_asgi.api.failures import from_app_error, from_status
from mm_asgi.errors import Unavailable
from mm_asgi.wire.port import RPCError, StatusCode

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from google.protobuf.message import Message

    from mm_asgi.wire.port import Channel

    Source = str | Callable[[], Channel] | None
    """The API's address as Go writes it, or a function that opens the Channel, called on the loop
    that the Channel is for; None: the environment's address, read at the first call."""

__all__ = ["TARGET", "TIMEOUT", "APIConnection", "Source"]

TARGET = "MATTERMOST_PLUGIN_API_TARGET"
TIMEOUT = 10.0  # s, as the setting api-timeout

PAUSES = (0.05, 0.25)  # s until a read that ended as UNAVAILABLE is repeated


def _open_native(target: str) -> Channel:
    # Imported here, because a plugin that makes no calls does not need it.
    from mm_asgi.wire.http2.channel import NativeChannel

    return NativeChannel(target)


class APIConnection:
    """The connection that clients of one API share.

    Args:
        source: the API's address, or a function that opens the Channel. It may raise Unavailable,
            and is called again at the next call then.
        timeout: seconds for a call with its repetitions; 0: no limit.
        open_channel: opens the Channel to a target, on the loop that the Channel is for.
    """

    def __init__(
        self,
        source: Source = None,
        *,
        timeout: float = TIMEOUT,
        open_channel: Callable[[str], Channel] = _open_native,
    ) -> None:
        self.timeout = timeout
        self._bounded = True
        self._source = source
        self._open_channel = open_channel
        self._calls: dict[str, CallShape] = {}
        # Set together, at the first call.
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._channel: Channel | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def use(self, source: Source, timeout: float, *, bounded: bool = True) -> None:
        """Use this API on the running loop. Call it before the first call, or after ``close()``.

        Args:
            source: as for the class, but an empty address or None: there is no API.
            timeout: seconds for a call with its repetitions; 0: no limit.
            bounded: the host refuses a request over 4 MiB.
        """
        self.timeout = timeout
        self._bounded = bounded
        self._source = source or ""
        self._loop = self._channel = None
        self._closed = False
        self._loop_for(asyncio.get_running_loop())

    @property
    def is_used(self) -> bool:
        """Whether it is in use: on a loop that is not closed, and not closed itself."""
        return not (self._closed or self._loop is None or self._loop.is_closed())

    async def call(self, file: str, name: str, fields: Mapping[str, Any], timeout: float) -> Any:
        """Make a call from any loop, and return its answer.

        Args:
            file: the .proto file of its messages, without the suffix.
            name: the RPC's name.
            fields: the request's fields.
            timeout: seconds, repetitions included; 0: no limit.

        Raises:
            APIError, TypeError, ValueError: as ``Client`` says.
        """
        call, request = self._prepare(file, name, fields)
        here = asyncio.get_running_loop()
        loop = self._loop_for(here)
        made = self._call(call, request, timeout)
        if loop is here:
            return await made
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(made, loop))

    def call_blocking(self, file: str, name: str, fields: Mapping[str, Any], timeout: float) -> Any:
        """Make a call from a thread that runs no loop; the arguments are ``call()``'s.

        Raises:
            RuntimeError: this thread runs a loop, which the call would block.
            APIError, TypeError, ValueError: as ``Client`` says.
        """
        _refuse_on_a_loop(name)
        call, request = self._prepare(file, name, fields)
        return self._wait(self._call(call, request, timeout))

    async def close(self) -> None:
        """Close the Channel and end its calls; later calls raise Unavailable."""
        loop, ended = self._loop, self._close()
        if loop is None or loop.is_closed() or loop is asyncio.get_running_loop():
            await ended
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(ended, loop))
        self._end_thread()

    def close_blocking(self) -> None:
        """Do the same as ``close()``, from a thread that runs no loop.

        Raises:
            RuntimeError: this thread runs a loop.
        """
        _refuse_on_a_loop("close")
        self._closed = True
        if self._channel is not None:
            self._wait(self._close())
        self._end_thread()

    def _prepare(
        self, file: str, name: str, fields: Mapping[str, Any]
    ) -> tuple[CallShape, Message]:
        # This is done in the caller's thread, because the caller may change its messages later.
        self._refuse_when_closed(name)
        call = self._calls.get(name) or self._calls.setdefault(name, CallShape(file, name))
        return call, call.request(fields, bounded=self._bounded)

    def _wait(self, made: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(made, self._loop_for(None)).result()

    async def _call(self, call: CallShape, request: Message, timeout: float) -> Any:
        limit = timeout or None
        end = None if limit is None else asyncio.get_running_loop().time() + limit
        for pause in (*PAUSES, None):
            left = None if end is None else end - asyncio.get_running_loop().time()
            try:
                response: Any = await self._channel_for(call).unary(
                    call.path, request, call.response, timeout=left
                )
            except RPCError as error:
                may_repeat = call.is_read and error.code is StatusCode.UNAVAILABLE
                if not may_repeat or pause is None or (left is not None and left <= pause):
                    raise from_status(call.name, error, limit) from None
                await asyncio.sleep(pause)
            else:
                break
        if response.HasField("error"):
            raise from_app_error(call.name, response.error)
        return call.answer(response)

    def _refuse_when_closed(self, name: str) -> None:
        if self._closed:
            raise Unavailable(
                f"{name}: the plugin has stopped, and its connection to the host's API is closed;"
                " make calls until lifespan.shutdown ends"
            )

    def _channel_for(self, call: CallShape) -> Channel:
        self._refuse_when_closed(call.name)  # it may have been closed meanwhile
        if self._channel is None:
            self._channel = self._open(call.name)
        return self._channel

    def _open(self, name: str) -> Channel:
        if callable(self._source):
            return self._source()
        target = os.environ.get(TARGET) if self._source is None else self._source
        if not target:
            raise Unavailable(
                f"{name}: the host's API has no address: {TARGET} is not set; run this "
                "under a host, or give an address, in tests as_user(app, user_id, api=...)"
            )
        return self._open_channel(target)

    async def _close(self) -> None:
        self._closed = True
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    # ---------------------------------------------------------------- the loop

    def _loop_for(self, here: asyncio.AbstractEventLoop | None) -> asyncio.AbstractEventLoop:
        """Return the loop of the Channel, chosen at the first call; replace a closed one."""
        with self._lock:
            if self._loop is None or self._loop.is_closed():
                self._channel = None
                self._loop = here or self._start_thread()
            return self._loop

    def _start_thread(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=loop.run_forever, name="mm_asgi api", daemon=True)
        self._thread.start()
        return loop

    def _end_thread(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()


def _refuse_on_a_loop(name: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        f"{name}: the blocking client was called on an event loop's own thread, which would stand "
        "still until the answer; await AsyncAPI there, or call from a thread (asyncio.to_thread)"
    )
