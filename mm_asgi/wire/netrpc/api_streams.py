"""Calls of the API whose bodies travel on streams of the broker, beside their arguments.

To the app they are calls like any other, with the body in a field of the message: the contract has
them so, and over gRPC they are one message. Each offers its streams first, names their numbers in
the call, and withdraws what the host did not take up.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

from mm_asgi.wire.calls import ANSWER_LIMIT
from mm_asgi.wire.netrpc.byte_pipe import BytePipe
from mm_asgi.wire.netrpc.live_calls import CallRefused
from mm_asgi.wire.netrpc.permits import TooMuch, read_all, send_permitted
from mm_asgi.wire.port import RPCError, StatusCode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mm_asgi.wire.netrpc.api_calls import APICaller

__all__ = ["STREAMED"]


@contextlib.asynccontextmanager
async def _sent_on_demand(caller: APICaller, data: bytes) -> AsyncIterator[int]:
    """Offer bytes to the host for as long as a call runs; the value is the offer's number."""
    link = caller.link
    pipe = BytePipe()
    number = link.offer(pipe)
    task = asyncio.get_running_loop().create_task(send_permitted(pipe, data))
    try:
        yield number
    finally:
        link.withdraw(number)
        task.cancel()
        # What went wrong with the body is the call's own failure: the host says so in its answer.
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()


async def _upload_data(caller: APICaller, request: Any, response: type[Any]) -> Any:
    async with _sent_on_demand(caller, request.data) as number:
        return await caller.call("UploadData", request, response, {"PluginStreamID": number})


async def _install_plugin(caller: APICaller, request: Any, response: type[Any]) -> Any:
    async with _sent_on_demand(caller, request.file_data) as number:
        return await caller.call("InstallPlugin", request, response, {"PluginStreamID": number})


# ---------------------------------------------------------------- PluginHTTP


async def _plugin_http(caller: APICaller, request: Any, response: type[Any]) -> Any:
    """Call another plugin: by streams since 11.3, before that with both bodies in the call."""
    if caller.has_http_streams:
        try:
            return await _plugin_http_stream(caller, request, response)
        except CallRefused as exc:
            if not exc.is_unknown:
                raise
            caller.has_http_streams = False
    arguments = {"Request": _http_request(request), "RequestBody": request.body}
    returned = await caller.call_raw("PluginHTTP", arguments)
    answered = returned.get("Response", {})
    return response(
        status_code=answered.get("StatusCode", 0),
        headers=_joined(answered.get("Header", {})),
        body=returned.get("ResponseBody", b""),
    )


async def _plugin_http_stream(caller: APICaller, request: Any, response: type[Any]) -> Any:
    answer = BytePipe()
    number = caller.link.offer(answer)
    arguments = {"ResponseBodyStream": number, "Request": _http_request(request)}
    try:
        async with contextlib.AsyncExitStack() as stack:
            if request.body:
                sent = _sent_on_demand(caller, request.body)
                arguments["RequestBodyStream"] = await stack.enter_async_context(sent)
            returned = await caller.call_raw("PluginHTTPStream", arguments)
            if not returned.get("StatusCode"):  # the host leaves the answer's stream open, too
                text = "PluginHTTP: the server gave no answer"
                raise RPCError(StatusCode.INTERNAL, text)
            body = await read_all(answer, ANSWER_LIMIT)
    except TooMuch as exc:
        raise RPCError(StatusCode.RESOURCE_EXHAUSTED, f"PluginHTTP: the answer has {exc}") from None
    finally:
        caller.link.withdraw(number)
        answer.reset()
    headers = _joined(returned.get("Header", {}))
    return response(status_code=returned["StatusCode"], headers=headers, body=body)


def _http_request(request: Any) -> dict[str, Any]:
    return {
        "Method": request.method or "GET",
        "URL": request.url.encode(),
        "Proto": "HTTP/1.1",
        "ProtoMajor": 1,
        "ProtoMinor": 1,
        "Header": {_canonical(name): [value] for name, value in request.headers.items()},
    }


def _canonical(name: str) -> str:
    """A header's name as Go's net/http spells it, which is how it looks one up."""
    return "-".join(part.capitalize() for part in name.split("-"))


def _joined(headers: dict[str, list[str]]) -> dict[str, str]:
    return {name: ", ".join(values) for name, values in headers.items()}


STREAMED: Final[dict[str, Callable[[APICaller, Any, type[Any]], Awaitable[Any]]]] = {
    "InstallPlugin": _install_plugin,
    "PluginHTTP": _plugin_http,
    "UploadData": _upload_data,
}
"""By the call's name."""
