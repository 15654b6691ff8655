"""The process contract of hashicorp/go-plugin: environment, handshake, listener, services, streams.

These are parts. What puts them together, and in which order, is ``mm_asgi.process``.
"""
