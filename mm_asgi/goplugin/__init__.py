"""The process contract of hashicorp/go-plugin: environment, handshake, listener, services, streams.

These are parts. ``mm_asgi.process`` puts them together, and says in which order.
"""
