"""The planted faults of AutoMTLS."""

from __future__ import annotations

from tests.mutants.fault import Fault

__all__ = ["TLS_FAULTS"]

TLS = "mm_asgi/goplugin/auto_mtls.py"
WIRE_TLS = "mm_asgi/wire/http2/tls.py"
FRONT = "mm_asgi/process/front.py"
TRANSPORT = "mm_asgi/wire/http2/transport.py"
SECURE = ("tests/wire/test_tls.py", "tests/unit/goplugin/test_auto_mtls.py")
PROCESS_TLS = ("tests/contract/test_L_tls.py",)

TLS_FAULTS: tuple[Fault, ...] = (
    Fault(
        "TLS: the host's certificate is asked for, not demanded",
        TLS,
        "ssl.CERT_REQUIRED",
        "ssl.CERT_OPTIONAL",
        SECURE,
        "no_certificate",
    ),
    Fault(
        "TLS: the system's roots are trusted too",
        TLS,
        "    _trust(context, client_certificate)\n",
        "    _trust(context, client_certificate)\n    context.load_default_certs(ssl.Purpose.CLIENT_AUTH)\n",
        SECURE,
        "only_root",
    ),
    Fault(
        "TLS: the certificate has no alternative name",
        TLS,
        "x509.DNSName(_NAME)",
        'x509.DNSName("plugin")',
        SECURE,
        "takes or byte",
    ),
    Fault(
        "TLS: sessions are resumed",
        TLS,
        "    context.num_tickets = 0\n",
        "",
        SECURE,
        "resumed",
    ),
    Fault(
        "L11: a demand of the host's is met with plain text",
        FRONT,
        "tls=None if self._tls is None else self._tls.context",
        "tls=None",
        PROCESS_TLS,
        "test_L11_ and not go_host",
    ),
    Fault(
        "L11: a certificate that cannot be used is passed over",
        FRONT,
        "            self._tls = mutual_tls(self._environment.client_certificate)\n",
        "            try:\n"
        "                self._tls = mutual_tls(self._environment.client_certificate)\n"
        "            except ConfigError:\n"
        "                return\n",
        PROCESS_TLS,
        "test_L11_what_cannot",
    ),
    Fault(
        "L11: the handshake leaves the certificate out",
        FRONT,
        'certificate=b"" if self._tls is None else self._tls.certificate',
        'certificate=b""',
        PROCESS_TLS,
        "test_L11_ and not go_host",
    ),
    Fault(
        "L11: grpcio's wire takes a demand for nothing",
        "mm_asgi/wire/grpcio.py",
        "        if tls is not None:\n",
        "        if False:\n",
        (*PROCESS_TLS, *SECURE),
        "test_L11_what_cannot or grpcios_wire",
    ),
    Fault(
        "TLS: any protocol will do",
        TRANSPORT,
        'tls.selected_alpn_protocol() != "h2"',
        "False",
        SECURE,
        "another_protocol",
    ),
    Fault(
        "TLS: h2 is not offered",
        WIRE_TLS,
        '    context.set_alpn_protocols(["h2"])\n',
        "",
        SECURE,
        "host_is_served",
    ),
    Fault(
        "TLS: a read's slices are copies",
        TRANSPORT,
        "        return self._view\n",
        "        return self._view.obj  # type: ignore\n",
        SECURE,
        "large_messages",
    ),
    Fault(
        "TLS: a suite without ephemeral keys is taken",
        WIRE_TLS,
        '"ECDHE+AESGCM:ECDHE+CHACHA20"',
        '"DEFAULT"',
        SECURE,
        "http2_asks",
    ),
    Fault(
        "TLS: a handshake has all the time",
        WIRE_TLS,
        "ssl_handshake_timeout=self._timeout",
        "ssl_handshake_timeout=600.0",
        SECURE,
        "has_its_time",
    ),
    Fault(
        "TLS: a failed handshake is not logged",
        WIRE_TLS,
        '            log.warning("TLS handshake with %s failed: %s", peer, self._reason(exc))\n',
        "            self._reason(exc)\n",
        SECURE,
        "refused",
    ),
    Fault(
        "TLS: a stop leaves handshakes under way",
        WIRE_TLS,
        "        for task in self._tasks:\n            task.cancel()\n",
        "",
        SECURE,
        "stop_ends",
    ),
)
