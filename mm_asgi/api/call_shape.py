"""The shape of a call of the PluginAPI: its messages, its answer in Python, whether it only reads.

It follows from the descriptors, and for single calls and fields from facts.py. No I/O.
"""

from __future__ import annotations

import importlib
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from mm_asgi.api.facts import LEFT_UNSET, MAY_BE_UNSET, READS
from mm_asgi.errors import ResourceExhausted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from google.protobuf.descriptor import Descriptor, FieldDescriptor
    from google.protobuf.message import Message

__all__ = ["RELEASED_SERVICE", "REQUEST_LIMIT", "CallShape"]

SERVICE = "/mattermost.pluginapi.v1.PluginAPI/"
# What released servers alone have; the gRPC host knows no such service.
RELEASED_SERVICE = "/mm_asgi.released.v1.ReleasedAPI/"

REQUEST_LIMIT = 4 * 2**20  # bytes: grpc-go's default, which the host's server keeps


def _answer_fields(response: Descriptor) -> list[FieldDescriptor]:
    """Return the fields that carry the answer: all but ``error``."""
    return [field for field in response.fields if field.name != "error"]


class CallShape:
    """The shape of one call.

    Args:
        file: the .proto file of its messages, without the suffix.
        name: the RPC's name.

    Attributes:
        answer: makes of a response what the caller gets.
        is_read: whether the call changes nothing on the host.
        name: the RPC's name.
        path: the RPC's path.
        response: the class of the response.
    """

    __slots__ = ("_always", "_lists", "_request", "answer", "is_read", "name", "path", "response")

    def __init__(self, file: str, name: str) -> None:
        # Imported here, so that a client imports the messages of the groups that it uses.
        module = importlib.import_module(f"mm_asgi.protocol.{file}_pb2")
        self.name = name
        self.path = (RELEASED_SERVICE if file == "api_released" else SERVICE) + name
        self.is_read = name in READS
        self.response: type[Message] = getattr(module, f"{name}Response")
        self.answer = _answer(name, self.response.DESCRIPTOR)
        self._request: type[Message] = getattr(module, f"{name}Request")
        fields = self._request.DESCRIPTOR.fields
        self._lists = [field.name for field in fields if field.is_repeated]
        self._always = [
            field.name
            for field in fields
            if field.message_type and not field.is_repeated and field.name not in LEFT_UNSET
        ]

    def request(self, fields: Mapping[str, Any], *, bounded: bool = True) -> Message:
        """Return the request message, of a size that the host takes.

        Args:
            fields: the request's fields.
            bounded: the host refuses a message over 4 MiB.

        Raises:
            TypeError, ValueError: a value does not fit its field.
            ResourceExhausted: it would refuse this one.
        """
        for name in self._lists:
            if isinstance(fields.get(name), str):  # protobuf would send its letters one by one
                raise TypeError(f"{self.name}: {name} is one str, expected several; put it in [ ]")
        try:
            message = self._request(**fields)
        except (TypeError, ValueError):
            self._blame(fields)
            raise
        for name in self._always:
            getattr(message, name).SetInParent()
        if bounded and (size := message.ByteSize()) > REQUEST_LIMIT:
            raise ResourceExhausted(
                f"{self.name}: the request has {size} bytes, and the host takes {REQUEST_LIMIT}; "
                "it was not sent; upload a large file in parts (create_upload_session, upload_data)",
                status_code=413,
            )
        return message

    def _blame(self, fields: Mapping[str, Any]) -> None:
        """Raise for the one field that does not fit; protobuf does not always name it."""
        for name, value in fields.items():
            try:
                self._request(**{name: value})
            except (TypeError, ValueError) as exc:
                what = f"{self.name}: {name}={value!r:.60} does not fit the field: {exc}"
                raise type(exc)(what) from None


def _answer(name: str, response: Descriptor) -> Callable[[Any], Any]:
    """Return a function that makes of a response what the caller gets."""
    fields = _answer_fields(response)
    if not fields:
        return lambda message: None
    if len(fields) > 1:
        return lambda message: message
    [field] = fields
    value = attrgetter(field.name)
    if field.is_repeated:
        is_map = field.message_type and field.message_type.GetOptions().map_entry
        kind: Any = dict if is_map else list
        return lambda message: kind(value(message))
    if name in MAY_BE_UNSET:
        return lambda message: value(message) if message.HasField(field.name) else None
    return value
