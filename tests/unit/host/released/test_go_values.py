"""What Go makes of a value: what it leaves out, what it takes, and what it keeps of before."""

from __future__ import annotations

from typing import Any

import pytest

from mm_asgi.hooks import HOOKS
from mm_asgi.host.released.go_values import WrongType, as_go_sends, check, merged
from mm_asgi.host.released.hook_values import arguments_of, response_of
from mm_asgi.types import User

POST = "model.Post"


def test_what_is_zero_is_left_out_at_every_depth() -> None:
    value = {"Id": "p", "Message": "", "IsPinned": False, "CreateAt": 0, "FileIds": ["", "f"]}
    assert as_go_sends(POST, value) == {"Id": "p", "FileIds": ["", "f"]}


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        (POST, {"Id": "p", "CreateAt": 3, "IsPinned": True, "FileIds": ["f"]}),
        (POST, {}),
        (POST, {"Id": "p", "NewerThanThisHost": 1}),
        ("[]string", ["a"]),
        ("map[string]string", {"a": "b"}),
        ("bytes", b"a"),
    ],
)
def test_what_go_has_a_place_for_is_taken(shape: str, value: Any) -> None:
    check(shape, value)


@pytest.mark.parametrize(
    ("shape", "value", "text"),
    [
        (POST, {"Message": 3}, r"wrong type for received field model.Post.Message"),
        (POST, {"IsPinned": 1}, "model.Post.IsPinned"),
        (POST, {"CreateAt": True}, "model.Post.CreateAt"),
        (POST, {"FileIds": [3]}, "model.Post.FileIds"),
        (POST, {"Unknown": 1}, "no fields matched"),
        (POST, "text", "type mismatch"),
        ("[]string", "text", "wrong type"),
        ("map[string]string", {"a": 1}, "wrong type"),
    ],
)
def test_what_go_has_no_place_for_is_refused(shape: str, value: Any, text: str) -> None:
    with pytest.raises(WrongType, match=text):
        check(shape, value)


def test_an_answer_is_decoded_into_what_was_there() -> None:
    before = {"Id": "p", "Message": "old", "FileIds": ["f"]}
    assert merged(POST, before, {"Message": "new"}) == {**before, "Message": "new"}
    assert merged(POST, before, {}) == before
    assert merged(POST, before, None) is None


def test_a_hook_that_says_nothing_has_its_post_back() -> None:
    request_type, response_type = HOOKS["message_will_be_posted"].messages
    request: Any = request_type()
    request.post.id, request.post.message = "p", "hi"
    sent = arguments_of("MessageWillBePosted", request)
    assert sent["B"] == {"Id": "p", "Message": "hi"}
    response = response_of("MessageWillBePosted", response_type, sent, {"A": {"Message": "new"}})
    assert (response.modified_post.id, response.modified_post.message) == ("p", "new")


def test_a_struct_that_is_not_set_is_sent_empty() -> None:
    request_type, _ = HOOKS["user_will_log_in"].messages
    request: Any = request_type(user=User(username="bob"))
    assert arguments_of("UserWillLogIn", request) == {"A": {}, "B": {"Username": "bob"}}
