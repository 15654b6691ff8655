"""The PluginHooks service of gRPC: a plugin's RPCs with their paths, limits and streams.

What an RPC does is in dispatch.py; here is what gRPC alone has.
"""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING

from mm_asgi.bridge import serve_http
from mm_asgi.dispatch import NotListed
from mm_asgi.wire.calls import MISSING, PLUGIN_FAILED
from mm_asgi.wire.port import Method, StatusCode

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from mm_asgi.dispatch import RPC
    from mm_asgi.serving import Serving
    from mm_asgi.tasks import TaskSet
    from mm_asgi.wire.port import Stream

__all__ = ["SERVICE", "methods"]

SERVICE = "/mattermost.pluginapi.v1.PluginHooks/"

UNARY_LIMIT = 4 * 1024 * 1024  # bytes: gRPC's own default
HOOK_LIMIT = 64 * 1024 * 1024  # bytes: a list of posts or a sync message passes gRPC's default
LARGEST_ANSWER = 2**31 - 1  # bytes: what the host takes
SERVE_HTTP_LIMIT = 2 * 1024 * 1024  # bytes: net/http lets 1 MiB of headers through


def methods(serving: Serving) -> dict[str, Method]:
    """Return the RPCs by path. Any other path is UNIMPLEMENTED, as a hook without a function is."""
    found = {
        SERVICE + "ServeHTTP": Method(
            functools.partial(serve_http.serve, serving.http),
            serve_http.RequestParser,
            SERVE_HTTP_LIMIT,
        )
    }
    for rpc in serving.dispatch.rpcs.values():
        if rpc.is_drained:
            limit = serving.settings.upload_limit if "File" in rpc.name else HOOK_LIMIT
            start = functools.partial(_start, rpc, serving.tasks)
            method = Method(start, _LazyParser(rpc), limit, LARGEST_ANSWER)
        else:
            answer = functools.partial(_answer, rpc, serving.tasks)
            method = Method(answer, _LazyParser(rpc), UNARY_LIMIT)
        found[SERVICE + rpc.name] = method
    return found


class _LazyParser:
    """Parses an RPC's request; the message's module is imported at the first one."""

    def __init__(self, rpc: RPC) -> None:
        self._rpc = rpc

    def FromString(self, data: bytes, /) -> Message:
        return self._rpc.request.FromString(data)


def _start(rpc: RPC, tasks: TaskSet, stream: Stream) -> None:
    tasks.start(_answer(rpc, tasks, stream), rpc.name)


async def _answer(rpc: RPC, tasks: TaskSet, stream: Stream) -> None:
    """Serve one call; what is written after the default of an overrun is dropped."""

    def overdue(default: Message) -> None:
        tasks.start(stream.write(default, last=True), rpc.name)

    try:
        if (request := await stream.read()) is None:
            stream.abort(StatusCode.INVALID_ARGUMENT, MISSING)
            return
        deadline = stream.deadline
        left = None if deadline is None else deadline - asyncio.get_running_loop().time()
        await stream.write(await rpc.answer(request, left, overdue), last=True)
    except NotListed as exc:
        stream.abort(StatusCode.UNIMPLEMENTED, str(exc))
    except BaseException:  # a log filter that raises: no peer waits for ever
        stream.abort(StatusCode.INTERNAL, PLUGIN_FAILED)
        raise
