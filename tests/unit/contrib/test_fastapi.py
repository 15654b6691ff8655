"""contrib.fastapi with FastAPI as released, behind as_user."""

from __future__ import annotations

import subprocess
import sys
from html import unescape
from json import loads
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from mm_asgi import errors
from mm_asgi.contrib.fastapi import (
    API,
    BlockingAPI,
    CurrentUser,
    CurrentUserID,
    OptionalUser,
    OptionalUserID,
    docs,
    require_permission,
)
from tests.unit.contrib.served import ROOT, client, mattermost_api

if TYPE_CHECKING:
    from pathlib import Path

app = FastAPI()


@app.api_route("/me", methods=["GET", "POST"])
async def me(user: CurrentUserID) -> str:
    return user


@app.get("/maybe")
async def maybe(user: OptionalUserID) -> str | None:
    return user


@app.get("/maybe/name")
async def maybe_name(user: OptionalUser) -> str | None:
    return None if user is None else user.username


@app.get("/user")
async def user_itself(user: CurrentUser) -> list[str]:
    return [user.id, user.username]


@app.get("/name")
async def name(user: CurrentUserID, api: API) -> str:
    return (await api.get_user(user_id=user)).username


@app.get("/name/in-a-thread")
def name_in_a_thread(user: CurrentUserID, api: BlockingAPI) -> str:
    return api.get_user(user_id=user).username


@app.get("/admin", dependencies=[require_permission("manage_system")])
async def admin() -> str:
    return "in"


@app.get("/channels/{channel_id}")
async def channel(
    user: Annotated[str, require_permission("create_post", "read_channel", channel="channel_id")],
) -> str:
    return user


@app.get(
    "/roles/{channel_id}",
    dependencies=[require_permission("manage_channel_roles", "create_post", channel="channel_id")],
)
async def roles() -> str:
    return "in"


@app.get("/teams/{team}", dependencies=[require_permission("view_team", team="team")])
async def team() -> str:
    return "in"


@app.get("/wrong", dependencies=[require_permission("view_team", team="team_id")])
async def wrong() -> str:
    return "in"


async def test_the_user_is_the_hosts() -> None:
    claim = {"Mattermost-User-Id": "mallory", "Mattermost_User_Id": "mallory"}
    async with client(app) as alice, client(app, None) as nobody:
        assert (await alice.get("me", headers=claim)).json() == "alice"
        assert (await alice.get("maybe")).json() == "alice"
        assert (await nobody.get("maybe", headers=claim)).json() is None
        refused = await nobody.get("me", headers=claim)
    assert (refused.status_code, refused.json()) == (
        401,
        {"detail": "Not logged in to Mattermost."},
    )
    assert refused.headers["www-authenticate"] == 'Bearer realm="Mattermost"'


@pytest.mark.parametrize(
    ("method", "cookie", "said"),
    [
        ("POST", "MMCSRF=secret", "X-CSRF-Token"),
        ("POST", "MMUSERID=alice; a=b", "X-CSRF-Token"),
        ("POST", "a=b", "Not logged in"),
        ("GET", "MMCSRF=secret", "Not logged in"),
    ],
)
async def test_a_401_says_what_to_do(method: str, cookie: str, said: str) -> None:
    async with client(app, None) as nobody:
        answer = await nobody.request(method, "me", headers={"Cookie": cookie})
    assert answer.status_code == 401
    assert said in answer.json()["detail"]
    assert "secret" not in answer.text


async def test_routes_call_the_api_on_the_loop_and_in_threads() -> None:
    async with mattermost_api() as (mattermost, api), client(app, api=api) as alice:
        mattermost.users["alice"].username = "ada"
        assert (await alice.get("name")).json() == "ada"
        assert (await alice.get("name/in-a-thread")).json() == "ada"


async def test_the_user_itself_comes_from_the_api(caplog: pytest.LogCaptureFixture) -> None:
    async with mattermost_api() as (mattermost, api):
        mattermost.users["alice"].username = "ada"
        async with client(app, api=api) as alice, client(app, None, api=api) as nobody:
            assert (await alice.get("user")).json() == ["alice", "ada"]
            assert (await alice.get("maybe/name")).json() == "ada"
            assert (await nobody.get("user")).status_code == 401
            assert (await nobody.get("maybe/name")).json() is None
    # Without an API the route is not called, and the log says what to do.
    async with client(app) as alice:
        refused = await alice.get("user")
    assert (refused.status_code, refused.json()) == (
        503,
        {"detail": "Mattermost could not be asked who you are."},
    )
    assert "as_user(app, user_id, api=...)" in caplog.text


@pytest.mark.parametrize("path", ["name", "name/in-a-thread"])
async def test_without_an_api_the_call_says_what_to_do(path: str) -> None:
    async with client(app) as alice:
        with pytest.raises(errors.Unavailable, match=r"as_user\(app, user_id, api=\.\.\.\)"):
            await alice.get(path)


async def test_permissions_are_the_servers() -> None:
    async with mattermost_api() as (mattermost, api):
        square = next(iter(mattermost.channels))
        team_id = next(iter(mattermost.teams))
        expected: dict[str, dict[str | None, int]] = {
            "admin": {"alice": 403, "sysadmin": 200, None: 401, "stranger": 403},
            f"channels/{square}": {"alice": 200, "sysadmin": 200, None: 401, "stranger": 403},
            f"roles/{square}": {"alice": 403, "sysadmin": 200},  # she has one of the two
            "channels/elsewhere": {"alice": 403, "sysadmin": 200},
            f"teams/{team_id}": {"alice": 200, "stranger": 403},
        }
        for path, users in expected.items():
            for user, status in users.items():
                async with client(app, user, api=api) as asking:
                    assert (await asking.get(path)).status_code == status, (path, user)
        async with client(app, api=api) as alice:
            assert (await alice.get(f"channels/{square}")).json() == "alice"
            refused = (await alice.get("admin")).json()
            assert refused == {"detail": "This needs Mattermost's permission manage_system."}


async def test_a_permission_that_nobody_can_tell_is_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with client(app) as alice:
        answer = await alice.get("admin")
    assert (answer.status_code, answer.json()) == (
        503,
        {"detail": "Mattermost could not be asked for permissions."},
    )
    assert "permission manage_system of a user: HasPermissionTo: " in caplog.text


async def test_a_permission_of_a_place_that_the_path_does_not_name() -> None:
    async with mattermost_api() as (_, api), client(app, "sysadmin", api=api) as admin:
        with pytest.raises(LookupError, match="has no parameter 'team_id'"):
            await admin.get("wrong", params={"team_id": "t"})  # a query is not what is checked


@pytest.mark.parametrize(
    ("permissions", "places"), [((), {}), (("a",), {"channel": "c", "team": "t"})]
)
def test_what_require_permission_does_not_take(
    permissions: tuple[str, ...], places: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match="expected at least one permission, and not both"):
        require_permission(*permissions, **places)


# ------------------------------------------------------------------ docs


def options_of(page: str) -> dict[str, Any]:
    options: dict[str, Any] = loads(unescape(page.partition('data-options="')[2].partition('"')[0]))
    return options


async def test_docs_take_the_place_of_fastapis() -> None:
    own = FastAPI(title="<Shop>", swagger_ui_parameters={"filter": True})
    docs(own)
    async with client(own, None) as anybody:
        page = await anybody.get("docs")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "<title>&lt;Shop&gt; - Swagger UI</title>" in page.text
        assert "//" not in page.text  # nobody else's server
        assert "<script>" not in page.text  # as a Content-Security-Policy may want it
        options = options_of(page.text)
        assert (options["url"], options["filter"]) == (f"{ROOT}/openapi.json", True)
        assert options["oauth2RedirectUrl"] == f"{ROOT}/docs/oauth2-redirect"
        for name, kind, text in (
            ("swagger-ui-bundle.js", "javascript", "SwaggerUIBundle"),
            ("swagger-ui.css", "css", ".swagger-ui"),
            ("docs.js", "javascript", "X-CSRF-Token"),
        ):
            assert f'"{ROOT}/docs/{name}"' in page.text
            file = await anybody.get(f"docs/{name}")
            assert kind in file.headers["content-type"]
            assert text in file.text
        assert "oauth2" in (await anybody.get("docs/oauth2-redirect")).text
        schema = (await anybody.get("openapi.json")).json()
    assert schema["servers"] == [{"url": ROOT}]
    assert schema["paths"] == {}  # the page and its files are no part of it


async def test_docs_elsewhere_before_a_mount_that_takes_all() -> None:
    own = FastAPI(docs_url=None, swagger_ui_oauth2_redirect_url=None)
    own.mount("/", PlainTextResponse("all"))
    docs(own, "/api/")
    async with client(own) as alice:
        assert (await alice.get("docs")).text == "all"
        page = await alice.get("api")
        assert f'"{ROOT}/api/docs.js"' in page.text
        assert "oauth2RedirectUrl" not in options_of(page.text)
        assert (await alice.get("api/swagger-ui.css")).status_code == 200


async def test_docs_as_the_plugins_own_page() -> None:
    own = FastAPI()
    docs(own, "/")
    async with client(own) as alice:
        assert f'"{ROOT}/docs.js"' in (await alice.get("")).text
        assert (await alice.get("docs.js")).status_code == 200


async def test_docs_with_assets_of_ones_own(tmp_path: Path) -> None:
    for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
        (tmp_path / name).write_text("mine")
    own = FastAPI()
    docs(own, assets=tmp_path)
    async with client(own) as alice:
        assert (await alice.get("docs/swagger-ui-bundle.js")).text == "mine"


def test_what_docs_does_not_take(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigError, match="openapi_url=None"):
        docs(FastAPI(openapi_url=None))
    with pytest.raises(errors.ConfigError, match=r"swagger-ui-bundle\.js is no file"):
        docs(FastAPI(), assets=tmp_path)


def test_docs_without_the_assets_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(errors.ConfigError, match=r"pip install 'mm-asgi\[fastapi\]'"):
        docs(FastAPI())


def test_importing_contrib_imports_no_framework() -> None:
    code = (
        "import sys, mm_asgi.contrib, mm_asgi.contrib.common\n"
        "sys.exit(', '.join({'fastapi', 'starlette', 'django', 'flask'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
