"""WSGI apps behind `WSGIMiddleware`: the environ, the answer, and what a2wsgi leaves open."""

from __future__ import annotations

import asyncio
import gc
import io
import subprocess
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from mm_asgi.contrib.wsgi import WSGIMiddleware, identity
from mm_asgi.errors import AppProtocolError, ClientDisconnected, StartupError
from mm_asgi.testing import as_user, lifespan

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

ROOT = "/chat/plugins/demo"
TEXT = [("Content-Type", "text/plain")]
WAIT = 10  # s at most for another thread
HANGS = """
import asyncio, threading, httpx
from mm_asgi.testing import WireTransport

reached = threading.Event()

def app(environ, start_response):
    reached.set()
    threading.Event().wait()

async def main():
    async with WireTransport(app) as transport:
        client = httpx.AsyncClient(transport=transport, base_url=transport.base_url)
        task = asyncio.create_task(client.get("/"))
        await asyncio.to_thread(reached.wait)
        task.cancel()
        await asyncio.wait((task,))
    print("left")

asyncio.run(main())
"""


class Client:
    """The server's side of one request, one message at a time."""

    def __init__(self, app: Any, *body: bytes, **scope: Any) -> None:
        self.events: asyncio.Queue[Any] = asyncio.Queue()
        self.messages: asyncio.Queue[Any] = asyncio.Queue()
        for number, piece in enumerate(body or (b"",), 1):
            is_last = number == max(len(body), 1)
            self.tell({"type": "http.request", "body": piece, "more_body": not is_last})
        self.scope = {
            "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http",
            "path": f"{ROOT}/x", "root_path": ROOT, "query_string": b"", "headers": [],
            "client": None, "server": None, **scope,
        }  # fmt: skip
        self.send: Callable[[Any], Any] = self.events.put
        self.left = asyncio.Event()  # and the app has been told
        self.task = asyncio.ensure_future(app(self.scope, self._receive, self._send))

    async def _receive(self) -> Any:
        message = await self.messages.get()
        if message["type"] == "http.disconnect":
            self.left.set()
        return message

    async def _send(self, event: Any) -> None:
        await self.send(event)

    def tell(self, message: Any) -> None:
        self.messages.put_nowait(message)

    def leave(self) -> None:
        self.tell({"type": "http.disconnect"})

    async def next(self) -> Any:
        return await asyncio.wait_for(self.events.get(), WAIT)

    async def end(self) -> list[Any]:
        """The rest of the events, once the app has returned; raises what it raised."""
        await asyncio.wait_for(self.task, WAIT)
        return [self.events.get_nowait() for _ in range(self.events.qsize())]


def text_of(events: Iterable[Any]) -> bytes:
    return b"".join(event.get("body", b"") for event in events)


def answering(read: Callable[[Any], bytes]) -> Any:
    """An app that answers with what a function makes of the environ."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        answer = read(environ)
        start_response("200 OK", TEXT)
        return [answer]

    return app


async def environ_of(**scope: Any) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    def read(environ: Any) -> bytes:
        seen.update(environ)
        return b""

    await Client(WSGIMiddleware(answering(read)), **scope).end()
    return seen


@pytest.fixture
def as_alice() -> Callable[[Any], httpx.AsyncClient]:
    def client(read: Callable[[Any], bytes]) -> httpx.AsyncClient:
        app: Any = WSGIMiddleware(answering(read))
        transport = httpx.ASGITransport(as_user(app, "alice", plugin_id="demo", root_path=ROOT))
        return httpx.AsyncClient(transport=transport, base_url="http://test")

    return client


# -------------------------------------------------------------------- the environ


@pytest.mark.parametrize(
    ("path", "raw_path", "path_info"),
    [
        (f"{ROOT}/x", b"", "/x"),
        (f"{ROOT}/", f"{ROOT}/".encode(), "/"),
        (ROOT, ROOT.encode(), ""),
        (f"{ROOT}/ä/b c", f"{ROOT}/%C3%A4/b%20c".encode(), "/Ã¤/b c"),
        (f"{ROOT}/\ufffd", f"{ROOT}/%FF".encode(), "/\xff"),
        (f"{ROOT}/x", b"/chat/plugins/de%6Do/x", "/x"),
        (f"{ROOT}/x", b"/somewhere/else", "/x"),
    ],
)
async def test_paths(path: str, raw_path: bytes, path_info: str) -> None:
    environ = await environ_of(path=path, raw_path=raw_path)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (ROOT, path_info)


async def test_the_process_own_script_name_is_no_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPT_NAME", "/host")
    assert (await environ_of())["SCRIPT_NAME"] == ROOT


async def test_a_query_that_is_not_ascii() -> None:
    assert (await environ_of(query_string=b"q=\xc3\xa4&r=%41"))["QUERY_STRING"] == "q=Ã¤&r=%41"


async def test_headers() -> None:
    headers = [(b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"x-two", b"1"), (b"x-two", b"2")]
    environ = await environ_of(headers=headers)
    assert (environ["HTTP_COOKIE"], environ["HTTP_X_TWO"]) == ("a=1; b=2", "1,2")
    assert environ["wsgi.errors"] is sys.stderr
    assert environ["wsgi.multiprocess"] is False
    assert "REMOTE_USER" not in environ
    with pytest.raises(LookupError, match="did not come through a Mattermost host"):
        identity(environ)
    with pytest.raises(LookupError):
        identity({})


@pytest.mark.parametrize("user", ["alice", None])
async def test_who_asks(user: str | None) -> None:
    def read(environ: Any) -> bytes:
        facts = identity(environ)
        return repr((environ.get("REMOTE_USER"), facts.user_id, facts.plugin_id)).encode()

    app: Any = WSGIMiddleware(answering(read))
    wrapped = as_user(app, user, plugin_id="demo")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(wrapped)) as client:
        response = await client.get("http://test/x", headers={"Remote-User": "mallory"})
    assert response.text == repr((user, user, "demo"))


async def test_a_spelling_that_folds_to_the_identity_never_arrives(
    as_alice: Callable[[Any], httpx.AsyncClient],
) -> None:
    """Row S6: WSGI has one name for Mattermost-User-Id and Mattermost_User_Id."""
    claims = {"Mattermost_User_Id": "mallory", "mattermost-user-id": "eve", "Remote_User": "eve"}
    async with as_alice(lambda e: repr(sorted(n for n in e if "USER" in n)).encode()) as client:
        names = (await client.get("/x", headers=claims)).text
        assert names == "['HTTP_MATTERMOST_USER_ID', 'HTTP_USER_AGENT', 'REMOTE_USER']"
    async with as_alice(lambda e: e["HTTP_MATTERMOST_USER_ID"].encode()) as client:
        assert (await client.get("/x", headers=claims)).text == "alice"


# -------------------------------------------------------------------- the body


@pytest.mark.parametrize(
    ("read", "answer"),
    [
        (lambda stream: stream.read(), b"one\ntwo\nthree"),
        (lambda stream: stream.read(5) + b"|" + stream.read(), b"one\nt|wo\nthree"),
        (lambda stream: stream.readline(2) + b"|" + stream.readline(), b"on|e\n"),
        (lambda stream: b"|".join(stream.readlines()), b"one\n|two\n|three"),
        (lambda stream: b"|".join(stream), b"one\n|two\n|three"),
        (lambda stream: stream.read() + stream.read() + stream.readline(3), b"one\ntwo\nthree"),
        (lambda stream: b"", b""),
    ],
)
async def test_the_input(read: Callable[[Any], bytes], answer: bytes) -> None:
    app = WSGIMiddleware(answering(lambda environ: read(environ["wsgi.input"])))
    events = await Client(app, b"one\ntw", b"", b"o\nthree").end()
    assert text_of(events) == answer


async def test_a_body_is_taken_as_the_app_reads_it() -> None:
    taken, reading = threading.Event(), threading.Event()

    def read(environ: Any) -> bytes:
        taken.set()
        assert reading.wait(WAIT)
        data: bytes = environ["wsgi.input"].read()
        return data

    client = Client(WSGIMiddleware(answering(read)), *[b"."] * 50)
    await asyncio.to_thread(taken.wait, WAIT)
    assert client.messages.qsize() >= 48
    reading.set()
    assert text_of(await client.end()) == b"." * 50


async def test_a_cut_body_is_an_error_and_not_a_short_body() -> None:
    raised: list[BaseException] = []

    def read(environ: Any) -> bytes:
        for _ in range(2):
            with pytest.raises(ClientDisconnected) as caught:
                environ["wsgi.input"].read()
            raised.append(caught.value)
        return b""

    client = Client(WSGIMiddleware(answering(read)))
    client.messages.get_nowait()
    client.tell({"type": "http.request", "body": b"half", "more_body": True})
    client.leave()
    assert await client.end() == []
    assert len(raised) == 2


# -------------------------------------------------------------------- the answer


async def test_each_chunk_leaves_before_the_next_is_made() -> None:
    go_on = threading.Semaphore(0)

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        for number in range(3):
            yield b"%d" % number
            assert go_on.acquire(timeout=WAIT)

    client = Client(WSGIMiddleware(app))
    assert (await client.next())["status"] == 200
    for number in range(3):
        assert (await client.next())["body"] == b"%d" % number
        go_on.release()
    assert await client.end() == [{"type": "http.response.body", "body": b""}]


async def test_an_empty_chunk_opens_the_answer() -> None:
    go_on = threading.Event()

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("204", TEXT)  # without a reason, which a2wsgi wants
        yield b""
        assert go_on.wait(WAIT)

    client = Client(WSGIMiddleware(app))
    assert (await client.next())["status"] == 204
    go_on.set()
    await client.end()


async def test_the_pace_is_the_clients() -> None:
    made = 0

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        nonlocal made
        start_response("200 OK", TEXT)
        for _ in range(50):
            made += 1
            yield b"."

    client = Client(WSGIMiddleware(app))
    client.events = asyncio.Queue(1)
    client.send = client.events.put
    assert (await client.next())["status"] == 200
    assert (await client.next())["body"] == b"."
    assert made < 10
    assert [(await client.next())["body"] for _ in range(50)] == [b"."] * 49 + [b""]
    await client.end()
    assert made == 50


async def test_status_and_headers_may_change_until_the_first_chunk() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", TEXT)
        try:
            raise ValueError("late")
        except ValueError:
            start_response("500 Oh", TEXT, sys.exc_info())
        return [b"sorry"]

    start, *rest = await Client(WSGIMiddleware(app)).end()
    assert (start["status"], text_of(rest)) == (500, b"sorry")


async def test_after_the_first_chunk_exc_info_is_raised() -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield b"begun"
        try:
            raise ValueError("late")
        except ValueError:
            start_response("500 Oh", TEXT, sys.exc_info())

    client = Client(WSGIMiddleware(app))
    with pytest.raises(ValueError, match="late"):
        await client.end()
    assert [client.events.get_nowait()["type"] for _ in range(client.events.qsize())] == [
        "http.response.start",
        "http.response.body",
    ]


async def test_write() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", TEXT)
        write(b"one ")
        write(b"two ")
        return [b"three"]

    assert text_of(await Client(WSGIMiddleware(app)).end()) == b"one two three"


def raising(exc: BaseException) -> Any:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        raise exc

    return app


class Teapot(Exception):
    pass


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (Teapot(), Teapot),
        (SystemExit(3), SystemExit),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (asyncio.CancelledError(), asyncio.CancelledError),
        (StopIteration(), RuntimeError),
    ],
)
async def test_what_an_app_raises_is_raised_in_the_requests_task(
    raised: BaseException, seen: type[BaseException]
) -> None:
    caught: list[BaseException] = []
    app = WSGIMiddleware(raising(raised))

    async def dispatched(*arguments: Any) -> None:
        # As the bridge does: asyncio lets SystemExit out of a task.
        try:
            await app(*arguments)
        except BaseException as exc:  # noqa: BLE001
            caught.append(exc)

    assert await Client(dispatched).end() == []
    assert [type(exc) for exc in caught] == [seen]


@pytest.mark.parametrize(
    ("start", "error"),
    [
        ([], AppProtocolError),
        ([("200 OK", TEXT), ("200 OK", TEXT)], AppProtocolError),
        ([("no", TEXT)], ValueError),
    ],
)
async def test_what_breaks_the_protocol(start: Any, error: type[Exception]) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        for arguments in start:
            start_response(*arguments)
        return [b"body"]

    with pytest.raises(error):
        await Client(WSGIMiddleware(app)).end()


class Chunks:
    """Endless chunks, which note that they were closed."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def __call__(self, environ: Any, start_response: Any) -> Chunks:
        start_response("200 OK", TEXT)
        return self

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield b"."

    def close(self) -> None:
        self.closed.set()


async def test_a_send_that_fails_ends_the_app() -> None:
    """a2wsgi#48: its sender would end, and the thread wait for ever at a full queue."""
    chunks = Chunks()
    client = Client(WSGIMiddleware(chunks, threads=1))

    async def fail(event: Any) -> None:
        raise AppProtocolError("wrong")

    client.send = fail
    with pytest.raises(AppProtocolError, match="wrong"):
        await client.end()
    assert chunks.closed.is_set()


async def test_a_client_that_leaves_ends_the_app_at_its_next_chunk() -> None:
    chunks = Chunks()
    client = Client(WSGIMiddleware(chunks, threads=1))
    await client.next()
    client.leave()
    await client.end()
    assert chunks.closed.is_set()


async def test_write_to_a_client_that_left() -> None:
    left = threading.Event()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", TEXT)
        assert left.wait(WAIT)
        while True:
            write(b".")

    client = Client(WSGIMiddleware(app))
    client.leave()
    await client.left.wait()
    left.set()
    with pytest.raises(ClientDisconnected):
        await client.end()


async def test_a_cancel_lets_go_at_once_and_the_thread_ends_with_its_next_chunk() -> None:
    """a2wsgi would end its sender, and leave the thread at a full queue for ever."""
    chunks = Chunks()
    app = WSGIMiddleware(chunks, threads=1)
    client = Client(app)
    stuck = asyncio.Event()

    async def never(event: Any) -> None:
        stuck.set()
        await asyncio.Event().wait()

    client.send = never
    await stuck.wait()
    client.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client.end()
    assert await asyncio.to_thread(chunks.closed.wait, WAIT)
    # Its thread, the only one, is free again.
    client = Client(app)
    assert (await client.next())["status"] == 200
    client.leave()
    await client.end()


async def test_who_left_while_waiting_for_a_thread_is_not_served() -> None:
    go_on, served = threading.Event(), []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        served.append(environ["QUERY_STRING"])
        assert go_on.wait(WAIT)
        start_response("200 OK", TEXT)
        return []

    wrapped = WSGIMiddleware(app, threads=1)
    first = Client(wrapped, query_string=b"first")
    second = Client(wrapped, query_string=b"second")
    second.leave()
    await second.left.wait()
    go_on.set()
    await asyncio.gather(first.end(), second.end())
    assert served == ["first"]


async def test_a_receive_that_fails_ends_the_request() -> None:
    app = WSGIMiddleware(answering(lambda environ: environ["wsgi.input"].read()))

    async def receive() -> Any:
        raise OSError("broken")

    async def broken(scope: Any, _: Any, send: Any) -> None:
        await app(scope, receive, send)

    with pytest.raises(OSError, match="broken"):
        await Client(broken).end()


# -------------------------------------------------------------------- the rest


async def test_lifespan_is_answered() -> None:
    app: Any = WSGIMiddleware(answering(lambda environ: b""))
    async with lifespan(app) as started:
        assert started is not None


def test_without_a2wsgi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "a2wsgi", None)
    with pytest.raises(StartupError, match=r"pip install 'mm-asgi\[wsgi\]'"):
        WSGIMiddleware(answering(lambda environ: b""))


async def test_a_large_upload_in_parts() -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"0123456789" * 5000

    def size(environ: Any) -> bytes:
        assert environ["wsgi.input_terminated"]
        target = io.BytesIO()
        while piece := environ["wsgi.input"].read(100_000):
            target.write(piece)
        return b"%d" % target.tell()

    app: Any = WSGIMiddleware(answering(size))
    transport = httpx.ASGITransport(as_user(app, "alice"))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.post("/up", content=body())).text == "2000000"


def test_python_ends_without_a_thread_that_hangs() -> None:
    """Or one view that never answers would keep a test run there for ever."""
    command = [sys.executable, "-c", HANGS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT, check=True)
    assert done.stdout == "left\n"


async def test_threads_are_used_again_and_end_with_their_middleware() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        thread = threading.current_thread()
        seen.append(weakref.ref(thread))
        return [thread.name.encode()]

    seen: list[weakref.ref[threading.Thread]] = []
    wrapped = WSGIMiddleware(app, threads=1)
    for _ in range(3):
        assert text_of(await Client(wrapped).end()) == b"WSGI_1"
    thread = seen[0]()
    assert thread is not None
    del wrapped
    gc.collect()
    await asyncio.to_thread(thread.join, WAIT)
    assert not thread.is_alive()
