"""goplugin/handshake.py: the one line on stdout."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_asgi.errors import ConfigError
from mm_asgi.goplugin.handshake import fault_line, handshake_line


def test_without_certificate_five_fields() -> None:
    assert handshake_line("unix", "/tmp/x/plugin.sock") == "1|1|unix|/tmp/x/plugin.sock|grpc"
    assert handshake_line("tcp", "127.0.0.1:4000") == "1|1|tcp|127.0.0.1:4000|grpc"


def test_the_word_for_the_protocol_is_the_wires() -> None:
    assert handshake_line("unix", "/s", protocol="netrpc") == "1|1|unix|/s|netrpc"


def test_the_seventh_field_only_when_asked() -> None:
    assert handshake_line("unix", "/s", multiplex=True) == "1|1|unix|/s|grpc||false"


@given(st.binary(min_size=1))
def test_certificate_is_base64_without_padding(certificate: bytes) -> None:
    fields = handshake_line("unix", "/s", certificate=certificate, multiplex=True).split("|")
    assert len(fields) == 7
    assert "=" not in fields[5]
    assert base64.b64decode(fields[5] + "=" * (-len(fields[5]) % 4)) == certificate


@pytest.mark.parametrize("path", ["/tmp/a|b", "/tmp/a\nb", "/tmp/\0"])
def test_a_path_that_would_break_the_line(path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        handshake_line("unix", path)
    assert fault_line(str(caught.value)) == str(caught.value)


@given(st.text(st.characters(codec=None), max_size=2000))
def test_a_fault_is_one_line_and_no_handshake(text: str) -> None:
    line = fault_line(text)
    assert line.isprintable()
    assert "|" not in line
    assert len(line) <= 1000


def test_a_fault_keeps_its_words() -> None:
    assert fault_line("log-config: no\n  such file | a\x00b") == "log-config: no such file / a?b"
