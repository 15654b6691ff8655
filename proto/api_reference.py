"""docs/reference/api.md: a row for each call."""

from collections.abc import Sequence

from api_methods import Method

MARK = "<!-- From here on written by proto/generate.py. -->\n"


def page_text(found: str, methods: Sequence[Method]) -> str:
    """Return the page: what is found above the mark stays, the tables below it are new."""
    return found.partition(MARK)[0] + MARK + reference_text(methods)


def reference_text(methods: Sequence[Method]) -> str:
    groups: dict[str, list[Method]] = {}
    for method in methods:
        groups.setdefault(method.group, []).append(method)
    parts = []
    for group, members in groups.items():
        rows = "".join(reference_row(method) for method in members)
        parts.append(f"\n## {group}\n\n| call | answer | since | |\n|---|---|---|---|\n{rows}")
    return "".join(parts)


def reference_row(method: Method) -> str:
    declared = ", ".join(
        argument.name + (f"={argument.default}" if argument.default else "")
        for argument in method.arguments
    )
    absent = "**not on this host.** " if method.is_absent else ""
    text = absent + method.summary + (f" {method.notes}" if method.notes else "")
    shown = method.answer.replace("types.", "").replace("|", "or")
    return f"| `{method.name}({declared})` | `{shown}` | {method.since} | {text.replace('|', '/').replace('<', '&lt;')} |\n"
