"""Write tests/gohost/pb, the Go messages of the test host, from the repository's .proto files.

    python tests/gohost/generate.py          write the files
    python tests/gohost/generate.py --check  change nothing; name what differs and exit 1

Only what the hooks and the host's own part of the PluginAPI reach is generated: the API's files are
full of messages that neither carries, so the descriptors are pruned before protoc sees them. protoc is grpcio-tools';
protoc-gen-go and protoc-gen-go-grpc are pinned by the `tool` lines of go.mod.
"""

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

HERE = Path(__file__).resolve().parent
PROTO = HERE.parent.parent / "proto"
HOOKS_FILE = "mm_asgi/protocol/hooks.proto"
API_FILE = "mm_asgi/protocol/api.proto"
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


def main() -> int:
    parser = argparse.ArgumentParser(description="Write tests/gohost/pb from the .proto files.")
    parser.add_argument("--check", action="store_true", help="compare only, exit 1 on a difference")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as name:
        fresh = generate(Path(name))
        differences = compare(fresh, HERE / "pb")
        if not check:
            shutil.rmtree(HERE / "pb", ignore_errors=True)
            shutil.copytree(fresh, HERE / "pb")
    if check and differences:
        say(f"tests/gohost/pb differs in {', '.join(differences)}; run tests/gohost/generate.py")
        return 1
    return 0


def say(line: str) -> None:
    sys.stderr.write(line + "\n")


def generate(folder: Path) -> Path:
    """Generate into `folder`; the result is its sub-folder pb/."""
    descriptors = folder / "services.binpb"
    output = f"--descriptor_set_out={descriptors}"
    protoc(f"-I{PROTO}", "--include_imports", output, HOOKS_FILE, API_FILE)
    pruned = prune(FileDescriptorSet.FromString(descriptors.read_bytes()))
    descriptors.write_bytes(pruned.SerializeToString())
    ours = [file.name for file in pruned.file if not file.name.startswith("google/")]
    arguments = [f"--descriptor_set_in={descriptors}"]
    for plugin, package in PLUGINS.items():
        binary = folder / plugin
        run([go(), "build", "-mod=readonly", "-trimpath", "-o", str(binary), package])
        flag = plugin.removeprefix("protoc-gen-")
        arguments.append(f"--plugin={plugin}={binary}")
        arguments.append(f"--{flag}_out={folder}")
        arguments.append(f"--{flag}_opt=module={MODULE}")
        arguments += [f"--{flag}_opt=M{name}={MODULE}/pb;pb" for name in ours]
    protoc(*arguments, *ours)
    return folder / "pb"


def protoc(*arguments: str) -> None:
    run([sys.executable, "-m", "grpc_tools.protoc", *arguments])


def go() -> str:
    return os.environ.get("GO") or shutil.which("go") or "go"


def run(command: list[str]) -> None:
    subprocess.run(command, cwd=HERE, check=True)


def prune(whole: FileDescriptorSet) -> FileDescriptorSet:
    """Keep the messages that the services reach, and the files and imports they need."""
    file_of = {
        f".{f.package}.{t.name}": f.name
        for f in whole.file
        for t in (*f.message_type, *f.enum_type)
    }
    messages = {f".{f.package}.{m.name}": m for f in whole.file for m in f.message_type}
    roots = [file for file in whole.file if file.name in (HOOKS_FILE, API_FILE)]
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
    kept = [shrink(file, reached, file_of) for file in whole.file if file.name in needed]
    return FileDescriptorSet(file=kept)


def keep_served(file: FileDescriptorProto) -> None:
    for service in file.service:
        methods = [method for method in service.method if method.name in SERVED]
        del service.method[:]
        service.method.extend(methods)


def service_types(file: FileDescriptorProto) -> list[str]:
    return [t for s in file.service for m in s.method for t in (m.input_type, m.output_type)]


def references(message: DescriptorProto) -> list[str]:
    """The types that a message's fields name, those of its nested messages too."""
    kinds = (FieldDescriptorProto.TYPE_MESSAGE, FieldDescriptorProto.TYPE_ENUM)
    names = [field.type_name for field in message.field if field.type in kinds]
    for nested in message.nested_type:
        names += references(nested)
    return names


def shrink(
    file: FileDescriptorProto, reached: set[str], file_of: dict[str, str]
) -> FileDescriptorProto:
    """A copy of `file` with the reached types and only the imports that these use."""
    small = FileDescriptorProto()
    small.CopyFrom(file)
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


def compare(fresh: Path, present: Path) -> list[str]:
    names = {p.name for folder in (fresh, present) if folder.is_dir() for p in folder.iterdir()}
    _, changed, missing = filecmp.cmpfiles(fresh, present, sorted(names), shallow=False)
    return changed + missing


if __name__ == "__main__":
    sys.exit(main())
