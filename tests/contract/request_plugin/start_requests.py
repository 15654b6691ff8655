"""The start file of the plugin with the request apps; PYTHONPATH leads to the tests."""

import mm_asgi

mm_asgi.run("tests.contract.apps_request:app")
