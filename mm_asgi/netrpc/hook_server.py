"""The host's hooks over net/rpc: each call to its RPC, and what net/rpc alone has around it.

The twin of grpc_hooks.py: what an RPC does is in dispatch.py, and open_call.py turns Go's values
into messages and back. Here are the calls that come with streams of their own (the API's with
OnActivate, a file's), and the tasks that the calls run in.

No call has a deadline: the host waits for ever, so that a plugin's own budgets are all there is
(row H2).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from mm_asgi.dispatch import NotListed
from mm_asgi.netrpc.file_hook import FileStreams
from mm_asgi.netrpc.open_call import OpenCall
from mm_asgi.wire.netrpc.stream_owner import StreamOwner
from mm_asgi.wire.netrpc.tables import HOOKS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from mm_asgi.dispatch import RPC
    from mm_asgi.serving import Serving
    from mm_asgi.wire.netrpc.live_calls import RPCAnswerer
    from mm_asgi.wire.netrpc.plugin_session import PluginSession
    from mm_asgi.wire.netrpc.rpc_conversation import IncomingCall

    ServeHTTP = Callable[[IncomingCall, RPCAnswerer, PluginSession], None]

__all__ = ["HookServer", "offered_by"]

logger = logging.getLogger("mm_asgi.netrpc")

OFFERS: Final = {
    "Plugin.FileWillBeUploaded": ("UploadedFileStream", "ReplacementFileStream"),
    "Plugin.OnActivate": ("APIMuxId", "DriverMuxId"),
    "Plugin.ServeHTTP": ("ResponseWriterStream", "RequestBodyStream"),
    "Plugin.ServeMetrics": ("ResponseWriterStream", "RequestBodyStream"),
}
"""The calls that come with streams, and the arguments that have their numbers."""


def offered_by(call: IncomingCall) -> list[int]:
    """Return the broker's numbers that a call offers."""
    arguments = call.arguments if isinstance(call.arguments, dict) else {}
    numbers = (arguments.get(name, 0) for name in OFFERS.get(call.method, ()))
    return [number for number in numbers if isinstance(number, int) and number]


class HookServer:
    """Serves the host's calls with one plugin.

    Args:
        serving: the plugin.
        serve_http: serves a ServeHTTP call: the call, its answerer, the session.
        serve_metrics: the same for a ServeMetrics call.
        use_api: called with OnActivate: the session, and the number that the host's API is on.
    """

    def __init__(
        self,
        serving: Serving,
        *,
        serve_http: ServeHTTP,
        serve_metrics: ServeHTTP,
        use_api: Callable[[PluginSession, int], None],
    ) -> None:
        self._serving = serving
        self._use_api = use_api
        self._serve_http = serve_http
        self._serve_metrics = serve_metrics
        # OnDeactivate waits for the drained ones: it must not wait for itself.
        self._undrained: set[asyncio.Task[None]] = set()

    def handle(self, call: IncomingCall, answerer: RPCAnswerer, session: PluginSession) -> None:
        """Serve one call; what takes time is done in a task."""
        name = call.method.removeprefix("Plugin.")
        if name == "ServeHTTP":
            self._serve_http(call, answerer, session)
            return
        if name == "ServeMetrics" and self._serving.has_metrics:
            self._serve_metrics(call, answerer, session)
            return
        rpc = self._serving.dispatch.rpcs.get(name)
        if rpc is None or name not in HOOKS:
            answerer.refuse(call, f"rpc: can't find method {call.method}")
            return
        # A failed Implemented is told as such: a plugin without any hook would look healthy.
        opened = OpenCall(name, call, answerer, None if name == "Implemented" else rpc.default)
        if name == "OnActivate":
            self._dial_api(opened, session)
        self._start(rpc, self._answer(rpc, opened, session))

    def _dial_api(self, opened: OpenCall, session: PluginSession) -> None:
        # Both at once, within the host's 5 s: what it offered in vain it logs as an error.
        self._use_api(session, opened.arguments.get("APIMuxId", 0))
        if driver := opened.arguments.get("DriverMuxId", 0):
            session.link.dial(driver, StreamOwner())

    def _start(self, rpc: RPC, work: Coroutine[Any, Any, None]) -> None:
        if rpc.is_drained:
            self._serving.tasks.start(work, rpc.name)
            return
        task = asyncio.get_running_loop().create_task(work, name=f"mm_asgi {rpc.name}")
        self._undrained.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._undrained.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            logger.error("the task %s failed", task.get_name(), exc_info=failure)

    async def _answer(self, rpc: RPC, opened: OpenCall, session: PluginSession) -> None:
        try:
            if opened.name == "FileWillBeUploaded":
                await self._answer_file(rpc, opened, session)
                return
            request = opened.request(rpc.request)
            response = await rpc.answer(request, None, opened.answer)
            opened.answer(response)
        except NotListed as exc:
            opened.refuse(str(exc))
        except BaseException:  # arguments that no message holds: the host does not wait for ever
            opened.fail()
            raise

    async def _answer_file(self, rpc: RPC, opened: OpenCall, session: PluginSession) -> None:
        streams = FileStreams(session.link, opened)
        try:
            await streams.answer(rpc, opened, self._serving.settings.upload_limit)
        finally:
            streams.close()
