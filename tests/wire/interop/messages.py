"""grpc.testing's messages, made from the .proto files beside this module when it is imported.

In a descriptor pool of their own: an installed grpcio-testing may define the same names. Nothing
generated is kept in the repository, so nothing can differ from the .proto files.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

__all__ = [
    "PROTO_FILE",
    "PROTO_FOLDER",
    "Empty",
    "Payload",
    "SimpleRequest",
    "SimpleResponse",
    "StreamingInputCallRequest",
    "StreamingInputCallResponse",
    "StreamingOutputCallRequest",
    "StreamingOutputCallResponse",
]

PROTO_FOLDER = Path(__file__).resolve().parent
PROTO_FILE = "grpc/testing/test.proto"


def _pool() -> DescriptorPool:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "set.binpb")
        # A process of its own: protoc keeps state and writes to file descriptors.
        subprocess.run(
            [
                sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={PROTO_FOLDER}",
                "--include_imports", f"--descriptor_set_out={output}", PROTO_FILE,
            ],
            check=True,
        )  # fmt: skip
        parsed = FileDescriptorSet.FromString(output.read_bytes())
    pool = DescriptorPool()
    for file in parsed.file:
        pool.Add(file)
    return pool


_POOL = _pool()


def _message(name: str) -> Any:
    return GetMessageClass(_POOL.FindMessageTypeByName(f"grpc.testing.{name}"))


Empty = _message("Empty")
Payload = _message("Payload")
SimpleRequest = _message("SimpleRequest")
SimpleResponse = _message("SimpleResponse")
StreamingInputCallRequest = _message("StreamingInputCallRequest")
StreamingInputCallResponse = _message("StreamingInputCallResponse")
StreamingOutputCallRequest = _message("StreamingOutputCallRequest")
StreamingOutputCallResponse = _message("StreamingOutputCallResponse")
