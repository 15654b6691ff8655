"""Rows S5 and S6: the headers of the scope."""

from __future__ import annotations

import pytest

import mm_asgi
from mm_asgi.protocol.hooks_http_pb2 import HTTPHeader
from tests.contract.scoped import AT_ROOT, SECRET, SETTINGS, SITE, made, scope_of, values
from tests.roads import MessageRoad, Road, on

# ---------------------------------------------------------------- S5


@on("m", "w", "g")
async def test_S5_names_and_values(road: Road) -> None:
    utf8 = "Grüße €".encode().decode("latin-1")
    scope = await road.scope(
        headers=[("X-One", "1"), ("x-TWO", "2"), ("X-One", "3"), ("X-Name", utf8), ("X-Empty", "")]
    )
    assert scope["headers"][0] == (b"host", b"chat.example.com:8065")
    assert values(scope, b"x-one") == [b"1", b"3"]
    assert values(scope, b"x-two") == [b"2"]
    assert values(scope, b"x-name") == ["Grüße €".encode()]
    assert values(scope, b"x-empty") == [b""]
    assert all(name == name.lower() for name, _ in scope["headers"])


@on("m", "w")
async def test_S5_order_is_kept(road: MessageRoad) -> None:
    init = made(host="h")
    init.headers.append(HTTPHeader(key="B", values=["1", "2"]))
    init.headers.append(HTTPHeader(key="Cookie", values=["a=1; b=2", "c=3"]))
    init.headers.append(HTTPHeader(key="A", values=["3"]))
    init.headers.append(HTTPHeader(key="b", values=["4"]))
    init.headers.append(HTTPHeader(key="Nothing"))
    scope = await scope_of(road, init)
    assert scope["headers"] == [
        (b"host", b"h"),
        (b"b", b"1"),
        (b"b", b"2"),
        (b"cookie", b"a=1; b=2"),
        (b"cookie", b"c=3"),
        (b"a", b"3"),
        (b"b", b"4"),
        (b"x-case", b"scope"),
    ]


@on("m", "w", "g")
async def test_S5_cookie_pairs(road: Road) -> None:
    cookies = [("Cookie", "a=1; MMAUTHTOKEN=token-alice; b=x=y"), ("Cookie", "MMCSRF=c; a=2")]
    scope = await road.scope(headers=cookies)
    assert values(scope, b"cookie") == [b"a=1; b=x=y; MMCSRF=c; a=2"]


# ---------------------------------------------------------------- S6


FOLDING = [
    "Mattermost_User_Id",
    "mattermost-user_id",
    "MATTERMOST_Plugin-Id",
    "Mattermost_Plugin_ID",
]


@on("m", "w", "g")
@pytest.mark.parametrize("name", [*FOLDING, "X_Under", "_"])
async def test_S6_names_with_an_underscore_are_dropped(road: Road, name: str) -> None:
    scope = await road.scope(headers=[(name, SECRET)])
    assert SECRET not in str(scope)
    assert scope["extensions"]["mattermost"]["user_id"] is None
    assert scope["extensions"]["mattermost"]["source_plugin_id"] is None


@on("m", settings={"underscore_headers": True})
async def test_S6_underscores_by_setting_but_none_that_folds_to_an_identity(road: Road) -> None:
    scope = await road.scope(headers=[(name, SECRET) for name in FOLDING])
    assert SECRET not in str(scope)
    scope = await road.scope(headers=[("X_Under", "1")])
    assert values(scope, b"x_under") == [b"1"]


@on("m", "w", "g")
async def test_S6_an_identity_that_a_client_sends_is_no_identity(road: Road) -> None:
    scope = await road.scope(headers=[("Mattermost-User-Id", "x"), ("mattermost-plugin-id", "y")])
    facts = scope["extensions"]["mattermost"]
    assert (facts["user_id"], facts["source_plugin_id"]) == (None, None)


@on("m", "w", "g")
async def test_S6_hop_by_hop_names_are_dropped(road: Road) -> None:
    hops = ["Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Upgrade", "Proxy-Authorization"]
    scope = await road.scope(headers=[(name, "x") for name in hops])
    names = [name.decode() for name, _ in scope["headers"]]
    assert not set(names) & {hop.lower() for hop in hops}


@on("m", "w", "g")
async def test_S6_names_in_connection_are_kept(road: Road) -> None:
    login = ("Authorization", "Bearer token-alice")
    scope = await road.scope(
        headers=[login, ("Connection", "Mattermost-User-Id, X-Kept"), ("X-Kept", "1")]
    )
    assert values(scope, b"x-kept") == [b"1"]
    assert values(scope, b"mattermost-user-id") == [b"alice"]
    assert values(scope, b"connection") == []


@on("m", "w")
async def test_S6_all_hop_by_hop_names(road: MessageRoad) -> None:
    init = made()
    for name in ("Connection", "Transfer-Encoding", "proxy-authenticate", "UPGRADE"):
        init.headers.append(HTTPHeader(key=name, values=["x"]))
    assert [name for name, _ in (await scope_of(road, init))["headers"]] == [b"host", b"x-case"]


@on("m", "w", "g", but="s", settings=SETTINGS, site=AT_ROOT, one_wire=True)
async def test_S6_underscores_by_setting(road: Road) -> None:
    folding = ["Mattermost_User_Id", "mattermost-user_ID", "MATTERMOST_Plugin-Id"]
    headers = [("X_Under", "1"), *((name, SECRET) for name in folding)]
    scope = await road.scope("/scope", [("Host", SITE), *headers])
    assert values(scope, b"x_under") == [b"1"]
    assert SECRET not in str(scope)
    assert mm_asgi.identity(scope).is_anonymous


@on("m", "w", "g")
@pytest.mark.parametrize("name", ["Mattermost-User-Id", "mattermost-user-id", "Mattermost_User_Id"])
async def test_S6_a_user_cannot_be_another(road: Road, name: str) -> None:
    login = ("Authorization", "Bearer token-alice")
    scope = await road.scope(headers=[(name, "admin"), login, (name, "root")])
    assert values(scope, b"mattermost-user-id") == [b"alice"]
    assert mm_asgi.identity(scope).user_id == "alice"
