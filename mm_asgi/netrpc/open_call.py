"""One hook's call over net/rpc: Go's arguments as a request, a response as Go's returns.

**An answer of a wrong type must not leave.** Go's client ends its connection over a body that it
cannot decode, every later hook fails, and the health checks go on to pass: the plugin is dead and
nobody restarts it. So an answer is made of the tables' types alone, the writer refuses anything
else before a byte has left, and the host gets the hook's default in its place. It has to be a
default and not an error of net/rpc: after an error the host goes on with what it has, which for
OnActivate means "active", and for MessagesWillBeConsumed a channel without any posts.

**Go decodes into what it has.** For some filters the host prepares the returns with the post that
it sent, and gob only overwrites: nothing returned means unchanged, and a field cannot be blanked
(``_MERGED``). For others the returns are fresh, nothing returned would be no post at all, and the
unchanged one has to go back (``_GIVEN``), a changed one together with what the message does not
know of.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from mm_asgi.wire.calls import PLUGIN_FAILED
from mm_asgi.wire.netrpc.shapes import fields_of, gob_type
from mm_asgi.wire.netrpc.tables import HOOKS
from mm_asgi.wire.netrpc.translate import blanked, fill, known, values_of

if TYPE_CHECKING:
    from collections.abc import Callable

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

_UNSENDABLE: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What carrying a value over may raise that a Go type has no place for."""

CONFIG_STAYS: Final = (
    "the hook configuration_will_be_saved returned a config, which was not taken: this server"
    " speaks net/rpc, where a config that goes back loses every setting that this version of mm_asgi"
    " does not know; raise Reject to refuse the config, or change it by the REST API"
)


class OpenCall:
    """One call of the host's that waits for its answer, which is sent once.

    Args:
        name: the hook.
        call: the host's call.
        answerer: sends the answer.
        default: returns the response for a call that failed; None: there is none.

    Attributes:
        name: the same.
        arguments: Go's, as gob read them.
        is_answered: whether an answer has left.
    """

    def __init__(
        self,
        name: str,
        call: IncomingCall,
        answerer: RPCAnswerer,
        default: Callable[[], Message] | None = None,
    ) -> None:
        self.name = name
        self.arguments: dict[str, Any] = call.arguments if isinstance(call.arguments, dict) else {}
        self._call = call
        self._answerer = answerer
        self._default = default
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
            try:
                self._reply(response)
            except _UNSENDABLE as error:
                logger.error(
                    "the answer of the hook %s cannot be sent: %s; the host got its default",
                    self.name, error,
                )  # fmt: skip
                self._reply_default()

    def fail(self) -> None:
        """Answer with the hook's default, unless an answer has left already."""
        if not self.is_answered:
            self.is_answered = True
            self._reply_default()

    def refuse(self, text: str) -> None:
        """Answer with an error of net/rpc, unless an answer has left already."""
        if not self.is_answered:
            self.is_answered = True
            self._answerer.refuse(self._call, text)

    def _reply_default(self) -> None:
        try:
            if self._default is not None:
                self._reply(self._default())
                return
        except _UNSENDABLE as error:
            logger.error("the default of the hook %s cannot be sent: %s", self.name, error)
        self._answerer.refuse(self._call, PLUGIN_FAILED)

    def _reply(self, response: Any) -> None:
        returns = HOOKS[self.name][1]
        values: Any = _names(response) if self.name == "Implemented" else self._returns(response)
        self._answerer.reply(self._call, gob_type(returns), values)

    def _returns(self, response: Any) -> dict[str, Any]:
        """Return Go's values of a response, with what goes back unchanged."""
        returns = HOOKS[self.name][1]
        if self.name == "MessagesWillBeConsumed":
            return {"A": self._posts(response)}
        if self.name == "ConfigurationWillBeSaved" and response.HasField("modified_config"):
            logger.error(CONFIG_STAYS)
        if self.name in _MERGED:
            self._warn_of_blanks(response)
        if self.name not in _GIVEN:
            return values_of(response, returns)
        field, given = _GIVEN[self.name]
        before = known(_shape_of(self.name, given), self.arguments.get(given))
        values = values_of(response, returns, {field: before})
        if values.get(field) is None:
            values[field] = before
        return values

    def _posts(self, response: Any) -> list[dict[str, Any]]:
        """Return a response's posts, each with what the host sent of it; without any, all of its."""
        given = known("[]model.Post", self.arguments.get("A") or [])
        if not response.posts:
            return given  # type: ignore[no-any-return]
        before = {post.get("Id"): post for post in given}
        return [values_of(post, "model.Post", before.get(post.id)) for post in response.posts]

    def _warn_of_blanks(self, response: Any) -> None:
        field, _, given = _MERGED[self.name]
        before = self.arguments.get(given)
        if before and response.HasField(field):
            names = blanked(getattr(response, field), _shape_of(self.name, given), before)
            if names:
                logger.warning(
                    "the hook %s blanked %s, which a server over net/rpc cannot take: the old"
                    " value stays; set another value instead",
                    self.name, ", ".join(names),
                )  # fmt: skip


def _names(response: Any) -> list[str]:
    """Return the hooks that Implemented names: those that net/rpc has, and no others."""
    return [name for name in response.hooks if name in HOOKS]


def _shape_of(hook: str, field: str) -> str:
    return next(one.shape for one in fields_of(HOOKS[hook][0]) if one.name == field)
