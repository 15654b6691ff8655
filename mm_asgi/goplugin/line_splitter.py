"""Cuts bytes that come in chunks of any size into lines of a bounded size. Pure."""

from __future__ import annotations

import codecs

__all__ = ["LineSplitter"]

KEEP = 48 * 1024
"""Bytes kept of one line. With its JSON around it, usual text still fits the host's 64 KiB."""


class LineSplitter:
    """Splits bytes at newlines.

    A line longer than ``keep`` bytes is cut, and its last words say how long it was. The text is
    UTF-8; other bytes show as ``\\xff``. Empty lines are left out, and so is a carriage return at a
    line's end.
    """

    __slots__ = ("_dropped", "_keep", "_kept")

    def __init__(self, keep: int = KEEP) -> None:
        self._keep = keep
        self._kept = bytearray()
        self._dropped = 0

    @property
    def pending(self) -> bool:
        """Whether an incomplete line is kept."""
        return bool(self._kept)

    def feed(self, chunk: bytes) -> list[str]:
        """Return the lines that end in this chunk."""
        *ended, rest = chunk.split(b"\n")
        lines: list[str] = []
        for part in ended:
            self._add(part)
            lines += self.flush()
        self._add(rest)
        return lines

    def flush(self) -> list[str]:
        """Return the incomplete line as if it ended here; a list of one line or of none."""
        kept, dropped = bytes(self._kept), self._dropped
        self._kept.clear()
        self._dropped = 0
        if not dropped:
            text = kept.removesuffix(b"\r").decode("utf-8", "backslashreplace")
            return [text] if text else []
        # The decoder is not at its end, so it leaves out a character that the cut goes through.
        decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        return [f"{decoder.decode(kept)} [cut, {len(kept) + dropped} bytes in all]"]

    def _add(self, part: bytes) -> None:
        room = self._keep - len(self._kept)
        self._kept += part[:room]
        self._dropped += max(len(part) - room, 0)
