"""The start file; the host starts it in this folder, and PYTHONPATH leads to the tests."""

import os

import mm_asgi

mm_asgi.run(os.environ["BENCHMARK_APP"])
