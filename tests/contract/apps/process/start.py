"""The start file: what a plugin has, but for the target, which the test chooses."""

import os

import mm_asgi

if "PROCESS_MOMENT" in os.environ:
    from tests.contract.apps.process.process_bell import hold, ring

    ring(f"pid {os.getpid()}")
    if os.environ["PROCESS_MOMENT"] == "handshake":
        hold("handshake")
        ring("handshake goes on")

mm_asgi.run(os.environ["PROCESS_APP"])
