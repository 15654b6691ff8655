"""The calls of a released server's API over net/rpc, with the real plugin package.

The plugin's functions make the calls, and the host shows what arrived there.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.go_api import GoAPI
from tests.go_host import go_missing_reason
from tests.net_host import NetHost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(300),  # the first of them builds
    pytest.mark.skipif(bool(go_missing_reason()), reason=str(go_missing_reason())),
]

APP = """\
import asyncio, hashlib, json
from google.protobuf.json_format import MessageToDict
from mm_asgi import Plugin, errors, run, types
from mm_asgi.api import AsyncAPI
from mm_asgi.api.call_shape import CallShape

plugin = Plugin()
SIZE = 3_000_000
DATA = bytes(range(256)) * (SIZE // 256)


async def many(api):
    await asyncio.gather(*(api.kv_set(key=f"k{n}", value=b"%d" % n) for n in range(32)))
    return [v.decode() for v in await asyncio.gather(*(api.kv_get(key=f"k{n}") for n in range(32)))]


async def upload(api):
    session = types.UploadSession(id="u", filename="a.bin", channel_id="c", file_size=len(DATA))
    info = await api.upload_data(upload_session=session, data=DATA)
    return [info.name, info.size, hashlib.sha256(await api.get_file(file_id=info.id)).hexdigest()]


async def install(api):
    manifest = await api.install_plugin(file_data=DATA, replace=True)
    return [manifest.id, manifest.name]


async def other(api):
    found = []
    for method, body in (("PUT", DATA), ("POST", b"question"), ("GET", b"")):
        answer = await api.plugin_http(
            method=method, url="/other/x?y=1", headers={"x-a": "1"}, body=body
        )
        headers = answer.headers
        found.append([
            answer.status_code, headers["X-Method"], headers["X-Url"], headers["X-A"],
            hashlib.sha256(answer.body).hexdigest(), len(answer.body),
        ])
    return found


async def bad_url(api):
    return (await api.plugin_http(method="GET", url="%zz")).status_code


async def user(api):
    return (await api.get_user(user_id="alice")).username


async def post(api, channel_id):
    made = types.Post(user_id="alice", channel_id=channel_id, message="caf\\u00e9 \\U0001f600")
    made.props.update({"n": 1.5, "list": [1, None, {"a": True}]})
    return MessageToDict(await api.create_post(post=made), preserving_proto_field_name=True)


async def toast(api):
    # As the client would call it; the contract has no message for it.
    shape = CallShape("api_user_team", "DeleteUser")
    shape.name, shape.path = "SendToastMessage", "/SendToastMessage"
    api._connection._calls["SendToastMessage"] = shape
    return await api._call("", "SendToastMessage")


async def config(api):
    return await api.save_config(config_json=b"{}")


async def slow(api):
    return await AsyncAPI(api, timeout=0.3).get_user(user_id="alice")


async def nobody(api):
    return await api.get_user(user_id="nobody")

CALLS = {f.__name__: f for f in (many, upload, install, other, bad_url, user, post, toast, config, slow, nobody)}


@plugin.hook
async def message_will_be_posted(context, post):
    try:
        name, *arguments = post.message.split()
        value = await CALLS[name](plugin.api, *arguments)
        post.message = json.dumps({"value": value})
    except errors.APIError as failure:
        post.message = json.dumps({
            "error": type(failure).__name__, "text": str(failure), "id": failure.id,
            "status": failure.status_code,
        })
    return post


@plugin.hook
async def file_will_be_uploaded(context, file_info, file_content):
    if file_info.name == "keep":
        return None
    file_info.name += ".seen"
    return file_info, file_content[::-1]

if __name__ == "__main__":
    run("start:plugin", wire="netrpc")
"""


class Server:
    """A host, and a plugin that makes the calls that a test names."""

    def __init__(self, host: NetHost, has_flush: bool) -> None:
        self.host = host
        self.has_flush = has_flush
        self.api = GoAPI(host)

    async def ask(self, name: str) -> dict[str, Any]:
        """Return the call's value, or its error."""
        answer = await self.host.hook("MessageWillBePosted", {}, {"message": name})
        assert answer["ok"], answer
        found: dict[str, Any] = json.loads(answer["response"][0]["message"])
        return found

    async def value(self, name: str) -> Any:
        found = await self.ask(name)
        assert "error" not in found, found
        return found["value"]


@pytest.fixture(params=[True, False], ids=["flush", "noflush"])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    (tmp_path / "start.py").write_text(APP)
    async with NetHost(tmp_path, "start.py", flush=request.param) as host:
        yield Server(host, request.param)


DATA = bytes(range(256)) * (3_000_000 // 256)
HASH = hashlib.sha256(DATA).hexdigest()


async def test_bodies_travel_on_streams(server: Server) -> None:
    assert await server.value("upload") == ["a.bin", len(DATA), HASH]
    assert await server.value("install") == ["com.example.installed", HASH]
    url = "/other/x?y=1"
    question = hashlib.sha256(b"question").hexdigest()
    for _ in range(2):  # what a server before 11.3 lacks is known from the second call on
        assert await server.value("other") == [
            [200, "PUT", url, "1", HASH, len(DATA)],
            [200, "POST", url, "1", question, 8],
            [200, "GET", url, "1", hashlib.sha256(b"").hexdigest(), 0],
        ]
    assert (await server.ask("bad_url"))["error"] in ("Internal", "InvalidArgument")
    assert await server.value("user") == "alice"  # the connection lives


async def test_values_and_errors_arrive(server: Server) -> None:
    assert await server.value("user") == "alice"
    state = await server.api.state()
    made = await server.value(f"post {state['channels']['town-square']}")
    assert (made["message"], made["user_id"]) == ("caf\u00e9 \U0001f600", "alice")
    sent = {"n": 1.5, "list": [1, None, {"a": True}]}
    assert made["props"] == {**sent, "from_plugin": "true"}  # as the server marks it
    assert await server.value("many") == [str(n) for n in range(32)]
    failure = await server.ask("nobody")
    assert (failure["error"], failure["status"]) == ("NotFound", 404)
    told = {"id": "app.told", "message": "No: 100 %", "status_code": 403}
    await server.api.fail("GetUser", app_error=told)
    failure = await server.ask("user")
    assert (failure["error"], failure["id"]) == ("PermissionDenied", "app.told")
    await server.api.heal()
    failure = await server.ask("config")
    assert failure["error"] == "Unimplemented"
    assert "loses every setting that" in failure["text"]
    await server.api.fail("GetUser", hold=True)
    assert (await server.ask("slow"))["error"] == "Unavailable"
    await server.api.heal()
    assert await server.value("user") == "alice"


async def test_a_file_is_kept_and_replaced(server: Server) -> None:
    content = base64.b64encode(DATA).decode()
    answer = await server.host.hook("FileWillBeUploaded", {}, {"name": "a"}, content)
    assert answer["response"][0]["name"] == "a.seen"
    assert base64.b64decode(answer["written"]) == DATA[::-1]
    answer = await server.host.hook("FileWillBeUploaded", {}, {"name": "keep"}, content)
    assert (answer["response"][0]["name"], answer["written"]) == ("keep", "")
    assert answer["ms"] < 4000  # a stream that is not dialled costs 5 s


async def test_a_call_that_the_server_lacks_names_the_version_that_has_it(
    server: Server,
) -> None:
    failure = await server.ask("toast")
    if server.has_flush:
        assert failure["id"] == "nethost.not_served"  # what the host answers that has no window
    else:
        assert failure["error"] == "Unimplemented"
        assert "servers have it since 11.5" in failure["text"]
    assert await server.value("user") == "alice"
