import mm_asgi

mm_asgi.run("lunch.app:app")
