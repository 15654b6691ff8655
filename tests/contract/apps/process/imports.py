"""Apps are imported when the host first asks Implemented: this one says when, and may take long."""

from __future__ import annotations

import os
import time

from tests.contract.apps.process.polite import app
from tests.contract.apps.process.process_bell import hold, ring

__all__ = ["app"]

ring("import")
if "PROCESS_HOLD" in os.environ:
    try:
        hold("import held")
    except Exception:
        # What a bare "except Exception" in an app does to the one who interrupts it.
        if os.environ["PROCESS_HOLD"] != "swallow":
            raise
        ring("swallowed")
        hold("import held again")
# An app that is slow for true; there is no event that this could wait for.
time.sleep(float(os.environ.get("PROCESS_SECONDS", "0")))
ring("imported")
