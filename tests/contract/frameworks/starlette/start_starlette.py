"""The start file, as a plugin has it."""

import mm_asgi

mm_asgi.run("starlette_app:app")
