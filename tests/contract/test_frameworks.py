"""Starlette, FastAPI and Django as released, unchanged, through the Go host (road g)."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio

from tests.go_host import GoHost, go_missing_reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(bool(go_missing_reason()), reason=str(go_missing_reason())),
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]

FRAMEWORKS = Path(__file__).parent / "frameworks"
ROOT = "/mm/plugins/com.example.demo"
MEGABYTES = bytes(range(256)) * 4096 * 3


def host_of(name: str, **env: str) -> GoHost:
    """A Go host, behind a subpath, for one framework's folder."""
    return GoHost(
        FRAMEWORKS / name,
        f"start_{name}.py",
        subpath="/mm",
        env={"PYTHONDONTWRITEBYTECODE": "1", **env},
    )


def browser(host: GoHost, **options: Any) -> httpx.AsyncClient:
    """A client with a cookie jar whose relative paths start below the plugin."""
    return httpx.AsyncClient(base_url=host.plugin_url + "/", trust_env=False, timeout=30, **options)


def plugin_log(host: GoHost, *levels: str) -> list[dict[str, Any]]:
    """What the plugin logged at these levels."""
    return [line for line in host.log_lines("plugin") if line.get("level") in levels]


async def logged(host: GoHost, text: str, level: str = "error") -> dict[str, Any]:
    """The plugin's line with this text: it may come later than the answer."""
    for _ in range(500):
        for line in plugin_log(host, level):
            if text in str(line):
                return line
        await host.control("/ping")  # takes a turn of host and plugin
    raise AssertionError(f"{text!r} was not logged")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def starlette_host() -> AsyncIterator[GoHost]:
    async with host_of("starlette") as host:
        yield host


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fastapi_host() -> AsyncIterator[GoHost]:
    async with host_of("fastapi") as host:
        yield host


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A migrated database with one superuser; what the plugin's environment needs of it."""
    folder = tmp_path_factory.mktemp("board")
    env = {"BOARD_FOLDER": str(folder), "DJANGO_SETTINGS_MODULE": "board.settings"}
    full = {**os.environ, **env, "DJANGO_SUPERUSER_PASSWORD": "correct horse"}
    for command in (
        ["migrate", "--verbosity=0"],
        ["createsuperuser", "--noinput", "--username=alice", "--email=alice@example.com"],
    ):
        subprocess.run(
            [sys.executable, "-m", "django", *command],
            cwd=FRAMEWORKS / "django",
            env=full,
            check=True,
            capture_output=True,
        )
    return env


@pytest.fixture(scope="module", params=["keep", "root"])
def cookie_path(request: pytest.FixtureRequest) -> str:
    """The setting of this name: cookies as Django sets them, or scoped to the plugin."""
    return str(request.param)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def django_host(cookie_path: str, board: dict[str, str]) -> AsyncIterator[GoHost]:
    async with host_of("django", MM_ASGI_COOKIE_PATH=cookie_path, **board) as host:
        yield host


# ---------------------------------------------------------------- Starlette


async def test_starlette_builds_urls_behind_the_prefix(starlette_host: GoHost) -> None:
    async with browser(starlette_host) as client:
        answer = await client.get("?a=1")
        found = answer.json()
        url = starlette_host.plugin_url
        assert found == {
            "home": f"{url}/",
            "file": f"{url}/static/hello.txt",
            "leaf": f"{url}/branch/twig",
            "url": f"{url}/?a=1",
            "root_path": ROOT,
        }
        assert (await client.get(found["leaf"])).text == f"twig {ROOT}/branch/twig"
        assert (await client.get(found["file"])).text == "hello from a file\n"
        assert answer.headers["x-stamp"] == f"{ROOT}/"


async def test_starlette_redirects(starlette_host: GoHost) -> None:
    async with browser(starlette_host) as client:
        away = await client.get("away")
        assert (away.status_code, away.headers["location"]) == (
            307,
            f"{starlette_host.plugin_url}/",
        )
        # The router's own: a slash too many.
        slash = await client.get("count/")
        assert (slash.status_code, slash.headers["location"]) == (
            307,
            f"{starlette_host.plugin_url}/count",
        )
        assert (await client.get("away", follow_redirects=True)).json()["root_path"] == ROOT


async def test_starlette_sessions(starlette_host: GoHost) -> None:
    async with browser(starlette_host) as client:
        assert [(await client.get("count")).text for _ in range(3)] == ["1", "2", "3"]
    async with browser(starlette_host) as other:
        assert (await other.get("count")).text == "1"


async def test_starlette_static_files(starlette_host: GoHost) -> None:
    async with browser(starlette_host) as client:
        whole = await client.get("static/hello.txt")
        assert (whole.status_code, whole.text) == (200, "hello from a file\n")
        assert whole.headers["content-length"] == "18"
        head = await client.head("static/hello.txt")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == "18"
        again = await client.get(
            "static/hello.txt", headers={"if-none-match": whole.headers["etag"]}
        )
        assert (again.status_code, again.content) == (304, b"")
        part = await client.get("static/hello.txt", headers={"range": "bytes=6-9"})
        assert (part.status_code, part.text) == (206, "from")
        assert (await client.get("static/none.txt")).status_code == 404


async def test_starlette_streams_up_and_down(starlette_host: GoHost) -> None:
    async def blocks() -> AsyncIterator[bytes]:
        for start in range(0, len(MEGABYTES), 100_000):
            yield MEGABYTES[start : start + 100_000]

    digest = hashlib.sha256(MEGABYTES).hexdigest()
    async with browser(starlette_host, headers={"accept-encoding": "identity"}) as client:
        for body in (MEGABYTES, blocks()):
            up = await client.post("upload", content=body)
            assert up.json() == {"size": len(MEGABYTES), "sha256": digest}
        down = await client.get("download?blocks=48")
        assert hashlib.sha256(down.content).hexdigest() == digest


async def test_starlette_packs(starlette_host: GoHost) -> None:
    async with browser(starlette_host) as client:
        down = await client.get("download?blocks=48", headers={"accept-encoding": "gzip"})
        assert down.headers["content-encoding"] == "gzip"
        assert down.content == MEGABYTES


async def test_starlette_refuses_a_websocket(starlette_host: GoHost) -> None:
    upgrade = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    async with browser(starlette_host) as client:
        for _ in range(2):
            assert (await client.get("socket", headers=upgrade)).status_code == 404
    await logged(starlette_host, "asked for an upgrade (WebSocket)", "warn")
    said = [line for line in plugin_log(starlette_host, "warn") if "upgrade" in line["message"]]
    assert len(said) == 1


async def test_starlette_keeps_an_exception_to_the_log(starlette_host: GoHost) -> None:
    async with browser(starlette_host) as client:
        answer = await client.get("fail")
        assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    line = await logged(starlette_host, "the secret of starlette")
    assert line["fields"]["request_id"]


# ---------------------------------------------------------------- FastAPI


async def test_fastapi_serves_its_docs_behind_the_prefix(fastapi_host: GoHost) -> None:
    async with browser(fastapi_host) as client:
        docs = await client.get("docs")
        assert docs.status_code == 200
        assert f"url: '{ROOT}/openapi.json'" in docs.text
        schema = (await client.get("openapi.json")).json()
        assert schema["servers"] == [{"url": ROOT}]
        assert "/orders" in schema["paths"]


async def test_fastapi_validates(fastapi_host: GoHost) -> None:
    async with browser(fastapi_host) as client:
        good = await client.post("orders", json={"name": "tea"})
        assert (good.status_code, good.json()) == (201, {"name": "tea", "count": 1})
        assert (await client.post("orders", json={})).status_code == 422


async def test_fastapi_takes_forms_and_files(fastapi_host: GoHost) -> None:
    async with browser(fastapi_host) as client:
        form = await client.post("form", data={"name": "gr\u00fcn", "count": "3"})
        assert form.json() == {"name": "gr\u00fcn", "count": 3}
        file = await client.post("files", files={"file": ("a.bin", MEGABYTES)})
        assert file.json() == {
            "name": "a.bin",
            "size": len(MEGABYTES),
            "sha256": hashlib.sha256(MEGABYTES).hexdigest(),
        }


async def journal_with(client: httpx.AsyncClient, expected: list[str]) -> list[str]:
    """The app's journal once it is as expected: what runs after an answer may come later."""
    for _ in range(500):
        found: list[str] = (await client.get("journal")).json()
        if found == expected:
            break
    return found


async def test_fastapi_runs_lifespan_background_tasks_and_dependencies(
    fastapi_host: GoHost,
) -> None:
    async with browser(fastapi_host) as client:
        assert (await client.get("journal")).json() == ["started"]
        assert (await client.get("depends")).json() == ["started", "opened", "used"]
        expected = ["started", "opened", "used", "closed"]
        assert await journal_with(client, expected) == expected
        assert (await client.get("later")).json() == {"ok": True}
        expected += ["later"]
        assert await journal_with(client, expected) == expected
        refused = await client.get("depends/refused")
        assert (refused.status_code, refused.json()) == (418, {"detail": "no coffee"})
        expected += ["opened", "saw 418", "closed"]
        assert await journal_with(client, expected) == expected


async def test_fastapi_sends_events(fastapi_host: GoHost) -> None:
    async with browser(fastapi_host) as client, client.stream("GET", "events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line async for line in answer.aiter_lines() if line]
    assert lines == ["data: 0", "data: 1", "data: 2"]


async def test_fastapi_keeps_an_exception_to_the_log(fastapi_host: GoHost) -> None:
    async with browser(fastapi_host) as client:
        answer = await client.get("fail")
        assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    assert await logged(fastapi_host, "the secret of fastapi")


# ---------------------------------------------------------------- Django


async def log_in(client: httpx.AsyncClient, **headers: str) -> httpx.Response:
    """Django's admin login as a browser does it; the answer to the form."""
    page = await client.get("admin/login/", headers=headers)
    assert page.status_code == 200
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert token is not None
    form = {
        "csrfmiddlewaretoken": token[1],
        "username": "alice",
        "password": "correct horse",
        "next": f"{ROOT}/admin/",
    }
    return await client.post("admin/login/", data=form, headers=headers)


async def test_django_knows_where_it_is(django_host: GoHost) -> None:
    async with browser(django_host) as client:
        assert (await client.get("where")).json() == {
            "admin": f"{ROOT}/admin/",
            "static": f"{ROOT}/static/admin/css/base.css",
            "absolute": f"{django_host.plugin_url}/x",
            "secure": False,
        }
        redirect = await client.get("admin/")
        assert (redirect.status_code, redirect.headers["location"]) == (
            302,
            f"{ROOT}/admin/login/?next={ROOT}/admin/",
        )
        slash = await client.get("admin")
        assert (slash.status_code, slash.headers["location"]) == (301, f"{ROOT}/admin/")


async def test_django_admin_login(django_host: GoHost, cookie_path: str) -> None:
    async with browser(django_host) as client:
        # The host removes Referer; over plain HTTP Django asks for the cookie and the form's token.
        done = await log_in(client, referer=f"{django_host.plugin_url}/admin/login/")
        assert (done.status_code, done.headers["location"]) == (302, f"{ROOT}/admin/")
        page = await client.get("admin/")
        assert page.status_code == 200
        assert "Site administration" in page.text
        assert "<strong>alice</strong>" in page.text.lower()
        path = {"root": ROOT, "keep": "/"}[cookie_path]
        assert {cookie.path for cookie in client.cookies.jar} == {path}
        assert {cookie.name for cookie in client.cookies.jar} == {"csrftoken", "sessionid"}
    if cookie_path == "keep":
        await logged(django_host, "cookie sessionid has Path=/", "warn")
    named = [line for line in plugin_log(django_host, "warn") if "sessionid" in line["message"]]
    assert len(named) == (1 if cookie_path == "keep" else 0)


async def test_django_admin_login_of_a_mattermost_user(django_host: GoHost) -> None:
    async with browser(django_host) as client:
        client.cookies.set("MMAUTHTOKEN", "token-bob", domain="127.0.0.1", path="/")
        # Without the host's CSRF token it reads the body first; all of it still arrives.
        assert (await log_in(client)).status_code == 302


@pytest.mark.parametrize("origin", ["own", "other", None])
async def test_django_csrf(django_host: GoHost, origin: str | None) -> None:
    headers = {"own": {"origin": django_host.http}, "other": {"origin": "http://evil.example"}}
    async with browser(django_host) as client:
        done = await log_in(client, **headers.get(origin or "", {}))
        assert done.status_code == (403 if origin == "other" else 302)


@pytest.mark.parametrize(("origin", "status"), [("own", 302), (None, 403)])
async def test_django_csrf_over_https(django_host: GoHost, origin: str | None, status: int) -> None:
    # Told https, Django wants an Origin or a Referer: the host takes the Referer away, so it is
    # the Origin, which every browser sends with a form, that carries it.
    headers = {"x-forwarded-proto": "https", "referer": f"https://{django_host.address}/x"}
    if origin:
        headers["origin"] = f"https://{django_host.address}"
    async with browser(django_host) as client:
        assert (await client.get("where", headers=headers)).json()["secure"] is True
        assert (await log_in(client, **headers)).status_code == status


async def test_django_sessions(django_host: GoHost) -> None:
    async with browser(django_host) as client:
        assert [(await client.get("count")).text for _ in range(3)] == ["1", "2", "3"]
    async with browser(django_host) as other:
        assert (await other.get("count")).text == "1"


async def test_django_static_files(django_host: GoHost) -> None:
    async with browser(django_host) as client:
        style = await client.get("static/admin/css/base.css")
        assert (style.status_code, style.headers["content-type"]) == (200, "text/css")
        assert int(style.headers["content-length"]) == len(style.content) > 10_000
        again = await client.get(
            "static/admin/css/base.css",
            headers={"if-modified-since": style.headers["last-modified"]},
        )
        assert (again.status_code, again.content) == (304, b"")


async def test_django_streams(django_host: GoHost) -> None:
    async with browser(django_host) as client:
        answer = await client.get("stream")
    assert answer.text == "".join(f"line {number}\n" for number in range(1000))
    assert "content-length" not in answer.headers


async def test_django_keeps_an_exception_to_the_log(django_host: GoHost) -> None:
    async with browser(django_host) as client:
        answer = await client.get("fail")
        assert answer.status_code == 500
        assert "secret" not in answer.text
    assert await logged(django_host, "the secret of django")


@pytest.mark.parametrize("name", ["starlette", "fastapi"])
async def test_the_plugin_stops_clean(name: str) -> None:
    async with host_of(name) as host:
        async with browser(host) as client:
            assert (await client.get("openapi.json" if name == "fastapi" else "")).is_success
        await host.stop()
        await host.wait_gone()
        assert plugin_log(host, "error") == []
