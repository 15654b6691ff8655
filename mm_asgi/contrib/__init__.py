"""Mattermost's identity and API in the terms of a framework, one module for each.

Nothing here imports a framework: ``mm_asgi.contrib.fastapi`` does, when it is imported itself.
"""
