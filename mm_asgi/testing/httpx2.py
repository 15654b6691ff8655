"""WireTransport for httpx2, the fork of httpx: ``from mm_asgi.testing.httpx2 import WireTransport``."""

from __future__ import annotations

from typing import Any, ClassVar

import httpx2

from mm_asgi.testing.wire import BodyStream, WireTransportBase

__all__ = ["WireTransport"]


class _HTTPX2Stream(BodyStream, httpx2.AsyncByteStream):
    pass


class WireTransport(WireTransportBase, httpx2.AsyncBaseTransport):
    """``mm_asgi.testing.WireTransport`` for ``httpx2.AsyncClient``."""

    library: ClassVar[Any] = httpx2
    stream_class: ClassVar[type[BodyStream]] = _HTTPX2Stream
