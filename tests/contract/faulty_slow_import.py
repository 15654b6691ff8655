"""One of the faulty apps: what it needs takes long to import."""

from __future__ import annotations

import threading

threading.Event().wait(30)
