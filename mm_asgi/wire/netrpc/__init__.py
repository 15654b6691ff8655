"""go-plugin's net/rpc, the wire of every released Mattermost server.

Four protocols stand on each other, and each is a core of its own without a socket and a clock:

    broker          MuxBroker: which offer a stream takes up
    rpc             Go's net/rpc: calls and replies by number
    gob             Go's encoding/gob: values, and the types they are made of
    yamux           many streams on one connection

Nothing here imports more than the standard library and ``mm_asgi.errors``.
"""
