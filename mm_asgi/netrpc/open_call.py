"""One hook's call over net/rpc: Go's arguments as a request, a response as Go's returns.

**An answer of a wrong type must not leave.** Go's client ends its connection over a body that it
cannot decode, every later hook fails, and the health checks go on to pass: the plugin is dead and
nobody restarts it. So an answer is made of the tables' types alone, the writer refuses anything
else before a byte has left, and the host gets a refusal of this one call in its place.

**Go decodes into what it has.** For some filters the host prepares the returns with the post that
it sent, and gob only overwrites: nothing returned means unchanged, and a field cannot be blanked
(``_MERGED``). For others the returns are fresh, nothing returned would be a post without anything,
and the unchanged one has to go back (``_GIVEN``). Both ways a changed post goes back together with
what the message does not know of.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from mm_asgi.wire.calls import PLUGIN_FAILED
from mm_asgi.wire.netrpc.shapes import fields_of, gob_type
from mm_asgi.wire.netrpc.tables import HOOKS
from mm_asgi.wire.netrpc.translate import blanked, fill, values_of

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from mm_asgi.wire.netrpc.live_calls import RPCAnswerer
    from mm_asgi.wire.netrpc.rpc_conversation import IncomingCall

__all__ = ["OpenCall"]

logger = logging.getLogger("mm_asgi.netrpc")

_MERGED: Final = {
    "MessageWillBePosted": ("modified_post", "A", "B"),
    "FileWillBeUploaded": ("modified_file_info", "A", "B"),
    "ChannelMemberWillBeAdded": ("modified_channel_member", "A", "B"),
    "TeamMemberWillBeAdded": ("modified_team_member", "A", "B"),
}
"""The host decodes the answer into what it sent: the response's field, Go's field in the returns,
and in the arguments."""

_GIVEN: Final = {"MessageWillBeUpdated": ("A", "B"), "MessagesWillBeConsumed": ("A", "A")}
"""The host decodes the answer into nothing: Go's field in the returns, and in the arguments."""


class OpenCall:
    """One call of the host's that waits for its answer, which is sent once.

    Args:
        name: the hook.
        call: the host's call.
        answerer: sends the answer.

    Attributes:
        name: the same.
        arguments: Go's, as gob read them.
        is_answered: whether an answer has left.
    """

    def __init__(self, name: str, call: IncomingCall, answerer: RPCAnswerer) -> None:
        self.name = name
        self.arguments: dict[str, Any] = call.arguments if isinstance(call.arguments, dict) else {}
        self._call = call
        self._answerer = answerer
        self.is_answered = False

    def request(self, kind: type[Message]) -> Message:
        """Return the call's arguments as a message."""
        message = kind()
        if self.arguments:
            fill(message, HOOKS[self.name][0], self.arguments)
        return message

    def answer(self, response: Message) -> None:
        """Answer with a hook's response, unless an answer has left already."""
        if not self.is_answered:
            self.is_answered = True
            returns = HOOKS[self.name][1]
            try:
                if self.name == "Implemented":
                    self._answerer.reply(self._call, gob_type(returns), _names(response))
                    return
                values = self._returns(response, returns)
                self._answerer.reply(self._call, gob_type(returns), values)
            except (TypeError, ValueError) as error:
                logger.error(
                    "the answer of the hook %s cannot be sent: %s; the host got its default",
                    self.name, error,
                )  # fmt: skip
                self._answerer.refuse(self._call, PLUGIN_FAILED)

    def refuse(self, text: str) -> None:
        """Answer with an error, unless an answer has left already."""
        if not self.is_answered:
            self.is_answered = True
            self._answerer.refuse(self._call, text)

    def _returns(self, response: Any, returns: str) -> dict[str, Any]:
        values = values_of(response, returns, self._beside())
        if self.name in _MERGED:
            self._warn_of_blanks(response)
        elif self.name in _GIVEN:
            field, given = _GIVEN[self.name]
            if not values.get(field):
                values[field] = self.arguments.get(given)
        if self.name == "MessagesWillBeConsumed":
            values["A"] = [self._whole_post(post) for post in values["A"] or ()]
        return values

    def _beside(self) -> dict[str, Any] | None:
        """Return what the host sent, by the field of the returns that it belongs to."""
        if self.name in _MERGED:
            _, field, given = _MERGED[self.name]
        elif self.name == "MessageWillBeUpdated":
            field, given = _GIVEN[self.name]
        else:
            return None
        return {field: self.arguments.get(given)}

    def _whole_post(self, post: dict[str, Any]) -> dict[str, Any]:
        """Return a post of a list together with what the host sent of it."""
        for sent in self.arguments.get("A") or ():
            if sent and sent.get("Id") == post.get("Id"):
                return {**sent, **post}
        return post

    def _warn_of_blanks(self, response: Any) -> None:
        field, _, given = _MERGED[self.name]
        before = self.arguments.get(given)
        if before and response.HasField(field):
            names = blanked(getattr(response, field), _struct_of(self.name, given), before)
            if names:
                logger.warning(
                    "the hook %s blanked %s, which a server over net/rpc cannot take: the old"
                    " value stays; set another value instead",
                    self.name, ", ".join(names),
                )  # fmt: skip


def _names(response: Any) -> list[str]:
    """Return the hooks that Implemented names: those that net/rpc has, and no others."""
    return [name for name in response.hooks if name in HOOKS]


def _struct_of(hook: str, field: str) -> str:
    return next(one.shape for one in fields_of(HOOKS[hook][0]) if one.name == field)
