"""``python -m tests.benchmarks.bare SOCKET``: a grpc.aio server without ASGI, one fixed answer.

What gRPC in Python costs by itself. No go-plugin: ``gohost raw`` dials it.
"""

import sys

import grpc
import grpc.aio
import uvloop

from mm_asgi.protocol.hooks_http_pb2 import ServeHTTPRequest, ServeHTTPResponse
from tests.benchmarks.apps.raw import HELLO

ANSWER = ServeHTTPResponse(body_chunk=HELLO, body_complete=True)
ANSWER.init.status_code = 200
ANSWER.init.headers.add(key="Content-Type", values=["text/plain"])
ANSWER.init.headers.add(key="Content-Length", values=[str(len(HELLO))])
ANSWER_BYTES = ANSWER.SerializeToString()


async def serve_http(
    _: object, context: "grpc.aio.ServicerContext[ServeHTTPRequest, bytes]"
) -> None:
    complete = False
    while not complete:
        message = await context.read()
        complete = not isinstance(message, ServeHTTPRequest) or message.body_complete
    await context.write(ANSWER_BYTES)


async def main(path: str) -> None:
    server = grpc.aio.server()
    handler: grpc.RpcMethodHandler[ServeHTTPRequest, bytes] = grpc.stream_stream_rpc_method_handler(
        serve_http, request_deserializer=ServeHTTPRequest.FromString
    )
    service = "mattermost.pluginapi.v1.PluginHooks"
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {"ServeHTTP": handler}),)
    )
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
