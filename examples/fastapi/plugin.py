import mm_asgi

mm_asgi.run("shop.main:app")
