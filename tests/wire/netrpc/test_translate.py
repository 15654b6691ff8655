"""Go's structs and our messages say the same: every hook, every call, every field that pairs."""

from importlib import import_module
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.message import Message

from mm_asgi import types
from mm_asgi.protocol import api_pb2, hooks_pb2
from mm_asgi.wire.netrpc.gob_reader import GobReader
from mm_asgi.wire.netrpc.gob_scope import TypeScope
from mm_asgi.wire.netrpc.gob_types import GobField, StructOf
from mm_asgi.wire.netrpc.gob_values import GoTime, Registered, write_time
from mm_asgi.wire.netrpc.gob_writer import ANY_MAP, GobWriter, SentTypes
from mm_asgi.wire.netrpc.shapes import fields_of, gob_type, registered_types
from mm_asgi.wire.netrpc.tables import CALLS, HOOKS, STRUCTS
from mm_asgi.wire.netrpc.translate import blanked, fill, known, returns_error, values_of

if TYPE_CHECKING:
    from collections.abc import Callable

# Pairs that have a rule of the wire itself: their bodies are streams.
BY_HAND = {"ServeHTTP"}
# Read only: a struct that goes back as JSON would lose each false on its way.
ONE_WAY = {"json", "json_in_config_json", "json_in_notification_json", "json_in_assertion_json",
           "json_in_sync_msg_json"}  # fmt: skip
DEEPEST = 4
SAMPLES = 8


class Values:
    """Random values that both sides can say: a struct's fields by shape, and by rule.

    A seed makes them, so that a failure comes again. Strategies of hypothesis would need minutes
    for half a thousand structs.
    """

    def __init__(self, seed: str) -> None:
        self.random = Random(seed)
        self.by_rule: dict[str, Callable[[], Any]] = {
            "channel_type": lambda: self.random.choice("OPDG"),
            "team_type": lambda: self.random.choice("OI"),
            "sorting": lambda: self.random.choice(["manual", "recent", "alpha"]),
            "milliseconds": lambda: write_time(GoTime(self.number(), 5_000_000)),
            "flag_as_text": lambda: True,
            "number_as_text": self.number,
            "is_set": lambda: 1,
            "lines": lambda: [f"https://{self.random.random()}.example", "https://b.example/x"],
            "one_of_list": lambda: [self.text()],
            "one_of_list_as_text": lambda: "2026-01-01 2026-01-02",
            "descending": lambda: True,
            "names_as_set": lambda: {self.text(): True},
            "lists_by_name": lambda: {self.text(): [self.text()]},
            "permission": lambda: {"Id": self.text()},
            "any_as_struct": self.anything,
            "json_value": lambda: self.random.choice([b"1", b'"x"', b'{"a": [1, null, true]}']),
            "log_pairs": lambda: [self.text(), self.text()],
            "log_level": lambda: {"ID": 100, "Name": "audit-api"},
        }
        self.by_shape: dict[str, Callable[[], Any]] = {
            "bool": lambda: True,
            "int": self.number,
            "uint": self.number,
            "float": lambda: self.random.randint(1, 99) / 4,
            "string": self.text,
            "bytes": lambda: self.random.randbytes(4),
            "map[string]interface": self.anything,
            "interface": lambda: Registered(
                "*model.AppError", {"Message": self.text(), "StatusCode": self.number()}
            ),
        }

    def number(self) -> int:
        return self.random.choice([1, 127, 128, 2**31 - 1])

    def text(self) -> str:
        return "".join(
            self.random.choices("aZ0 \u00e9\u20ac\U0001f600", k=self.random.randint(1, 6))
        )

    def anything(self) -> dict[str, Any]:
        leaf = [self.text(), 1.5, True, None]
        return {self.text(): self.random.choice([*leaf, leaf, {"inside": leaf}])}

    def struct(self, name: str, depth: int = 0) -> dict[str, Any]:
        values = {}
        for field in fields_of(name):
            if field.target and field.rule not in ONE_WAY and self.is_set(field.rule):
                value = self.value(field.shape, field.rule, depth)
                if value not in ({}, []):
                    values[field.name] = value
        if name == "model.PostSearchResults":  # its message has two of the list's fields
            inner = values.get("PostList", {})
            values["PostList"] = {key: inner.get(key, ["p"]) for key in ("Order",)}
        return values

    def is_set(self, rule: str) -> bool:
        # The server follows the pointer to a permission without a look: it is always sent.
        return rule == "permission" or self.random.random() < 0.7

    def value(self, shape: str, rule: str, depth: int) -> Any:
        if made := self.by_rule.get(rule) or self.by_shape.get(shape):
            return made()
        if shape in STRUCTS:
            return self.struct(shape, depth + 1) if depth < DEEPEST else {}
        if depth >= DEEPEST:
            return []
        inner = self.value(shape.partition("]")[2], "", depth + 1)
        return {self.text(): inner} if shape.startswith("map[") else [inner, inner]


def message_class(name: str) -> type[Message]:
    """The class of a request or a response, wherever its module is."""
    for file in (hooks_pb2, api_pb2):
        (service,) = file.DESCRIPTOR.services_by_name.values()
        for method in service.methods:
            for descriptor in (method.input_type, method.output_type):
                if descriptor.name == name:
                    module = Path(descriptor.file.name).stem + "_pb2"
                    found: type[Message] = getattr(
                        import_module(f"mm_asgi.protocol.{module}"), name
                    )
                    return found
    raise LookupError(name)


def messages() -> list[Any]:
    """Every Args with its request and every Returns with its response, as the tables have them."""
    pairs = []
    for table in (HOOKS, CALLS):
        for method, structs in table.items():
            for struct, kind in zip(structs, ("Request", "Response"), strict=True):
                try:
                    found = message_class(f"{method}{kind}")
                except LookupError:
                    continue  # net/rpc alone has it
                if struct in STRUCTS and method not in BY_HAND:
                    pairs.append(pytest.param(struct, found, id=f"{method}{kind}"))
    return pairs


@pytest.mark.parametrize(("struct", "kind"), messages())
def test_what_a_struct_says_its_message_says(struct: str, kind: type[Message]) -> None:
    for sample in range(SAMPLES):
        values = Values(f"{struct} {sample}").struct(struct)
        message = kind()
        fill(message, struct, values)
        assert values_of(message, struct) == values
        # And what is written passes the gob writer, which refuses a wrong type before it is sent.
        assert decoded(struct, values) == values


def decoded(struct: str, values: dict[str, Any]) -> Any:
    reader = GobReader(TypeScope())
    reader.feed(GobWriter(SentTypes(), registered_types()).encode(gob_type(struct), values))
    return reader.take()


def test_every_rpc_of_the_contract_is_in_the_tables() -> None:
    for service, table in ((hooks_pb2, HOOKS), (api_pb2, CALLS)):
        (found,) = service.DESCRIPTOR.services_by_name.values()
        assert {method.name for method in found.methods} <= table.keys()


def test_net_rpc_alone_has_five_hooks_and_two_calls() -> None:
    (hooks,) = hooks_pb2.DESCRIPTOR.services_by_name.values()
    (calls,) = api_pb2.DESCRIPTOR.services_by_name.values()
    assert HOOKS.keys() - {method.name for method in hooks.methods} == {
        "ChannelMemberWillBeAdded",
        "TeamMemberWillBeAdded",
        "ChannelWillBeArchived",
        "FileWillBeDownloaded",
        "ServeMetrics",
    }
    assert CALLS.keys() - {method.name for method in calls.methods} == {
        "SendToastMessage",
        "PluginHTTPStream",  # PluginHTTP's own, since 11.3
    }


# ---------------------------------------------------------------- what gob does to zeros


def test_a_false_behind_a_pointer_is_sent() -> None:
    # Go's own encoder leaves it out: a plugin in Go cannot switch a channel's sharing off.
    channel = types.Channel(shared=False)
    assert values_of(channel, "model.Channel") == {"Shared": False}
    assert decoded("model.Channel", {"Shared": False}) == {"Shared": False}


def test_a_zero_that_is_no_pointer_is_left_out() -> None:
    assert values_of(types.Post(message="", reply_count=0, id="p"), "model.Post") == {"Id": "p"}


def test_a_field_that_was_blanked_is_named() -> None:
    before = {"Message": "hello", "Id": "p", "UserId": "u"}
    post = types.Post(id="p")
    assert blanked(post, "model.Post", before) == ["user_id", "message"]


def test_a_key_of_a_map_that_is_gone_is_named() -> None:
    """gob adds keys to the map that the host has, and takes none out."""
    before = {"Id": "p", "Props": {"kept": 1, "gone": 2}}
    post = types.Post(id="p")
    post.props.update({"kept": 5, "new": 1})
    assert blanked(post, "model.Post", before) == ["props['gone']"]


def test_what_a_newer_server_sends_goes_back_as_far_as_it_is_known() -> None:
    attachments = [{"Text": "t", "OfANewServer": 1, "Fields": [{"Title": "f", "New": True}]}]
    post = {
        "Id": "p",
        "OfANewServer": {"x": 1},
        "Metadata": {"Emojis": [{"Id": "e", "New": 1}], "New": 2},
        "Props": {
            "attachments": Registered("[]*model.SlackAttachment", attachments),
            "mine": Registered("*model.OfANewServer", {"A": [Registered("*model.B", {"C": 1})]}),
            "deep": {"list": [1, {"Id": "x"}]},
        },
    }
    found = known("model.Post", post)
    assert found == {
        "Id": "p",
        "Metadata": {"Emojis": [{"Id": "e"}]},
        "Props": {
            "attachments": Registered(
                "[]*model.SlackAttachment", [{"Text": "t", "Fields": [{"Title": "f"}]}]
            ),
            "mine": {"A": [{"C": 1}]},
            "deep": {"list": [1, {"Id": "x"}]},
        },
    }
    writer = GobWriter(SentTypes(), registered_types())
    reader = GobReader(TypeScope())
    reader.feed(writer.encode(gob_type("model.Post"), found))
    assert reader.take() == found
    assert known("[]model.Post", [post, None]) == [found, None]


@pytest.mark.parametrize("name", list(registered_types()))
def test_every_registered_type_can_be_sent(name: str) -> None:
    kind = registered_types()[name]
    value = Registered(name, {} if kind.is_struct else [])
    stream = GobWriter(SentTypes(), registered_types()).encode(ANY_MAP, {"a": value})
    reader = GobReader(TypeScope())
    reader.feed(stream)
    assert reader.take() == {"a": value}


def test_what_the_message_does_not_know_is_kept() -> None:
    before = {
        "Id": "p",
        "Message": "old",
        "Filenames": ["a.txt"],
        "Metadata": {"Recipients": ["u"], "Emojis": [{"Id": "e"}]},
    }
    post = types.Post()
    fill(post, "model.Post", before)
    post.message = "new"
    assert values_of(post, "model.Post", before) == {**before, "Message": "new"}


# ---------------------------------------------------------------- what protobuf refuses


def test_text_that_is_no_utf_8_is_replaced() -> None:
    post = types.Post()
    fill(post, "model.Post", {"Message": "caf\udce9", "FileIds": ["\udcff"]})
    assert (post.message, list(post.file_ids)) == ("caf�", ["�"])


def test_a_number_over_32_bits_is_cut_to_the_nearest() -> None:
    info = types.FileInfo()
    fill(info, "model.FileInfo", {"Width": 2**40, "Height": -(2**40), "Size": 2**40})
    assert (info.width, info.height, info.size) == (2**31 - 1, -(2**31), 2**40)


def test_a_field_that_the_tables_lack_is_skipped() -> None:
    post = types.Post()
    fill(post, "model.Post", {"Id": "p", "OfANewServer": {"x": 1}})
    assert post == types.Post(id="p")


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("value", "message", "status"),
    [
        (Registered("*model.AppError", {"Message": "no", "StatusCode": 404}), "no", 404),
        (Registered("*plugin.ErrorString", {"Err": "broken"}), "broken", 0),
        (Registered("*pq.Error", {"Message": "deadlock"}), "deadlock", 0),
    ],
)
def test_an_error_of_Go_becomes_an_AppError(value: Registered, message: str, status: int) -> None:
    response = message_class("UploadDataResponse")()
    fill(response, "plugin.Z_UploadDataReturns", {"B": value})
    assert response.HasField("error")
    error: Any = response.error  # type: ignore[attr-defined]
    assert (error.message, error.status_code) == (message, status)


def test_a_reason_is_not_said_twice() -> None:
    response: Any = message_class("OnActivateResponse")()
    response.error.message = response.error.detailed_error = "no database"
    response.error.where = "OnActivate"
    assert values_of(response, "plugin.Z_OnActivateReturns") == {
        "A": Registered("*model.AppError", {"Message": "no database", "Where": "OnActivate"})
    }


def test_the_field_of_an_error_is_found() -> None:
    assert returns_error("plugin.Z_GetUserReturns") == "B"
    assert returns_error("plugin.Z_UserWillLogInReturns") == ""


# ---------------------------------------------------------------- shapes


def test_a_struct_that_contains_itself_has_one_type() -> None:
    command = gob_type("model.AutocompleteData")
    assert isinstance(command, StructOf)
    inner = next(field for field in command.fields if field.name == "SubCommands")
    assert list(inner.type.parts()) == [command]


def test_a_pointer_to_a_basic_value_is_always_sent() -> None:
    channel = gob_type("model.Channel")
    assert isinstance(channel, StructOf)
    by_name: dict[str, GobField] = {field.name: field for field in channel.fields}
    assert by_name["Shared"].always
    assert not by_name["DisplayName"].always


def test_every_struct_of_the_tables_can_be_defined() -> None:
    for struct in STRUCTS:
        GobWriter(SentTypes(), registered_types()).encode(gob_type(struct), {})
