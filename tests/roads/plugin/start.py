"""The start file of every road's plugin; PYTHONPATH leads to the tests."""

import os

import mm_asgi

mm_asgi.run(os.environ["PLUGIN_TARGET"])
