"""The outcome of one hook call, the same for every wire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

__all__ = ["HookAnswer", "error_of", "show_go_error", "show_grpc_error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HookAnswer:
    """The outcome of one hook call.

    Attributes:
        listed: whether Implemented lists the hook.
        called: whether it was called; a hook that is not listed is not.
        code: the gRPC status' name.
        message: the gRPC status' text.
        response: the plugin's response; None when the hook was not called or failed.
        error: the response's AppError as the host shows it; "" is an error too, None means none.
        seconds: the duration of the call.
    """

    listed: bool
    called: bool
    code: str = "OK"
    message: str = ""
    response: Any = None
    error: str | None = None
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the call ended with gRPC OK and without an AppError."""
        return self.code == "OK" and self.error is None

    def json(self) -> dict[str, Any]:
        """Return the response as protojson; {} when there is none."""
        if self.response is None:
            return {}
        answer: dict[str, Any] = json_format.MessageToDict(
            self.response, preserving_proto_field_name=True
        )
        return answer


def error_of(response: Message, show: Callable[[Any], str] | None = None) -> str | None:
    """Return a response's AppError as the host shows it, or None when it has none.

    A present but empty AppError counts as an error.

    Args:
        response: the hook's.
        show: how the wire's client shows one; None: as over gRPC.
    """
    if "error" not in response.DESCRIPTOR.fields_by_name or not response.HasField("error"):
        return None
    error: Any = response.error  # type: ignore[attr-defined]
    return show_grpc_error(error) if show is None else show(error)


def show_grpc_error(error: Any) -> str:
    """Return an AppError as over gRPC: where, id and detailed_error; message is dropped."""
    text: str = f"{error.where}: " if error.where else ""
    text += error.id
    return f"{text}, {error.detailed_error}" if error.detailed_error else text


def show_go_error(error: Any) -> str:
    """Return an AppError as over net/rpc: what its Error() returns (model/utils.go)."""
    text: str = f"{error.where}: " if error.where else ""
    text += error.message
    if not error.detailed_error:
        return text
    return f"{text}, {error.detailed_error}" if error.message else text + error.detailed_error
