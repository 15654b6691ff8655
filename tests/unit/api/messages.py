"""Strategies for whatever a descriptor describes."""

from __future__ import annotations

import math
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor
    from google.protobuf.message import Message

# Deep enough for every message of the contract, shallow enough to be quick.
DEPTH = 2

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_JSON = st.recursive(
    st.none() | st.booleans() | st.floats(-1e9, 1e9) | _TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_TEXT, inner, max_size=2),
    max_leaves=4,
)


def message_class(descriptor: Descriptor) -> type[Message]:
    """The class of a message of ours."""
    stem = descriptor.file.name.rpartition("/")[2].removesuffix(".proto")
    found: type[Message] = getattr(import_module(f"mm_asgi.protocol.{stem}_pb2"), descriptor.name)
    return found


def messages(descriptor: Descriptor, depth: int = DEPTH) -> st.SearchStrategy[Message]:
    """A message with some of its fields set."""
    kind = message_class(descriptor)
    if descriptor.full_name == "google.protobuf.Struct":
        return st.dictionaries(_TEXT, _JSON, max_size=3).map(lambda values: _struct(kind, values))
    if descriptor.full_name == "google.protobuf.Value":
        return st.builds(kind, string_value=_TEXT) | st.builds(kind, number_value=st.floats(-9, 9))
    fields = {
        field.name: values(field, depth - 1)
        for field in descriptor.fields
        if depth > 0 or not field.message_type
    }
    return st.fixed_dictionaries({}, optional=fields).map(lambda given: kind(**given))


def _struct(kind: Any, values: dict[str, Any]) -> Message:
    made: Message = kind()
    made.update(values)  # type: ignore[attr-defined]
    return made


def values(field: FieldDescriptor, depth: int = DEPTH) -> st.SearchStrategy[Any]:
    """A natural Python value for a field."""
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return st.dictionaries(_TEXT, values(kind.fields_by_name["value"], depth), max_size=2)
    one = messages(kind, depth) if kind is not None else _scalars(field)
    return st.lists(one, max_size=2) if field.is_repeated else one


def _scalars(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.type == field.TYPE_BYTES:
        return st.binary(max_size=8)
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values])
    bits = 31 if field.cpp_type == field.CPPTYPE_INT32 else 63
    scalars: dict[int, st.SearchStrategy[Any]] = {
        field.CPPTYPE_STRING: _TEXT,
        field.CPPTYPE_BOOL: st.booleans(),
        field.CPPTYPE_INT32: st.integers(-(2**bits), 2**bits - 1),
        field.CPPTYPE_INT64: st.integers(-(2**bits), 2**bits - 1),
        field.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
        field.CPPTYPE_DOUBLE: st.floats(-math.pi, math.pi),
        field.CPPTYPE_FLOAT: st.sampled_from([0.5, -2.0]),
    }
    return scalars[field.cpp_type]
