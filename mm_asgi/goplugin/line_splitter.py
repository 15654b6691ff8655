"""Bytes in chunks of any size to lines of a bounded size. Pure."""

from __future__ import annotations

import codecs

__all__ = ["LineSplitter"]

KEEP = 48 * 1024
"""Bytes kept of one line: with its JSON around it, usual text still fits the host's 64 KiB."""


class LineSplitter:
    """Splits at newlines. Of a longer line than ``keep`` the rest is counted, not kept.

    The text is UTF-8; other bytes show as ``\\xff``. Empty lines are left out, and the carriage
    return of a line that ends with one.
    """

    __slots__ = ("_dropped", "_keep", "_kept")

    def __init__(self, keep: int = KEEP) -> None:
        self._keep = keep
        self._kept = bytearray()
        self._dropped = 0

    @property
    def pending(self) -> bool:
        """Whether a line was begun and not ended."""
        return bool(self._kept)

    def feed(self, chunk: bytes) -> list[str]:
        """The lines that end in this chunk."""
        *ended, rest = chunk.split(b"\n")
        lines: list[str] = []
        for part in ended:
            self._add(part)
            lines += self.flush()
        self._add(rest)
        return lines

    def flush(self) -> list[str]:
        """The line that was begun, as if it ended here; one line or none."""
        kept, dropped = bytes(self._kept), self._dropped
        self._kept.clear()
        self._dropped = 0
        if not dropped:
            text = kept.removesuffix(b"\r").decode("utf-8", "backslashreplace")
            return [text] if text else []
        # Not final: a character that the cut went through is left out.
        decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        return [f"{decoder.decode(kept)} [cut, {len(kept) + dropped} bytes in all]"]

    def _add(self, part: bytes) -> None:
        room = self._keep - len(self._kept)
        self._kept += part[:room]
        self._dropped += max(len(part) - room, 0)
