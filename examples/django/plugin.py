import mm_asgi

mm_asgi.run("pinboard.asgi:application", cookie_path="root")
