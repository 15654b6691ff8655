"""The server's errors, and how each appears on the wire."""

from __future__ import annotations

from mm_asgi.protocol.common_pb2 import AppError as WireError

__all__ = ["MISSING_ACCOUNT", "AppError", "GoError", "RPCRefused"]

MISSING_ACCOUNT = "app.user.missing_account.const"

_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}

_TEXTS = {
    MISSING_ACCOUNT: "There is no such user.",
    "app.user.get_by_username.app_error": "There is no user of this name.",
    "app.user.save.username_exists.app_error": "This username is taken.",
    "app.user.save.email_exists.app_error": "This email address is taken.",
    "app.team.get.find.app_error": "There is no such team.",
    "app.team.get_by_name.missing.app_error": "There is no team of this name.",
    "app.team.get_member.missing.app_error": "The user is no member of the team.",
    "app.channel.get.existing.app_error": "There is no such channel.",
    "app.channel.get_by_name.missing.app_error": "There is no channel of this name.",
    "app.channel.get_member.missing.app_error": "The user is no member of the channel.",
    "store.sql_channel.save_channel.exists.app_error": "The team has a channel of this name.",
    "app.post.get.app_error": "There is no such post.",
    "app.file_info.get.app_error": "There is no such file.",
    "store.sql_bot.get.missing.app_error": "There is no such bot.",
    "app.status.get.missing.app_error": "The user has no status yet.",
    "app.preference.get.app_error": "The preference is not set.",
    "api.command.execute_command.not_found.app_error": "There is no such command.",
    "model.plugin_key_value.is_valid.key.app_error": "A key has 1 to 150 characters.",
    "model.plugin_kvset_options.is_valid.old_value.app_error": "old_value is for atomic sets only.",
    "plugin_api.get_file_link.disabled.app_error": "Public links are disabled.",
}
"""The errors' texts for people; a server has them in the user's language. An id without a text stands
for itself, as it does in the server's translations."""


class AppError(Exception):
    """An error of Mattermost's calls (model/utils.go, AppError).

    Args:
        where: the server's function.
        id: the error's id, such as ``app.post.get.app_error``.
        status_code: its HTTP status.
        detailed_error: a detail for developers.
    """

    def __init__(self, where: str, id: str, status_code: int, detailed_error: str = "") -> None:
        self.message = _TEXTS.get(id, id)
        super().__init__(f"{where}: {self.message}, {id}")
        self.where = where
        self.id = id
        self.status_code = status_code
        self.detailed_error = detailed_error

    def to_wire(self) -> WireError:
        """Return the message for a response's field ``error``."""
        return WireError(
            id=self.id,
            message=self.message,
            detailed_error=self.detailed_error,
            status_code=self.status_code,
            where=self.where,
        )

    @property
    def code(self) -> str:
        """The name of the gRPC status, for calls whose errors are one (grpc/server/errors.go)."""
        return _CODES.get(self.status_code, "INTERNAL")

    @property
    def details(self) -> str:
        """The status' text."""
        return f"{self.id}: {self.message}"


class GoError(Exception):
    """A plain Go error of the server, not an AppError: always the gRPC status INTERNAL."""

    code = "INTERNAL"

    @property
    def details(self) -> str:
        """The status' text."""
        return f"internal error: {self}"


class RPCRefused(Exception):
    """A refusal by the API server, before the call reaches Mattermost.

    Args:
        code: the gRPC status' name.
        details: its text.
    """

    def __init__(self, code: str, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details
