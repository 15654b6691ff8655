"""The start file: ``busy`` beside this file; PYTHONPATH leads to the tests."""

import mm_asgi

mm_asgi.run("tests.contract.api_plugin.busy:plugin")
