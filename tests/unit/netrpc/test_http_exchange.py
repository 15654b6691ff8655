"""The request of a ServeHTTP call, as the bridge reads it."""

from mm_asgi.netrpc.http_exchange import _request


def test_headers_are_the_hosts_bytes_and_can_be_read_again() -> None:
    request = _request({"Header": {"X-A": ["1", "caf\udce9"], "Content-Length": ["3"]}}, {})
    expected = [(b"X-A", b"1"), (b"X-A", b"caf\xe9"), (b"Content-Length", b"3")]
    assert list(request.headers) == expected
    assert list(request.headers) == expected  # the handler's own reading takes nothing away
    assert request.length == 3
