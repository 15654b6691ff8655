"""What the host may see of a failure: fixed texts, never the app's own (row R9)."""

from __future__ import annotations

SERVER_ERROR = "Internal Server Error"
FAILED_LATE = "the app failed after its response had begun"
TOO_SHORT = "the app's response is shorter than its Content-Length"
CUT = "the app's response was cut"
BROKEN_BY_HOST = "the request stream broke the ServeHTTP contract"
