"""One hook's answer in Go's values: what goes back, what is merged, what cannot be sent."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from mm_asgi import types
from mm_asgi.hooks import HOOKS, snake_case
from mm_asgi.netrpc.open_call import OpenCall
from mm_asgi.wire.calls import PLUGIN_FAILED
from mm_asgi.wire.netrpc.gob_values import Registered
from mm_asgi.wire.netrpc.live_calls import CallRefused
from tests.wire.netrpc.memory_host import MemoryHost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from google.protobuf.message import Message

    from mm_asgi.wire.netrpc.live_calls import RPCAnswerer
    from mm_asgi.wire.netrpc.plugin_session import PluginSession
    from mm_asgi.wire.netrpc.rpc_conversation import IncomingCall

    Answering = Callable[[OpenCall], None]


class Caller:
    """A host whose calls a test answers."""

    def __init__(self) -> None:
        self.answering: Answering = lambda opened: None
        self.default: Callable[[], Message] | None = None
        self.host = MemoryHost(self._handle)

    def _handle(self, call: IncomingCall, answerer: RPCAnswerer, session: PluginSession) -> None:
        name = call.method.removeprefix("Plugin.")
        default = self.default or HOOKS[snake_case(name)].messages[1]
        self.answering(OpenCall(name, call, answerer, default))

    async def call(self, name: str, arguments: dict[str, Any], answering: Answering) -> Any:
        self.answering = answering
        return await self.host.hook(name, arguments)

    async def answered(self, name: str, arguments: dict[str, Any], **fields: Any) -> Any:
        """Call a hook that answers with these fields."""
        response = HOOKS[snake_case(name)].messages[1](**fields)
        return await self.call(name, arguments, lambda opened: opened.answer(response))


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    made = Caller()
    await made.host.begin()
    yield made
    await made.host.end()


ATTACHMENTS = Registered("[]*model.SlackAttachment", [{"Text": "t", "Color": "#fff"}])
# With what a post's message does not know of.
POST = {
    "Id": "p",
    "Message": "hello",
    "UserId": "u",
    "Filenames": ["a.txt"],
    "Props": {"attachments": ATTACHMENTS, "n": 1.5},
}


# ---------------------------------------------------------------- fresh returns


async def test_an_updated_post_that_stays_goes_back_as_it_came(caller: Caller) -> None:
    """The host decodes the answer into nothing: nothing returned would be no post."""
    arguments = {"B": POST, "C": {"Id": "p", "Message": "old"}}
    assert await caller.answered("MessageWillBeUpdated", arguments) == {"A": POST}


async def test_an_updated_post_that_is_refused_goes_back_beside_the_reason(caller: Caller) -> None:
    returned = await caller.answered("MessageWillBeUpdated", {"B": POST}, rejection_reason="no")
    assert returned == {"A": POST, "B": "no"}


async def test_an_updated_post_may_lose_a_field_and_keeps_what_is_not_in_the_message(
    caller: Caller,
) -> None:
    changed = types.Post(id="p", message="new")
    returned = await caller.answered("MessageWillBeUpdated", {"B": POST}, modified_post=changed)
    assert returned == {"A": {"Id": "p", "Message": "new", "Filenames": ["a.txt"]}}


async def test_posts_that_stay_go_back_as_they_came(caller: Caller) -> None:
    posts = [POST, {"Id": "q", "Message": "second"}]
    assert await caller.answered("MessagesWillBeConsumed", {"A": posts}) == {"A": posts}


async def test_posts_that_change_keep_what_is_not_in_the_message(caller: Caller) -> None:
    posts = [POST, {"Id": "q", "Message": "second", "UserId": "v"}]
    changed = [types.Post(id="q", message="2"), types.Post(id="p"), types.Post(id="other")]
    assert await caller.answered("MessagesWillBeConsumed", {"A": posts}, posts=changed) == {
        "A": [{"Id": "q", "Message": "2"}, {"Id": "p", "Filenames": ["a.txt"]}, {"Id": "other"}]
    }


async def test_no_posts_stay_none(caller: Caller) -> None:
    assert await caller.answered("MessagesWillBeConsumed", {}) == {}


@pytest.mark.parametrize(
    ("name", "key"), [("MessageWillBeUpdated", "B"), ("MessagesWillBeConsumed", "A")]
)
async def test_a_newer_server_s_fields_do_not_stop_an_answer(
    caller: Caller, name: str, key: str
) -> None:
    """The tables lack them, and a writer that refuses would take the post away."""

    def answer(opened: OpenCall) -> None:
        post = {**POST, "OfANewServer": 1, "Props": {"x": Registered("*model.New", {"A": 1})}}
        opened.arguments = {key: [post] if key == "A" else post}
        opened.answer(HOOKS[snake_case(name)].response())

    returned = (await caller.call(name, {}, answer))["A"]
    expected = {**POST, "Props": {"x": {"A": 1}}}
    assert returned == ([expected] if key == "A" else expected)


# ---------------------------------------------------------------- returns that are merged


MERGED = [("MessageWillBePosted", "post", "B"), ("FileWillBeUploaded", "file_info", "B")]


@pytest.mark.parametrize(("name", "field", "key"), MERGED)
async def test_what_stays_is_not_sent(caller: Caller, name: str, field: str, key: str) -> None:
    assert await caller.answered(name, {key: {"Id": "p"}}) == {}
    assert await caller.answered(name, {key: {"Id": "p"}}, rejection_reason="no") == {"B": "no"}


async def test_a_changed_post_is_sent_by_its_message(caller: Caller) -> None:
    changed = types.Post(id="p", message="new", user_id="u")
    changed.props.update({"n": 1.5, "attachments": "x"})
    returned = await caller.answered("MessageWillBePosted", {"B": POST}, modified_post=changed)
    assert returned["A"]["Message"] == "new"
    assert "Filenames" not in returned["A"]  # the host has them


async def test_a_field_that_cannot_be_blanked_is_named_in_one_warning(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    changed = types.Post(id="p", message="hello")
    changed.props["n"] = 1.5
    await caller.answered("MessageWillBePosted", {"B": POST}, modified_post=changed)
    [record] = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert record.getMessage() == (
        "the hook MessageWillBePosted blanked user_id, props['attachments'], which a server over"
        " net/rpc cannot take: the old value stays; set another value instead"
    )


async def test_what_was_not_blanked_is_no_warning(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    post = {"Id": "p", "Message": "hello", "Filenames": ["a.txt"]}
    changed = types.Post(id="p", message="new")
    await caller.answered("MessageWillBePosted", {"B": post}, modified_post=changed)
    await caller.answered("MessageWillBePosted", {"B": post}, rejection_reason="no")
    updated = types.Post(id="p")  # here a field may become empty
    await caller.answered("MessageWillBeUpdated", {"B": post}, modified_post=updated)
    assert not caplog.records


# ---------------------------------------------------------------- a config


async def test_a_config_that_an_app_changed_is_not_taken_and_the_log_says_why(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    config = types.ConfigJson(config_json=b"{}")
    returned = await caller.answered("ConfigurationWillBeSaved", {"A": {}}, modified_config=config)
    assert returned == {}
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "loses every setting that this version" in record.getMessage()


async def test_a_config_that_stays_or_is_refused_says_nothing(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    assert await caller.answered("ConfigurationWillBeSaved", {"A": {}}) == {}
    error = {"id": "no", "message": "no", "status_code": 400}
    refused = await caller.answered("ConfigurationWillBeSaved", {"A": {}}, error=error)
    assert refused["B"] == Registered(
        "*model.AppError", {"Id": "no", "Message": "no", "StatusCode": 400}
    )
    assert not caplog.records


# ---------------------------------------------------------------- what cannot be sent


FAULTY = [TypeError("a bool"), ValueError("too much"), KeyError("x"), OverflowError("2**64")]


@pytest.mark.parametrize("fault", FAULTY, ids=lambda fault: type(fault).__name__)
async def test_an_answer_that_cannot_be_sent_becomes_the_default(
    caller: Caller,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception,
) -> None:
    """One error in the log; the hooks go on."""

    def broken(opened: OpenCall, response: Any) -> None:
        if response.HasField("modified_post"):
            raise fault

    monkeypatch.setattr(OpenCall, "_warn_of_blanks", broken)
    hook = HOOKS["message_will_be_posted"]
    caller.default = lambda: hook.default(closed=True)

    def answer(opened: OpenCall) -> None:
        opened.answer(hook.response(modified_post=types.Post(message="x")))
        opened.answer(hook.response())  # dropped

    returned = await caller.call("MessageWillBePosted", {"B": POST}, answer)
    assert returned == {"B": "refused, because the plugin that has to check this failed"}
    [record] = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert "the answer of the hook MessageWillBePosted cannot be sent" in record.getMessage()
    assert await caller.answered("MessageWillBePosted", {"B": POST}) == {}


@pytest.mark.parametrize("value", [5, True, b"bytes", ["list"], {"A": "dict"}, 1.5])
async def test_a_value_of_a_wrong_type_never_leaves(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, value: Any
) -> None:
    """Go's client would end its connection over it, and health would stay green."""

    def wrong(message: Any, *args: Any) -> dict[str, Any]:
        return {"B": value} if message.rejection_reason == "wrong" else {}

    monkeypatch.setattr("mm_asgi.netrpc.open_call.values_of", wrong)
    assert await caller.answered("MessageWillBePosted", {}, rejection_reason="wrong") == {}
    assert await caller.answered("MessageWillBePosted", {}) == {}


async def test_posts_survive_an_answer_that_cannot_be_sent(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of net/rpc would leave the channel without any."""

    def broken(*args: Any) -> Any:
        raise ValueError("no")

    monkeypatch.setattr("mm_asgi.netrpc.open_call.values_of", broken)
    changed = [types.Post(id="p")]
    returned = await caller.answered("MessagesWillBeConsumed", {"A": [POST]}, posts=changed)
    assert returned == {"A": [POST]}


async def test_a_default_that_cannot_be_sent_is_an_error(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any) -> Any:
        raise ValueError("no")

    monkeypatch.setattr("mm_asgi.netrpc.open_call.values_of", broken)
    with pytest.raises(CallRefused) as caught:
        await caller.answered("MessageWillBePosted", {})
    assert caught.value.text == PLUGIN_FAILED


async def test_a_call_is_answered_once(caller: Caller) -> None:
    response = HOOKS["message_will_be_posted"].messages[1]

    def answer(opened: OpenCall) -> None:
        assert not opened.is_answered
        opened.answer(response(rejection_reason="first"))
        assert opened.is_answered
        opened.answer(response(rejection_reason="second"))
        opened.refuse("third")
        opened.fail()

    assert await caller.call("MessageWillBePosted", {}, answer) == {"B": "first"}
    assert await caller.call("MessageWillBePosted", {}, lambda opened: opened.fail()) == {}


async def test_arguments_that_are_no_struct_are_as_none(caller: Caller) -> None:
    seen = []

    def answer(opened: OpenCall) -> None:
        seen.append(opened.request(HOOKS["message_will_be_posted"].messages[0]))
        opened.answer(HOOKS["message_will_be_posted"].response())

    await caller.call("MessageWillBePosted", {}, answer)
    assert seen == [HOOKS["message_will_be_posted"].messages[0]()]
