"""Paths below a prefix, however the client spelled it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware

from mm_asgi.bridge.mounted import MountedApp, is_starlette, path_below

ROOT = "/plugins/com.example.demo"


@pytest.mark.parametrize(
    ("path", "raw", "below", "raw_below"),
    [
        (f"{ROOT}/a b", f"{ROOT}/a%20b", "/a b", b"/a%20b"),
        (f"{ROOT}/", f"{ROOT}/", "/", b"/"),
        (ROOT, ROOT, "/", b"/"),
        (f"{ROOT}/a/b", "/plugins/com.example.d%65mo/a%2Fb", "/a/b", b"/a%2Fb"),
        (f"{ROOT}//x/..", f"{ROOT}//x/..", "//x/..", b"//x/.."),
        (f"{ROOT}/x", "/elsewhere", "/x", b"/x"),  # what the host says does not fit together
        (f"{ROOT}/x", "/plugins/%zz", "/x", b"/x"),
        ("/elsewhere", "/elsewhere", "/elsewhere", b"/elsewhere"),
    ],
)
def test_the_prefix_is_taken_off(path: str, raw: str, below: str, raw_below: bytes) -> None:
    scope = {"path": path, "raw_path": raw.encode()}
    assert path_below(scope, ROOT) == (below, raw_below)


SPELLINGS = st.lists(st.booleans(), min_size=len(ROOT), max_size=len(ROOT))


@given(SPELLINGS, st.text(max_size=5).filter(lambda text: text.isprintable()))
def test_whatever_of_it_is_escaped(escaped: list[bool], rest: str) -> None:
    letters = zip(ROOT, escaped, strict=True)
    spelled = "".join(f"%{ord(letter):02x}" if is_it else letter for letter, is_it in letters)
    raw = f"{spelled}/{quote(rest)}".encode()
    path, raw_path = path_below({"path": f"{ROOT}/{rest}", "raw_path": raw}, ROOT)
    assert path == f"/{rest}"
    assert unquote_to_bytes(raw_path) == path.encode()


async def test_the_app_gets_a_scope_of_its_own() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    whole = {
        "type": "http",
        "root_path": ROOT,
        "path": f"{ROOT}/x",
        "raw_path": f"{ROOT}/x".encode(),
    }
    lifespan = {"type": "lifespan"}
    mounted = MountedApp(app)
    await mounted(whole, None, None)
    await mounted(lifespan, None, None)
    assert seen[0] == {**whole, "path": "/x", "raw_path": b"/x"}
    assert seen[1] is lifespan
    assert whole["path"] == f"{ROOT}/x"


def test_an_app_of_starlette_is_known_below_middleware() -> None:
    class Shop(Starlette):
        pass

    assert is_starlette(GZipMiddleware(Shop())) == "Shop"
    assert is_starlette(MountedApp) == ""
