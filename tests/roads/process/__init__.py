"""Road p, and the same tests through the Go host: a test starts a plugin's process itself.

These tests are no coroutines: they look at a process from outside, its output, exit code, socket
and signals, and a blocked plugin must not block them. LightHost is a host in Python, which starts
a plugin, reads its handshake and calls it. RealHost is the Go host with the same face.
"""
