"""A real plugin process behind the simulated host (road s), and the host's own promises."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio

from mm_asgi.errors import ConfigError
from mm_asgi.host import Host, HostError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(60)]

SHOP = Path(__file__).parents[1] / "unit" / "host" / "plugins"
SIZE = 64


def shop(**options: Any) -> Host:
    env = {"PYTHONDONTWRITEBYTECODE": "1", **options.pop("env", {})}
    return Host("shop_app:app", directory=SHOP, plugin_id="shop", user="alice", env=env, **options)


def browser(host: Host) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=host.url, trust_env=False, timeout=30)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host() -> AsyncIterator[Host]:
    async with shop() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def client(host: Host) -> AsyncIterator[httpx.AsyncClient]:
    async with browser(host) as made:
        yield made


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# -------------------------------------------------------------------- requests


async def test_hello(host: Host, client: httpx.AsyncClient) -> None:
    answer = await client.get("/hello")
    assert answer.json() == {"pid": host.pid, "root_path": "/plugins/shop", "user": "alice"}
    assert answer.headers["content-length"] == str(len(answer.content))
    assert host.implemented[:2] == ("OnActivate", "OnDeactivate")
    assert host.failure == ""


async def test_another_user_by_cookie_and_by_token(client: httpx.AsyncClient) -> None:
    bob = {"Cookie": "MMAUTHTOKEN=token-bob"}
    assert (await client.get("/who", headers=bob)).json() == "bob"
    assert (await client.get("/who?access_token=token-eve")).json() == "eve"
    assert (await client.get("/who", headers={"Cookie": "MMAUTHTOKEN=x"})).json() is None


@pytest.mark.full
async def test_under_a_subpath_everything_starts_there() -> None:
    async with shop(subpath="/mm") as host, browser(host) as client:
        assert host.url.endswith("/mm/plugins/shop")
        assert (await client.get("/hello")).json()["root_path"] == "/mm/plugins/shop"
        moved = await client.get(f"{host.address}/plugins/shop/hello")
        assert (moved.status_code, moved.headers["location"]) == (302, "/mm/plugins/shop/hello")


async def test_what_never_reaches_the_plugin(host: Host, client: httpx.AsyncClient) -> None:
    for path, status in (
        (f"{host.address}/plugins/other/x", 404),
        (f"{host.address}/", 404),
        (f"{host.url}/public/missing.css", 404),
        (f"{host.url}/public/../shop_app.py", 301),
        (f"{host.url}/public/%2e%2e/shop_app.py", 301),
        (f"{host.url}//hello", 301),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(host.address).port)
        target = path.removeprefix(host.address)
        writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert (await reader.read()).split(b" ", 2)[1] == b"%d" % status
        writer.close()
    answer = await client.get(f"{host.address}/plugins/sh%6Fp/hello")
    assert answer.json()["root_path"] == "/plugins/shop"


async def test_public_files_come_from_the_bundle(tmp_path: Path) -> None:
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "shop.css").write_text("a {}")
    (tmp_path / "public" / "blob").write_bytes(b"\0" * 600_000)
    (tmp_path / "secret").write_text("no")
    (tmp_path / "public" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "shop_app.py").write_text((SHOP / "shop_app.py").read_text())
    async with Host("shop_app:app", directory=tmp_path) as host, browser(host) as client:
        styles = await client.get("/public/shop.css")
        assert (styles.text, styles.headers["content-type"]) == ("a {}", "text/css; charset=utf-8")
        assert (await client.get("/public/blob")).content == b"\0" * 600_000
        assert (await client.head("/public/blob")).headers["content-length"] == "600000"
        assert (await client.get("/public/link")).status_code == 404
        part = await client.get("/public/shop.css", headers={"Range": "bytes=2-3"})
        assert (part.status_code, part.text) == (206, "{}")
        known = {"If-Modified-Since": styles.headers["last-modified"]}
        assert (await client.get("/public/shop.css", headers=known)).status_code == 304


async def test_events_come_one_by_one(client: httpx.AsyncClient) -> None:
    async with client.stream("GET", "/events") as answer:
        parts = answer.aiter_text()
        assert await anext(parts) == "data: 0\n\n"
        for number in (1, 2):
            await client.post("/go")
            assert await anext(parts) == f"data: {number}\n\n"


async def test_a_client_that_leaves_is_told_to_the_app(client: httpx.AsyncClient) -> None:
    async with client.stream("GET", "/events") as answer:
        await anext(answer.aiter_text())
    assert (await client.get("/left")).json() == "left"


@pytest.mark.parametrize("megabytes", [8, pytest.param(SIZE, marks=pytest.mark.full)])
async def test_big_bodies_arrive_whole(client: httpx.AsyncClient, megabytes: int) -> None:
    piece = bytes(range(256)) * 4096
    wanted = hashlib.sha256(piece * megabytes).hexdigest()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(megabytes):
            yield piece

    expected = {"sha256": wanted, "size": megabytes << 20}
    assert (await client.put("/body", content=pieces())).json() == expected
    assert (await client.put("/body", content=piece * megabytes)).json() == expected
    digest = hashlib.sha256()
    async with client.stream("GET", f"/body/{megabytes}") as answer:
        async for chunk in answer.aiter_bytes():
            digest.update(chunk)
    assert digest.hexdigest() == wanted


async def test_an_early_answer_leaves_while_the_client_uploads(host: Host) -> None:
    """Once 256 KiB more were read, as net/http does it; and the connection ends with it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(host.address).port)
    head = f"POST /plugins/shop/refuse HTTP/1.1\r\nHost: x\r\nContent-Length: {1 << 40}\r\n\r\n"
    writer.write(head.encode())

    async def upload() -> None:
        while True:
            writer.write(b"x" * (1 << 16))
            await writer.drain()

    uploading = asyncio.create_task(upload())
    answer = (await reader.readuntil(b"too large")).decode()
    assert answer.startswith("HTTP/1.1 413 ")
    assert "\r\nConnection: close\r\n" in answer
    uploading.cancel()
    await asyncio.wait((uploading,))
    writer.close()


async def test_a_whole_upload_is_taken_though_it_is_refused(client: httpx.AsyncClient) -> None:
    for _ in range(10):
        answer = await client.post("/refuse", content=b"x" * 300_000)
        assert (answer.status_code, answer.text) == (413, "too large")


@pytest.mark.full
async def test_a_megabyte_of_print_in_one_line_harms_nobody() -> None:
    async with shop() as host, browser(host) as client:
        assert (await client.post("/print?megabytes=3")).json() == "printed"
        assert (await client.get("/hello")).status_code == 200
        assert not [line for line in host.log.lines() if "scanning stdout" in line.message]


# -------------------------------------------------------------------- hooks


async def test_hooks_by_name(host: Host) -> None:
    answer = await host.hook("OnConfigurationChange", {})
    assert answer.ok
    assert answer.json() == {}
    skipped = await host.hook("MessageWillBePosted", '{"post": {"message": "hi"}}')
    assert (skipped.listed, skipped.called) == (False, False)
    forced = await host.hook("MessageWillBePosted", {"post": {"message": "hi"}}, force=True)
    assert forced.called
    with pytest.raises(ValueError, match="ServeHTTP"):
        await host.hook("ServeHTTP")
    with pytest.raises(ValueError, match="OnNothing"):
        await host.hook("OnNothing")
    await host.ping(5)


# -------------------------------------------------------------------- restart


async def run_clients(
    host: Host, count: int, stop: asyncio.Event, answered: asyncio.Semaphore
) -> set[Any]:
    """Clients that send without a pause; what else than a good answer they got."""
    wrong: set[Any] = set()

    async def one() -> None:
        async with browser(host) as client:
            while not stop.is_set():
                try:
                    answers = [
                        await client.get("/hello"),
                        await client.put("/body", content=b"x" * 99_999),
                    ]
                except httpx.HTTPError as exc:
                    wrong.add(repr(exc))
                    return
                wrong.update((a.status_code, a.text) for a in answers if a.status_code != 200)
                answered.release()

    await asyncio.gather(*(one() for _ in range(count)))
    return wrong


@pytest.mark.full
@pytest.mark.timeout(300)
@pytest.mark.parametrize("restarts", [10])
async def test_a_restart_fails_no_request(restarts: int) -> None:
    stop, answered = asyncio.Event(), asyncio.Semaphore(0)
    async with shop() as host:
        clients = asyncio.create_task(run_clients(host, 20, stop, answered))
        pids = {host.pid}
        for _ in range(restarts):
            for _ in range(40):
                await answered.acquire()
            await host.restart()
            pids.add(host.pid)
        stop.set()
        assert await clients == set()
    assert len(pids) == restarts + 1
    assert not [pid for pid in pids if is_running(pid)]


async def closed(host: Host) -> None:
    """The gate closes in a restart's first steps."""
    for _ in range(100):
        if not host.running:
            return
        await asyncio.sleep(0)
    raise AssertionError("the gate stayed open")


@pytest.mark.full
async def test_requests_wait_while_the_plugin_is_replaced() -> None:
    async with shop() as host, browser(host) as client:
        old = host.pid
        under_way = asyncio.create_task(client.post("/slow"))
        await client.get("/entered")
        async with client.stream("GET", "/events") as events:
            parts = events.aiter_text()
            await anext(parts)
            restart = asyncio.create_task(host.restart())
            await closed(host)
            waiting = asyncio.create_task(client.get("/hello"))
            os.kill(old, signal.SIGUSR1)
            assert (await under_way).json() == old
            assert [part async for part in parts] == []  # ended politely
        await restart
        assert (await waiting).json()["pid"] == host.pid != old


def write_app(folder: Path, text: str) -> None:
    """An app that changes within a second has to be compiled anew: PYTHONDONTWRITEBYTECODE."""
    (folder / "made.py").write_text(text)


GOOD = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"good"})
"""


def made(folder: Path, **options: Any) -> Host:
    env = {"PYTHONDONTWRITEBYTECODE": "1", **options.pop("env", {})}
    return Host("made:app", directory=folder, plugin_id="made", env=env, **options)


@pytest.mark.full
async def test_a_restart_that_fails_is_told_and_healed_by_the_next(tmp_path: Path) -> None:
    write_app(tmp_path, GOOD)
    async with made(tmp_path) as host, browser(host) as client:
        write_app(tmp_path, "def broken(:")
        with pytest.raises(HostError, match="SyntaxError"):
            await host.restart()
        for _ in range(2):
            answer = await client.get("/")
            assert answer.status_code == 503
            assert answer.headers["content-type"].startswith("text/plain")
            assert "made did not start (activate)" in answer.text
            assert "SyntaxError" in answer.text
            assert "made.py" in answer.text
            assert "def broken(:" in answer.text  # the traceback
        assert (host.pid, host.implemented) == (0, ())
        with pytest.raises(ConfigError, match="no plugin is running"):
            await host.ping()
        write_app(tmp_path, GOOD)
        await host.restart()
        assert (await client.get("/")).text == "good"


@pytest.mark.full
async def test_a_host_that_stays_up_without_its_plugin(tmp_path: Path) -> None:
    write_app(tmp_path, "raise RuntimeError('no database')")
    async with made(tmp_path, keep_failed=True) as host, browser(host) as client:
        assert "no database" in (await client.get("/")).text
        assert "no database" in host.failure
        write_app(tmp_path, GOOD)
        await host.restart()
        assert (await client.get("/")).text == "good"


@pytest.mark.full
@pytest.mark.parametrize(
    ("target", "stage", "error"),
    [
        ("missing:app", "activate", 'the module "missing" was not found'),
        ("made:missing", "activate", 'has no attribute "missing"'),
        ("made", "activate", 'expected "module:attribute"'),
    ],
)
async def test_a_start_that_fails(tmp_path: Path, target: str, stage: str, error: str) -> None:
    write_app(tmp_path, GOOD)
    with pytest.raises(HostError) as caught:
        async with Host(target, directory=tmp_path):
            pytest.fail("it started")
    assert error in caught.value.error
    assert caught.value.stage == stage
    assert caught.value.stderr != ()


@pytest.mark.full
async def test_a_lifespan_that_fails_is_told(tmp_path: Path) -> None:
    write_app(
        tmp_path,
        "async def app(scope, receive, send):\n"
        "    await receive()\n"
        "    await send({'type': 'lifespan.startup.failed', 'message': 'no database'})\n",
    )
    with pytest.raises(HostError, match="no database") as caught:
        await made(tmp_path).__aenter__()
    assert caught.value.stage == "activate"


async def test_a_process_that_ends_by_itself_is_told_and_healed(tmp_path: Path) -> None:
    async with shop() as host, browser(host) as client:
        crash = await client.post("/crash")
        assert crash.status_code == 502
        await host.plugin_ended()
        answer = await client.get("/hello")
        assert (answer.status_code, "exit code 7" in answer.text) == (503, True)
        await host.restart()
        assert (await client.get("/hello")).json()["pid"] == host.pid


# -------------------------------------------------------------------- the end


async def test_the_end_leaves_nothing(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with shop(env={"TMPDIR": str(tmp_path)}) as host:
        pid, port = host.pid, httpx.URL(host.address).port
        assert port is not None
        assert os.listdir(tmp_path) != []  # its socket
        async with browser(host) as client:
            async with client.stream("GET", "/events") as events:
                await anext(events.aiter_text())
                began = loop.time()
                await host.close()
                assert loop.time() - began < 2
    assert not is_running(pid)
    assert os.listdir(tmp_path) == []
    with pytest.raises(ConnectionError):
        await asyncio.open_connection("127.0.0.1", port)
    ends = [line.fields["end"] for line in host.log.lines("go-plugin") if "end" in line.fields]
    assert ends == ["exit code 0"]
    await host.close()
    with pytest.raises(HostError, match="stopped"):
        await host.restart()


@pytest.mark.full
async def test_a_plugin_that_does_not_end_is_killed(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with shop(env={"SHOP_HANGS": "1", "TMPDIR": str(tmp_path)}) as host:
        pid = host.pid
        began = loop.time()
    assert loop.time() - began < 2
    assert not is_running(pid)
    assert os.listdir(tmp_path) == []


@pytest.mark.full
async def test_an_end_during_the_start_leaves_no_process(tmp_path: Path) -> None:
    write_app(tmp_path, "import time, sys\nsys.stderr.write('importing\\n')\ntime.sleep(60)\n")
    loop = asyncio.get_running_loop()
    host = made(tmp_path)
    start = asyncio.create_task(host.__aenter__())
    await host.log.wait_for(lambda line: "importing" in line.message)
    began = loop.time()
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert loop.time() - began < 2
    assert [line for line in host.log.lines("go-plugin") if "end" in line.fields]

    host = made(tmp_path)
    start = asyncio.create_task(host.__aenter__())
    await host.log.wait_for(lambda line: "importing" in line.message)
    await host.close()
    with pytest.raises(HostError, match="stopped"):
        await start


async def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port: {port} on 127.0.0.1 cannot be bound"):
            await shop(port=port).__aenter__()


@pytest.mark.full
async def test_a_start_file_and_the_tcp_network(tmp_path: Path) -> None:
    write_app(tmp_path, GOOD)
    (tmp_path / "plugin.py").write_text("import mm_asgi\nmm_asgi.run('made:app')\n")
    lines: list[str] = []
    async with (
        Host(
            directory=tmp_path,
            env={"MM_ASGI_NETWORK": "tcp"},
            on_log=lambda line: lines.append(line.source),
        ) as host,
        browser(host) as client,
    ):
        assert host.url.endswith("/plugins/com.example.demo")
        assert (await client.get("/")).text == "good"
    assert set(lines) >= {"go-plugin"}
