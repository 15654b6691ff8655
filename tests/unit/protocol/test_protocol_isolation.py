"""Law 7: the messages keep to a private pool. And a start loads only the messages it needs."""

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from mm_asgi.protocol import _pool

if TYPE_CHECKING:
    from google.protobuf.descriptor import FileDescriptor

ROOT = Path(__file__).resolve().parents[3]
MODULES = sorted(path.stem for path in (ROOT / "mm_asgi" / "protocol").glob("*_pb2.py"))
# Copies of google's files, under google's names: protobuf finds their helpers by those.
GOOGLE = ("empty", "struct", "wrappers")
# What serving HTTP needs; anything else would be paid for at every start.
NEEDED_TO_SERVE = (
    "hooks_http_pb2",
    "hooks_lifecycle_pb2",
    "common_pb2",
    "goplugin_pb2",
    "health_pb2",
)


def descriptor(module: str) -> "FileDescriptor":
    file: FileDescriptor = importlib.import_module(f"mm_asgi.protocol.{module}").DESCRIPTOR
    return file


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_files_are_named_after_our_package() -> None:
    google = {f"{name}_pb2": f"google/protobuf/{name}.proto" for name in GOOGLE}
    for module in MODULES:
        ours = f"mm_asgi/protocol/{module.removesuffix('_pb2')}.proto"
        assert descriptor(module).name == google.get(module, ours)


def test_our_pool_refuses_what_others_may_define() -> None:
    """The clash is real: the tests below would fail if we shared a pool."""
    theirs = FileDescriptorProto(name="common.proto", package="plugin", syntax="proto3")
    theirs.message_type.add(name="Empty")
    with pytest.raises(TypeError):
        _pool.POOL.AddSerializedFile(theirs.SerializeToString())


IMPORT_OURS = "import importlib\n" + "\n".join(
    f"importlib.import_module('mm_asgi.protocol.{name}')" for name in MODULES
)
# Their files: the usual names, and for spite ours, with symbols of ours and other fields.
DEFINE_THEIRS = """
from google.protobuf import descriptor_pool, descriptor_pb2, message_factory
for name, package, message in (
    ("common.proto", "mattermost.pluginapi.v1", "AppError"),
    ("hooks_http.proto", "mattermost.pluginapi.v1", "ServeHTTPRequest"),
    ("grpc/health/v1/health.proto", "grpc.health.v1", "HealthCheckRequest"),
    ("grpc_controller.proto", "plugin", "Empty"),
    ("mm_asgi/protocol/goplugin.proto", "plugin", "StdioData"),
):
    file = descriptor_pb2.FileDescriptorProto(name=name, package=package, syntax="proto3")
    file.message_type.add(name=message).field.add(name="theirs", number=77, type=9, label=1)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    theirs = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{message}"))
    assert theirs(theirs="x").SerializeToString() == b"\\xea\\x04\\x01x"
from google.protobuf import empty_pb2, struct_pb2, wrappers_pb2
struct_pb2.Struct().update({"a": 1})
"""
USE_OURS = """
from mm_asgi.protocol import common_pb2, health_pb2
common_pb2.AppError(id="x").params.update({"a": 1})
assert health_pb2.HealthCheckRequest(service="x").SerializeToString() == b"\\n\\x01x"
"""


NOTHING_IN_DEFAULT_POOL = """
import sys
from google.protobuf import descriptor_pool
default = descriptor_pool.Default()
files = [m.DESCRIPTOR for n, m in sys.modules.items() if n.startswith("mm_asgi.") and n.endswith("_pb2")]
names = [message.full_name for file in files for message in file.message_types_by_name.values()]
def found(find, name):
    try:
        return [find(name)]
    except KeyError:
        return []
print(len(files), len(names))
print(*(f.name for file in files for f in found(default.FindFileByName, file.name)))
print(*(m.full_name for name in names for m in found(default.FindMessageTypeByName, name)))
"""


@pytest.mark.parametrize("runtime", ["upb", "python"])
def test_nothing_of_ours_is_in_the_default_pool(runtime: str) -> None:
    code = IMPORT_OURS + NOTHING_IN_DEFAULT_POOL
    done = python("-c", code, PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=runtime)
    # 648 + 3 of Mattermost's, 3 of go-plugin's, 4 of health, 1 + 3 + 9 of google's,
    # 8 + 11 of our own.
    assert done.stdout.splitlines() == ["27 690", "", ""], done.stderr


@pytest.mark.parametrize("runtime", ["upb", "python"])
@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_another_package_defines_the_same_symbols(first: str, runtime: str) -> None:
    parts = [IMPORT_OURS, DEFINE_THEIRS]
    ordered = parts if first == "ours" else parts[::-1]
    code = "\n".join([*ordered, USE_OURS])
    done = python("-W", "error", "-c", code, PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=runtime)
    assert done.returncode == 0, done.stderr


def loaded_by(code: str) -> set[str]:
    listing = "import sys; print(*(m for m in sys.modules if m.startswith('mm_asgi.protocol')))"
    done = python("-c", f"{code}\n{listing}")
    assert done.returncode == 0, done.stderr
    return {name.removeprefix("mm_asgi.protocol").removeprefix(".") for name in done.stdout.split()}


def test_the_package_itself_loads_no_messages() -> None:
    assert loaded_by("import mm_asgi.protocol") == {""}


def test_serving_http_loads_no_api_messages() -> None:
    loaded = loaded_by("from mm_asgi.protocol import " + ", ".join(NEEDED_TO_SERVE))
    imports = {"hooks_common_pb2", "struct_pb2", "wrappers_pb2", "empty_pb2"}
    assert loaded == {"", "_pool", *NEEDED_TO_SERVE, *imports}
