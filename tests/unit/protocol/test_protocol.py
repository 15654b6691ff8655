"""The generated messages against the tables in proto/tables, and as Python sees them."""

import copy
import csv
import importlib
import pickle
import re
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from google.protobuf import json_format
from google.protobuf import struct_pb2 as google_struct_pb2
from google.protobuf import wrappers_pb2 as google_wrappers_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

from mm_asgi.protocol import (
    common_pb2,
    goplugin_pb2,
    health_pb2,
    hooks_http_pb2,
    hooks_lifecycle_pb2,
    post_pb2,
    team_pb2,
    wrappers_pb2,
)
from mm_asgi.protocol.struct_pb2 import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parents[3]
TABLES = ROOT / "proto" / "tables"
MODULES = sorted(path.stem for path in (ROOT / "mm_asgi" / "protocol").glob("*_pb2.py"))
Row = tuple[str, ...]


def table(name: str) -> list[dict[str, str]]:
    with (TABLES / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def table_rows(name: str) -> list[Row]:
    return [tuple(row.values()) for row in table(name)]


def protocol_module(name: str) -> ModuleType:
    return importlib.import_module(f"mm_asgi.protocol.{name}")


@cache
def described(module: str) -> FileDescriptorProto:
    """The file as the runtime holds it, not as the generator wrote it."""
    return FileDescriptorProto.FromString(protocol_module(module).DESCRIPTOR.serialized_pb)


def mattermost_files() -> "Iterator[tuple[str, FileDescriptorProto]]":
    for module in MODULES:
        file = described(module)
        if file.package == "mattermost.pluginapi.v1":
            yield Path(file.name).name, file


# ---- descriptors as rows of the tables


def type_name(field: FieldDescriptorProto) -> str:
    named = field.type_name.removeprefix(".").removeprefix("mattermost.pluginapi.v1.")
    return named or FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()


def field_row(message: DescriptorProto, field: FieldDescriptorProto) -> Row:
    """number, type, label, oneof: the columns of messages.tsv after the field's name."""
    oneof = "-"
    if field.proto3_optional:
        label = "optional"
    elif field.label == FieldDescriptorProto.LABEL_REPEATED:
        label = "repeated"
    else:
        label = "singular"
        if field.HasField("oneof_index"):
            oneof = message.oneof_decl[field.oneof_index].name
    named = type_name(field)
    for nested in message.nested_type:
        if nested.options.map_entry and named == f"{message.name}.{nested.name}":
            key, value = nested.field
            named, label = type_name(value), f"map<{type_name(key)}>"
    return (str(field.number), named, label, oneof)


def message_rows(file: str, message: DescriptorProto) -> "Iterator[Row]":
    if not message.field:
        yield (file, message.name, "-", "-", "-", "-", "-")
    for field in message.field:
        yield (file, message.name, field.name, *field_row(message, field))


def enum_rows(file: str, described: FileDescriptorProto) -> "Iterator[Row]":
    for enum in described.enum_type:
        for value in enum.value:
            yield (file, enum.name, value.name, str(value.number))


def rpc_rows(file: str, described: FileDescriptorProto) -> "Iterator[Row]":
    for service in described.service:
        for rpc in service.method:
            ends = (rpc.input_type.rpartition(".")[2], rpc.output_type.rpartition(".")[2])
            streams = (
                "yes" if flag else "no" for flag in (rpc.client_streaming, rpc.server_streaming)
            )
            yield (file, service.name, rpc.name, *ends, *streams)


def assert_same_rows(found: "Sequence[Row]", wanted: "Sequence[Row]") -> None:
    """Both directions, and no row twice."""
    assert sorted(set(wanted) - set(found)) == [], "in the table, not in the messages"
    assert sorted(set(found) - set(wanted)) == [], "in the messages, not in the table"
    assert len(found) == len(wanted)


def test_messages_are_those_of_the_table() -> None:
    found = [
        row
        for file, described in mattermost_files()
        for message in described.message_type
        for row in message_rows(file, message)
    ]
    assert_same_rows(found, table_rows("messages.tsv"))


def test_enums_are_those_of_the_table() -> None:
    found = [row for file, described in mattermost_files() for row in enum_rows(file, described)]
    assert_same_rows(found, table_rows("enums.tsv"))


def test_rpcs_are_those_of_the_table() -> None:
    found = [row for file, described in mattermost_files() for row in rpc_rows(file, described)]
    assert_same_rows(found, table_rows("rpcs.tsv"))


def test_the_tables_have_the_known_size() -> None:
    """A table cut short would agree with messages cut short in the same way."""
    messages = {row["message"] for row in table("messages.tsv")}
    assert (len(messages), len(table("rpcs.tsv")), len(dict(mattermost_files()))) == (648, 278, 19)


def test_a_message_holds_nothing_but_fields_and_map_entries() -> None:
    """What the tables have no column for: nested messages and enums, extensions, reserved."""
    for _, file in mattermost_files():
        assert not file.extension
        for message in file.message_type:
            assert not message.enum_type
            assert all(nested.options.map_entry for nested in message.nested_type), message.name


def test_a_difference_of_one_field_is_seen() -> None:
    wanted = table_rows("messages.tsv")
    file, message, field, _, *rest = wanted[0]
    with pytest.raises(AssertionError, match="in the table, not in the messages"):
        assert_same_rows([(file, message, field, "99", *rest), *wanted[1:]], wanted)
    with pytest.raises(AssertionError, match="in the messages, not in the table"):
        assert_same_rows(wanted, wanted[1:])


def test_hooks_table_names_the_rpcs_and_their_error_fields() -> None:
    rpcs = {r["rpc"]: r for r in table("rpcs.tsv") if r["service"] == "PluginHooks"}
    numbers = {(r["message"], r["field"]): r["number"] for r in table("messages.tsv")}
    hooks = table("hooks.tsv")
    assert {hook["hook"] for hook in hooks} == rpcs.keys()
    for hook in hooks:
        rpc = rpcs[hook["hook"]]
        assert (hook["request"], hook["response"]) == (rpc["request"], rpc["response"])
        named = re.findall(r"\b(error|rejection_reason)\((\d+)\)", hook["error_field"])
        for field, number in named:
            assert numbers[hook["response"], field] == number


def test_api_table_names_the_rpcs_and_their_error_fields() -> None:
    rpcs = {r["rpc"]: r for r in table("rpcs.tsv") if r["service"] == "PluginAPI"}
    types = {(r["message"], r["field"]): r["type"] for r in table("messages.tsv")}
    calls = table("api.tsv")
    assert {call["rpc"] for call in calls} == rpcs.keys()
    in_field = [call["rpc"] for call in calls if call["errors"].startswith("response field error")]
    assert len(in_field) == 31
    for call in in_field:
        assert types[rpcs[call]["response"], "error"] == "AppError"


# ---- go-plugin's and grpc's own files

GO_PLUGIN_RPCS = [
    ("goplugin.proto", "GRPCController", "Shutdown", "Empty", "Empty", "no", "no"),
    ("goplugin.proto", "GRPCStdio", "StreamStdio", "Empty", "StdioData", "no", "yes"),
    ("goplugin.proto", "GRPCBroker", "StartStream", "ConnInfo", "ConnInfo", "yes", "yes"),
]
GO_PLUGIN_FIELDS = [
    ("goplugin.proto", "Empty", "-", "-", "-", "-", "-"),
    ("goplugin.proto", "StdioData", "channel", "1", "plugin.StdioData.Channel", "singular", "-"),
    ("goplugin.proto", "StdioData", "data", "2", "bytes", "singular", "-"),
    ("goplugin.proto", "ConnInfo", "service_id", "1", "uint32", "singular", "-"),
    ("goplugin.proto", "ConnInfo", "network", "2", "string", "singular", "-"),
    ("goplugin.proto", "ConnInfo", "address", "3", "string", "singular", "-"),
    ("goplugin.proto", "ConnInfo", "knock", "4", "plugin.ConnInfo.Knock", "singular", "-"),
    ("goplugin.proto", "Knock", "knock", "1", "bool", "singular", "-"),
    ("goplugin.proto", "Knock", "ack", "2", "bool", "singular", "-"),
    ("goplugin.proto", "Knock", "error", "3", "string", "singular", "-"),
]
HEALTH_RPCS = [
    ("health.proto", "Health", "Check", "HealthCheckRequest", "HealthCheckResponse", "no", "no"),
    ("health.proto", "Health", "List", "HealthListRequest", "HealthListResponse", "no", "no"),
    ("health.proto", "Health", "Watch", "HealthCheckRequest", "HealthCheckResponse", "no", "yes"),
]


def test_go_plugin_is_as_its_host_has_it() -> None:
    file = described("goplugin_pb2")
    assert file.package == "plugin"
    assert_same_rows(list(rpc_rows("goplugin.proto", file)), GO_PLUGIN_RPCS)
    nested = [knock for message in file.message_type for knock in message.nested_type]
    messages = [*file.message_type, *nested]
    found = [row for message in messages for row in message_rows("goplugin.proto", message)]
    assert_same_rows(found, GO_PLUGIN_FIELDS)
    assert dict(goplugin_pb2.StdioData.Channel.items()) == {"INVALID": 0, "STDOUT": 1, "STDERR": 2}
    # StreamStdio asks with google's Empty, GRPCController with go-plugin's own.
    stdio = goplugin_pb2.DESCRIPTOR.services_by_name["GRPCStdio"].methods_by_name["StreamStdio"]
    assert stdio.input_type.full_name == "google.protobuf.Empty"


def test_health_is_as_grpc_has_it() -> None:
    file = described("health_pb2")
    assert file.package == "grpc.health.v1"
    assert_same_rows(list(rpc_rows("health.proto", file)), HEALTH_RPCS)
    assert health_pb2.HealthCheckRequest(service="plugin").SerializeToString() == b"\x0a\x06plugin"
    serving = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
    assert serving.SerializeToString() == b"\x08\x01"
    listed = health_pb2.HealthListResponse(statuses={"a": serving})
    assert listed.SerializeToString() == b"\x0a\x07\x0a\x01a\x12\x02\x08\x01"


# ---- the messages as Python sees them


def test_bytes_on_the_wire() -> None:
    """Once by hand, from host to plugin and back."""
    request = hooks_http_pb2.ServeHTTPRequest(
        init=hooks_http_pb2.ServeHTTPRequestInit(method="GET", content_length=-1)
    )
    minus_one = b"\xff" * 9 + b"\x01"
    assert request.SerializeToString() == b"\x0a\x10\x12\x03GET\x58" + minus_one
    response = hooks_http_pb2.ServeHTTPResponse(body_chunk=b"x", body_complete=True, flush=True)
    assert response.SerializeToString() == b"\x12\x01x\x18\x01\x20\x01"


def test_optional_fields_have_presence_and_singular_scalars_have_not() -> None:
    post = post_pb2.Post(is_following=False)
    assert post.HasField("is_following")
    assert not post.HasField("remote_id")
    with pytest.raises(ValueError, match="presence"):
        post.HasField("message")  # type: ignore[arg-type]


def test_enums_are_module_names() -> None:
    assert team_pb2.TEAM_TYPE_OPEN == 1
    assert team_pb2.TeamType.Name(team_pb2.TEAM_TYPE_OPEN) == "TEAM_TYPE_OPEN"
    assert team_pb2.TEAM_TYPE_INVITE == team_pb2.TeamType.Value("TEAM_TYPE_INVITE") == 2


def test_classes_know_where_they_live() -> None:
    knock = goplugin_pb2.ConnInfo.Knock
    assert (knock.__module__, knock.__qualname__) == (
        "mm_asgi.protocol.goplugin_pb2",
        "ConnInfo.Knock",
    )
    message = goplugin_pb2.ConnInfo(service_id=7, knock=knock(ack=True))
    assert pickle.loads(pickle.dumps(message)) == message
    assert copy.deepcopy(message) == message


def test_struct_and_wrappers_keep_their_helpers_in_the_private_pool() -> None:
    error = common_pb2.AppError(id="x")
    error.params.update({"count": 3, "names": ["a", None]})
    assert isinstance(error.params, Struct)
    assert error.params["count"] == 3
    assert json_format.MessageToDict(error.params) == {"count": 3.0, "names": ["a", None]}
    assert common_pb2.AppError.FromString(error.SerializeToString()) == error
    limits = hooks_lifecycle_pb2.TeamsLimits(active=wrappers_pb2.Int32Value(value=5))
    assert json_format.MessageToDict(limits) == {"active": 5}


def test_googles_own_messages_are_refused_not_mangled() -> None:
    with pytest.raises(TypeError):
        common_pb2.AppError().params.CopyFrom(google_struct_pb2.Struct())  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        hooks_lifecycle_pb2.TeamsLimits(active=google_wrappers_pb2.Int32Value())  # type: ignore[arg-type]
