"""Header blocks on their way in: put together from their frames, decoded, checked, remembered.

RFC 9113 sections 4.3 and 6.10. A block that adds nothing to the dynamic table means the same until
the table changes. So what it means is kept by its bytes, and a host that sends the same header list
with each request is decoded once.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

from mm_asgi.wire.http2.fields import MalformedError, check_trailers
from mm_asgi.wire.http2.frames import ConnectionFault, ErrorCode, StreamFault
from mm_asgi.wire.http2.hpack import Decoder, HeaderListTooLarge, HPACKError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mm_asgi.wire.http2.fields import HeaderSection
    from mm_asgi.wire.http2.hpack import Field
    from mm_asgi.wire.http2.limits import Limits

__all__ = ["HeaderBlocks"]

_HEADS_KEPT: Final = 256
"""How many blocks are kept: a guess, more than a host has RPCs with their own header lists."""

_LARGEST_KEPT: Final = 1024
"""Bytes of the largest block that is kept. A block that repeats is nearly all indices, so it is
short."""


class HeaderBlocks:
    """The header blocks that one connection receives.

    Args:
        limits: the bounds; header_list and continuations count here.
        parse: checks a field list, of a request or of a response, and returns its HeaderSection.

    Attributes:
        stream_id: the stream whose block is not whole yet, or 0.
        end: whether its HEADERS frame had END_STREAM.
    """

    __slots__ = (
        "_block",
        "_decoder",
        "_frames",
        "_heads",
        "_is_steady",
        "_limits",
        "_parse",
        "_sections",
        "end",
        "stream_id",
    )

    def __init__(self, limits: Limits, parse: Callable[[Sequence[Field]], HeaderSection]) -> None:
        self.stream_id = 0
        self.end = False
        self._limits = limits
        self._parse = parse
        self._decoder = Decoder(limits.header_list)
        self._is_steady = True
        self._heads: dict[bytes, HeaderSection] = {}
        self._sections: dict[bytes, list[Field]] = {}
        self._block = bytearray()
        self._frames = 0

    def begin(self, stream_id: int, fragment: bytes, *, end: bool) -> None:
        """Begin a block that comes in several frames, with its HEADERS frame."""
        self.stream_id = stream_id
        self.end = end
        self._frames = 0
        self._block = bytearray(fragment)

    def extend(self, fragment: bytes, *, last: bool) -> bytes | None:
        """Add a CONTINUATION frame.

        Returns:
            the block when it is whole, else None.

        Raises:
            ConnectionFault: the block is too long, in bytes or in frames. It cannot be skipped:
                the two sides' tables would differ if it was not decoded.
        """
        self._frames += 1
        self._block += fragment
        if len(self._block) > self._limits.header_list or self._frames > self._limits.continuations:
            raise ConnectionFault(
                ErrorCode.ENHANCE_YOUR_CALM,
                f"a header block of {len(self._block)} bytes in {self._frames + 1} frames",
            )
        if not last:
            return None
        self.stream_id = 0
        return bytes(self._block)

    def head(self, stream_id: int, block: bytes) -> HeaderSection:
        """Return the header section that a block encodes.

        Raises:
            ConnectionFault: it cannot be decoded.
            StreamFault: it is malformed or too large.
        """
        head = self._heads.get(block)
        if head is not None:
            return head
        fields = self._decode(stream_id, block)
        try:
            head = self._parse(fields)
        except MalformedError as error:
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, str(error)) from None
        self._keep(self._heads, block, head)
        return head

    def trailers(self, stream_id: int, block: bytes) -> list[Field]:
        """Return the trailer section that a block encodes; the list must not be changed.

        Raises:
            ConnectionFault, StreamFault: as ``head()``.
        """
        found = self._sections.get(block)
        if found is not None:
            return found
        fields = self._decode(stream_id, block)
        try:
            found = check_trailers(fields)
        except MalformedError as error:
            raise StreamFault(stream_id, ErrorCode.PROTOCOL_ERROR, str(error)) from None
        self._keep(self._sections, block, found)
        return found

    def _keep(self, kept: dict[bytes, Any], block: bytes, found: object) -> None:
        if self._is_steady and len(block) <= _LARGEST_KEPT:
            if len(kept) >= _HEADS_KEPT:  # the peer repeats few of its blocks
                kept.clear()
            kept[block] = found

    def skip(self, stream_id: int, block: bytes) -> None:
        """Decode a block and drop the fields: the table must follow all the same (section 4.3)."""
        with contextlib.suppress(StreamFault):
            self._decode(stream_id, block)

    def _decode(self, stream_id: int, block: bytes) -> list[Field]:
        before = self._decoder.changes
        try:
            return self._decoder.decode(block)
        except HPACKError as error:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, str(error)) from None
        except HeaderListTooLarge as excess:
            raise StreamFault(stream_id, ErrorCode.ENHANCE_YOUR_CALM, str(excess)) from None
        finally:
            self._is_steady = before == self._decoder.changes
            if not self._is_steady:
                self._heads.clear()
                self._sections.clear()
