"""Write mm_asgi/protocol from the .proto files beside this one.

    python proto/generate.py          write the modules and their stubs
    python proto/generate.py --check  change nothing; name what differs and exit 1

protoc only parses: its Python output registers in protobuf's default pool and refuses older
runtimes, so the modules come from a template of four lines and mm_asgi/protocol/_pool.py does
the rest. The stubs are mypy-protobuf's. Both tools are pinned in pyproject.toml, dependency group
`generate`, because the output is compared byte for byte.
"""

import argparse
import copy
import importlib.metadata
import importlib.resources
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from google.protobuf.descriptor_pb2 import (
        DescriptorProto,
        FieldDescriptorProto,
        FileDescriptorProto,
    )

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "mm_asgi/protocol"
# google's files that ours import become modules of our package. Their descriptors keep this name:
# json_format knows Int32Value and its like by their file.
GOOGLE = "google/protobuf/"


class GenerateError(Exception):
    """A sentence for the person who started the generator."""


def main(argv: "Sequence[str] | None" = None) -> int:
    parser = argparse.ArgumentParser(description="Write mm_asgi/protocol from the .proto files.")
    parser.add_argument("--check", action="store_true", help="compare only, exit 1 on a difference")
    parser.add_argument("--folder", type=Path, default=ROOT / PACKAGE, help="another output folder")
    options = parser.parse_args(argv)
    try:
        require_pinned_tools(ROOT / "pyproject.toml")
        with tempfile.TemporaryDirectory() as scratch:
            fresh = generate(Path(scratch))
    except GenerateError as error:
        say(f"generate: {error}")
        return 2
    differences = compare(fresh, generated(options.folder))
    for name, what in differences.items():
        say(f"{what}: {PACKAGE}/{name}")
    if not options.check:
        install(fresh, differences, options.folder)
    elif differences:
        say("generate: not what the .proto files say; run python proto/generate.py")
        return 1
    return 0


def say(line: str) -> None:
    sys.stderr.write(line + "\n")


def require_pinned_tools(pyproject: Path) -> None:
    """Refuse to run with other versions than the pinned ones: their output may differ."""
    pins = tomllib.loads(pyproject.read_text())["dependency-groups"]["generate"]
    for pin in pins:
        name, _, wanted = pin.partition("==")
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = "none"
        if found != wanted:
            raise GenerateError(
                f"needs {name} {wanted} and found {found}; run pip install {' '.join(pins)}"
            )


def generate(scratch: Path) -> dict[str, bytes]:
    """Every module and stub by file name."""
    files = parse(scratch)
    texts = {module_name(file.name) + ".py": module_text(file) for file in files} | stubs(files)
    return {name: text.encode() for name, text in texts.items()}


def parse(scratch: Path) -> "list[FileDescriptorProto]":
    """The .proto files and google's as descriptors, with comments, each after its imports."""
    # Here and not at the top: who lacks the tools shall read require_pinned_tools' sentence.
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    sources = sorted(
        path.relative_to(ROOT / "proto").as_posix()
        for path in (ROOT / "proto" / PACKAGE).glob("*.proto")
    )
    output = scratch / "parsed.binpb"
    google = importlib.resources.files("grpc_tools") / "_proto"
    run(
        "grpc_tools.protoc",
        f"--proto_path={ROOT / 'proto'}", f"--proto_path={google}", "--include_imports",
        "--include_source_info", f"--descriptor_set_out={output}", *sources,
    )  # fmt: skip
    return list(FileDescriptorSet.FromString(output.read_bytes()).file)


def stubs(files: "list[FileDescriptorProto]") -> dict[str, str]:
    """Stubs by file name. mypy-protobuf is a protoc plugin; its end of the pipe is fed by hand."""
    from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse

    request = CodeGeneratorRequest(
        file_to_generate=[moved(file.name) for file in files],
        proto_file=[in_our_package(file) for file in files],
        parameter="quiet",
    )
    output = run("mypy_protobuf.main", stdin=request.SerializeToString())
    response = CodeGeneratorResponse.FromString(output)
    return {Path(stub.name).name: stub.content for stub in response.file}


def in_our_package(file: "FileDescriptorProto") -> "FileDescriptorProto":
    """The file as mypy-protobuf is to see it, so that stubs import ours in google's place."""
    ours = copy.deepcopy(file)
    ours.name = moved(file.name)
    ours.dependency[:] = [moved(name) for name in file.dependency]
    if file.name.startswith(GOOGLE):
        # Without the licence text and the manual that google's comments are.
        ours.ClearField("source_code_info")
    return ours


def moved(name: str) -> str:
    return f"{PACKAGE}/{name.removeprefix(GOOGLE)}" if name.startswith(GOOGLE) else name


def run(module: str, *arguments: str, stdin: bytes = b"") -> bytes:
    """Run a tool in a process of its own: protoc keeps state and writes to file descriptors."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise GenerateError(f"{module} failed; its message is above")
    return done.stdout


def module_name(file: str) -> str:
    return Path(file).stem + "_pb2"


def module_text(file: "FileDescriptorProto") -> str:
    """A module that registers the file's descriptor after those of its imports."""
    imports = "".join(
        f"from {PACKAGE.replace('/', '.')} import {module_name(dependency)}\n"
        for dependency in file.dependency
    )
    return (
        f"# Generated by proto/generate.py from {Path(file.name).name}. Do not edit.\n"
        f"from {PACKAGE.replace('/', '.')} import _pool\n{imports}\n"
        f"DESCRIPTOR = _pool.load(globals(), {stripped(file)!r})\n"
    )


def stripped(file: "FileDescriptorProto") -> bytes:
    """The descriptor without comments and what a runtime works out by itself."""
    bare = copy.deepcopy(file)
    bare.ClearField("source_code_info")
    bare.ClearField("options")  # go_package and its like
    for message in bare.message_type:
        for field in fields(message):
            field.ClearField("json_name")
    return bare.SerializeToString(deterministic=True)


def fields(message: "DescriptorProto") -> "Iterator[FieldDescriptorProto]":
    yield from message.field
    for nested in message.nested_type:
        yield from fields(nested)


def generated(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*_pb2.py*")}


def compare(fresh: dict[str, bytes], found: dict[str, bytes]) -> dict[str, str]:
    """What is wrong with each file that is not as generated."""
    words = {(True, False): "missing", (False, True): "extra", (True, True): "differs"}
    return {
        name: words[name in fresh, name in found]
        for name in sorted(fresh.keys() | found.keys())
        if fresh.get(name) != found.get(name)
    }


def install(fresh: dict[str, bytes], names: "Iterable[str]", folder: Path) -> None:
    for name in names:
        if name in fresh:
            (folder / name).write_bytes(fresh[name])
        else:
            (folder / name).unlink()


if __name__ == "__main__":
    sys.exit(main())
