"""A plugin's process with no host before it: started, activated, and called with HTTP/2 frames.

What counts calls or instructions wants the same bytes in the same pieces each time, so that two
runs differ by nothing but the code. A host cannot promise that: Go's scheduler decides what leaves
in one write. Here one thread writes all of a batch at once and then reads until all of it is
answered; ``h2`` keeps the rules of HTTP/2 on this side.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.events
import h2.settings

from mm_asgi.protocol.hooks_common_pb2 import PluginContext
from mm_asgi.protocol.hooks_http_pb2 import HTTPHeader, ServeHTTPRequest, ServeHTTPRequestInit
from tests.benchmarks.processes import BenchmarkError, stderr_end
from tests.benchmarks.startup import COOKIE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["DirectPlugin", "Spawned", "answering", "dialled", "request", "running", "started"]

ID = "com.example.walked"
HOOKS = "/mattermost.pluginapi.v1.PluginHooks/"
STREAM = "ServeHTTP"
# As grpc-go writes them; after the first request all are in HPACK's table.
HEADERS = (
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "localhost"),
    ("content-type", "application/grpc"),
    ("user-agent", "grpc-go/1.76.0"),
    ("te", "trailers"),
)
WINDOW = 2**31 - 1
FIXED = {
    "MATTERMOST_PLUGIN_ID": ID,
    "MATTERMOST_PLUGIN_API_TARGET": "",
    "MM_ASGI_WIRE": "native",
    "MM_ASGI_LOOP": "asyncio",
    # The layout of every dict and set is the same in each run.
    "PYTHONHASHSEED": "0",
}
START_LIMIT = 120.0
"""Seconds; a start under valgrind takes fifty times as long."""


class DirectPlugin:
    """One connection to a plugin that runs.

    Attributes:
        pid: the plugin's process id.
    """

    def __init__(self, pid: int, connection: socket.socket) -> None:
        self.pid = pid
        self._socket = connection
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        )
        self._h2.initiate_connection()
        self._h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW})
        self._h2.increment_flow_control_window(WINDOW - 65_535)
        self._flush()

    def call(self, rpc: str, message: bytes) -> bytes:
        """Make one RPC of PluginHooks; return its messages with their gRPC prefixes.

        Raises:
            BenchmarkError: the RPC failed, or the connection was lost.
        """
        return self.batch(rpc, message, 1)[0]

    def batch(self, rpc: str, message: bytes, count: int) -> list[bytes]:
        """Make ``count`` RPCs whose frames leave in one write; return their answers in order."""
        prefixed = b"\0" + len(message).to_bytes(4, "big") + message
        streams = {}
        for _ in range(count):
            stream = self._h2.get_next_available_stream_id()
            self._h2.send_headers(stream, [*HEADERS[:2], (":path", HOOKS + rpc), *HEADERS[2:]])
            # As grpc-go: a unary RPC ends with its message, a stream by an empty frame (CloseSend).
            self._h2.send_data(stream, prefixed, end_stream=rpc != STREAM)
            if rpc == STREAM:
                self._h2.end_stream(stream)
            streams[stream] = b""
        self._flush()
        left = set(streams)
        while left:
            for event in self._read():
                if isinstance(event, h2.events.DataReceived):
                    assert event.stream_id is not None
                    streams[event.stream_id] += event.data or b""
                elif isinstance(event, h2.events.TrailersReceived | h2.events.ResponseReceived):
                    _check(rpc, {str(name): str(value) for name, value in event.headers or ()})
                elif isinstance(event, h2.events.StreamReset):
                    raise BenchmarkError(f"{rpc}: the plugin reset the stream")
                elif isinstance(event, h2.events.StreamEnded):
                    assert event.stream_id is not None
                    left.discard(event.stream_id)
        return list(streams.values())

    def ping(self) -> None:
        """Send a PING and wait for its answer: all that was sent before has been read by then."""
        self._h2.ping(b"measured")
        self._flush()
        while not any(isinstance(event, h2.events.PingAckReceived) for event in self._read()):
            pass

    def _read(self) -> list[h2.events.Event]:
        data = self._socket.recv(1 << 20)
        if not data:
            raise BenchmarkError("the plugin closed the connection")
        events = self._h2.receive_data(data)
        self._flush()
        return events

    def _flush(self) -> None:
        if data := self._h2.data_to_send():
            self._socket.sendall(data)


def _check(rpc: str, headers: Mapping[str, str]) -> None:
    status = headers.get("grpc-status", "0")
    if status != "0":
        raise BenchmarkError(f"{rpc}: status {status}: {headers.get('grpc-message', '')}")


@dataclass(frozen=True)
class Spawned:
    """A process that runs, and the folder that its stderr and its sockets are in."""

    process: subprocess.Popen[bytes]
    folder: Path


@contextlib.contextmanager
def running(
    command: Sequence[str], environ: Mapping[str, str], descriptors: Sequence[int] = ()
) -> Iterator[Spawned]:
    """Start a process that has these descriptors too; end it afterwards."""
    with tempfile.TemporaryDirectory(prefix="walk-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with (folder / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **COOKIE, **FIXED, "PLUGIN_UNIX_SOCKET_DIR": name, **environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                pass_fds=descriptors,
            )
        try:
            yield Spawned(process, folder)
        finally:
            process.terminate()
            try:
                process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


@contextlib.contextmanager
def started(
    command: Sequence[str], environ: Mapping[str, str], descriptors: Sequence[int] = ()
) -> Iterator[DirectPlugin]:
    """Start a plugin's process, activate it and connect to it; end it afterwards.

    Raises:
        BenchmarkError: it did not come to its handshake, or refused the activation.
    """
    with (
        running(command, environ, descriptors) as spawned,
        dialled(_address(spawned), spawned) as connection,
    ):
        plugin = DirectPlugin(spawned.process.pid, connection)
        plugin.call("Implemented", b"")
        plugin.call("OnActivate", b"")
        yield plugin


def _address(spawned: Spawned) -> str:
    """Read the handshake's line, which says where the plugin listens."""
    assert spawned.process.stdout is not None
    # A timer and not a time-out of the read, which a pipe has none of.
    timer = threading.Timer(START_LIMIT, spawned.process.kill)
    timer.start()
    try:
        line = spawned.process.stdout.readline().decode(errors="replace").strip()
    finally:
        timer.cancel()
    parts = line.split("|")
    if len(parts) < 5:
        raise BenchmarkError(
            f"no handshake: {line!r}; its stderr ends:\n{stderr_end(spawned.folder)}"
        )
    return parts[3]


@contextlib.contextmanager
def dialled(path: str, spawned: Spawned) -> Iterator[socket.socket]:
    """Connect to a unix socket, again each millisecond until the process listens.

    Raises:
        BenchmarkError: the process ended, or took longer than START_LIMIT.
    """
    limit = time.monotonic() + START_LIMIT
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(START_LIMIT)
        while True:
            try:
                connection.connect(path)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if spawned.process.poll() is not None or time.monotonic() > limit:
                    raise BenchmarkError(
                        f"it did not listen; its stderr ends:\n{stderr_end(spawned.folder)}"
                    ) from None
                time.sleep(0.001)  # it is not our program: nothing tells us
        yield connection


@contextlib.contextmanager
def answering(message: bytes) -> Iterator[str]:
    """Serve one gRPC connection in a thread, each RPC with this message; the target is yielded."""
    with (
        tempfile.TemporaryDirectory(prefix="walk-") as folder,
        socket.socket(socket.AF_UNIX) as listening,
    ):
        path = str(Path(folder, "s"))
        listening.bind(path)
        listening.listen()
        thread = threading.Thread(target=_answer_all, args=(listening, message))
        thread.start()
        try:
            yield f"unix:{path}"
        finally:
            # Where nobody ever came, accept() returns now.
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _answer_all(listening: socket.socket, message: bytes) -> None:
    try:
        connection, _ = listening.accept()
    except OSError:
        return
    prefixed = b"\0" + len(message).to_bytes(4, "big") + message
    peer = h2.connection.H2Connection(
        h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
    )
    with connection, contextlib.suppress(ConnectionError):
        peer.initiate_connection()
        connection.sendall(peer.data_to_send())
        while data := connection.recv(1 << 16):
            for event in peer.receive_data(data):
                if isinstance(event, h2.events.DataReceived):
                    assert event.stream_id is not None
                    peer.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    assert event.stream_id is not None
                    kind = ("content-type", "application/grpc")
                    peer.send_headers(event.stream_id, [(":status", "200"), kind])
                    peer.send_data(event.stream_id, prefixed)
                    trailers = [("grpc-status", "0"), ("grpc-message", "")]
                    peer.send_headers(event.stream_id, trailers, end_stream=True)
            connection.sendall(peer.data_to_send())


def request(method: str, path: str, body: bytes = b"") -> bytes:
    """Return ServeHTTP's message of a whole request of a browser's size."""
    headers = {
        "Accept": "*/*",
        "Accept-Encoding": "gzip",
        "User-Agent": "Mozilla/5.0 (X11; Linux x86_64)",
        "Mattermost-User-Id": "abcdefghijklmnopqrstuvwxyz",
    }
    if body:
        headers |= {"Content-Length": str(len(body)), "Content-Type": "text/plain"}
    init = ServeHTTPRequestInit(
        method=method,
        url=path,
        proto="HTTP/1.1",
        proto_major=1,
        proto_minor=1,
        host="mattermost.example.com",
        remote_addr="127.0.0.1:51234",
        request_uri=f"/plugins/{ID}{path}",
        content_length=len(body),
        headers=[HTTPHeader(key=name, values=[value]) for name, value in headers.items()],
        plugin_context=PluginContext(
            session_id="s" * 26,
            request_id="r" * 26,
            ip_address="127.0.0.1",
            user_agent="Mozilla/5.0",
        ),
    )
    return ServeHTTPRequest(init=init, body_chunk=body, body_complete=True).SerializeToString()
