"""The client's side of an RPC with streams of messages (a ``port.Call``).

Messages may be written before there is a connection, and the server may refuse the stream before it
has begun to answer. So written messages are kept in a log until the answer begins or the log is too
large: ``start()`` sends them again on the new stream. The writer of a message that has not left waits
on a future, which stands in the log, or is the token of the stream (stream.py).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError

from mm_asgi.wire.calls import TOO_LARGE_SENT, UNPARSABLE, wake
from mm_asgi.wire.http2.client_call import ClientCall
from mm_asgi.wire.http2.encoding import deflate
from mm_asgi.wire.http2.messages import Compressed
from mm_asgi.wire.http2.rpc import PREFIX, decode_metadata
from mm_asgi.wire.port import Encoded, Inbox, RPCError, StatusCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message

    from mm_asgi.wire.http2.channel import NativeChannel
    from mm_asgi.wire.http2.connection import Connection
    from mm_asgi.wire.http2.fields import HeaderSection
    from mm_asgi.wire.http2.hpack import Field
    from mm_asgi.wire.port import Metadata

    Pieces = Sequence[bytes | memoryview]

__all__ = ["StreamCall"]

_REPLAY: Final = 65_536
"""Bytes of sent messages that are kept for a second try, until the answer begins. A guess, well over
what is under way when a server closes a connection."""


class StreamCall(ClientCall):
    """An RPC of any kind.

    Attributes:
        compresses: whether messages are compressed from now on.
    """

    __slots__ = (
        "_error",
        "_half_closed",
        "_has_read",
        "_initial",
        "_initial_waiter",
        "_is_open",
        "_log",
        "_log_size",
        "_token",
        "_trailing",
        "compresses",
    )

    def __init__(
        self,
        channel: NativeChannel,
        path: str,
        response: type[Message],
        block: bytes,
        deadline: float | None,
        wait_for_ready: bool,
    ) -> None:
        super().__init__(channel, path, response, block, deadline, wait_for_ready)
        self.compresses = channel.compresses
        self._inbox = Inbox()
        # Sending: the messages that a stream which is opened, or opened again, begins with, each
        # with the future of its writer; None once the answer has begun or the log is too large.
        self._is_open = False
        self._log: list[tuple[Pieces, int, asyncio.Future[None] | None]] | None = []
        self._log_size = 0
        self._token: asyncio.Future[None] | None = None
        self._half_closed = False
        # Receiving.
        self._has_read = False
        self._initial: Metadata | None = None
        self._initial_waiter: asyncio.Future[None] | None = None
        self._trailing: Metadata = ()
        self._error: RPCError | None = None

    # ---------------------------------------------------------------- port.Call

    async def write(self, message: Message | Encoded) -> None:
        """Send a message, and wait for the server's window and for the transport.

        Raises:
            RuntimeError: ``half_close()`` was called before.
        """
        if self._half_closed:
            raise RuntimeError(f"{self.path}: write() after half_close(); write before it")
        if self._status is not None:
            return
        pieces: Pieces = (
            message.pieces if isinstance(message, Encoded) else (message.SerializeToString(),)
        )
        size = sum(map(len, pieces))
        limit = self.channel.send_limit
        if limit is not None and size > limit:
            self._leave(StatusCode.RESOURCE_EXHAUSTED, TOO_LARGE_SENT)
            return
        if self.compresses:
            pieces = (deflate(b"".join(pieces)),)
            size = len(pieces[0])
        pieces = (PREFIX.pack(self.compresses, size), *pieces)
        token = self._send(pieces, size + PREFIX.size)
        if token is not None:
            await token

    def _send(self, pieces: Pieces, size: int) -> asyncio.Future[None] | None:
        if not self._is_open:
            assert self._log is not None
            token: asyncio.Future[None] | None = self.channel.loop.create_future()
            self._log.append((pieces, size, token))
            return token
        if self._log is not None:
            self._log_size += size
            self._log.append((pieces, size, None))
            if self._log_size > _REPLAY:
                self._log = None
        return self.send_data(pieces, size)

    def half_close(self) -> None:
        """End this side: no more messages will be written."""
        if not self._half_closed:
            self._half_closed = True
            if self._is_open and self._status is None:
                self.send_end()

    async def read(self) -> Any | None:
        """Return the next message, or None for ever after the RPC ended with OK.

        Raises:
            RPCError: it ended with another status.
        """
        item = self._inbox.take() or await self._inbox.get()
        if item is None:
            self._has_read = True
            if self._error is not None:
                raise self._error
            return None
        data, held = item
        self.credit(held)
        if self._reader is not None:
            self._credit_message_under_way(self._reader)
        self.was_compressed = data.__class__ is Compressed
        if self.was_compressed:
            data = self._inflated(data)
        if data is not None:
            try:
                return self.response.FromString(data)
            except DecodeError:
                self._leave(StatusCode.INTERNAL, UNPARSABLE)
        assert self._error is not None
        raise self._error

    def _leave(self, code: StatusCode, text: str) -> None:
        """End the RPC for this side, and drop the messages that are not read yet.

        A message that cannot be parsed is an error even when the server has ended the RPC with OK.
        """
        if self._status is None:
            super()._leave(code, text)
        elif self._error is None:
            self._error = RPCError(code, text, path=self.path)
        self._inbox.end(drop=True)

    async def initial_metadata(self) -> Metadata:
        """Return what the server sent ahead of its first message."""
        if self._initial is None:
            if self._initial_waiter is None:
                self._initial_waiter = self.channel.loop.create_future()
            await asyncio.shield(self._initial_waiter)
        return self._initial or ()

    def trailing_metadata(self) -> Metadata:
        """Return what the server sent with the status; empty until ``read()`` came to the end."""
        return self._trailing if self._has_read else ()

    # ---------------------------------------------------------------- the stream

    def start(self, connection: Connection) -> None:
        """Open the stream, and send the messages that were written before."""
        block = self._restart_on(connection)
        self._held = 0
        connection.open_stream(self, block)
        self._is_open = True
        log, self._log = self._log or [], []
        self._log_size = 0
        for pieces, size, token in log:
            self._log.append((pieces, size, None))
            self._log_size += size
            self._token = token
            if self.send_data(pieces, size) is None:
                wake(token)
        self._token = None
        if self._log_size > _REPLAY:
            self._log = None
        if self._half_closed:
            self.send_end()

    def new_token(self) -> asyncio.Future[None]:
        """Return the future that a writer waits for: the log's, for a message from the log."""
        return self._token or self.channel.loop.create_future()

    def on_sent(self, token: asyncio.Future[None]) -> None:
        """Wake the writer of a message."""
        wake(token)

    def on_headers(self, head: HeaderSection, *, end: bool) -> None:
        """Take the head of the answer, and forget the log: there is no second try any more."""
        super().on_headers(head, end=end)
        if head.status >= 200:
            self._log = None
            if not end and self._facts is not None:
                self._set_initial(self._facts.metadata)

    def _set_initial(self, metadata: Metadata) -> None:
        if self._initial is None:
            self._initial = metadata
            if self._initial_waiter is not None:
                self._initial_waiter.set_result(None)

    def _may_retry(self) -> bool:
        may = super()._may_retry() and self._log is not None
        if may:
            self._is_open = False
        return may

    def settle(self, code: StatusCode, text: str, fields: Sequence[Field]) -> None:
        """Wake readers and writers: nothing is sent any more; what came can still be read."""
        log, self._log = self._log, None
        for _, _, token in log or ():
            wake(token)
        self._trailing = metadata = tuple(decode_metadata(fields))
        self._set_initial(())
        if code is not StatusCode.OK:
            self._error = RPCError(code, text, metadata, path=self.path)
        self._inbox.end()
