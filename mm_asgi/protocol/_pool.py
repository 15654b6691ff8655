"""The private descriptor pool that every generated module registers in.

Protobuf's default pool belongs to the whole process: there a second `common.proto`, or a second
definition of grpc.health.v1, is an error at import. Plugins bring such files, so ours are kept
apart, google.protobuf.Struct and the wrappers included (a pool links a message only to messages
in itself). Those keep their full names and file names, by which protobuf finds their helpers.

The price: a message of another pool does not fit into a field of ours, google's own wrappers and
Struct included. Take those of mm_asgi.protocol, or update a Struct from a dict.

A generated module holds its file's descriptor and nothing of protoc's Python output, which accepts
only the runtime's major version that it was made for and the next.
"""

from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message_factory import GetMessageClass

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FileDescriptor
    from google.protobuf.message import Message

POOL = DescriptorPool()


def load(module: dict[str, Any], serialized: bytes) -> "FileDescriptor":
    """Register one file and put its enums and messages into `module`'s names."""
    file = POOL.AddSerializedFile(serialized)
    for name, enum in file.enum_types_by_name.items():
        module[name] = EnumTypeWrapper(enum)
        module.update({value.name: value.number for value in enum.values})
    for name, descriptor in file.message_types_by_name.items():
        module[name] = _message_class(descriptor, module["__name__"], name)
    return file


def _message_class(descriptor: "Descriptor", module: str, qualname: str) -> "type[Message]":
    """The class of a message; module and qualname let pickle and repr find it."""
    message = GetMessageClass(descriptor)
    message.__module__ = module
    message.__qualname__ = qualname
    for name, nested in descriptor.nested_types_by_name.items():
        # upb sets nested classes as attributes by itself, the pure Python runtime does not.
        setattr(message, name, _message_class(nested, module, f"{qualname}.{name}"))
    return message
