"""The cases of test_django.py: in a process of their own, since Django has one set of settings."""
# mypy: allow-untyped-decorators

from __future__ import annotations

import atexit
import tempfile
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from django.apps import apps
from django.conf import settings

from tests.unit.contrib.served import ROOT, client, mattermost_api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FOLDER = tempfile.TemporaryDirectory()
atexit.register(FOLDER.cleanup)
settings.configure(
    ALLOWED_HOSTS=["test"],
    AUTHENTICATION_BACKENDS=[
        "django.contrib.auth.backends.ModelBackend",
        "mm_asgi.contrib.django.RemoteUserBackend",
    ],
    DATABASES={
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{FOLDER.name}/site.sqlite3"}
    },
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "mm_asgi.contrib.django.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "mm_asgi.contrib.django.RemoteUserMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of a test",
)
apps.populate(settings.INSTALLED_APPS)

from asgiref.sync import sync_to_async  # noqa: E402
from django.contrib.auth import get_user_model, login  # noqa: E402
from django.core.handlers.asgi import ASGIHandler  # noqa: E402
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402
from django.http import HttpRequest, JsonResponse  # noqa: E402
from django.middleware.csrf import get_token  # noqa: E402
from django.urls import path  # noqa: E402

from mm_asgi.contrib.django import api, blocking_api, user_id  # noqa: E402
from mm_asgi.contrib.wsgi import WSGIMiddleware  # noqa: E402

User = get_user_model()


def facts(user: Any) -> JsonResponse:
    return JsonResponse(
        {
            "user": user.get_username(),
            "in": user.is_authenticated,
            "name": getattr(user, "first_name", ""),
        }
    )


def sync_view(request: HttpRequest) -> JsonResponse:
    return facts(request.user)


async def async_view(request: Any) -> JsonResponse:
    return facts(await request.auser())


def no_user(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"id": user_id(request), "users": User.objects.count()})


def token(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"token": get_token(request)})


def log_in(request: HttpRequest) -> JsonResponse:
    user = User.objects.get(username="root")
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return JsonResponse({})


def keep(request: HttpRequest) -> JsonResponse:
    login(request, request.user)
    return facts(request.user)


def sync_name(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"name": blocking_api().get_user(user_id="bob").username})


async def async_name(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"name": (await api().get_user(user_id="bob")).username})


urlpatterns = [
    path(view.__name__, view)
    for view in (sync_view, async_view, no_user, token, log_in, keep, sync_name, async_name)
]
app = ASGIHandler()


call_command("migrate", verbosity=0)


@pytest.fixture(autouse=True)
async def nobody_yet() -> AsyncIterator[None]:
    await User.objects.all().adelete()
    yield
    await sync_to_async(connections.close_all)()


async def test_the_user_is_made_at_the_first_visit() -> None:
    async with client(app) as alice, client(app, None) as nobody:
        assert (await alice.get("no_user")).json() == {"id": "alice", "users": 0}  # nobody asked
        for view in ("sync_view", "async_view", "sync_view"):
            expected = {"user": "alice", "in": True, "name": ""}
            assert (await alice.get(view)).json() == expected
            assert (await nobody.get(view)).json() == {"user": "", "in": False, "name": ""}
        assert (await alice.get("no_user")).json() == {"id": "alice", "users": 1}
        assert "sessionid" not in alice.cookies
    user = await User.objects.aget()
    assert (user.is_staff, user.has_usable_password()) == (False, False)


@pytest.mark.parametrize("view", ["sync_view", "async_view"])
async def test_the_names_are_mattermosts(view: str) -> None:
    async with mattermost_api() as (_, connected), client(app, api=connected) as alice:
        expected = {"user": "alice", "in": True, "name": "Alice"}
        assert (await alice.get(view)).json() == expected
    assert (await User.objects.aget()).email == "alice@example.com"


async def test_an_inactive_user_stays_out() -> None:
    await User.objects.acreate(username="alice", is_active=False)
    async with client(app) as alice:
        assert (await alice.get("sync_view")).json()["in"] is False


async def test_who_logged_in_to_django_stays() -> None:
    await User.objects.acreate(username="root")
    async with client(app) as alice:
        await alice.get("log_in")
        for view in ("sync_view", "async_view"):
            assert (await alice.get(view)).json()["user"] == "root"
        assert (await alice.get("no_user")).json()["id"] == "alice"


async def test_a_session_of_the_hosts_user_says_nothing_of_who_asks_now() -> None:
    async with client(app, "alice") as alice, client(app, "bob") as bob, client(app, None) as none:
        assert (await alice.get("keep")).json()["user"] == "alice"
        bob.cookies.update(alice.cookies)
        none.cookies.update(alice.cookies)
        for view in ("sync_view", "async_view"):
            assert (await bob.get(view)).json()["user"] == "bob"
            assert (await none.get(view)).json()["in"] is False


async def test_the_api(caplog: pytest.LogCaptureFixture) -> None:
    async with mattermost_api() as (_, connected), client(app, api=connected) as alice:
        for view in ("sync_name", "async_name"):
            assert (await alice.get(view)).json() == {"name": "bob"}
    async with client(app) as alice:
        assert (await alice.get("sync_name")).status_code == 500
    assert "GetUser: the host's API has no address" in caplog.text


@pytest.mark.parametrize("name", ["Mattermost-User-Id", "Mattermost_User_Id", "Remote-User"])
async def test_a_header_is_no_proof(name: str) -> None:
    async with client(app, None) as nobody:
        assert (await nobody.get("sync_view", headers={name: "mallory"})).json()["in"] is False
    transport = httpx.ASGITransport(app)  # as under uvicorn
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as anybody:
        assert (await anybody.get("/sync_view", headers={name: "mallory"})).json()["in"] is False


async def test_over_wsgi_too() -> None:
    bridged = WSGIMiddleware(WSGIHandler())
    async with client(bridged) as alice, client(bridged, None) as nobody:
        assert (await alice.get("sync_view")).json()["user"] == "alice"
        assert (await nobody.get("sync_view")).json()["in"] is False


@pytest.mark.parametrize(
    ("user", "headers", "status"),
    [
        ("alice", {}, 200),  # Mattermost has compared a token of its own
        (None, {}, 403),  # nobody has compared anything
        ("alice", {"Origin": "https://test"}, 200),
        (None, {"Origin": "https://test"}, 200),
        ("alice", {"Origin": "https://evil.example"}, 403),
        ("alice", {"Origin": "null"}, 403),
        ("alice", {"X-CSRFToken": "x" * 32}, 403),
    ],
)
async def test_csrf_over_https(user: str | None, headers: dict[str, str], status: int) -> None:
    async with client(app, user) as asking:
        asking.base_url = f"https://test{ROOT}"
        own = (await asking.get("token")).json()["token"]
        answer = await asking.post("sync_view", headers={"X-CSRFToken": own, **headers})
        assert answer.status_code == status


async def test_csrf_asks_for_no_host_that_django_does_not_ask_for() -> None:
    async with client(app, "alice") as asking:
        strange = {"Host": "not.in.ALLOWED_HOSTS"}
        assert (await asking.get("sync_view", headers=strange)).status_code == 200
        assert (await asking.post("sync_view", headers=strange)).status_code == 403
