"""A plugin without mm_asgi's code: its hooks read the text that they get, and it calls the API.

`HookServer` serves them inside a test; as a process it is a whole plugin. What it does with a post:
``shout ...`` is changed, ``bad ...`` refused, ``drop ...`` dismissed, ``fail ...`` ends as a gRPC
error, ``ping`` is answered with a post of its own, made by an API call.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message_factory import GetMessageClass

from mm_asgi.protocol import goplugin_pb2, health_pb2, hooks_pb2

METHODS = hooks_pb2.DESCRIPTOR.services_by_name["PluginHooks"].methods_by_name
HOOKS = "/mattermost.pluginapi.v1.PluginHooks/"
DISMISS = "plugin.message_will_be_posted.dismiss_post"


class HookServer(grpc.GenericRpcHandler):
    """Every unary hook; the listed ones are what Implemented answers."""

    def __init__(self, listed: list[str], api: Any = None) -> None:
        self.listed = listed
        self._api = api

    def service(self, details: Any) -> Any:
        name = details.method.removeprefix(HOOKS)
        if not details.method.startswith(HOOKS) or METHODS[name].client_streaming:
            return None
        answer = GetMessageClass(METHODS[name].output_type)

        async def handle(request: Any, context: Any) -> bytes:
            react = getattr(self, f"on_{name}", None)
            fields = await react(request, context) if react is not None else {}
            data: bytes = answer(**fields).SerializeToString()
            return data

        request = GetMessageClass(METHODS[name].input_type)
        return grpc.unary_unary_rpc_method_handler(handle, request_deserializer=request.FromString)

    async def on_Implemented(self, request: Any, context: Any) -> dict[str, Any]:
        return {"hooks": self.listed}

    async def on_OnActivate(self, request: Any, context: Any) -> dict[str, Any]:
        if self._api is not None:
            await self._api("RegisterCommand", command={"trigger": "weather"})
            await self._api("CreatePost", post=_post("I am up"))
        return {}

    async def on_OnDeactivate(self, request: Any, context: Any) -> dict[str, Any]:
        if self._api is not None:
            await self._api("KVSet", key="last words", value=b"bye")
        return {}

    async def on_MessageWillBePosted(self, request: Any, context: Any) -> dict[str, Any]:
        return await self._judge(request.post, context)

    async def on_MessageWillBeUpdated(self, request: Any, context: Any) -> dict[str, Any]:
        return await self._judge(request.new_post, context)

    async def _judge(self, post: Any, context: Any) -> dict[str, Any]:
        word, _, rest = post.message.partition(" ")
        if word == "fail":
            await context.abort(grpc.StatusCode.INTERNAL, "planted")
        if word == "shout":
            post.message = rest.upper()
            return {"modified_post": post}
        return {"rejection_reason": {"bad": "mind your words", "drop": DISMISS}.get(word, "")}

    async def on_MessageHasBeenPosted(self, request: Any, context: Any) -> dict[str, Any]:
        if request.post.message == "ping" and self._api is not None:
            await self._api("CreatePost", post=_post("shout pong", request.post.channel_id))
        return {}

    async def on_FileWillBeUploaded(self, request: Any, context: Any) -> dict[str, Any]:
        if request.file_content == b"virus":
            return {"rejection_reason": "no viruses"}
        if request.file_content == b"rename":
            request.file_info.name = "renamed.txt"
            return {"modified_file_info": request.file_info}
        return {"modified_content": request.file_content.upper()}

    async def on_ConfigurationWillBeSaved(self, request: Any, context: Any) -> dict[str, Any]:
        text = request.new_config.config_json
        if b"forbidden" in text:
            return {"error": {"id": "no.forbidden"}}
        if b"nonsense" in text:
            return {"modified_config": {"config_json": b"[]"}}
        return {"modified_config": {"config_json": text.replace(b"tiny", b"small")}}

    async def on_ExecuteCommand(self, request: Any, context: Any) -> dict[str, Any]:
        place = request.args.command.partition(" ")[2]
        if place == "nowhere":
            return {"error": {"id": "no.place", "where": "weather", "status_code": 7}}
        if place == "silence":
            return {}
        if place == "storm":
            await context.abort(grpc.StatusCode.INTERNAL, "planted")
        kind = "in_channel" if place == "rome" else "ephemeral"
        text = f"sunny in {place}" if place else ""
        return {"response": {"text": text, "response_type": kind, "type": "ignored"}}


def _post(message: str, channel_id: str = "") -> dict[str, str]:
    return {
        "channel_id": channel_id or os.environ.get("HOOK_PLUGIN_CHANNEL", ""),
        "user_id": "sysadmin",
        "message": message,
    }


class _GoPlugin(grpc.GenericRpcHandler):
    """What go-plugin itself asks."""

    def __init__(self, done: asyncio.Event) -> None:
        self._done = done

    def service(self, details: Any) -> Any:
        if details.method == "/grpc.health.v1.Health/Check":
            return grpc.unary_unary_rpc_method_handler(self._check)
        if details.method == "/plugin.GRPCController/Shutdown":
            return grpc.unary_unary_rpc_method_handler(self._shutdown)
        return None

    async def _check(self, _: Any, __: Any) -> bytes:
        serving = health_pb2.HealthCheckResponse.SERVING
        return health_pb2.HealthCheckResponse(status=serving).SerializeToString()

    async def _shutdown(self, _: Any, __: Any) -> bytes:
        self._done.set()
        return goplugin_pb2.Empty().SerializeToString()


async def main() -> None:
    # Here: as a script it has to be told first where the tests are.
    from tests.unit.host.mattermost.api_client import Client

    done = asyncio.Event()
    server = grpc.aio.server()
    async with grpc.aio.insecure_channel(os.environ["MATTERMOST_PLUGIN_API_TARGET"]) as channel:
        client = Client(channel)

        async def api(name: str, **fields: Any) -> Any:
            return await getattr(client, name)(**fields)

        listed = [
            "OnActivate", "OnDeactivate", "MessageWillBePosted", "MessageHasBeenPosted",
            "ExecuteCommand",
        ]  # fmt: skip
        server.add_generic_rpc_handlers((HookServer(listed, api), _GoPlugin(done)))
        with tempfile.TemporaryDirectory() as folder:
            address = Path(folder) / "s"
            server.add_insecure_port(f"unix:{address}")
            await server.start()
            sys.stdout.write(f"1|1|unix|{address}|grpc\n")
            sys.stdout.flush()
            await done.wait()
            await server.stop(0.2)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[4]))
    asyncio.run(main())
