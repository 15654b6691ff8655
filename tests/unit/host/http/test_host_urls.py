"""Go's net/url, as far as a request line meets it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_asgi.host.http.urls import encode_query, parse_query, parse_request_uri

BYTES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E))


@pytest.mark.parametrize(
    "target",
    ["/", "/a", "/a%2Fb", "/a/../b", "//a", "/%E4", "/x?", "/x?a=1", "/x?a?b", "/~!$&'()*+,;=:@[]",
     "http://evil/x", "http://u:p@evil:80/x?y", "http://[::1]:80/x", "http://evil", "mailto:x"],
)  # fmt: skip
def test_what_fits_is_written_as_it_came(target: str) -> None:
    assert str(parse_request_uri(target)) == target


@pytest.mark.parametrize(
    "target",
    [
        "",
        "a",
        "?x",
        ":a",
        "/%",
        "/%z0",
        "/%1",
        "/\x01",
        "http://a b/",
        "http://a:b/",
        "http://a%zz/",
    ],
)
def test_what_the_host_answers_with_400(target: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_request_uri(target)


def test_a_changed_path_is_encoded_anew() -> None:
    url = parse_request_uri("/p/a%2Fb%3F")
    assert url.path == "/p/a/b?"
    assert url.escaped_path() == "/p/a%2Fb%3F"
    url.path = url.path.removeprefix("/p")
    assert str(url) == "/a/b%3F"


@pytest.mark.parametrize(
    ("path", "shown"), [("a:b", "./a:b"), ("*", "*"), ("/a b", "/a%20b"), ("/\xe4", "/%E4")]
)
def test_a_path_that_was_set(path: str, shown: str) -> None:
    url = parse_request_uri("/")
    url.path = path
    assert str(url) == shown


@pytest.mark.parametrize(
    ("raw", "encoded"),
    [("b=1&a=2&flag", "a=2&b=1&flag="), ("a;b=1&c=2", "c=2"), ("a=%zz&b=%41", "b=A"), ("&&", ""),
     ("q=a+b%20c&q=2", "q=a+b+c&q=2"), ("=x", "=x"), ("%C3%A4=/", "%C3%A4=%2F"), ("", "")],
)  # fmt: skip
def test_a_query_is_sorted_and_encoded_anew(raw: str, encoded: str) -> None:
    assert encode_query(parse_query(raw)) == encoded


def test_a_query_of_too_many_parameters_is_empty() -> None:
    assert parse_query("&".join(["a"] * 10_001)) == {}


@given(BYTES)
def test_encoding_twice_changes_nothing(raw: str) -> None:
    once = encode_query(parse_query(raw))
    assert encode_query(parse_query(once)) == once


@given(BYTES)
def test_any_target_is_refused_or_kept(text: str) -> None:
    try:
        url = parse_request_uri(f"/{text}")
    except ValueError:
        assert "%" in text
    else:
        path = f"/{text}".partition("?")[0]
        assert url.escaped_path() == path or set(path) & set(' "<>\\^`{|}#')
