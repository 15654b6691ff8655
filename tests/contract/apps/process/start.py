"""The start file: what a plugin has, but for the target, which the test chooses."""

import os

import mm_asgi

mm_asgi.run(os.environ["PROCESS_APP"])
