"""The start file of the plugin that HOOKS_TARGET names; PYTHONPATH leads to the tests."""

import os

import mm_asgi

mm_asgi.run(f"tests.contract.hook_plugin.{os.environ['HOOKS_TARGET']}")
