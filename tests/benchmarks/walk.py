"""``python -m tests.benchmarks walk``: the way of one request through the package, call by call.

A reader of the code goes this way, from file to file, so its length is a figure worth a budget. The
calls above the port are the bridge's, the dispatch's and the plugin's; those in the wire are its
own. Speed is another figure: a call less is not always an instruction less.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mm_asgi.protocol.api_user_team_pb2 import GetUserResponse
from mm_asgi.protocol.hooks_message_pb2 import MessageWillBePostedRequest
from tests.benchmarks import direct
from tests.benchmarks.processes import BenchmarkError
from tests.benchmarks.tables import Table
from tests.benchmarks.trees import HERE, Tree, checkout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["KINDS", "Walk", "run", "walk"]

WARM = 5
"""Turns before the first that counts: caches are full and what is loaded late is there."""
TURNS = 5
"""Turns that count. The most frequent walk is taken: a timer of the process may fall into one."""
TAKE_LIMIT = 20.0  # s
APP = "tests.benchmarks.apps.echo"
WIRE = "wire/"
PARSER = "h11"


@dataclass(frozen=True)
class Walk:
    """The calls of one turn, in order.

    Attributes:
        calls: of each the package, the file below its folder, the function's name and line.
    """

    calls: tuple[tuple[str, str, str], ...]

    @property
    def wire(self) -> Walk:
        """The calls in the wire; of another server those in its parser."""
        return Walk(tuple(call for call in self.calls if _is_wire(call)))

    @property
    def above(self) -> Walk:
        """The other calls: above the port."""
        return Walk(tuple(call for call in self.calls if not _is_wire(call)))

    @property
    def functions(self) -> int:
        """How many functions were called at least once."""
        return len(set(self.calls))

    @property
    def files(self) -> list[str]:
        """The files that the calls are in, in the order of the way."""
        return list(dict.fromkeys(f"{package}/{file}" for package, file, _ in self.calls))

    @property
    def changes(self) -> int:
        """How often the way goes on in another file."""
        places = [call[:2] for call in self.calls]
        return sum(here != there for here, there in zip(places, places[1:], strict=False))


def _is_wire(call: tuple[str, str, str]) -> bool:
    return call[0] == PARSER or call[1].startswith(WIRE)


def walk(kind: str, tree: Tree = HERE) -> Walk:
    """Walk one of KINDS in a process of its own.

    Raises:
        BenchmarkError: the process did not start, or did not answer.
    """
    asking, asked = socket.socketpair()
    with asking, asked, tree.python_path() as path:
        asking.settimeout(TAKE_LIMIT)
        with asking.makefile("rw") as lines, KINDS[kind](asked, path) as turn:

            def take() -> Walk:
                lines.write("take\n")
                lines.flush()
                try:
                    answer = lines.readline()
                except TimeoutError:
                    raise BenchmarkError(f"the loop did not rest in {TAKE_LIMIT:g} s") from None
                return Walk(tuple(tuple(call) for call in json.loads(answer)))

            for _ in range(WARM):
                turn()
            take()
            found = Counter(_one(turn, take) for _ in range(TURNS))
            return found.most_common(1)[0][0]


def _one(turn: Callable[[], object], take: Callable[[], Walk]) -> Walk:
    turn()
    return take()


def _command(kind: str, asked: socket.socket, packages: str, *rest: str) -> list[str]:
    """-P: the working directory does not come first on the path."""
    module = "tests.benchmarks.walked"
    return [sys.executable, "-P", "-m", module, kind, str(asked.fileno()), packages, *rest]


@contextlib.contextmanager
def _plugin(asked: socket.socket, path: str) -> Iterator[direct.DirectPlugin]:
    command = _command("plugin", asked, "mm_asgi", f"{APP}:plugin")
    with direct.started(command, {"PYTHONPATH": path}, [asked.fileno()]) as plugin:
        yield plugin


@contextlib.contextmanager
def post(asked: socket.socket, path: str) -> Iterator[Callable[[], object]]:
    """A POST of 5 bytes with a query, echoed."""
    message = direct.request("POST", "/echo?a=b", b"hello")
    with _plugin(asked, path) as plugin:
        yield lambda: plugin.call("ServeHTTP", message)


@contextlib.contextmanager
def hook(asked: socket.socket, path: str) -> Iterator[Callable[[], object]]:
    """MessageWillBePosted, for which a hook lets the post pass."""
    message = MessageWillBePostedRequest()
    message.post.message = "hello"
    data = message.SerializeToString()
    with _plugin(asked, path) as plugin:
        yield lambda: plugin.call("MessageWillBePosted", data)


@contextlib.contextmanager
def api(asked: socket.socket, path: str) -> Iterator[Callable[[], object]]:
    """A call of the API, ``get_user``, from the plugin's side."""
    answer = GetUserResponse()
    answer.user.username = "alice"
    with (
        direct.answering(answer.SerializeToString()) as target,
        contextlib.ExitStack() as stack,
    ):
        acting, acted = socket.socketpair()
        stack.enter_context(acting)
        with acted:
            descriptors = (asked.fileno(), acted.fileno())
            command = _command("api", asked, "mm_asgi", target, str(acted.fileno()))
            stack.enter_context(direct.running(command, {"PYTHONPATH": path}, descriptors))
        acting.settimeout(direct.START_LIMIT)

        def turn() -> None:
            acting.sendall(b".")
            if not acting.recv(1):
                raise BenchmarkError("the process that calls the API ended")

        yield turn


@contextlib.contextmanager
def uvicorn(asked: socket.socket, path: str) -> Iterator[Callable[[], object]]:
    """The same POST to uvicorn with h11, on a connection that stays."""
    head = (
        "POST /echo?a=b HTTP/1.1\r\nHost: mattermost.example.com\r\nAccept: */*\r\n"
        "Accept-Encoding: gzip\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n"
        "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\n"
    )
    with tempfile.TemporaryDirectory(prefix="walk-") as folder:
        address = str(Path(folder, "s"))
        command = _command("uvicorn", asked, "uvicorn,h11", f"{APP}:app", address)
        with (
            direct.running(command, {"PYTHONPATH": path}, [asked.fileno()]) as process,
            direct.dialled(address, process) as connection,
        ):

            def turn() -> None:
                connection.sendall(head.encode() + b"hello")
                answer = b""
                while not answer.endswith(b"0\r\n\r\n"):
                    piece = connection.recv(65_536)
                    if not piece:
                        raise BenchmarkError("uvicorn closed the connection")
                    answer += piece

            yield turn


KINDS = {"post": post, "hook": hook, "api": api, "uvicorn": uvicorn}
TITLES = {
    "post": "ServeHTTP, a POST of 5 bytes",
    "hook": "MessageWillBePosted",
    "api": "get_user, the plugin's side",
    "uvicorn": "uvicorn with h11, the same POST; its parser in place of the wire",
}


def run(argv: list[str]) -> int:
    """Walk what the command line says, and print the figures; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks walk",
        description="Count the calls on one request's way through the package.",
    )
    parser.add_argument(
        "kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; default all of them"
    )
    parser.add_argument("--against", metavar="CHECKOUT", help="walk another checkout too")
    parser.add_argument("--calls", action="store_true", help="print each call in its order")
    given = parser.parse_args(argv)
    for kind in given.kinds:
        if kind not in KINDS:
            parser.error(f"{kind!r}: there is no such walk, expected some of {', '.join(KINDS)}")
    try:
        trees = [HERE] if given.against is None else [HERE, checkout(given.against)]
        for kind in given.kinds or KINDS:
            walks = {tree.name: walk(kind, tree) for tree in trees}
            sys.stdout.write(table(kind, walks).render(markdown=False) + "\n")
            if given.calls:
                sys.stdout.write("".join(f"  {'  '.join(call)}\n" for call in walks["here"].calls))
    except BenchmarkError as error:
        sys.exit(f"walk: {error}")
    return 0


def table(kind: str, walks: Mapping[str, Walk]) -> Table:
    """Return the figures of one kind as a table."""
    rows = []
    for name, found in walks.items():
        for part, title in ((found.above, "above the port"), (found.wire, "wire"), (found, "all")):
            figures = (len(part.calls), part.functions, len(part.files), part.changes)
            rows.append([f"{name}: {title}", *map(str, figures)])
    return Table(TITLES[kind], ["", "calls", "functions", "files", "changes of file"], rows)
