"""FileWillBeUploaded over net/rpc: the file comes on one stream, its replacement goes on another.

The host offers both streams and holds the upload up until the second one has ended, also where
nothing changes. So both are dialled at once and always closed: a stream that is not dialled costs
the user 5 s.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from mm_asgi.wire.netrpc.byte_pipe import BytePipe
from mm_asgi.wire.netrpc.permits import TooMuch, read_permitted

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from mm_asgi.dispatch import RPC
    from mm_asgi.netrpc.open_call import OpenCall
    from mm_asgi.wire.netrpc.mux_link import MuxLink

__all__ = ["FileStreams"]

logger = logging.getLogger("mm_asgi.netrpc")


class FileStreams:
    """The two streams of one call, dialled.

    Args:
        link: the host's connection.
        opened: the host's call.
    """

    def __init__(self, link: MuxLink, opened: OpenCall) -> None:
        self._file = BytePipe()
        self._replacement = BytePipe()
        link.dial(opened.arguments.get("UploadedFileStream", 0), self._file)
        link.dial(opened.arguments.get("ReplacementFileStream", 0), self._replacement)

    async def answer(self, rpc: RPC, opened: OpenCall, limit: int) -> None:
        """Read the file, ask the hook, and send what it answers.

        A file over ``limit`` bytes (setting upload-limit) passes unseen, as it does on gRPC.
        """
        request: Any = opened.request(rpc.request)
        try:
            request.file_content = await read_permitted(self._file, limit)
        except TooMuch as exc:
            logger.warning(
                "FileWillBeUploaded: the file has %s (setting upload-limit); it passes unseen", exc
            )
            opened.answer(rpc.response())
            return
        except ConnectionError as exc:
            logger.warning(
                "FileWillBeUploaded: the file broke off, and no function saw it: %s", exc
            )
            opened.fail()
            return
        response = await rpc.answer(request, None, lambda default: self._send(opened, default))
        del request  # the file's memory, before the replacement is copied once more
        self._send(opened, response)

    def _send(self, opened: OpenCall, response: Message) -> None:
        """Send the replacement ahead of the answer: the host reads it meanwhile."""
        content: bytes = response.modified_content  # type: ignore[attr-defined]
        if content and not opened.is_answered:
            self._replacement.write(content)
        self._replacement.close()
        opened.answer(response)

    def close(self) -> None:
        """End both streams. Safe to call again."""
        self._file.discard()
        self._replacement.close()
