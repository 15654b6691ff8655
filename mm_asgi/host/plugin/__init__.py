"""go-plugin's client: the plugin's process, the connection to it, its hooks, its health, its end.

This face holds what others say about a plugin: a hook's answer, a failed start, the log. The client
itself needs grpcio; the host imports it from its own modules.
"""

from mm_asgi.host.plugin.hook_answer import HookAnswer, error_of
from mm_asgi.host.plugin.host_error import HostError
from mm_asgi.host.plugin.log import HostLog
from mm_asgi.host.plugin.stderr import LogLine

__all__ = ["HookAnswer", "HostError", "HostLog", "LogLine", "error_of"]
