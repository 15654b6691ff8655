import mm_asgi

mm_asgi.run("relay.app:app", cookie_path="root")
