"""A plugin without mm_asgi's wire: it tells what the host sent and answers what a test asks for.

Without an X-Answer header a request is answered by what arrived, as JSON. With it the header's
JSON list is replayed: base64 of ServeHTTPResponse messages, "read" (the request to its end),
"abort", "exit", "hold" (until the RPC is cancelled or released), ["after", seconds], ["flood",
megabytes]. WIRE_ANSWERS in the environment changes the unary answers: RPC name to protojson, or to
"abort" or "hang". While there is a file WIRE_BROKEN it does not start.

What became of a request with the header X-Key is told to a later one with X-Tell, once it is over;
X-Release lets it go on.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
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


@dataclass
class Record:
    """What a request with an X-Key met: "complete" or "truncated", "cancelled" or "done"."""

    events: list[str] = field(default_factory=list)
    held: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)


RECORDS: defaultdict[str, Record] = defaultdict(Record)


async def replay(context: Any, answer: str, record: Record, complete: bool) -> None:
    for step in json.loads(answer):
        if step == "read":
            while not complete and (message := await read(context)) is not None:
                complete = message.body_complete
            record.events.append("complete" if complete else "truncated")
        elif step == "hold":
            record.held.set()
            await record.released.wait()
        elif isinstance(step, list):
            await {"after": take_long, "flood": flood}[step[0]](context, record, step[1])
        elif step == "abort":
            await context.abort(grpc.StatusCode.ABORTED, "as the test asked")
        elif step == "exit":
            os._exit(3)
        else:
            sent = hooks_http_pb2.ServeHTTPResponse.FromString(base64.b64decode(step))
            if sent.body_complete:
                # Before it leaves: whatever the host does at once cannot come first.
                record.events.append("done")
            await context.write(sent.SerializeToString())


async def take_long(_: Any, record: Record, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(record.released.wait(), seconds)


async def flood(context: Any, _: Record, megabytes: int) -> None:
    for _piece in range(megabytes):
        chunk = hooks_http_pb2.ServeHTTPResponse(body_chunk=bytes(1 << 20))
        await context.write(chunk.SerializeToString())


async def read(context: Any) -> Any:
    data = await context.read()
    return None if data is grpc.aio.EOF else hooks_http_pb2.ServeHTTPRequest.FromString(data)


async def serve_http(_: Any, context: Any) -> None:
    message = await read(context)
    if message is None:
        return
    headers = {header.key: list(header.values) for header in message.init.headers}
    if asked := headers.get("X-Tell"):
        await RECORDS[asked[0]].over.wait()
        await answer_json(context, RECORDS[asked[0]].events)
        return
    if asked := headers.get("X-Release"):
        await RECORDS[asked[0]].held.wait()
        RECORDS[asked[0]].released.set()
        await answer_json(context, None)
        return
    if "X-Answer" in headers:
        record = RECORDS[headers["X-Key"][0]] if "X-Key" in headers else Record()
        try:
            await replay(context, headers["X-Answer"][0], record, message.body_complete)
            if "done" not in record.events:
                record.events.append("done")
        except grpc.aio.AbortError:
            raise
        except BaseException:  # a write fails before the handler is cancelled
            if "done" not in record.events:
                record.events.append("cancelled")
            raise
        finally:
            record.over.set()
        return
    init = json_format.MessageToDict(message.init, preserving_proto_field_name=True)
    init["headers"] = headers
    body, complete = message.body_chunk, message.body_complete
    while not complete and (message := await read(context)) is not None:
        body, complete = body + message.body_chunk, message.body_complete
    await answer_json(context, {"init": init, "body": body.decode("latin-1"), "complete": complete})


async def answer_json(context: Any, told: Any) -> None:
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
    if os.path.exists(os.environ.get("WIRE_BROKEN", "")):
        sys.exit("broken, as the test asked")
    asyncio.run(main())
