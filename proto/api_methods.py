"""The calls of the PluginAPI as Python methods: what each is named, takes, answers and raises.

The calls and their messages come from the .proto files, errors and what the host does with a call
from tables/api.tsv, words and defaults from api.toml.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

from sources import GenerateError, minimum_versions, read_table

PREPOSITIONS = ("by", "for", "in", "from", "to", "with")
# The client sends every message field: what the host does without one is of no interest.
UNSET = re.compile(r"unset(?: is not checked| is passed as nil|: INVALID_ARGUMENT)")

SCALARS = {
    FieldDescriptor.CPPTYPE_STRING: "str", FieldDescriptor.CPPTYPE_BOOL: "bool",
    FieldDescriptor.CPPTYPE_INT32: "int", FieldDescriptor.CPPTYPE_INT64: "int",
    FieldDescriptor.CPPTYPE_DOUBLE: "float", FieldDescriptor.CPPTYPE_FLOAT: "float",
}  # fmt: skip


SERVICES = ("mattermost.pluginapi.v1.PluginAPI", "mm_asgi.released.v1.ReleasedAPI")
# The row that api.tsv, which is the contract's, would have for each call of the second service.
RELEASED = {
    "group": "released servers alone",
    "errors": "response field error (AppError), grpc status OK",
    "notes": "-",
}

# What a call may raise beyond what the class says of all calls, by the `errors` column.
ERRORS = {
    "grpc-status: AppError mapped by its HTTP code": "",
    "grpc-status: AppError mapped by its HTTP code, any other Go error INTERNAL": "",
    "response field error (AppError), grpc status OK": "",
    "none: handler never fails, field error never set": (
        "APIError: only when no answer came (Unavailable); the host reports no failure of this call."
    ),
    "grpc-status: INTERNAL on any error": "Internal: whatever fails in the host.",
    "grpc-status: INTERNAL only if JSON encoding fails": "Internal: the host cannot encode it.",
    "grpc-status: INTERNAL only if the map does not fit a Struct": (
        "Internal: a value is of a kind that a Struct cannot hold."
    ),
    "grpc-status: INVALID_ARGUMENT or INTERNAL; HTTP failures are status_code in the response": (
        "InvalidArgument: bad method or url. Internal: the server gave no response. HTTP's own "
        "failures are the answer's status_code."
    ),
    "grpc-status: UNIMPLEMENTED always (stub handler)": "Unimplemented: always; this host does not have the call.",
    "grpc-status: UNIMPLEMENTED always (no handler)": "Unimplemented: always; this host does not have the call.",
}


@dataclass(frozen=True)
class Argument:
    """One field of a request, as an argument by keyword.

    Args:
        name: the field's.
        annotation: its type as Python writes it.
        default: its default as Python writes it; None: the argument is required.
        text: what it means, without a full stop; empty: the class says it of all methods.
    """

    name: str
    annotation: str
    default: str | None
    text: str

    @property
    def declaration(self) -> str:
        return f"{self.name}: {self.annotation}" + (f" = {self.default}" if self.default else "")


@dataclass(frozen=True)
class Method:
    """One call.

    Args:
        rpc: its name in the service.
        name: its name in Python.
        group: what it is about, such as `users`.
        file: the .proto file of its messages, without the suffix.
        summary: what it does, in a sentence.
        arguments: in the order of the request's fields.
        answer: the type of what it returns as Python writes it.
        is_read: whether it changes nothing on the host.
        error: what it raises, after the error's class; empty: what the class says of all methods.
        is_absent: whether the host has no handler for it.
        notes: what the host does with it, in sentences; empty: nothing to say.
        since: the first server that has it; empty: its doc comment in Go does not say.
    """

    rpc: str
    name: str
    group: str
    file: str
    summary: str
    arguments: tuple[Argument, ...]
    answer: str
    is_read: bool
    error: str
    is_absent: bool
    notes: str
    since: str


def read_services(files: Sequence[FileDescriptorProto]) -> tuple[ServiceDescriptor, ...]:
    """Return the contract's service, and that of the calls that released servers alone have."""
    pool = DescriptorPool()
    for file in files:
        pool.AddSerializedFile(file.SerializeToString())
    return tuple(pool.FindServiceByName(name) for name in SERVICES)


def read_methods(
    services: Sequence[ServiceDescriptor], texts: Mapping[str, Any]
) -> Iterator[Method]:
    """Yield the calls in the order of the services.

    Args:
        texts: what api.toml says.

    Raises:
        GenerateError: the services, api.tsv and api.toml do not fit together.
    """
    contract, released = (set(service.methods_by_name) for service in services)
    rows = {row["rpc"]: row for row in read_table("tables/api.tsv")}
    if rows.keys() != contract:
        raise GenerateError("api.tsv and the service have different calls")
    rows |= dict.fromkeys(released, RELEASED)
    unknown = calls_named(texts) - rows.keys()
    if unknown:
        raise GenerateError(f"api.toml knows calls that do not exist: {sorted(unknown)}")
    since = minimum_versions()
    for rpc in (rpc for service in services for rpc in service.methods):
        row = rows[rpc.name]
        if row["errors"] not in ERRORS:
            raise GenerateError(f"{rpc.name}: no words for its errors: {row['errors']}")
        yield Method(
            rpc=rpc.name,
            name=snake(rpc.name),
            group=row["group"],
            file=Path(rpc.input_type.file.name).stem,
            summary=texts["summaries"].get(rpc.name) or words(rpc.name),
            arguments=tuple(arguments(rpc.name, rpc.input_type, texts)),
            answer=answer(rpc.name, rpc.output_type, texts["calls"]["may_be_unset"]),
            is_read=is_read(rpc.name, texts["calls"]),
            error=ERRORS[row["errors"]],
            is_absent="UNIMPLEMENTED always" in row["errors"],
            notes=notes(row["notes"]),
            since=since.get(f"API.{rpc.name}", ""),
        )


def calls_named(texts: Mapping[str, Any]) -> set[str]:
    """Return the calls that api.toml names, wherever it does."""
    facts = texts["calls"]
    tables = [name for part in ("defaults", "fields") for name in calls_in(texts[part])]
    return {*texts["summaries"], *tables, *facts["not_reads"], *facts["may_be_unset"]}


def is_read(rpc: str, facts: Mapping[str, Any]) -> bool:
    """Whether a call changes nothing on the host."""
    begins = re.match(f"(?:{'|'.join(facts['reads'])})(?=[A-Z]|$)", rpc) is not None
    return begins and rpc not in facts["not_reads"]


def answer_fields(response: Descriptor) -> list[FieldDescriptor]:
    """Return the fields that carry the answer: all but `error`."""
    return [field for field in response.fields if field.name != "error"]


def calls_in(table: Mapping[str, Any]) -> set[str]:
    return {name for name, value in table.items() if isinstance(value, dict)}


def snake(name: str) -> str:
    """Return a name in snake case: CreateOAuthApp is create_o_auth_app, KVSet is kv_set."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def words(name: str) -> str:
    """Return a name as a sentence: GetUserByEmail is "Get the user by email."."""
    verb, *rest = snake(name).replace("o_auth", "OAuth").replace("ldap", "LDAP").split("_")
    phrases: list[list[str]] = [[]]
    for word in rest:
        phrases.append([word]) if word in PREPOSITIONS else phrases[-1].append(word)
    sentence = [verb.capitalize(), article(verb, phrases[0]), *phrases[0]]
    for preposition, *noun in phrases[1:]:
        sentence += [preposition, "" if preposition == "by" else "the", *noun]
    return " ".join(filter(None, sentence)) + "."


def article(verb: str, noun: Sequence[str]) -> str:
    if not noun or noun[0] in PREPOSITIONS:
        return ""
    if verb not in ("create", "upsert", "add", "register"):
        return "the"
    if noun[-1].endswith("s"):
        return ""
    return "an" if noun[0][0] in "aeioAEIO" else "a"


def notes(text: str) -> str:
    """Return the table's notes on a call, without those that the client takes care of."""
    clauses = [clause for clause in text.split("; ") if not UNSET.search(clause)]
    text = "; ".join(clauses).rstrip(".")
    return "" if text in ("-", "") else f"The host: {text}."


def arguments(rpc: str, request: Descriptor, texts: Mapping[str, Any]) -> Iterator[Argument]:
    for field in request.fields:
        default = value_of(texts["defaults"], rpc, field.name)
        if default is None and field.type == field.TYPE_BOOL and not field.is_repeated:
            default = False
        is_message = bool(field.message_type) and not field.is_repeated
        text = value_of(texts["fields"], rpc, field.name)
        if text is None:
            raise GenerateError(f"{rpc}.{field.name}: no words in api.toml")
        annotation = annotated(field)
        if default == "None":
            annotation += " | None"
        if field.name in texts["requests"]["left_unset"] and default != "None":
            raise GenerateError(f"{rpc}.{field.name}: left unset, so its default has to be None")
        if says_its_name(field.name, text) or field.name in texts["requests"]["said_of_all"]:
            text = ""
        yield Argument(field.name, annotation, literal(default, is_message), text)


def says_its_name(field: str, text: str) -> bool:
    """Whether the words say only what the name says: `user_ids` are "ids of the users"."""
    thing, _, kind = field.rpartition("_")
    plural = "s" if kind == "ids" else ""
    return kind in ("id", "ids") and text == f"{kind} of the {thing.replace('_', ' ')}{plural}"


def value_of(table: Mapping[str, Any], rpc: str, field: str) -> Any:
    own = table.get(rpc, {})
    return own[field] if field in own else table.get(field)


def literal(default: object, is_message: bool) -> str | None:
    if default is None or default == "required":
        return None
    if isinstance(default, str) and default in ("None", "()", 'b""'):
        return default
    if is_message:
        raise GenerateError(f"a message's default is None, not {default!r}")
    return '""' if default == "" else repr(default)


def annotated(field: FieldDescriptor) -> str:
    """Return the type of the values that protobuf's constructor takes for a field."""
    if is_map(field):
        return f"Mapping[str, {map_value(field)}]"
    if field.is_repeated:
        return f"Iterable[{single(field)}]"
    if field.message_type and field.message_type.full_name == "google.protobuf.Struct":
        return "types.Struct | Mapping[str, Any]"
    return single(field)


def answer(rpc: str, response: Descriptor, may_be_unset: Collection[str]) -> str:
    fields = answer_fields(response)
    if not fields:
        return "None"
    if len(fields) > 1:
        return f"types.{response.name}"
    [field] = fields
    if is_map(field):
        return f"dict[str, {map_value(field)}]"
    if field.is_repeated:
        return f"list[{single(field)}]"
    return single(field) + (" | None" if rpc in may_be_unset else "")


def single(field: FieldDescriptor) -> str:
    if field.message_type:
        return f"types.{field.message_type.name}"
    if field.enum_type:
        return f"types.{field.enum_type.name}.ValueType"
    if field.type == field.TYPE_BYTES:
        return "bytes"
    return SCALARS[field.cpp_type]


def is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def map_value(field: FieldDescriptor) -> str:
    assert field.message_type is not None
    return single(field.message_type.fields_by_name["value"])
