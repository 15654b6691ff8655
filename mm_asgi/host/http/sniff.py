"""The Content-Type that net/http sets for an answer without one. Pure.

The tables are those of mimesniff.spec.whatwg.org as Go's net/http/sniff.go reads them.
"""

from __future__ import annotations

import re

__all__ = ["detect_content_type"]

_HTML = re.compile(
    rb"<(?:!DOCTYPE HTML|HTML|HEAD|SCRIPT|IFRAME|H1|DIV|FONT|TABLE|A|STYLE|TITLE|B|BODY|BR|P|!--)[ >]",
    re.IGNORECASE,
)
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (rb"%PDF-", "application/pdf"),
    (rb"%!PS-Adobe-", "application/postscript"),
    (rb"\xfe\xff..", "text/plain; charset=utf-16be"),
    (rb"\xff\xfe..", "text/plain; charset=utf-16le"),
    (rb"\xef\xbb\xbf.", "text/plain; charset=utf-8"),
    (rb"\x00\x00[\x01\x02]\x00", "image/x-icon"),
    (rb"BM", "image/bmp"),
    (rb"GIF8[79]a", "image/gif"),
    (rb"RIFF....WEBPVP", "image/webp"),
    (rb"\x89PNG\r\n\x1a\n", "image/png"),
    (rb"\xff\xd8\xff", "image/jpeg"),
    (rb"FORM....AIFF", "audio/aiff"),
    (rb"ID3", "audio/mpeg"),
    (rb"OggS\x00", "application/ogg"),
    (rb"MThd\x00\x00\x00\x06", "audio/midi"),
    (rb"RIFF....AVI ", "video/avi"),
    (rb"RIFF....WAVE", "audio/wave"),
    (rb"\x1a\x45\xdf\xa3", "video/webm"),
    (rb".{34}LP", "application/vnd.ms-fontobject"),
    (rb"\x00\x01\x00\x00", "font/ttf"),
    (rb"OTTO", "font/otf"),
    (rb"ttcf", "font/collection"),
    (rb"wOFF", "font/woff"),
    (rb"wOF2", "font/woff2"),
    (rb"\x1f\x8b\x08", "application/x-gzip"),
    (rb"PK\x03\x04", "application/zip"),
    (rb"Rar!\x1a\x07\x01?\x00", "application/x-rar-compressed"),
    (rb"\x00asm", "application/wasm"),
)
_COMPILED = [(re.compile(pattern, re.DOTALL), kind) for pattern, kind in _SIGNATURES]
_MP4_BEFORE = "video/webm"
"""mp4 is asked just before this one."""
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")


def detect_content_type(data: bytes) -> str:
    """net/http's DetectContentType, from at most 512 bytes."""
    data = data[:512]
    text = data.lstrip(b"\t\n\x0c\r ")
    if _HTML.match(text):
        return "text/html; charset=utf-8"
    if text.startswith(b"<?xml"):
        return "text/xml; charset=utf-8"
    for pattern, kind in _COMPILED:
        if kind == _MP4_BEFORE and _is_mp4(data):
            return "video/mp4"
        if pattern.match(data):
            return kind
    return "application/octet-stream" if _BINARY.search(text) else "text/plain; charset=utf-8"


def _is_mp4(data: bytes) -> bool:
    size = int.from_bytes(data[:4])
    if len(data) < 12 or len(data) < size or size % 4 or data[4:8] != b"ftyp":
        return False
    return any(data[at : at + 3] == b"mp4" for at in range(8, size, 4) if at != 12)
