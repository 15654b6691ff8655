"""A line of a plugin's log as it arrives at a host, on every road."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Line", "find", "from_entry", "from_host_log"]


OTHERS = r"bytes|client|method|ms\d|path/|status\d|user_id"
EXTRAS = {
    "@module": re.compile(rf"@module([\w.]+?)(?=exception|request_id|timestamp|{OTHERS}|$)"),
    "request_id": re.compile(
        rf"request_id([a-z\d]{{26}}|request-\w+?)(?=@module|exception|timestamp|{OTHERS}|$)"
    ),
    "exception": re.compile(
        r"exception((?:  \+ Exception Group )?Traceback .+?)(?=@module|request_id|timestamp\d|$)",
        re.DOTALL,
    ),
}
"""A released server makes one text of a line's further keys, in any order and with nothing between
them; these can be found in it again."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the plugin's log, as the host gets it."""

    level: str
    logger: str
    message: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def request_id(self) -> str:
        """Of the request in which it was logged; empty outside of one."""
        return str(self.fields.get("request_id", ""))


def from_entry(entry: dict[str, Any]) -> Line:
    """A line as the plugin writes it to stderr, read from JSON."""
    fields = {name: value for name, value in entry.items() if not name.startswith("@")}
    return Line(entry["@level"], entry.get("@module", ""), entry["@message"], fields)


def from_host_log(events: Iterable[dict[str, Any]]) -> list[Line]:
    """Lines as a host's own log has them, without what the host added."""
    lines = []
    for event in events:
        fields = dict(event.get("fields") or {})
        extras = str(fields.pop("wrapped_extras", ""))
        for name, pattern in EXTRAS.items():
            if found := pattern.search(extras):
                fields[name] = found[1]
        logger = str(event.get("module") or fields.get("@module", ""))
        fields.pop("@module", None)
        fields.pop("timestamp", None)
        lines.append(Line(event.get("level", ""), logger, event["message"], fields))
    return lines


def find(lines: Sequence[Line], text: str, **facts: str) -> Line | None:
    """The first line whose message has the text and that has these level and logger."""
    for line in lines:
        if text in line.message and all(getattr(line, name) == facts[name] for name in facts):
            return line
    return None
