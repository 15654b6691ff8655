"""Who asks, beside the Go host: CSRF in header, form and query, logins, MFA, subpaths, strictness.

And how the end of a request's body is waited for: 100-continue, HTTP/1.0, early answers.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_asgi.host import Host
from tests.go_host import GoHost, go_missing_reason
from tests.unit.host.raw_http import ask
from tests.unit.host.raw_script import message, written
from tests.unit.host.test_host_differential import comparable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(bool(go_missing_reason()), reason=str(go_missing_reason())),
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]

FOLDER = Path(__file__).parent / "plugins"
SITES = {("/", True), ("/mm", False), ("/a/b", False)}
Pairs = dict[tuple[str, bool], tuple[str, str]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pairs() -> AsyncIterator[Pairs]:
    """By subpath and strictness, the addresses of a Go host and of a simulated one."""
    argv = [sys.executable, "wire_plugin.py"]
    async with AsyncExitStack() as hosts:

        async def start(subpath: str, strict: bool) -> tuple[str, str]:
            flags = ["-strict-csrf"] if strict else []
            real = GoHost(FOLDER, "wire_plugin.py", subpath=subpath, flags=flags)
            simulated = Host(argv=argv, directory=FOLDER, subpath=subpath, strict_csrf=strict)
            await hosts.enter_async_context(real)
            await hosts.enter_async_context(simulated)
            return real.http, simulated.address

        yield {site: await start(*site) for site in SITES}


LOGINS = st.sampled_from(
    ["", "Cookie: MMAUTHTOKEN=token-joe", "Cookie: MMAUTHTOKEN=mfa-joe", "Cookie: MMAUTHTOKEN=x",
     "Cookie: MMAUTHTOKEN=token-joe; MMAUTHTOKEN=token-eve", "Cookie: MMAUTHTOKEN=\"token-joe\"",
     "Cookie: MMAUTHTOKEN=token-joe\r\nAuthorization: Bearer token-bob",
     "Cookie: MMAUTHTOKEN=token-joe\r\nAuthorization: Bearer x", "Authorization: token token-bob",
     "Cookie: MMAUTHTOKEN=token-joe\r\nAuthorization: Basic x"]
)  # fmt: skip
PROOFS = st.sampled_from(
    ["", "X-CSRF-Token: csrf-joe", "X-CSRF-Token: csrf-eve", "X-Csrf-Token:", "X-Requested-With: XMLHttpRequest",
     "X-Requested-With: xmlhttprequest", "X-CSRF-Token: no\r\nX-Requested-With: XMLHttpRequest"]
)  # fmt: skip
FORM = "application/x-www-form-urlencoded"
TYPES = st.sampled_from(
    ["", FORM, f"{FORM}; charset=utf-8", FORM.title(), f"{FORM};charset", f"{FORM}; a=1; A=2", f"{FORM}; a=1; a=\"1\"",
     f'{FORM}; a="x;a=2"; b', f"{FORM}; a=1; ; a=2", f"{FORM}/x",
     f" {FORM} ;", f"{FORM}, text/x", "text/plain", "multipart/form-data; boundary=x", ";", f"{FORM}; =x"]
)  # fmt: skip
FIELDS = st.lists(
    st.sampled_from(["csrf=csrf-joe", "csrf=no", "csrf", "cs%72f=csrf%2Djoe", "a=1;csrf=csrf-joe", "%zz", "x=1",
                     "csrf=csrf-joe%", "csrf=+csrf-joe"]),
    max_size=3,
).map("&".join)  # fmt: skip
PART = 'Content-Disposition: form-data; name="csrf"\r\n\r\ncsrf-joe'
MULTIPART = st.sampled_from([f"--x\r\n{PART}\r\n--x--\r\n", f"--x\r\n{PART}"])
METHODS = st.sampled_from(["GET", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "PURGE"])


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(SITES)), METHODS, LOGINS, PROOFS, TYPES, FIELDS, FIELDS | MULTIPART,
       st.booleans())  # fmt: skip
async def test_the_same_user_asks(
    pairs: Pairs, site: tuple[str, bool], method: str, login: str, proof: str, kind: str,
    query: str, body: str, chunked: bool,
) -> None:  # fmt: skip
    target = f"{site[0].rstrip('/')}/plugins/com.example.demo/x" + (f"?{query}" if query else "")
    lines = [f"{method} {target} HTTP/1.1", "Host: chat", login, proof]
    lines += [f"Content-Type: {kind}"] if kind else []
    data = body.encode()
    if chunked:
        lines.append("Transfer-Encoding: chunked")
        data = b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data) if data else b"0\r\n\r\n"
    else:
        lines.append(f"Content-Length: {len(data)}")
    sent = "\r\n".join([*filter(None, lines), "", ""]).encode() + data
    real, simulated = await asyncio.gather(*(ask(to, sent) for to in pairs[site]))
    assert comparable(simulated) == comparable(real), sent


async def test_a_form_over_10_mib_is_not_looked_into(pairs: Pairs) -> None:
    """net/http's limit of a form; the body is passed on all the same."""
    for size, user in ((10 << 20, ["joe"]), ((10 << 20) + 1, None)):
        body = b"csrf=csrf-joe&x=".ljust(size, b"z")
        sent = (
            "POST /mm/plugins/com.example.demo/x HTTP/1.1\r\nHost: x\r\nCookie: MMAUTHTOKEN=token-joe\r\n"
            f"Content-Type: {FORM}\r\nContent-Length: {size}\r\n\r\n"
        ).encode() + body
        for to in pairs["/mm", False]:
            told = comparable(await ask(to, sent, timeout=30))
            assert told["init"]["headers"].get("Mattermost-User-Id") == user, to
            assert told["complete"]
            assert len(told["body"]) == size


# -------------------------------------------------------------------- the body's end

STALLS = "no answer before the client sends more"
EARLY = {
    "whole": [message(b"no", status=413, complete=True)],
    "flushed": [message(b"no", status=413, flush=True), "read", message(b"x", complete=True)],
    "long": [message(b"no" * 5000, status=413, length=10_000), message(complete=True)],
}
KEPT = 256 * 1024


async def outcome(address: str, sent: bytes) -> Any:
    """The answer that came while the client still had something to send."""
    try:
        answer = await ask(address, sent, timeout=0.6)
    except TimeoutError:
        return STALLS
    # HTTP/1.0 ends it without a word; h11 says it all the same.
    ends = b" HTTP/1.0\r\n" in sent or answer.headers.get("connection")
    return answer.status, answer.body, answer.whole, ends


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_early_answers(pairs: Pairs, version: str) -> None:
    """All at once: declared or chunked, sent in part, with 100-continue, each kind of answer."""
    cases: dict[str, bytes] = {}
    for name, steps in EARLY.items():
        for declared, part in ((10, 3), (KEPT, 10), (KEPT + 70_000, 10), (70_000, 70_000)):
            for expect in ((), ("Expect: 100-continue",)):
                headers = (f"Content-Length: {declared}", *expect)
                cases[f"{name} {declared} {part} {expect}"] = written(
                    "POST", steps, *headers, body=b"z" * part, version=version
                )
        if version == "1.1":
            chunk = b"3\r\nabc\r\n"
            for end in (b"", b"0\r\n\r\n", b"no chunk\r\n"):
                cases[f"{name} chunked {end!r}"] = written(
                    "POST", steps, "Transfer-Encoding: chunked", body=chunk + end
                )
    real, simulated = [
        await asyncio.gather(*(outcome(to, sent) for sent in cases.values()))
        for to in pairs["/mm", False]
    ]
    differ = {
        name: (got, wanted)
        for name, got, wanted in zip(cases, simulated, real, strict=True)
        if got != wanted
    }
    assert differ == {}
    assert STALLS in simulated
