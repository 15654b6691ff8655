"""The table of hooks that a plugin may register, and the response for what a function returns.

A row holds names alone: the messages of a hook are imported with its first call. What the host
does with each answer is in docs/reference/hooks.md.
"""

from __future__ import annotations

import enum
import importlib
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mm_asgi import types
from mm_asgi.errors import PLUGIN_FAILED

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

__all__ = ["HOOKS", "LIFECYCLE", "Hook", "Kind", "Reject", "snake_case"]

NOT_CHECKED = "refused, because the plugin that has to check this failed"
REFUSED = "refused by a plugin"


class Reject(Exception):
    """Raised in a filter: what the host asks about does not happen, and the user reads the text.

    DISMISS_POST as the text drops a new post without a word to its author.
    """

    DISMISS_POST = "plugin.message_will_be_posted.dismiss_post"

    def __init__(self, text: str = REFUSED) -> None:
        super().__init__(text)


class Kind(enum.Enum):
    """What the host wants of a hook."""

    NOTIFY = "notify"  # it reports, and takes no answer
    FILTER = "filter"  # it lets the plugin change or refuse what is about to happen
    ASK = "ask"  # it takes an answer, or an error


@dataclass(frozen=True)
class Hook:
    """One hook of the host.

    Attributes:
        rpc: its name on the wire and in Implemented's answer.
        file: where its messages are: ``protocol/hooks_{file}_pb2.py``.
        takes: the request's fields after the contexts; ``?``: None when absent, ``*``: a list.
        kind: what the host wants.
        field: of the answer, where a returned value goes.
        returns: what a function may return beside None, for people.
        refusal: the answer's field for a ``Reject``: rejection_reason, error, or none.
        deadline: seconds that the host waits.
        since: of a hook that released servers alone have, and gRPC has not: the first version that
            has it.
    """

    rpc: str
    file: str
    takes: str = ""
    kind: Kind = Kind.NOTIFY
    field: str = ""
    returns: str = ""
    refusal: str = ""
    deadline: float = 30.0
    since: str = ""

    @property
    def is_gate(self) -> bool:
        """Whether it can refuse what is about to happen."""
        return self.kind is Kind.FILTER and bool(self.refusal)

    @cached_property
    def name(self) -> str:
        """The name of the function that a plugin registers."""
        return snake_case(self.rpc)

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The names of the function's parameters."""
        return ("context", *(name.rstrip("?*") for name in self.takes.split()))

    @cached_property
    def messages(self) -> tuple[type[Message], type[Message]]:
        """The classes of its request and its response."""
        module = importlib.import_module(f"mm_asgi.protocol.hooks_{self.file}_pb2")
        return getattr(module, f"{self.rpc}Request"), getattr(module, f"{self.rpc}Response")

    def response(self, **fields: Any) -> Message:
        """Return the response with these fields; without any it changes nothing."""
        return self.messages[1](**fields)

    def arguments(self, request: Any) -> list[Any]:
        """Return the function's arguments after the context."""
        values = []
        for mark, name in zip(self.takes.split(), self.parameters[1:], strict=True):
            value = getattr(request, name)
            if mark[-1] == "*":
                value = list(value)
            values.append(None if mark[-1] == "?" and not request.HasField(name) else value)
        return values

    def answer(self, value: Any) -> Message:
        """Return the response for what a function returned.

        Raises:
            TypeError: the hook's response has no place for it.
        """
        if value is None and self.field != "healthy":
            return self.response()
        try:
            if not self.field or value is None or isinstance(value, dict):  # a dict: {} too
                raise TypeError("the host takes no such answer")
            return self.response(**_NATURAL.get(self.rpc, lambda v: {self.field: v})(value))
        except (TypeError, ValueError, IndexError) as exc:
            what = f"returned {type(value).__name__}, expected {self.returns or None}: {exc}"
            raise TypeError(what) from None

    def refuse(self, text: str, status: int = 400) -> Message:
        """Return the response that refuses; never with an empty text, which would mean consent."""
        text = (text or REFUSED).encode("utf-8", "replace").decode()
        if self.refusal == "error":
            # The host keeps the id and shows it, and drops the message (row H5).
            error = {"id": text, "message": text, "where": self.rpc, "status_code": status}
            return self.response(error=error)
        return self.response(rejection_reason=text)

    def default(self, *, closed: bool) -> Message:
        """Return the response when the function failed: what the host does after a failed call (row H2)."""
        if self.kind is Kind.FILTER:
            return self.refuse(NOT_CHECKED, 500) if closed else self.response()
        return self.refuse(PLUGIN_FAILED, 500) if self.refusal else self.response()


def _file(value: Any) -> dict[str, Any]:
    if not isinstance(value, tuple):
        value = (None, value) if isinstance(value, bytes) else (value, None)
    info, content = value
    if content is not None and not content:
        raise ValueError('the content is empty, which the host would read as "unchanged"')
    return {"modified_file_info": info, "modified_content": content}


def _shown(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        value = types.CommandResponse(response_type="ephemeral", text=value)
    return {"response": value}


def _files(values: Any) -> dict[str, Any]:
    kind = types.FileData
    return {"files": [kind(filename=v[0], data=v[1]) if type(v) is tuple else v for v in values]}


_NATURAL: dict[str, Callable[[Any], dict[str, Any]]] = {
    "ExecuteCommand": _shown,
    "FileWillBeUploaded": _file,
    "GenerateSupportData": _files,
    "MessagesWillBeConsumed": lambda values: {"posts": list(values)},
}
"""Hooks whose value is converted before it goes into the response; others copy it into ``field``."""

NOTIFY, FILTER, ASK = Kind
REASON, ERROR = "rejection_reason", "error"

_TABLE = (
    Hook("OnActivate", "lifecycle", "", ASK, refusal=ERROR),
    Hook("OnDeactivate", "lifecycle", "", ASK, refusal=ERROR),
    Hook("OnConfigurationChange", "lifecycle", "", ASK, refusal=ERROR),
    Hook("OnInstall", "lifecycle", "event", ASK, refusal=ERROR),
    Hook("OnSendDailyTelemetry", "lifecycle"),
    Hook("RunDataRetention", "lifecycle", "now_time batch_size", ASK, "deleted_count", "int", ERROR),
    Hook("OnCloudLimitsUpdated", "lifecycle", "limits?"),
    Hook("ConfigurationWillBeSaved", "lifecycle", "new_config", FILTER, "modified_config", "ConfigJson", ERROR),
    Hook("MessageWillBePosted", "message", "post", FILTER, "modified_post", "Post", REASON),
    Hook("MessageWillBeUpdated", "message", "new_post old_post", FILTER, "modified_post", "Post", REASON),
    Hook("MessageHasBeenPosted", "message", "post"),
    Hook("MessageHasBeenUpdated", "message", "new_post old_post"),
    Hook("MessagesWillBeConsumed", "message", "posts*", FILTER, "posts", "list of Post"),
    Hook("MessageHasBeenDeleted", "message", "post"),
    Hook("FileWillBeUploaded", "message", "file_info file_content", FILTER, "modified_content", "bytes, FileInfo or (FileInfo, bytes)", REASON),
    Hook("ReactionHasBeenAdded", "message", "reaction"),
    Hook("ReactionHasBeenRemoved", "message", "reaction"),
    Hook("NotificationWillBePushed", "message", "push_notification user_id", FILTER, "modified_notification", "PushNotification", REASON),
    Hook("EmailNotificationWillBeSent", "message", "email_notification", FILTER, "modified_content", "EmailNotificationContent", REASON),
    Hook("PreferencesHaveChanged", "message", "preferences*"),
    Hook("UserHasBeenCreated", "user_channel", "user"),
    Hook("UserWillLogIn", "user_channel", "user", FILTER, "rejection_reason", "str", REASON),
    Hook("UserHasLoggedIn", "user_channel", "user"),
    Hook("UserHasBeenDeactivated", "user_channel", "user"),
    Hook("OnSAMLLogin", "user_channel", "user assertion", FILTER, refusal=ERROR),
    Hook("ChannelHasBeenCreated", "user_channel", "channel"),
    Hook("UserHasJoinedChannel", "user_channel", "channel_member actor?"),
    Hook("UserHasLeftChannel", "user_channel", "channel_member actor?"),
    Hook("UserHasJoinedTeam", "user_channel", "team_member actor?"),
    Hook("UserHasLeftTeam", "user_channel", "team_member actor?"),
    Hook("ExecuteCommand", "command", "args", ASK, "response", "str or CommandResponse", ERROR),
    Hook("OnWebSocketConnect", "command", "web_conn_id user_id"),
    Hook("OnWebSocketDisconnect", "command", "web_conn_id user_id"),
    Hook("WebSocketMessageHasBeenPosted", "command", "web_conn_id user_id request"),
    Hook("OnPluginClusterEvent", "command", "event"),
    Hook("OnSharedChannelsSyncMsg", "command", "sync_msg remote_cluster", ASK, "response", "SyncResponse", ERROR),
    Hook("OnSharedChannelsPing", "command", "remote_cluster", ASK, "healthy", "bool"),
    Hook("OnSharedChannelsAttachmentSyncMsg", "command", "file_info post remote_cluster", ASK, refusal=ERROR),
    Hook("OnSharedChannelsProfileImageSyncMsg", "command", "user remote_cluster", ASK, refusal=ERROR),
    Hook("GenerateSupportData", "command", "", ASK, "files", "list of FileData or (filename, data)", ERROR),
    Hook("ChannelMemberWillBeAdded", "released", "channel_member", FILTER, "modified_channel_member", "ChannelMember", REASON, since="11.7"),
    Hook("TeamMemberWillBeAdded", "released", "team_member", FILTER, "modified_team_member", "TeamMember", REASON, since="11.7"),
    Hook("ChannelWillBeArchived", "released", "channel", FILTER, "rejection_reason", "str", REASON, since="11.7"),
    Hook("FileWillBeDownloaded", "released", "file_info user_id download_type", FILTER, "rejection_reason", "str", REASON, since="11.5"),
)  # fmt: skip


def snake_case(name: str) -> str:
    """Return the function's name for an RPC's."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


HOOKS = {hook.name: hook for hook in _TABLE}

LIFECYCLE = _TABLE[:3]
"""Implemented always lists these (row H1): this package answers them itself."""
