"""The wire contract as messages: one module for each .proto file, generated, never edited.

The sources are in proto/mm_asgi/protocol; `python proto/generate.py` writes the modules again
and `python proto/generate.py --check` says whether they agree. Services are not here: the wire
registers methods by their names.

Nothing is imported eagerly. What one request needs (hooks_http_pb2, hooks_lifecycle_pb2,
goplugin_pb2, health_pb2) does not load the messages of the API's 236 calls.
"""
