"""The table of docs/reference/hooks.md, written from the table of hooks and the messages.

python -m tests.unit.hook_reference      writes it
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm_asgi.hooks import HOOKS, Kind
from mm_asgi.wire.netrpc.tables import SINCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import FieldDescriptor

    from mm_asgi.hooks import Hook

__all__ = ["PAGE", "written"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "hooks.md"
MARKS = ("<!-- hooks: python -m tests.unit.hook_reference -->\n", "<!-- end of hooks -->\n")


def written(text: str) -> str:
    """The page with the table as it ought to be."""
    before, _, rest = text.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    head = "| function | facts | returns, beside None | raises `Reject` | when it fails | since |"
    return "".join(
        (before, MARKS[0], head, "\n|---|---|---|---|---|---|\n", *_lines(), MARKS[1], after)
    )


def _lines() -> Iterator[str]:
    for hook in HOOKS.values():
        fields: Any = hook.messages[0].DESCRIPTOR.fields_by_name
        taken = [_parameter(fields[mark.rstrip("?*")], mark) for mark in hook.takes.split()]
        cells = (
            f"`{hook.name}({', '.join(('context', *taken))})`",
            "yes" if "plugin_context" in fields else "-",
            hook.returns or "-",
            {"error": "an error", "rejection_reason": "refused", "": "-"}[hook.refusal],
            _failure(hook),
            SINCE[f"Hooks.{hook.rpc}"] + (", released servers only" if hook.since else ""),
        )
        yield f"| {' | '.join(cells)} |\n"


def _parameter(field: FieldDescriptor, mark: str) -> str:
    kind = {field.TYPE_STRING: "str", field.TYPE_INT64: "int", field.TYPE_BYTES: "bytes"}.get(
        field.type, field.message_type.name if field.message_type else ""
    )
    kind = {"*": f"list[{kind}]", "?": f"{kind} / None"}.get(mark[-1], kind)
    return f"{field.name}: {kind}"


def _failure(hook: Hook) -> str:
    if hook.kind is Kind.FILTER:
        if not hook.refusal:
            return "goes through"
        return "**refused**" if hook.refusal == "error" else "goes through"
    if hook.kind is Kind.ASK:
        return "an error" if hook.refusal else "unhealthy"
    return "-"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
