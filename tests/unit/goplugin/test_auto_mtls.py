"""goplugin/auto_mtls.py: the plugin's own certificate, whom it trusts, and where its key is not."""

from __future__ import annotations

import builtins
import datetime
import os
import ssl
import sys
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from mm_asgi.errors import ConfigError
from mm_asgi.goplugin import auto_mtls
from mm_asgi.goplugin.auto_mtls import mutual_tls
from mm_asgi.goplugin.handshake import fault_line
from tests.wire.tls_peer import host_identity

if TYPE_CHECKING:
    from pathlib import Path

HOST = host_identity()
PEM = HOST.certificate.decode()


def test_the_certificate_is_one_that_go_plugins_client_takes() -> None:
    made = x509.load_der_x509_certificate(mutual_tls(PEM).certificate)
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    usage = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert ExtendedKeyUsageOID.SERVER_AUTH in usage
    key = made.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)
    made.verify_directly_issued_by(made)
    now = datetime.datetime.now(datetime.UTC)
    assert made.not_valid_before_utc < now - datetime.timedelta(seconds=10)
    assert made.not_valid_after_utc > now + datetime.timedelta(days=3650)


def test_a_certificate_of_the_handshakes_size() -> None:
    # go-plugin takes a sixth field of 50 characters or less for something else (its client.go).
    assert len(mutual_tls(PEM).certificate) > 100


def test_each_process_has_its_own() -> None:
    one, other = mutual_tls(PEM), mutual_tls(PEM)
    assert one.certificate != other.certificate


def test_the_hosts_certificate_is_the_only_root() -> None:
    context = mutual_tls(PEM).context
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.get_ca_certs(binary_form=True) == [ssl.PEM_cert_to_DER_cert(PEM)]


def test_no_session_is_resumed() -> None:
    context = mutual_tls(PEM).context
    assert context.num_tickets == 0
    assert context.options & ssl.OP_NO_TICKET


def test_the_key_is_in_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(builtins, "open", _nothing_is_opened)
    before = set(os.listdir("/dev/fd"))
    paths: list[str] = []
    load = ssl.SSLContext.load_cert_chain

    def seen(context: ssl.SSLContext, *files: str) -> None:
        paths.extend(files)
        load(context, *files)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", seen)
    mutual_tls(PEM)
    assert len(paths) == 2
    assert all(path.startswith("/dev/fd/") for path in paths)
    assert list(tmp_path.iterdir()) == []
    assert set(os.listdir("/dev/fd")) == before


def _nothing_is_opened(*arguments: Any, **keywords: Any) -> Any:
    raise AssertionError(f"opened: {arguments}")


@pytest.mark.parametrize(
    "text",
    [
        "pem",
        "\u00fc",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        PEM[: len(PEM) // 2],
        HOST.key.decode(),
    ],
)
def test_a_certificate_that_cannot_be_used_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError, match="PLUGIN_CLIENT_CERT.*AutoMTLS.*cannot be read") as caught:
        mutual_tls(text)
    assert text not in str(caught.value)
    assert fault_line(str(caught.value)) == str(caught.value)


def test_without_cryptography_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(ConfigError, match=r"pip install 'mm-asgi\[mtls\]'"):
        mutual_tls(PEM)


def test_a_key_that_cannot_be_loaded_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto_mtls, "_FOLDER", "/dev/fd-is-not-there")
    with pytest.raises(
        ConfigError, match="own certificate cannot be loaded: No such file.*/dev/fd"
    ):
        mutual_tls(PEM)
