"""A plugin without mm_asgi's wire: it tells what the host sent and answers what a test asks for.

Without an X-Answer header a request is answered by what arrived, as JSON. With it the header's
JSON list is replayed: base64 of ServeHTTPResponse messages, "read" (the request to its end),
"abort", "exit". WIRE_ANSWERS in the environment changes the unary answers: RPC name to protojson,
or to "abort" or "hang".
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import json_format

from mm_asgi.protocol import goplugin_pb2, health_pb2, hooks_http_pb2, hooks_lifecycle_pb2

HOOKS = "mattermost.pluginapi.v1.PluginHooks"
ANSWERS: dict[str, Any] = {
    "/grpc.health.v1.Health/Check": health_pb2.HealthCheckResponse(
        status=health_pb2.HealthCheckResponse.SERVING
    ),
    f"/{HOOKS}/Implemented": hooks_lifecycle_pb2.ImplementedResponse(
        hooks=["OnActivate", "OnDeactivate", "ServeHTTP"]
    ),
    f"/{HOOKS}/OnActivate": hooks_lifecycle_pb2.OnActivateResponse(),
    f"/{HOOKS}/OnDeactivate": hooks_lifecycle_pb2.OnDeactivateResponse(),
}


async def replay(context: Any, answer: str) -> None:
    for step in json.loads(answer):
        if step == "read":
            while await read(context) is not None:
                pass
        elif step == "abort":
            await context.abort(grpc.StatusCode.ABORTED, "as the test asked")
        elif step == "exit":
            os._exit(3)
        else:
            await context.write(base64.b64decode(step))


async def read(context: Any) -> Any:
    data = await context.read()
    return None if data is grpc.aio.EOF else hooks_http_pb2.ServeHTTPRequest.FromString(data)


async def serve_http(_: Any, context: Any) -> None:
    message = await read(context)
    if message is None:
        return
    headers = {header.key: list(header.values) for header in message.init.headers}
    if "X-Answer" in headers:
        await replay(context, headers["X-Answer"][0])
        return
    init = json_format.MessageToDict(message.init, preserving_proto_field_name=True)
    init["headers"] = headers
    body, complete = message.body_chunk, message.body_complete
    while not complete and (message := await read(context)) is not None:
        body, complete = body + message.body_chunk, message.body_complete
    told = {"init": init, "body": body.decode("latin-1"), "complete": complete}
    response = hooks_http_pb2.ServeHTTPResponse(
        init=hooks_http_pb2.ServeHTTPResponseInit(
            headers=[hooks_http_pb2.HTTPHeader(key="Content-Type", values=["application/json"])]
        ),
        body_chunk=json.dumps(told).encode(),
        body_complete=True,
    )
    await context.write(response.SerializeToString())


class Services(grpc.GenericRpcHandler):
    def __init__(self, done: asyncio.Event) -> None:
        self._done = done

    def service(self, details: Any) -> Any:
        method = details.method
        if method.endswith("/ServeHTTP"):
            return grpc.stream_stream_rpc_method_handler(serve_http)
        if method in ("/plugin.GRPCStdio/StreamStdio", "/plugin.GRPCBroker/StartStream"):
            return grpc.stream_stream_rpc_method_handler(self._hold)
        if method == "/plugin.GRPCController/Shutdown":
            return grpc.unary_unary_rpc_method_handler(self._shutdown)

        given = json.loads(os.environ.get("WIRE_ANSWERS", "{}")).get(method.rpartition("/")[2])

        async def fixed(_: Any, context: Any) -> bytes:
            if given == "hang":
                await asyncio.Event().wait()
            if given == "abort":
                await context.abort(grpc.StatusCode.INTERNAL, "as the test asked")
            answer = ANSWERS[method]
            if given is not None:
                answer = json_format.ParseDict(given, type(answer)())
            data: bytes = answer.SerializeToString()
            return data

        return grpc.unary_unary_rpc_method_handler(fixed)

    async def _hold(self, _: Any, __: Any) -> None:
        await self._done.wait()

    async def _shutdown(self, _: Any, __: Any) -> bytes:
        self._done.set()
        return goplugin_pb2.Empty().SerializeToString()


async def main() -> None:
    done = asyncio.Event()
    server = grpc.aio.server(options=(("grpc.max_receive_message_length", -1),))
    server.add_generic_rpc_handlers((Services(done),))
    with tempfile.TemporaryDirectory() as folder:
        address = Path(folder) / "s"
        server.add_insecure_port(f"unix:{address}")
        await server.start()
        sys.stdout.write(f"1|1|unix|{address}|grpc\n")
        sys.stdout.flush()
        await done.wait()
        await server.stop(0.2)


if __name__ == "__main__":
    asyncio.run(main())
