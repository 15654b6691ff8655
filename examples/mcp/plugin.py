import mm_asgi

mm_asgi.run("assistant.main:plugin", lifespan="on")
