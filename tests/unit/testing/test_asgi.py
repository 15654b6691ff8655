"""mm_asgi.testing: as_user gives an app the scope that a plugin gets, lifespan starts it."""

import subprocess
import sys
from collections.abc import MutableMapping
from typing import Any

import httpx
import pytest

import mm_asgi
from mm_asgi import testing
from mm_asgi.bridge.request import HTTPRequest
from mm_asgi.bridge.scope import Mount, build_http
from mm_asgi.errors import StartupError
from mm_asgi.testing import as_user, lifespan

Scope = MutableMapping[str, Any]


class Recorder:
    """An app that answers 204 and keeps the scopes it saw."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 204})
            await send({"type": "http.response.body"})


async def see(
    path: str = "/hello",
    user: str | None = "alice",
    *,
    method: str = "GET",
    headers: list[tuple[str, str]] | None = None,
    **arguments: Any,
) -> Scope:
    """The scope that an app sees for one request of httpx."""
    app = Recorder()
    transport = httpx.ASGITransport(as_user(app, user, **arguments))
    async with httpx.AsyncClient(transport=transport, base_url="http://chat.test") as client:
        response = await client.request(method, path, headers=headers)
    assert response.status_code == 204
    return app.scopes[0]


def header(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]


async def test_the_path_gets_the_prefix() -> None:
    scope = await see("/a%2Fb/%C3%A9?x=1&access_token=secret&y=%20")
    assert scope["path"] == "/plugins/com.example.plugin/a/b/é"
    assert scope["raw_path"] == b"/plugins/com.example.plugin/a%2Fb/%C3%A9"
    assert scope["root_path"] == "/plugins/com.example.plugin"
    assert scope["query_string"] == b"x=1&y=%20"


@pytest.mark.parametrize("path", ["/plugins/shop/hello", "/hello"])
async def test_a_prefix_that_is_there_stays(path: str) -> None:
    scope = await see(path, plugin_id="shop")
    assert (scope["path"], scope["root_path"]) == ("/plugins/shop/hello", "/plugins/shop")


async def test_a_path_that_only_looks_like_the_prefix_gets_it() -> None:
    scope = await see("/plugins/shopping", plugin_id="shop")
    assert scope["path"] == "/plugins/shop/plugins/shopping"


async def test_the_bare_prefix_has_no_slash_added() -> None:
    scope = await see("/plugins/shop", plugin_id="shop")
    assert (scope["path"], scope["root_path"]) == ("/plugins/shop", "/plugins/shop")


@pytest.mark.parametrize("root_path", ["/my chat/plugins/shop", "/my chat/plugins/shop/"])
async def test_a_site_with_a_subpath(root_path: str) -> None:
    scope = await see("/hello", root_path=root_path)
    assert scope["path"] == "/my chat/plugins/shop/hello"
    assert scope["raw_path"] == b"/my%20chat/plugins/shop/hello"
    assert scope["root_path"] == "/my chat/plugins/shop"


async def test_what_the_client_claims_about_itself_is_replaced() -> None:
    claims = [
        ("Mattermost-User-Id", "mallory"),
        ("Mattermost-Plugin-ID", "com.mattermost.server"),
        ("Mattermost_User_Id", "mallory"),
        ("Referer", "http://elsewhere.test/"),
        ("Cookie", "a=1; MMAUTHTOKEN=secret; MMCSRF=c"),
        ("X-Kept", "1"),
        ("X-Kept", "2"),
    ]
    scope = await see(headers=claims)
    assert header(scope, b"mattermost-user-id") == [b"alice"]
    assert header(scope, b"x-kept") == [b"1", b"2"]
    assert header(scope, b"cookie") == [b"a=1; MMCSRF=c"]
    names = {name for name, _ in scope["headers"]}
    assert not names & {b"mattermost-plugin-id", b"mattermost_user_id", b"referer"}
    assert scope["headers"][0] == (b"host", b"chat.test")


async def test_a_session_cookie_alone_leaves_no_cookie_header() -> None:
    scope = await see(headers=[("Cookie", "MMAUTHTOKEN=secret")])
    assert header(scope, b"cookie") == []


async def test_the_facts_of_a_user() -> None:
    scope = await see(headers=[("User-Agent", "test"), ("Accept-Language", "de")])
    identity = mm_asgi.identity(scope)
    assert len(identity.request_id) == 26
    assert identity == mm_asgi.identity(
        {
            "extensions": {
                "mattermost": {
                    "plugin_id": "com.example.plugin",
                    "user_id": "alice",
                    "session_id": "session-alice",
                    "request_id": identity.request_id,
                    "ip_address": "127.0.0.1",
                    "user_agent": "test",
                    "accept_language": "de",
                    "source_plugin_id": None,
                }
            }
        }
    )
    assert mm_asgi.identity(await see()).request_id != identity.request_id


@pytest.mark.parametrize("user", [None, ""])
async def test_an_anonymous_request(user: str | None) -> None:
    scope = await see(user=user, headers=[("Mattermost-User-Id", "mallory")])
    identity = mm_asgi.identity(scope)
    assert identity.is_anonymous
    assert identity.session_id == ""
    # The host deletes the header, and sets it to nothing for a request of its own.
    assert header(scope, b"mattermost-user-id") == ([] if user is None else [b""])


async def test_facts_can_be_given() -> None:
    scope = await see(session_id="s", request_id="r", ip_address="2001:db8::1")
    identity = mm_asgi.identity(scope)
    assert (identity.session_id, identity.request_id) == ("s", "r")
    assert identity.ip_address == "2001:db8::1"
    assert scope["client"][0] == "2001:db8::1"


async def test_a_fact_that_there_is_not() -> None:
    with pytest.raises(TypeError, match="no such fact: user_name; expected some of session_id"):
        as_user(Recorder(), "alice", user_name="Alice")  # type: ignore[call-arg]


async def test_a_request_of_another_plugin() -> None:
    scope = await see("/hook", source_plugin_id="com.example.other")
    assert scope["path"] == "/plugins/com.example.plugin/hook"
    assert (scope["server"], scope["client"]) == (None, None)
    assert header(scope, b"host") == []
    assert header(scope, b"mattermost-plugin-id") == [b"com.example.other"]
    assert mm_asgi.identity(scope).source_plugin_id == "com.example.other"


async def test_the_rest_of_the_scope_is_build_https() -> None:
    scope = await see(method="POST")
    request = HTTPRequest(
        "POST", "/", "/", "chat.test", "", "HTTP/1.1", 1, -1, [], "", "", "", "", ""
    )
    built = build_http(request, Mount("x"), {}).scope
    assert scope.keys() == built.keys()
    for key in ("type", "asgi", "http_version", "method", "scheme", "server", "state"):
        assert scope[key] == built[key]
    assert scope["extensions"].keys() == built["extensions"].keys()


async def test_the_clients_scheme_is_kept() -> None:
    app = Recorder()
    transport = httpx.ASGITransport(as_user(app, None), client=("2001:db8::7", 5))
    async with httpx.AsyncClient(transport=transport, base_url="https://chat.test") as client:
        await client.get("/")
    assert app.scopes[0]["scheme"] == "https"
    assert app.scopes[0]["server"] == ("chat.test", 443)
    assert app.scopes[0]["client"] == ("2001:db8::7", 5)


async def test_a_scope_without_what_is_optional() -> None:
    app = Recorder()
    scope = {"type": "http", "method": "GET", "path": "/é", "headers": [], "http_version": "2"}
    await as_user(app, "alice")(scope, _receive, _send)
    seen = app.scopes[0]
    assert seen["raw_path"] == b"/plugins/com.example.plugin/%C3%A9"
    assert (seen["http_version"], seen["client"], seen["server"]) == ("2", None, None)


async def test_a_header_that_the_wire_cannot_carry() -> None:
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"x-name", b"\xe9")]}
    with pytest.raises(ValueError, match="'x-name' that is not UTF-8"):
        await as_user(Recorder(), "alice")(scope, _receive, _send)


async def test_a_target_that_the_wire_cannot_carry() -> None:
    scope = {"type": "http", "method": "GET", "path": "/", "raw_path": b"/\xe9", "headers": []}
    with pytest.raises(ValueError, match="a target that is not UTF-8"):
        await as_user(Recorder(), "alice")(scope, _receive, _send)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (b"/%zz", []),
        (b"/", [(b"host", b"a.test"), (b"host", b"b.test")]),
        (b"/", [(b"content-length", b"some")]),
    ],
)
async def test_a_request_that_the_host_refuses(
    path: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    scope = {"type": "http", "method": "GET", "path": "/", "raw_path": path, "headers": headers}
    with pytest.raises(ValueError, match=r"the host answers with 400 \("):
        await as_user(Recorder(), "alice")(scope, _receive, _send)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/a%2Fb/%C3%A9?b=2&a=1&access_token=token-alice&a=%20", {}),
        ("/plugins/com.example.plugin", {}),
        ("/plugins/com.example.plugin?x=1", {}),
        ("/x", {"Cookie": 'a="1 2"; bad name=3; MMAUTHTOKEN=token-alice; b=4'}),
        ("/x", {"Mattermost-User-Id": "mallory", "Referer": "http://elsewhere.test/"}),
        ("/x", {"User-Agent": "téster", "X-Forwarded-Proto": "https", "Pragma": "no-cache"}),
        ("/x", {"Authorization": "Basic YTpi"}),
    ],
)
async def test_the_scope_is_that_of_the_wire(path: str, headers: dict[str, str]) -> None:
    """One model of the host's rewriting: both ways into an app show it the same request."""
    given = [(name.encode(), value.encode()) for name, value in headers.items()]
    base_url = "http://chat.test"
    scopes = []
    for over_the_wire in (False, True):
        app = Recorder()
        if over_the_wire:
            transport: Any = testing.WireTransport(app, user="alice")
        else:
            transport = httpx.ASGITransport(as_user(app, "alice"))
        async with httpx.AsyncClient(transport=transport, base_url=base_url) as client:
            await client.get(path, headers=given)
        (scope,) = [scope for scope in app.scopes if scope["type"] == "http"]
        assert scope["extensions"]["mattermost"].pop("request_id")
        scope.pop("client")  # as_user has the transport's, the wire its own
        scopes.append(scope)
    assert scopes[0] == scopes[1]


async def test_lifespan_events_go_through_untouched() -> None:
    app = Recorder()
    scope = {"type": "lifespan", "state": {}}
    await as_user(app, "alice")(scope, _receive, _send)
    assert app.scopes == [scope]
    assert app.scopes[0] is scope


async def test_there_is_no_websocket() -> None:
    with pytest.raises(ValueError, match="the client began a websocket; expected http"):
        await as_user(Recorder(), "alice")({"type": "websocket"}, _receive, _send)


class Lasting(Recorder):
    """An app with a lifespan, that fails to start when told to."""

    def __init__(self, failure: str | None = None) -> None:
        super().__init__()
        self.failure = failure
        self.stopped = False

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await super().__call__(scope, receive, send)
            return
        await receive()
        if self.failure is not None:
            await send({"type": "lifespan.startup.failed", "message": self.failure})
            return
        scope["state"]["shop"] = "open"
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.stopped = True
        await send({"type": "lifespan.shutdown.complete"})


async def test_lifespan_gives_the_app_its_state() -> None:
    app = Lasting()
    async with lifespan(app) as started:
        for user in ("alice", "bob"):
            transport = httpx.ASGITransport(as_user(started, user))
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                await client.get("/")
        assert not app.stopped
        assert [scope["state"] for scope in app.scopes] == [{"shop": "open"}] * 2
        assert app.scopes[0]["state"] is not app.scopes[1]["state"]
    assert app.stopped


async def test_a_start_that_fails() -> None:
    with pytest.raises(StartupError, match="no stock"):
        async with lifespan(Lasting("no stock")):
            pytest.fail("it did not start")


async def test_an_app_without_a_lifespan() -> None:
    async with lifespan(Recorder()) as started:
        scope = {"type": "lifespan"}
        await started(scope, _receive, _send)


def test_the_module_brings_no_client_and_no_pytest() -> None:
    code = (
        "import sys, mm_asgi.testing, mm_asgi.testing.asgi; "
        "heavy = {'httpx', 'pytest', 'grpc', 'google.protobuf', 'mm_asgi.host.mattermost'}; "
        "sys.exit(bool(heavy & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_public_names() -> None:
    assert dir(testing) == [
        "Facts",
        "Finding",
        "MM",
        "WireTransport",
        "as_user",
        "check_app",
        "lifespan",
    ]
    with pytest.raises(AttributeError, match="no attribute 'as_nobody'"):
        testing.as_nobody  # noqa: B018


async def _receive() -> Scope:
    return {"type": "http.request"}


async def _send(event: Scope) -> None:
    assert event
