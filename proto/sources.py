"""The contract's sources, read: the .proto files as descriptors, the tables, and the tools for it.

The tools are pinned in pyproject.toml, dependency group `generate`, because what they write is
compared byte for byte. Nothing of them is imported at the top: without them a generator says in one
sentence what to install.
"""

import csv
import importlib.metadata
import importlib.resources
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.descriptor_pb2 import FileDescriptorProto

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
# Where the .proto files are, below this folder, and the messages' modules, below the root.
PACKAGE = "mm_asgi/protocol"


class GenerateError(Exception):
    """A sentence for the person who started the generator."""


def require_pinned_tools() -> None:
    """Check that the installed tools are the pinned ones: another version may write other bytes.

    Raises:
        GenerateError: one is missing or of another version.
    """
    pins = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["generate"]
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


def proto_files() -> list[str]:
    """Return the names of all .proto files as their imports spell them."""
    return sorted(path.relative_to(HERE).as_posix() for path in (HERE / PACKAGE).glob("*.proto"))


def read_protos(scratch: Path, names: "Sequence[str]") -> "list[FileDescriptorProto]":
    """Return the named .proto files and all that they import, each after its imports.

    The descriptors have the files' comments. Google's files are among them.
    """
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    output = scratch / "parsed.binpb"
    google = importlib.resources.files("grpc_tools") / "_proto"
    paths = [f"--proto_path={HERE}", f"--proto_path={google}"]
    flags = ["--include_imports", "--include_source_info", f"--descriptor_set_out={output}"]
    run_tool([sys.executable, "-m", "grpc_tools.protoc", *paths, *flags, *names])
    return list(FileDescriptorSet.FromString(output.read_bytes()).file)


def type_names(file: "FileDescriptorProto") -> list[str]:
    """Return the names of a file's messages and enums, without nested ones."""
    return [message.name for message in file.message_type] + [enum.name for enum in file.enum_type]


def read_table(name: str) -> list[dict[str, str]]:
    """Return the rows of a table below this folder, by column."""
    with (HERE / name).open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def minimum_versions() -> dict[str, str]:
    """Return the first server that has each hook and call, by ``Hooks.NAME`` and ``API.NAME``."""
    return {
        f"{row['interface']}.{row['name']}": next(
            value for key, value in row.items() if key.startswith("minimum")
        )
        for row in read_table("netrpc/min_version.tsv")
    }


def read_toml(name: str) -> dict[str, Any]:
    """Return what a .toml file beside this module says."""
    return tomllib.loads((HERE / name).read_text())


def run_tool(command: "Sequence[str]", stdin: bytes = b"", folder: Path | None = None) -> bytes:
    """Run a tool in a process of its own, and return its standard output.

    protoc needs the process: it keeps state, and it writes to file descriptors.

    Raises:
        GenerateError: the tool is missing or failed.
    """
    try:
        done = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, cwd=folder, check=False)
    except FileNotFoundError:
        raise GenerateError(f"{command[0]} is not on PATH; install it") from None
    if done.returncode:
        raise GenerateError(f"{' '.join(command[:4])} failed; its message is above")
    return done.stdout
