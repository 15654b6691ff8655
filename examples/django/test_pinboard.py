"""The pinboard in-process, and as a plugin of the simulated host and of the Go host (marker full)."""

import atexit
import contextlib
import csv
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Protocol

import httpx
import pytest

# Settings are read at the import: every road has this database.
DATA = tempfile.TemporaryDirectory(prefix="pinboard-")
atexit.register(DATA.cleanup)
os.environ["PINBOARD_DATA"] = DATA.name

from django.contrib.auth import get_user_model  # noqa: E402
from django.db import connections  # noqa: E402
from pinboard.asgi import application  # noqa: E402
from pinboard.notes.models import Note  # noqa: E402

from mm_asgi.host import Host  # noqa: E402
from mm_asgi.testing import as_user  # noqa: E402

HERE = Path(__file__).parent
STATIC = HERE / "pinboard" / "notes" / "static" / "notes"
PLUGIN_ID = "com.example.pinboard"
SUBPATH = "/chat"  # Mattermost itself below a path: the hardest case for URLs
ROOT_PATH = f"{SUBPATH}/plugins/{PLUGIN_ID}"
PASSWORD = "correct horse"

FULL = [pytest.mark.full, pytest.mark.timeout(180)]  # the first test builds the Go host
HOSTS = [pytest.param("simulated", marks=FULL), pytest.param("go", marks=FULL)]


class Site(Protocol):
    def client(self, user: str | None = "alice") -> httpx.AsyncClient: ...


class InProcess:
    """The app behind as_user."""

    def client(self, user: str | None = "alice") -> httpx.AsyncClient:
        wrapped = as_user(application, user, plugin_id=PLUGIN_ID, root_path=ROOT_PATH)
        transport = httpx.ASGITransport(wrapped)
        return httpx.AsyncClient(transport=transport, base_url=f"http://test{ROOT_PATH}")


class Plugin:
    """The app in a plugin's process, behind a host at this address."""

    def __init__(self, url: str) -> None:
        self.url = url

    def client(self, user: str | None = "alice") -> httpx.AsyncClient:
        client = httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=30)
        if user is not None:
            client.cookies.set("MMAUTHTOKEN", f"token-{user}")
            client.cookies.set("MMCSRF", f"csrf-{user}")
        return client


@contextlib.asynccontextmanager
async def through_host(kind: str) -> AsyncIterator[Plugin]:
    if kind == "simulated":
        async with Host(directory=HERE, plugin_id=PLUGIN_ID, subpath=SUBPATH) as host:
            yield Plugin(host.url)
        return
    # The rest of the repository, which is there for tests of this example only.
    sys.path.append(str(HERE.parents[1]))
    from tests.go_host import GoHost, go_missing_reason

    if reason := go_missing_reason():
        pytest.skip(reason)
    async with GoHost(HERE, plugin_id=PLUGIN_ID, subpath=SUBPATH) as go_host:
        yield Plugin(go_host.plugin_url)


@pytest.fixture(autouse=True)
def empty_board() -> Iterator[None]:
    Note.objects.all().delete()
    connections.close_all()
    yield
    connections.close_all()


@pytest.fixture(params=["in-process", *HOSTS])
async def site(request: pytest.FixtureRequest, empty_board: None) -> AsyncIterator[Site]:
    if request.param == "in-process":
        yield InProcess()
    else:
        async with through_host(request.param) as plugin:
            yield plugin


@pytest.fixture(params=HOSTS)
async def plugin(request: pytest.FixtureRequest, empty_board: None) -> AsyncIterator[Plugin]:
    async with through_host(request.param) as plugin:
        yield plugin


def token_of(page: str) -> str:
    """Django's CSRF token, from a page with a form."""
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert found is not None
    return found[1]


async def pin(client: httpx.AsyncClient, text: str, colour: str = "green") -> httpx.Response:
    """Send the page's form as a browser does, with what csrf.js puts into it."""
    page = await client.get("")
    form = {
        "csrfmiddlewaretoken": token_of(page.text),
        "csrf": client.cookies.get("MMCSRF", ""),
        "text": text,
        "colour": colour,
    }
    return await client.post("", data=form)


async def test_the_page_links_below_the_prefix(site: Site) -> None:
    async with site.client() as client:
        page = await client.get("")
        assert page.status_code == 200
        assert "signed in as alice" in page.text.lower()  # with an API the name, else the id
        for name in ("pinboard.css", "csrf.js", "icon.svg"):
            assert f'"{ROOT_PATH}/static/notes/{name}"' in page.text
        assert f'"{ROOT_PATH}/notes.csv"' in page.text
        assert f'"{ROOT_PATH}/admin/"' in page.text


async def test_static_files(site: Site) -> None:
    async with site.client() as client:
        for name in ("pinboard.css", "csrf.js", "icon.svg"):
            file = await client.get(f"static/notes/{name}")
            assert (file.status_code, file.content) == (200, (STATIC / name).read_bytes())
            again = await client.get(
                f"static/notes/{name}",
                headers={"If-Modified-Since": file.headers["last-modified"]},
            )
            assert (again.status_code, again.content) == (304, b"")
        style = await client.get("static/admin/css/base.css")
        assert style.headers["content-type"] == "text/css"
        assert (await client.get("static/notes/nothing.css")).status_code == 404


async def test_a_note_is_pinned_and_removed(site: Site) -> None:
    async with site.client() as alice, site.client("bob") as bob:
        answer = await pin(alice, "größe <b>M</b> & blau", "pink")
        assert (answer.status_code, answer.headers["location"]) == (302, f"{ROOT_PATH}/")
        page = (await alice.get("")).text
        assert "Your note is on the board." in page
        assert "größe &lt;b&gt;M&lt;/b&gt; &amp; blau" in page
        assert 'value="pink" selected' in page  # the session remembers it
        remove = re.search(rf'action="{ROOT_PATH}/(notes/\d+/remove)"', page)
        assert remove is not None

        seen = (await bob.get("")).text
        assert "größe" in seen
        assert "Remove" not in seen
        assert 'value="yellow" selected' in seen
        form = {"csrfmiddlewaretoken": token_of(seen), "csrf": "csrf-bob"}
        assert (await bob.post(remove[1], data=form)).status_code == 403

        form = {"csrfmiddlewaretoken": token_of(page), "csrf": "csrf-alice"}
        gone = await alice.post(remove[1], data=form)
        assert (gone.status_code, gone.headers["location"]) == (302, f"{ROOT_PATH}/")
        assert "Nothing is pinned yet." in (await bob.get("")).text
        assert (await alice.post(remove[1], data=form)).status_code == 404
        assert (await alice.get(remove[1])).status_code == 405


async def test_what_the_form_does_not_take(site: Site) -> None:
    async with site.client() as client:
        wrong = await pin(client, "", "black")
        assert wrong.status_code == 200
        assert wrong.text.count('class="errorlist"') == 2
        assert (await client.post("", data={"text": "no token"})).status_code == 403


async def test_who_asks(site: Site) -> None:
    claim = {"Mattermost-User-Id": "mallory", "Mattermost_User_Id": "mallory"}
    async with site.client() as client, site.client(None) as anonymous:
        assert (await client.get("me", headers=claim)).json() == {"id": "alice"}
        assert (await anonymous.get("me", headers=claim)).json() == {"id": None}
        assert "not signed in" in (await anonymous.get("")).text
        assert (await pin(anonymous, "by nobody")).status_code == 403
        assert "Nothing is pinned yet." in (await client.get("")).text


async def test_over_https_no_referer_is_needed() -> None:
    transport = httpx.ASGITransport(
        as_user(application, "alice", plugin_id=PLUGIN_ID, root_path=ROOT_PATH)
    )
    url = f"https://test{ROOT_PATH}"
    async with httpx.AsyncClient(transport=transport, base_url=url) as client:
        assert (await pin(client, "no Origin, no Referer")).status_code == 302


async def test_the_export_streams(site: Site) -> None:
    async with site.client() as client:
        for number in range(3):
            await pin(client, f'note "{number}"')
        answer = await client.get("notes.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    lines = list(csv.DictReader(answer.text.splitlines()))
    assert [(line["author"], line["colour"], line["text"]) for line in lines] == [
        ("alice", "green", f'note "{number}"') for number in (2, 1, 0)
    ]


async def test_the_prefix_without_a_slash_is_sent_to_the_page(site: Site) -> None:
    async with site.client() as client:
        answer = await client.get(str(client.base_url).rstrip("/"))
        assert (answer.status_code, answer.headers["location"]) == (301, f"{ROOT_PATH}/")
        answer = await client.get("admin")
        assert (answer.status_code, answer.headers["location"]) == (301, f"{ROOT_PATH}/admin/")
        assert (await client.get("nowhere")).status_code == 404


@pytest.fixture
def superuser(empty_board: None) -> Iterator[str]:
    """What `python -m django createsuperuser` makes."""
    users = get_user_model().objects
    user = users.create_superuser("root", "root@example.com", PASSWORD)
    connections.close_all()
    yield "root"
    user.delete()


async def log_in(client: httpx.AsyncClient, user: str, **headers: str) -> httpx.Response:
    page = await client.get("admin/login/")
    form = {
        "csrfmiddlewaretoken": token_of(page.text),
        "username": user,
        "password": PASSWORD,
        "next": f"{ROOT_PATH}/admin/",
    }
    return await client.post("admin/login/", data=form, headers=headers)


async def test_the_admin(superuser: str, site: Site) -> None:
    async with site.client() as client:
        away = await client.get("admin/")
        login = f"{ROOT_PATH}/admin/login/?next={ROOT_PATH}/admin/"
        assert (away.status_code, away.headers["location"]) == (302, login)
        await pin(client, "seen in the admin")

        done = await log_in(client, superuser)
        assert (done.status_code, done.headers["location"]) == (302, f"{ROOT_PATH}/admin/")
        notes = await client.get("admin/notes/note/")
        assert "seen in the admin" in notes.text
        assert f'"{ROOT_PATH}/static/admin/css/base.css"' in notes.text


@pytest.mark.parametrize(("origin", "status"), [("own", 302), ("other", 403)])
async def test_django_compares_the_origin(
    superuser: str, site: Site, origin: str, status: int
) -> None:
    async with site.client() as client:
        own = f"{client.base_url.scheme}://{client.base_url.netloc.decode()}"
        sent = own if origin == "own" else "http://evil.example"
        assert (await log_in(client, superuser, Origin=sent)).status_code == status


# ------------------------------------------------------------------ what only a host does


async def test_without_mattermosts_token_a_post_loses_its_user(plugin: Plugin) -> None:
    async with plugin.client() as client:
        del client.cookies["MMCSRF"]  # so the form's field stays empty, as without csrf.js
        assert (await pin(client, "by nobody")).status_code == 403


async def test_cookies_have_the_plugins_path(plugin: Plugin) -> None:
    async with plugin.client() as client:
        await pin(client, "a session begins")
        paths = {cookie.name: cookie.path for cookie in client.cookies.jar}
        assert paths["csrftoken"] == paths["sessionid"] == ROOT_PATH
