"""What became of a hook, for whoever calls one over whatever wire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

if TYPE_CHECKING:
    from google.protobuf.message import Message

__all__ = ["HookAnswer", "error_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HookAnswer:
    """What became of one hook.

    Attributes:
        listed: whether Implemented lists it.
        called: a hook that is not listed is not called.
        code: the gRPC status' name.
        message: the gRPC status' text.
        response: the answer; None when it was not called or failed.
        error: the answer's AppError as the host shows it; "" is an error too, None is none.
        seconds: how long it took.
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
        """gRPC OK and no AppError."""
        return self.code == "OK" and self.error is None

    def json(self) -> dict[str, Any]:
        """The response as protojson; {} when there is none."""
        if self.response is None:
            return {}
        answer: dict[str, Any] = json_format.MessageToDict(
            self.response, preserving_proto_field_name=True
        )
        return answer


def error_of(response: Message) -> str | None:
    """The AppError as the host shows it: it keeps where, id and detailed_error, drops message.

    A present but empty AppError counts as an error.
    """
    if "error" not in response.DESCRIPTOR.fields_by_name or not response.HasField("error"):
        return None
    error = response.error  # type: ignore[attr-defined]
    text = f"{error.where}: " if error.where else ""
    text += error.id
    return f"{text}, {error.detailed_error}" if error.detailed_error else text
