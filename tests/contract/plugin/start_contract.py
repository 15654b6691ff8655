"""The start file of the plugin with the contract apps; PYTHONPATH leads to the tests."""

import mm_asgi

mm_asgi.run("tests.contract.apps:app")
