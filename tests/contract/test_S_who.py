"""Rows S7 to S10: where the site and the client are, and who asks."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import grpc
import pytest

import mm_asgi
from mm_asgi.protocol.api_kv_config_pb2 import GetConfigResponse, LoadPluginConfigurationResponse
from mm_asgi.protocol.hooks_common_pb2 import PluginContext
from mm_asgi.protocol.hooks_http_pb2 import HTTPHeader, ServeHTTPRequest, ServeHTTPRequestInit
from tests.contract.scoped import AT_ROOT, SECRET, SETTINGS, SITE, made, scope_of, values
from tests.roads import PLUGIN_ID, MemoryRoad, MessageRoad, RawRoad, Road, build_init, on
from tests.roads.process.light_host import LightHost
from tests.unit.api.loopback import Loopback, Status, loopback

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# ---------------------------------------------------------------- S7: addresses


@on("m", "w", "g")
@pytest.mark.parametrize(
    ("host", "server"),
    [
        ("chat.example.com", ("chat.example.com", 80)),
        ("chat.example.com:8065", ("chat.example.com", 8065)),
        ("[2001:db8::1]:8065", ("2001:db8::1", 8065)),
        ("[2001:db8::1]", ("2001:db8::1", 80)),
    ],
)
async def test_S7_server_comes_from_host(road: Road, host: str, server: object) -> None:
    scope = await road.scope(headers=[("Host", host)])
    assert scope["server"] == server
    assert scope["headers"][0] == (b"host", host.encode())


@on("m", "w", "g")
@pytest.mark.parametrize(
    ("forwarded", "scheme"),
    [("https", "https"), ("HTTPS, http", "https"), ("http", "http"), ("http, https", "http"), ("ftp", "http")],
)  # fmt: skip
async def test_S7_scheme_comes_from_the_proxy(road: Road, forwarded: str, scheme: str) -> None:
    headers = [("X-Forwarded-Proto", forwarded), ("Host", "chat.example.com")]
    scope = await road.scope(headers=headers)
    assert scope["scheme"] == scheme
    assert scope["server"] == ("chat.example.com", 443 if scheme == "https" else 80)


@on("m", settings={"site_url": "https://chat.example.com/mm"})
async def test_S7_scheme_comes_from_the_site_url(road: Road) -> None:
    scope = await road.scope(headers=[("Host", "chat.example.com")])
    assert (scope["scheme"], scope["server"]) == ("https", ("chat.example.com", 443))
    scope = await road.scope(headers=[("X-Forwarded-Proto", "https")])
    assert scope["scheme"] == "https"


@on("m", "w", "g")
async def test_S7_client(road: Road) -> None:
    host, port = (await road.scope())["client"]
    assert host == ("127.0.0.1" if road.kind == "g" else "192.0.2.1")
    assert 0 < port < 65536


ADDRESSES = [
    ("192.0.2.1:5555", "", ("192.0.2.1", 5555)),
    ("192.0.2.1:5555", "198.51.100.7", ("198.51.100.7", 5555)),
    ("[2001:db8::1]:5555", "", ("2001:db8::1", 5555)),
    ("2001:db8::1", "", ("2001:db8::1", 0)),
    ("192.0.2.1", "", ("192.0.2.1", 0)),
    ("@", "", None),
    ("@", "198.51.100.7", ("198.51.100.7", 0)),
    ("", "", None),
    ("pipe:99999999", "", ("pipe", 0)),
    ("[fe80::1%eth0]:1", "", ("fe80::1%eth0", 1)),
    (":::", "", (":::", 0)),
]


@on("m", "w")
@pytest.mark.parametrize(("remote", "ip", "client"), ADDRESSES)
async def test_S7_odd_addresses(road: MessageRoad, remote: str, ip: str, client: object) -> None:
    init = made(remote_addr=remote)
    init.plugin_context.CopyFrom(PluginContext(ip_address=ip))
    assert (await scope_of(road, init))["client"] == client


@on("m", "w", "g", but="s", settings=SETTINGS, site=AT_ROOT, one_wire=True)
async def test_S7_the_site_url_tells_the_scheme(road: Road) -> None:
    for forwarded in ([], [("X-Forwarded-Proto", "https")]):
        scope = await road.scope("/scope", [("Host", SITE), *forwarded])
        assert (scope["scheme"], scope["server"]) == ("https", (SITE, 443))


@on("g", but="s", settings=SETTINGS, site=AT_ROOT, one_wire=True)
async def test_S7_the_client_behind_a_proxy(road: Road) -> None:
    for address in ("198.51.100.7", "2001:db8::1"):
        scope = await road.scope(
            "/scope", [("Host", SITE), ("X-Forwarded-For", f"{address}, 192.0.2.1")]
        )
        assert scope["client"][0] == address
        assert mm_asgi.identity(scope).ip_address == address


# ---------------------------------------------------------------- S7: what the host's API says of the site


UNREAD = "the plugin's settings or the site's URL could not be read"


@pytest.fixture
def api() -> Iterator[Loopback]:
    with loopback() as made:
        yield made


def told(url: str, **settings: Any) -> list[Any]:
    config = json.dumps({"ServiceSettings": {"SiteURL": url}}).encode()
    return [
        LoadPluginConfigurationResponse(config_json=json.dumps(settings).encode()),
        GetConfigResponse(config_json=config),
    ]


@on("p")
def test_S7_the_site_and_the_settings_come_from_the_api(api: Loopback) -> None:
    with LightHost("site_facts:plugin", MATTERMOST_PLUGIN_API_TARGET=api.target) as host:
        api.answers.extend(told("https://chat.example.com", colour="blue"))
        host.start()
        assert json.loads(host.get("/").body) == ["https", {"colour": "blue"}]
        api.answers.extend(told("http://chat.example.com", colour="red"))
        host.call_hook("OnConfigurationChange")
        assert json.loads(host.get("/").body) == ["http", {"colour": "red"}]


@on("p")
def test_S7_an_api_that_does_not_say_fails_nothing(api: Loopback) -> None:
    api.answer = Status(grpc.StatusCode.UNIMPLEMENTED, "not here")
    with LightHost("site_facts:plugin", MATTERMOST_PLUGIN_API_TARGET=api.target) as host:
        host.start()
        host.call_hook("OnConfigurationChange")
        assert json.loads(host.get("/").body) == ["http", {}]
        host.wait_log(UNREAD, level="info")
        assert len([line for line in host.log() if UNREAD in line.message]) == 1


# ---------------------------------------------------------------- S8: state and identity


@on("m", "w", "g")
async def test_S8_each_request_has_a_shallow_copy_of_the_state(road: Road) -> None:
    first, second = road.token(), road.token()
    before = (await road.http("GET", "/state", [("X-Token", first)])).literal
    after = (await road.http("GET", "/state", [("X-Token", second)])).literal
    assert before["fixed"] == after["fixed"] == "from lifespan"
    assert set(after) == {"fixed", "shared"}
    assert after["shared"] == [*before["shared"], first]


@on("m", "w", "g")
async def test_S8_who_asks(road: Road) -> None:
    scope = await road.scope(
        headers=[
            ("Authorization", "Bearer token-alice"),
            ("User-Agent", "tests/1"),
            ("Accept-Language", "de"),
        ]
    )
    assert set(scope["extensions"]) == {"mattermost"}
    facts = scope["extensions"]["mattermost"]
    assert len(facts.pop("request_id")) == 26
    assert facts == {
        "plugin_id": PLUGIN_ID,
        "user_id": "alice",
        "session_id": "session-alice",
        "ip_address": scope["client"][0],
        "user_agent": "tests/1",
        "accept_language": "de",
        "source_plugin_id": None,
    }
    assert b"token-alice" not in dict(scope["headers"]).get(b"authorization", b"")


@on("m", "w", "g")
async def test_S8_nobody_asks(road: Road) -> None:
    scope = await road.scope()
    identity = mm_asgi.identity(scope)
    assert (identity.user_id, identity.session_id, identity.is_anonymous) == (None, "", True)
    assert identity.plugin_id == PLUGIN_ID
    assert identity.request_id == scope["extensions"]["mattermost"]["request_id"]


@on("m", "w", "g")
async def test_S8_a_token_in_the_query_logs_in_and_is_gone(road: Road) -> None:
    scope = await road.scope("/scope?a=1&access_token=token-alice")
    assert mm_asgi.identity(scope).user_id == "alice"
    assert scope["query_string"] == b"a=1"
    assert "token-alice" not in str(await road.lines())


@on("m", "w")
async def test_S8_empty_identity_headers_are_none(road: MessageRoad) -> None:
    init = made()
    init.headers.append(HTTPHeader(key="Mattermost-User-Id", values=[""]))
    init.headers.append(HTTPHeader(key="Mattermost-Plugin-ID", values=[""]))
    facts = (await scope_of(road, init))["extensions"]["mattermost"]
    assert (facts["user_id"], facts["source_plugin_id"]) == (None, None)


LOGINS = {
    "cookie": ("/scope", [("Cookie", "MMAUTHTOKEN=token-alice")]),
    "bearer": ("/scope", [("Authorization", "bearer token-alice")]),
    "token": ("/scope", [("Authorization", "Token token-alice")]),
    "query": ("/scope?access_token=token-alice", []),
    "encoded query": ("/scope?access%5Ftoken=token-alice", []),
}


@on("m", "w", "g")
@pytest.mark.parametrize("login", LOGINS)
async def test_S8_each_way_to_log_in(road: Road, login: str) -> None:
    target, headers = LOGINS[login]
    scope = await road.scope(target, headers)
    identity = mm_asgi.identity(scope)
    assert (identity.user_id, identity.session_id) == ("alice", "session-alice")
    assert not identity.is_anonymous
    assert "token-alice" not in str(scope)
    assert values(scope, b"authorization") == values(scope, b"cookie") == []


@on("m", "w", "g")
@pytest.mark.parametrize(
    "headers",
    [
        [("Cookie", "MMAUTHTOKEN=stolen")],
        [("Cookie", "MMAUTHTOKEN=mfa-alice")],
        [("Authorization", "Bearer stolen"), ("Cookie", "MMAUTHTOKEN=token-alice")],
    ],
)
async def test_S8_no_login_is_nobody(road: Road, headers: list[tuple[str, str]]) -> None:
    identity = mm_asgi.identity(await road.scope(headers=headers))
    assert (identity.user_id, identity.session_id) == (None, "")


@on("m", "w", "g")
async def test_S8_a_cookie_without_its_csrf_token_is_nobody(road: Road) -> None:
    cookie = ("Cookie", "MMAUTHTOKEN=token-alice")
    for more, user in (([], None), ([("X-CSRF-Token", "csrf-alice")], "alice")):
        headers = [("X-Case", "scope"), cookie, *more]
        answer = await road.http("POST", "/scope", headers)
        assert mm_asgi.identity(answer.literal).user_id == user


@on("m", "w", "g")
async def test_S8_the_identity_is_frozen(road: Road) -> None:
    scope = await road.scope()
    facts = scope["extensions"]["mattermost"]
    assert type(facts) is dict
    identity = mm_asgi.identity(scope)
    assert dataclasses.asdict(identity) == facts
    for field in dataclasses.fields(identity):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(identity, field.name, "admin")


# ---------------------------------------------------------------- S9: another plugin asks


def check_inter_plugin(scope: dict[str, Any]) -> None:
    root = f"/plugins/{PLUGIN_ID}"
    assert (scope["path"], scope["root_path"]) == (f"{root}/scope/x y", root)
    assert scope["raw_path"] == f"{root}/scope/x%20y".encode()
    assert scope["query_string"] == b"a=1&b=2"
    assert (scope["method"], scope["scheme"]) == ("GET", "http")
    assert (scope["client"], scope["server"]) == (None, None)
    assert values(scope, b"host") == []
    facts = scope["extensions"]["mattermost"]
    assert (facts["source_plugin_id"], facts["user_id"]) == ("com.example.other", None)
    # What frameworks make of a scope, they have to be able to make of this one.
    assert urlsplit(scope["path"]).path == scope["path"]


def other_plugin() -> Iterable[HTTPHeader]:
    yield HTTPHeader(key="Mattermost-User-Id", values=[""])
    yield HTTPHeader(key="Mattermost-Plugin-ID", values=["com.example.other"])


@on("m", "w")
async def test_S9_an_inter_plugin_request(road: MessageRoad) -> None:
    init = ServeHTTPRequestInit(
        method="GET", url="/scope/x%20y?a=1&b=2", proto="HTTP/1.1", proto_major=1, proto_minor=1
    )
    init.headers.extend(other_plugin())
    check_inter_plugin(await scope_of(road, init))


@on("w")
async def test_S9_through_the_hosts_own_call(road: RawRoad) -> None:
    answer = await road.inter_plugin(
        "/scope/x%20y?b=2&a=1", source_plugin_id="com.example.other", user_id=""
    )
    check_inter_plugin(answer.literal)
    answer = await road.inter_plugin("/scope")
    identity = mm_asgi.identity(answer.literal)
    assert identity.source_plugin_id == "com.mattermost.server"


@on("w")
async def test_S9_starlette_answers_another_plugin(road: RawRoad) -> None:
    answer = await road.inter_plugin("/starlette/")
    assert (answer.status, answer.header("content-type")) == (200, "application/json")


@on("m", "w")
async def test_S9_an_empty_init_is_a_scope(road: MessageRoad) -> None:
    scope = await scope_of(road, ServeHTTPRequestInit())
    assert (scope["method"], scope["path"]) == ("GET", f"/plugins/{PLUGIN_ID}")
    assert scope["headers"] == [(b"x-case", b"scope")]


@on("w")
async def test_S9_a_user_asks_through_another_plugin(road: RawRoad) -> None:
    answer = await road.inter_plugin(
        f"/scope?b=1&access_token={SECRET}",
        method="PUT",
        source_plugin_id="com.example.road",
        user_id="bob",
        headers={"X-One": ["1", "2"], "Mattermost_Plugin_Id": [SECRET]},
    )
    scope = answer.literal
    assert scope["method"] == "PUT"
    assert scope["query_string"] == b"b=1"
    assert values(scope, b"x-one") == [b"1", b"2"]
    assert SECRET not in str(scope)
    identity = mm_asgi.identity(scope)
    assert (identity.user_id, identity.source_plugin_id) == ("bob", "com.example.road")
    assert SECRET not in str(road.host.log_lines())


@on("w", settings=SETTINGS, site=AT_ROOT, one_wire=True)
async def test_S9_the_setting_says_where_the_app_is(road: RawRoad) -> None:
    scope = (await road.inter_plugin("/scope/x%20y")).literal
    assert (scope["root_path"], scope["path"]) == ("/proxy/demo", "/proxy/demo/scope/x y")
    assert scope["raw_path"] == b"/proxy/demo/scope/x%20y"
    assert (scope["scheme"], scope["server"], scope["client"]) == ("https", None, None)


# ---------------------------------------------------------------- S10: a user who was lost to the CSRF rule


SAID = "by cookie came without its user"


USER = ("Authorization", "Bearer token-alice")


async def said_of(road: MemoryRoad, *requests: tuple[str, list[tuple[str, str]]]) -> list[str]:
    """The coach's lines after these requests; no line has a cookie's value."""
    for method, headers in requests:
        await road.http(method, "/scope", [("X-Case", "scope"), *headers])
    lines = [line for line in await road.lines() if SAID in line.message]
    assert {line.level for line in lines} <= {"warn"}
    assert not any("secret" in str(line) for line in await road.lines())
    return [line.message for line in lines]


@on("m")
@pytest.mark.parametrize("cookie", ["MMCSRF=secret", "a=b; MMUSERID=secret"])
@pytest.mark.parametrize("method", ["POST", "DELETE", "HEAD", "OPTIONS"])
async def test_S10_a_lost_user_is_named_once(road: MemoryRoad, method: str, cookie: str) -> None:
    lost = (method, [("Cookie", cookie)])
    (line,) = await said_of(road, lost, lost, ("PUT", [("Cookie", cookie)]))
    assert line.startswith(f"a {method} by cookie came without its user, and without X-CSRF-Token:")
    assert "docs/how-to/csrf.md" in line


@on("m")
async def test_S10_with_a_token_that_does_not_fit(road: MemoryRoad) -> None:
    headers = [("Cookie", "MMCSRF=secret"), ("X-CSRF-Token", "secret")]
    (line,) = await said_of(road, ("POST", headers))
    assert "without its user, and with X-CSRF-Token:" in line


@on("m")
async def test_S10_what_has_lost_nothing(road: MemoryRoad) -> None:
    cookie = ("Cookie", "MMCSRF=secret")
    assert [] == await said_of(
        road,
        ("GET", [cookie]),
        ("POST", [cookie, USER]),
        ("POST", []),
        ("POST", [("Cookie", "OTHERMMCSRF=secret; a=MMUSERID=secret")]),
        ("POST", [("X-Cookie", "MMCSRF=secret")]),
    )


@on("m")
async def test_S10_another_plugin_has_lost_nobody(road: MemoryRoad) -> None:
    init = build_init("POST", "/scope", [("X-Case", "scope"), ("Cookie", "MMCSRF=secret")])
    init.headers.append(HTTPHeader(key="Mattermost-Plugin-Id", values=["com.example.other"]))
    await road.exchange(ServeHTTPRequest(init=init, body_complete=True))
    assert await said_of(road) == []
