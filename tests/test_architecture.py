"""The laws of the house, read from the syntax tree: nothing is imported.

Each check takes a package's files and gives its findings as sentences; below, each is also run on
a small tree with one planted fault, so that a check that finds nothing is not a check that sleeps.
"""

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "mm_asgi"

# Rooms from the outside to the inside. A room imports its own row and the rows below it.
LEVELS = (
    ("__init__", "__main__"),
    ("cli",),
    ("process", "host", "bundle", "testing"),
    ("servicer", "grpc_hooks", "netrpc"),
    ("serving", "loading"),
    ("dispatch", "hook_calls", "life"),
    ("plugin", "contrib", "running", "site"),
    ("bridge", "commands", "hooks", "api"),
    ("wire", "goplugin", "observe"),
    ("requester", "user_secrets", "autocomplete", "settings", "importer", "tasks", "functions"),
    ("types",),
    ("protocol",),
    ("errors",),
)
LEVEL = {room: -row for row, rooms in enumerate(LEVELS) for room in rooms}

NETRPC_CORES = tuple(f"wire/netrpc/{name}" for name in ("yamux_", "gob_", "rpc_", "broker"))
NETRPC_CORES_MAY_IMPORT = {"__future__", "collections", "dataclasses", "enum", "struct", "typing"}
GRPC_HOMES = ("wire/grpcio.py", "servicer.py", "host/")
HOST_FACES = {f"host/{room}__init__.py" for room in ("", "http/", "mattermost/", "plugin/")}
HOST_MAY_IMPORT = {"host", "protocol", "errors"}
# A released server's wire has no other library: both sides stand on the same cores and tables, and
# the real plugin package judges both. The plugin's own side of it stays out.
RELEASED_HOST = "host/released/"
RELEASED_HOST_MAY_IMPORT = "wire/netrpc/"
PLUGINS_SIDE = tuple(
    f"wire/netrpc/{name}.py"
    for name in ("api_calls", "api_channel", "api_streams", "command_calls", "endpoint", "plugin_session")
)  # fmt: skip
# What the bridge may know of the rooms beside and below it that do I/O: the port alone, and that
# in the exchange on gRPC alone, as protobuf.
BRIDGE_PORT = "mm_asgi.wire.port"
BRIDGE_GRPC = "bridge/serve_http.py"
GRPC_TERMS = ("google.", "mm_asgi.protocol.", "mm_asgi.wire.")
IO_MODULES = {
    "fcntl", "ftplib", "glob", "grpc", "http", "httpx", "io", "mmap", "multiprocessing", "os",
    "pathlib", "requests", "select", "selectors", "shutil", "signal", "smtplib", "socket",
    "socketserver", "sqlite3", "ssl", "subprocess", "tempfile", "uvicorn",
}  # fmt: skip
# Circles that type-only imports close. The list may shrink, it may not grow.
CIRCLES_OF_TYPES = (
    {
        "mm_asgi.wire.http2.channel", "mm_asgi.wire.http2.client_call",
        "mm_asgi.wire.http2.client_transport", "mm_asgi.wire.http2.stream_call",
    },
    {
        "mm_asgi.wire.http2.connection", "mm_asgi.wire.http2.control",
        "mm_asgi.wire.http2.sending", "mm_asgi.wire.http2.stream",
    },
)  # fmt: skip
# Names that stand more than once, and where. The list may shrink, it may not grow.
NAMES_TWICE = {
    # The same transport for httpx and for its fork; users import either by this name.
    "WireTransport": {"testing/httpx2.py", "testing/wire_transport.py"},
}
LONGEST_MODULE = 600
# Modules that are longer and may be: path -> the reason why two modules would read worse.
LONGER_MODULES: Mapping[str, str] = {}
LONGEST_FUNCTION = 50

CHANGES = {
    "add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem",
    "popleft", "remove", "reverse", "setdefault", "sort", "update",
}  # fmt: skip
MUTABLE = {"dict", "list", "set", "deque", "defaultdict", "Counter", "OrderedDict", "bytearray"}


@dataclass(frozen=True)
class Module:
    path: str  # from the package's folder: wire/port.py
    name: str  # dotted: mm_asgi.wire.port
    room: str
    text: str
    tree: ast.Module

    @property
    def is_generated(self) -> bool:
        return "enerated by" in self.text[:200]


@dataclass(frozen=True)
class Import:
    target: str  # dotted, absolute
    line: int
    for_types: bool  # below `if TYPE_CHECKING:`


Check = Callable[[Mapping[str, Module]], Iterator[str]]


def read_package(folder: Path) -> dict[str, Module]:
    """The package's modules by dotted name, without protocol's generated ones."""
    modules = {}
    for file in sorted(folder.rglob("*.py")):
        path = file.relative_to(folder)
        if file.name.endswith("_pb2.py"):
            continue
        parts = list(path.with_suffix("").parts)
        name = ".".join(["mm_asgi", *(parts[:-1] if parts[-1] == "__init__" else parts)])
        text = file.read_text()
        modules[name] = Module(path.as_posix(), name, parts[0], text, ast.parse(text))
    return modules


def imports_of(module: Module) -> Iterator[Import]:
    """Every import wherever it stands, also ``import_module("...")`` with a constant name."""
    for_types = {
        id(inner)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(module.tree):
        for target in _targets(node, module):
            yield Import(target, getattr(node, "lineno", 0), id(node) in for_types)


def _targets(node: ast.AST, module: Module) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            package = module.name.split(".")
            drop = node.level - module.path.endswith("__init__.py")
            base = ".".join(package[: len(package) - drop] + ([base] if base else []))
        # `from a import b` may name the module a.b or something in a: both are looked up later.
        yield from (f"{base}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
        ("import_module", "__import__")
    ):
        match node.args:
            case [ast.Constant(value=str(name)), *_]:
                yield name


def own_module(target: str, modules: Mapping[str, Module]) -> Module | None:
    """The module of this package that an import reaches; None for others and for the face.

    The face's names are its own business: what it loads lazily counts where it is written.
    """
    if target in modules and target != "mm_asgi":
        return modules[target]
    above = target.rpartition(".")[0]
    return modules.get(above) if above != "mm_asgi" else None


def arrows(module: Module, modules: Mapping[str, Module]) -> Iterator[tuple[Import, Module]]:
    for found in imports_of(module):
        other = own_module(found.target, modules)
        if other is not None and other is not module:
            yield found, other


# -------------------------------------------------------------------- the laws


def every_room_has_a_level(modules: Mapping[str, Module]) -> Iterator[str]:
    for module in modules.values():
        if module.room not in LEVEL:
            yield (
                f"{module.path}: the room {module.room!r} has no level; add it to LEVELS in "
                "tests/test_architecture.py and to the map in CONTRIBUTING.md"
            )


def grpc_stays_at_home(modules: Mapping[str, Module]) -> Iterator[str]:
    """Law 1: a plugin on another wire imports no grpc."""
    for module in modules.values():
        if not module.path.startswith(GRPC_HOMES):
            for found in imports_of(module):
                if found.target.split(".")[0] == "grpc":
                    yield f"{module.path}:{found.line}: imports grpc, which only {', '.join(GRPC_HOMES)} may"


def bridge_does_no_io(modules: Mapping[str, Module]) -> Iterator[str]:
    """Law 2: of what does I/O the bridge knows the port."""
    for module in modules.values():
        if module.room != "bridge":
            continue
        for found in imports_of(module):
            if found.target.split(".")[0] in IO_MODULES:
                yield f"{module.path}:{found.line}: imports {found.target}, and the bridge does no I/O"
        for found, other in arrows(module, modules):
            if other.room in ("wire", "goplugin") and other.name != BRIDGE_PORT:
                yield f"{module.path}:{found.line}: imports {other.name}, the bridge knows only {BRIDGE_PORT}"
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("open", "input"):
                yield f"{module.path}:{node.lineno}: opens a file, and the bridge does no I/O"


def bridge_speaks_bytes(modules: Mapping[str, Module]) -> Iterator[str]:
    """Law 2: and it knows bytes and ASGI; one module of it knows the port and messages."""
    for module in modules.values():
        if module.room == "bridge" and module.path != BRIDGE_GRPC:
            for found in imports_of(module):
                if found.target.startswith(GRPC_TERMS):
                    yield f"{module.path}:{found.line}: imports {found.target}, which only {BRIDGE_GRPC} may"


def netrpc_cores_are_pure(modules: Mapping[str, Module]) -> Iterator[str]:
    """The wires know nothing of each other, and the protocols of net/rpc no socket and no loop."""
    for module in modules.values():
        if not module.path.startswith("wire/netrpc/"):
            continue
        core = module.path.startswith(NETRPC_CORES)
        for found in imports_of(module):
            if found.target.startswith(("mm_asgi.wire.http2", "mm_asgi.wire.grpcio")):
                yield f"{module.path}:{found.line}: imports {found.target}, another wire"
            elif core and not found.target.startswith(("mm_asgi.errors", "mm_asgi.wire.netrpc.")):
                # A lock is no I/O: a stream's owner may be in another thread than the reader.
                more = {"threading"} if "/yamux_" in module.path else set()
                if found.target.split(".")[0] not in NETRPC_CORES_MAY_IMPORT | more:
                    yield f"{module.path}:{found.line}: imports {found.target}; a core may import {sorted(NETRPC_CORES_MAY_IMPORT)}"
        for found, other in arrows(module, modules):
            if core and other.path.startswith("wire/netrpc/"):
                if not other.path.startswith(NETRPC_CORES):
                    yield f"{module.path}:{found.line}: imports {other.name}, which is no core"


def host_stands_alone(modules: Mapping[str, Module]) -> Iterator[str]:
    """Law 3: a simulator must not judge with the code it judges."""
    for module in modules.values():
        if module.room == "host":
            for found, other in arrows(module, modules):
                if (
                    other.path.startswith(RELEASED_HOST_MAY_IMPORT)
                    and other.path not in PLUGINS_SIDE
                ):
                    if module.path.startswith(RELEASED_HOST):
                        continue
                if other.room not in HOST_MAY_IMPORT:
                    yield f"{module.path}:{found.line}: imports {other.name}; host may import {sorted(HOST_MAY_IMPORT)}"


def the_host_is_met_at_its_faces(modules: Mapping[str, Module]) -> Iterator[str]:
    """Other rooms know the host and its rooms by their faces, never a module inside."""
    for module in modules.values():
        if module.room == "host":
            continue
        for found, other in arrows(module, modules):
            if other.room == "host" and other.path not in HOST_FACES:
                yield f"{module.path}:{found.line}: imports {other.name}, inside the host; take it from a face"


def arrows_point_inwards(modules: Mapping[str, Module]) -> Iterator[str]:
    """Law 4. Imports inside functions are arrows, and so are imports for types."""
    for module in modules.values():
        for found, other in arrows(module, modules):
            if LEVEL.get(other.room, 0) > LEVEL.get(module.room, 0):
                yield f"{module.path}:{found.line}: imports {other.name}, which is further out (LEVELS)"


def no_cycle(modules: Mapping[str, Module]) -> Iterator[str]:
    """Law 4, within a level too."""
    graph = {
        name: {other.name for found, other in arrows(module, modules) if not found.for_types}
        for name, module in modules.items()
        if module.room != "__init__"
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield f"a cycle of imports: {' -> '.join(reversed(error.args[1]))}"


def no_circle_of_types(modules: Mapping[str, Module]) -> Iterator[str]:
    """Law 4, type-only imports included: who reads one file of a circle has to read them all."""
    graph = {
        name: {other.name for _, other in arrows(module, modules)}
        for name, module in modules.items()
        if module.room != "__init__"
    }
    for circle in circles_in(graph):
        if not any(circle <= known for known in CIRCLES_OF_TYPES):
            yield f"a circle of imports, those for types included: {', '.join(sorted(circle))}"


def circles_in(graph: Mapping[str, set[str]]) -> list[set[str]]:
    """The sets of modules that reach each other, each with two modules or more."""
    reached = {name: _reach(name, graph) for name in graph}
    found: list[set[str]] = []
    for name in graph:
        circle = {other for other in reached[name] if name in reached[other]}
        if circle and circle not in found:
            found.append(circle)
    return found


def _reach(start: str, graph: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    next_ones = list(graph[start])
    while next_ones:
        name = next_ones.pop()
        if name not in seen and name in graph:
            seen.add(name)
            next_ones += graph[name]
    return seen


def no_state_in_modules(modules: Mapping[str, Module]) -> Iterator[str]:
    """Law 6: no global statement, no function that changes a module's list, dict or set."""
    for module in modules.values():
        mutable = set(_mutable_names(module.tree))
        functions = (
            n
            for n in ast.walk(module.tree)
            if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
        )
        for function in functions:
            own = {
                n.id
                for n in ast.walk(function)
                if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            }
            own |= {n.arg for n in ast.walk(function) if isinstance(n, ast.arg)}
            for node in ast.walk(function):
                if isinstance(node, ast.Global):
                    yield f"{module.path}:{node.lineno}: a global statement; state lives in objects"
                elif (name := _changed(node)) in mutable - own:
                    yield f"{module.path}:{node.lineno}: changes the module's {name}; state lives in objects"  # type: ignore[attr-defined]


def _mutable_names(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case _:
                continue
        made = ast.unparse(value.func).rpartition(".")[2] if isinstance(value, ast.Call) else ""
        displays = ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
        if isinstance(value, displays) or made in MUTABLE:
            yield name


def _changed(node: ast.AST) -> str | None:
    """The name whose value a node changes in place."""
    match node:
        case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
            return name
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)) if (
            method in CHANGES
        ):
            return name
    return None


def a_name_stands_once(modules: Mapping[str, Module]) -> Iterator[str]:
    """A class' or a file's name means one thing: a search for it gives one place."""
    for name, paths in places_of_names(modules).items():
        if len(paths) > 1 and not paths <= NAMES_TWICE.get(name, set()):
            yield f"{name} stands in {' and '.join(sorted(paths))}; give each a name of its own"


def places_of_names(modules: Mapping[str, Module]) -> dict[str, set[str]]:
    """The modules' paths by the names of their classes and of their files."""
    places: dict[str, set[str]] = {}
    for module in modules.values():
        if module.is_generated:
            continue
        names = {n.name for n in ast.walk(module.tree) if isinstance(n, ast.ClassDef)}
        file = module.path.rpartition("/")[2]
        for name in names if file.startswith("__") else {*names, file}:
            places.setdefault(name, set()).add(module.path)
    return places


def modules_and_functions_are_short(modules: Mapping[str, Module]) -> Iterator[str]:
    for module in modules.values():
        if module.is_generated:
            continue
        lines = module.text.count("\n")
        if lines > LONGEST_MODULE and module.path not in LONGER_MODULES:
            yield f"{module.path}: {lines} lines, over {LONGEST_MODULE}; split it where two ideas live in one"
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    yield f"{module.path}:{node.lineno}: {node.name} has {length} lines, over {LONGEST_FUNCTION}"


def nothing_prints(modules: Mapping[str, Module]) -> Iterator[str]:
    """Standard output's first line is the handshake."""
    for module in modules.values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "builtins.print"):
                yield f"{module.path}:{node.lineno}: prints; standard output belongs to the handshake"


CHECKS: tuple[Check, ...] = (
    every_room_has_a_level,
    grpc_stays_at_home,
    bridge_does_no_io,
    bridge_speaks_bytes,
    netrpc_cores_are_pure,
    host_stands_alone,
    the_host_is_met_at_its_faces,
    arrows_point_inwards,
    no_cycle,
    no_circle_of_types,
    no_state_in_modules,
    a_name_stands_once,
    modules_and_functions_are_short,
    nothing_prints,
)


@pytest.fixture(scope="module")
def package() -> Mapping[str, Module]:
    """The package's modules, read once."""
    return read_package(PACKAGE)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_law(check: Check, package: Mapping[str, Module]) -> None:
    findings = list(check(package))
    assert not findings, "\n" + "\n".join(findings)


# -------------------------------------------------------------------- the laws, tested

GOOD = {
    "__init__.py": "def __getattr__(name):\n    from mm_asgi.process.front import run\n    return run\n",
    "errors.py": "NAMES = ['a']\n\ndef names():\n    NAMES = []\n    NAMES.append('b')\n    return NAMES\n",
    "settings.py": "from mm_asgi.errors import NAMES\nfrom mm_asgi import __version__\nclass Good:\n    pass\n",
    "wire/__init__.py": "",
    "wire/port.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mm_asgi.errors import X\n",
    "wire/grpcio.py": "import grpc.aio\nfrom . import port\n",
    "bridge/__init__.py": "",
    "bridge/http.py": "import asyncio\nfrom .scope import y\n",
    "bridge/serve_http.py": "from mm_asgi.protocol.a_pb2 import A\nfrom mm_asgi.wire.port import X\n",
    "bridge/scope.py": "from ..errors import NAMES\n",
    "wire/netrpc/__init__.py": "",
    "wire/netrpc/live.py": "import asyncio\nfrom mm_asgi.wire.netrpc import gob_a\n",
    "wire/netrpc/gob_a.py": "import struct\nfrom mm_asgi.errors import NAMES\n",
    "servicer.py": "import grpc\n",
    "process/__init__.py": "",
    "process/front.py": "def run():\n    from mm_asgi.wire import grpcio\n    return grpcio\n",
    "host/__init__.py": "import grpc\nfrom mm_asgi.errors import X\n",
    "host/http/__init__.py": "from mm_asgi.host.http.rules import X\n",
    "host/http/rules.py": "",
    "testing/engine.py": "from mm_asgi.host.http import X\n",
    "protocol/__init__.py": "",
    "protocol/generated.py": "# Generated by a test.\n" + "\n" * 700,
    "protocol/a_pb2.py": "import grpc\n" * 700,
}  # fmt: skip

FAULTS: list[tuple[Check, str, str, str]] = [
    (every_room_has_a_level, "cellar.py", "", "cellar.py: the room 'cellar' has no level"),
    (every_room_has_a_level, "cellar/box.py", "", "cellar/box.py: the room 'cellar' has no level"),
    (grpc_stays_at_home, "dispatch.py", "import grpc", "dispatch.py:1: imports grpc"),
    (grpc_stays_at_home, "wire/calls.py", "from grpc import aio", "wire/calls.py:1: imports grpc"),
    (grpc_stays_at_home, "api/__init__.py", "def f():\n    import grpc.aio", "api/__init__.py:2: imports grpc"),
    (grpc_stays_at_home, "dispatch.py", "if TYPE_CHECKING:\n    import grpc", "dispatch.py:2: imports grpc"),
    (grpc_stays_at_home, "dispatch.py", "importlib.import_module('grpc')", "dispatch.py:1: imports grpc"),
    (bridge_does_no_io, "bridge/scope.py", "import os.path", "bridge/scope.py:1: imports os.path"),
    (bridge_does_no_io, "bridge/scope.py", "from pathlib import Path", "bridge/scope.py:1: imports pathlib.Path"),
    (bridge_does_no_io, "bridge/scope.py", "open('x')", "bridge/scope.py:1: opens a file"),
    (bridge_does_no_io, "bridge/scope.py", "from mm_asgi.wire import grpcio", "imports mm_asgi.wire.grpcio, the bridge"),
    (bridge_speaks_bytes, "bridge/scope.py", "from mm_asgi.wire.port import X", "imports mm_asgi.wire.port.X, which only bridge/serve_http.py"),
    (bridge_speaks_bytes, "bridge/scope.py", "if TYPE_CHECKING:\n    from mm_asgi.protocol.a_pb2 import A", "imports mm_asgi.protocol.a_pb2.A, which only bridge/serve_http.py"),
    (bridge_speaks_bytes, "bridge/scope.py", "from google.protobuf.message import DecodeError", "which only bridge/serve_http.py may"),
    (netrpc_cores_are_pure, "wire/netrpc/link.py", "if TYPE_CHECKING:\n    from mm_asgi.wire.http2 import frames", "imports mm_asgi.wire.http2.frames, another wire"),
    (netrpc_cores_are_pure, "wire/netrpc/gob_x.py", "import asyncio", "gob_x.py:1: imports asyncio; a core may import"),
    (netrpc_cores_are_pure, "wire/netrpc/gob_x.py", "import threading", "gob_x.py:1: imports threading; a core may import"),
    (netrpc_cores_are_pure, "wire/netrpc/yamux_x.py", "from mm_asgi.wire.port import X", "imports mm_asgi.wire.port.X; a core may import"),
    (netrpc_cores_are_pure, "wire/netrpc/rpc_x.py", "from mm_asgi.wire.netrpc import live", "imports mm_asgi.wire.netrpc.live, which is no core"),
    (host_stands_alone, "host/http/rules.py", "from mm_asgi.bridge import scope", "imports mm_asgi.bridge.scope; host may"),
    (host_stands_alone, "host/http/urls.py", "from mm_asgi.settings import X", "imports mm_asgi.settings; host may"),
    (the_host_is_met_at_its_faces, "testing/kit.py", "from mm_asgi.host.http.rules import X", "testing/kit.py:1: imports mm_asgi.host.http.rules, inside"),
    (the_host_is_met_at_its_faces, "testing/kit.py", "if TYPE_CHECKING:\n    from mm_asgi.host.http import rules", "testing/kit.py:2: imports mm_asgi.host.http.rules, inside"),
    (the_host_is_met_at_its_faces, "cli/dev.py", "from mm_asgi.host.http.rules import X", "cli/dev.py:1: imports mm_asgi.host.http.rules, inside"),
    (arrows_point_inwards, "errors.py", "from mm_asgi.settings import X", "errors.py:1: imports mm_asgi.settings"),
    (arrows_point_inwards, "wire/port.py", "def f():\n    from ..bridge import http", "wire/port.py:2: imports mm_asgi.bridge.http"),
    (arrows_point_inwards, "wire/port.py", "import mm_asgi.process.front", "wire/port.py:1: imports mm_asgi.process.front"),
    (arrows_point_inwards, "errors.py", "if TYPE_CHECKING:\n    from mm_asgi.settings import X", "errors.py:2: imports mm_asgi.settings"),
    (no_circle_of_types, "wire/port.py", "if TYPE_CHECKING:\n    from mm_asgi.wire.grpcio import X", "for types included: mm_asgi.wire.grpcio, mm_asgi.wire.port"),
    (no_circle_of_types, "bridge/scope.py", "if TYPE_CHECKING:\n    from .http import X", "for types included: mm_asgi.bridge.http, mm_asgi.bridge.scope"),
    (no_cycle, "bridge/scope.py", "from .http import X", "a cycle of imports: mm_asgi.bridge."),
    (no_cycle, "bridge/scope.py", "def f():\n    from mm_asgi.bridge import http", "a cycle of imports: mm_asgi.bridge."),
    (no_state_in_modules, "errors.py", "X = 1\ndef f():\n    global X", "errors.py:3: a global statement"),
    (no_state_in_modules, "errors.py", "X = {}\ndef f():\n    X[1] = 2", "errors.py:3: changes the module's X"),
    (no_state_in_modules, "errors.py", "X: list = list()\nasync def f():\n    X.append(2)", "errors.py:3: changes the module's X"),
    (no_state_in_modules, "errors.py", "X = {1}\nclass C:\n    def f(self):\n        X.add(2)", "errors.py:4: changes the module's X"),
    (a_name_stands_once, "host/http/port.py", "", "port.py stands in host/http/port.py and wire/port.py"),
    (a_name_stands_once, "plugin.py", "class A:\n    pass\ndef f():\n    class Good:\n        pass", "Good stands in plugin.py and settings.py"),
    (modules_and_functions_are_short, "errors.py", "#\n" * 601, "errors.py: 601 lines, over 600"),
    (modules_and_functions_are_short, "errors.py", "def f():\n" + "    1\n" * 50, "errors.py:1: f has 51 lines"),
    (nothing_prints, "errors.py", "print(1)", "errors.py:1: prints"),
]  # fmt: skip


def plant(folder: Path, files: Mapping[str, str]) -> dict[str, Module]:
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return read_package(folder)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_good_tree_passes(check: Check, tmp_path: Path) -> None:
    assert list(check(plant(tmp_path, GOOD))) == []


@pytest.mark.parametrize(
    ("check", "path", "text", "finding"), FAULTS, ids=[f"{f[0].__name__}-{i}" for i, f in enumerate(FAULTS)]
)  # fmt: skip
def test_a_planted_fault_is_found(
    check: Check, path: str, text: str, finding: str, tmp_path: Path
) -> None:
    findings = list(check(plant(tmp_path, {**GOOD, path: text})))
    assert len(findings) == 1
    assert re.search(re.escape(finding), findings[0])


def test_each_longer_module_is_one_and_has_its_reason(package: Mapping[str, Module]) -> None:
    lines = {module.path: module.text.count("\n") for module in package.values()}
    assert all(lines.get(path, 0) > LONGEST_MODULE for path in LONGER_MODULES)
    assert all(LONGER_MODULES.values())


def test_every_check_has_a_planted_fault() -> None:
    assert {fault[0] for fault in FAULTS} == set(CHECKS)


def test_a_circle_that_is_gone_leaves_the_list(package: Mapping[str, Module]) -> None:
    graph = {name: {other.name for _, other in arrows(m, package)} for name, m in package.items()}
    gone = [known for known in CIRCLES_OF_TYPES if known not in circles_in(graph)]
    assert not gone, f"take these out of CIRCLES_OF_TYPES, or shorten them: {gone}"


def test_a_name_that_stands_once_leaves_the_list(package: Mapping[str, Module]) -> None:
    places = places_of_names(package)
    gone = [name for name, paths in NAMES_TWICE.items() if places.get(name) != paths]
    assert not gone, f"take these out of NAMES_TWICE, or shorten them: {gone}"


def test_the_package_is_found(package: Mapping[str, Module]) -> None:
    names: Iterable[str] = package
    assert {"mm_asgi", "mm_asgi.errors", "mm_asgi.wire.port"} <= set(names)
