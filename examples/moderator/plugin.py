import mm_asgi

mm_asgi.run("moderator.main:plugin")
