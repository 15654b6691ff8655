"""Write the API client, mm_asgi/types.py and the reference of the calls from the descriptors.

    python proto/generate_api.py          write the files
    python proto/generate_api.py --check  change nothing; name what differs and exit 1

The calls and their messages are those of mm_asgi/protocol (which proto/generate.py writes), where
errors come back and what the host does with a call is said in tables/api.tsv, words and
defaults in api.toml beside this file. Both faces come from one template.
"""

import argparse
import csv
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from google.protobuf.descriptor import Descriptor, FieldDescriptor  # noqa: E402

from mm_asgi.api.calls import LEFT_UNSET, MAY_BE_UNSET, answer_fields  # noqa: E402
from mm_asgi.protocol import api_pb2  # noqa: E402

TEXTS = ROOT / "proto" / "api.toml"
TABLE = ROOT / "proto" / "tables" / "api.tsv"
WIDTH = 100
# Types that users meet live in all files but these.
PRIVATE_FILES = (
    "empty_pb2",
    "goplugin_pb2",
    "health_pb2",
    "hooks_http_pb2",
    "hooks_http_read_pb2",
    "wrappers_pb2",
)
PREPOSITIONS = ("by", "for", "in", "from", "to", "with")
# The client sends every message field: what the host does without one is of no interest.
UNSET = re.compile(r"unset(?: is not checked| is passed as nil|: INVALID_ARGUMENT)")
MARK = "<!-- From here on written by proto/generate_api.py. -->\n"

SCALARS = {
    FieldDescriptor.CPPTYPE_STRING: "str", FieldDescriptor.CPPTYPE_BOOL: "bool",
    FieldDescriptor.CPPTYPE_INT32: "int", FieldDescriptor.CPPTYPE_INT64: "int",
    FieldDescriptor.CPPTYPE_DOUBLE: "float", FieldDescriptor.CPPTYPE_FLOAT: "float",
}  # fmt: skip

# What a call may raise, by the `errors` column: sentence, whether the host has the call at all.
BY_CODE = "the subclass follows the HTTP code of the host's error."
ERRORS = {
    "grpc-status: AppError mapped by its HTTP code": f"APIError: {BY_CODE}",
    "grpc-status: AppError mapped by its HTTP code, any other Go error INTERNAL": (
        f"APIError: {BY_CODE} Internal for what is no AppError there."
    ),
    "response field error (AppError), grpc status OK": (
        f"APIError: {BY_CODE} It has all fields of that error."
    ),
    "none: handler never fails, field error never set": (
        "APIError: only when no answer came (Unavailable); the host reports no failure of this call."
    ),
    "grpc-status: INTERNAL on any error": "Internal: whatever fails in the host.",
    "grpc-status: INTERNAL only if JSON encoding fails": "Internal: the host cannot encode it.",
    "grpc-status: INTERNAL only if the map does not fit a Struct": (
        "Internal: a value is of a kind that a Struct cannot hold."
    ),
    "grpc-status: INVALID_ARGUMENT or INTERNAL; HTTP failures are status_code in the response": (
        "InvalidArgument: bad method or url. Internal: the server gave no response. HTTP's own "
        "failures are the answer's status_code."
    ),
    "grpc-status: UNIMPLEMENTED always (stub handler)": "Unimplemented: always; this host does not have the call.",
    "grpc-status: UNIMPLEMENTED always (no handler)": "Unimplemented: always; this host does not have the call.",
}


class GenerateError(Exception):
    """A sentence for the person who started the generator."""


@dataclass(frozen=True)
class Argument:
    name: str
    annotation: str
    default: str | None
    text: str

    @property
    def declaration(self) -> str:
        return f"{self.name}: {self.annotation}" + (f" = {self.default}" if self.default else "")


@dataclass(frozen=True)
class Method:
    rpc: str
    name: str
    group: str
    file: str
    summary: str
    arguments: tuple[Argument, ...]
    answer: str
    error: str
    errors_column: str
    notes: str


@dataclass(frozen=True)
class Face:
    """What differs between the two classes."""

    file: str
    name: str
    base: str
    title: str
    define: str
    call: str


FACES = (
    Face("mm_asgi/api/aio.py", "AsyncAPI", "AsyncClient", "coroutines", "async def", "await self._call"),
    Face("mm_asgi/api/sync.py", "API", "BlockingClient", "blocking, for threads", "def", "self._call"),
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the API client from the descriptors.")
    parser.add_argument("--check", action="store_true", help="compare only, exit 1 on a difference")
    parser.add_argument("--root", type=Path, default=ROOT, help="another tree to write or compare")
    options = parser.parse_args(argv)
    try:
        fresh = generate(options.root)
    except GenerateError as error:
        say(f"generate_api: {error}")
        return 2
    different = [
        name
        for name, text in fresh.items()
        if not (path := options.root / name).exists() or path.read_text() != text
    ]
    for name in different:
        say(f"differs: {name}")
        if not options.check:
            (options.root / name).write_text(fresh[name])
    if different and options.check:
        say("generate_api: not what the descriptors say; run python proto/generate_api.py")
        return 1
    return 0


def say(line: str) -> None:
    sys.stderr.write(line + "\n")


def generate(root: Path) -> dict[str, str]:
    """Every file by its path."""
    methods = list(read_methods())
    page = root / "docs" / "reference" / "api.md"
    head = page.read_text().partition(MARK)[0] if page.exists() else "# The API's calls\n\n"
    return {
        **{face.file: face_text(face, methods) for face in FACES},
        "mm_asgi/types.py": types_text(),
        "docs/reference/api.md": head + MARK + reference_text(methods),
    }


# -------------------------------------------------------------------- reading


def read_methods() -> Iterator[Method]:
    """The calls in the order of the service."""
    texts = tomllib.loads(TEXTS.read_text())
    with TABLE.open(newline="") as file:
        rows = {
            row["rpc"]: row for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        }
    service = api_pb2.DESCRIPTOR.services_by_name["PluginAPI"]
    if rows.keys() != set(service.methods_by_name):
        raise GenerateError(f"{TABLE.name} and the service have different calls")
    unknown = (
        texts["summaries"].keys() | calls_in(texts["defaults"]) | calls_in(texts["fields"])
    ) - rows.keys()
    if unknown:
        raise GenerateError(f"{TEXTS.name} knows calls that do not exist: {sorted(unknown)}")
    for rpc in service.methods:
        row = rows[rpc.name]
        if row["errors"] not in ERRORS:
            raise GenerateError(f"{rpc.name}: no words for its errors: {row['errors']}")
        yield Method(
            rpc=rpc.name,
            name=snake(rpc.name),
            group=row["group"],
            file=Path(rpc.input_type.file.name).stem,
            summary=texts["summaries"].get(rpc.name) or words(rpc.name),
            arguments=tuple(arguments(rpc.name, rpc.input_type, texts)),
            answer=answer(rpc.name, rpc.output_type),
            error=ERRORS[row["errors"]],
            errors_column=row["errors"],
            notes=notes(row["notes"]),
        )


def calls_in(table: dict[str, Any]) -> set[str]:
    return {name for name, value in table.items() if isinstance(value, dict)}


def snake(name: str) -> str:
    """KVSet is kv_set, GetLDAPUserAttributes get_ldap_user_attributes, CreateOAuthApp create_o_auth_app."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def words(name: str) -> str:
    """GetUserByEmail is "Get the user by email.", CreateTeam "Create a team."."""
    verb, *rest = snake(name).replace("o_auth", "OAuth").replace("ldap", "LDAP").split("_")
    phrases: list[list[str]] = [[]]
    for word in rest:
        phrases.append([word]) if word in PREPOSITIONS else phrases[-1].append(word)
    told = [verb.capitalize(), article(verb, phrases[0]), *phrases[0]]
    for preposition, *noun in phrases[1:]:
        told += [preposition, "" if preposition == "by" else "the", *noun]
    return " ".join(filter(None, told)) + "."


def article(verb: str, noun: Sequence[str]) -> str:
    if not noun or noun[0] in PREPOSITIONS:
        return ""
    if verb not in ("create", "upsert", "add", "register"):
        return "the"
    if noun[-1].endswith("s"):
        return ""
    return "an" if noun[0][0] in "aeioAEIO" else "a"


def notes(text: str) -> str:
    """What the table says of a call, without what the client takes care of."""
    clauses = [clause for clause in text.split("; ") if not UNSET.search(clause)]
    told = "; ".join(clauses).rstrip(".")
    return "" if told == "-" or not told else f"The host: {told}."


def arguments(rpc: str, request: Descriptor, texts: dict[str, Any]) -> Iterator[Argument]:
    for field in request.fields:
        default = value_of(texts["defaults"], rpc, field.name)
        if default is None and field.type == field.TYPE_BOOL and not field.is_repeated:
            default = False
        is_message = bool(field.message_type) and not field.is_repeated
        text = value_of(texts["fields"], rpc, field.name)
        if text is None:
            raise GenerateError(f"{rpc}.{field.name}: no words in {TEXTS.name}")
        annotation = annotated(field)
        if default == "None":
            annotation += " | None"
        if field.name in LEFT_UNSET and default != "None":
            raise GenerateError(f"{rpc}.{field.name}: left unset, so its default has to be None")
        yield Argument(field.name, annotation, literal(default, is_message), text)


def value_of(table: dict[str, Any], rpc: str, field: str) -> Any:
    own = table.get(rpc, {})
    return own[field] if field in own else table.get(field)


def literal(default: object, is_message: bool) -> str | None:
    if default is None or default == "required":
        return None
    if isinstance(default, str) and default in ("None", "()", 'b""'):
        return default
    if is_message:
        raise GenerateError(f"a message's default is None, not {default!r}")
    return '""' if default == "" else repr(default)


def annotated(field: FieldDescriptor) -> str:
    """What a caller may give for a field: protobuf's constructor takes it as it is."""
    if is_map(field):
        return f"Mapping[str, {map_value(field)}]"
    if field.is_repeated:
        return f"Iterable[{single(field)}]"
    if field.message_type and field.message_type.full_name == "google.protobuf.Struct":
        return "types.Struct | Mapping[str, Any]"
    return single(field)


def answer(rpc: str, response: Descriptor) -> str:
    fields = answer_fields(response)
    if not fields:
        return "None"
    if len(fields) > 1:
        return f"types.{response.name}"
    [field] = fields
    if is_map(field):
        return f"dict[str, {map_value(field)}]"
    if field.is_repeated:
        return f"list[{single(field)}]"
    return single(field) + (" | None" if rpc in MAY_BE_UNSET else "")


def single(field: FieldDescriptor) -> str:
    if field.message_type:
        return f"types.{field.message_type.name}"
    if field.enum_type:
        return f"types.{field.enum_type.name}.ValueType"
    if field.type == field.TYPE_BYTES:
        return "bytes"
    return SCALARS[field.cpp_type]


def is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def map_value(field: FieldDescriptor) -> str:
    assert field.message_type is not None
    return single(field.message_type.fields_by_name["value"])


# -------------------------------------------------------------------- the two faces


def face_text(face: Face, methods: Sequence[Method]) -> str:
    body = "\n".join(method_text(face, method) for method in methods)
    return f'''"""{face.name}: the PluginAPI's {len(methods)} calls, {face.title}.

Generated by proto/generate_api.py from the descriptors. Do not edit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mm_asgi import types
from mm_asgi.api.client import {face.base}

__all__ = ["{face.name}"]


class {face.name}({face.base}):
    """The host's PluginAPI, {face.title}; {face.base} says what it is made with."""

{body}'''


def method_text(face: Face, method: Method) -> str:
    head = f"    {face.define} {method.name}("
    declared = [argument.declaration for argument in method.arguments]
    text = fitted(head, ["self", *(["*", *declared] if declared else [])], f") -> {method.answer}:")
    text += docstring(method)
    passed = [
        f'"{method.file}"',
        f'"{method.rpc}"',
        *(f"{a.name}={a.name}" for a in method.arguments),
    ]
    if method.answer == "None":
        return text + fitted(f"        {face.call}(", passed, ")")
    text += fitted(f"        answer: {method.answer} = {face.call}(", passed, ")")
    return text + "        return answer\n"


def fitted(head: str, items: Sequence[str], tail: str) -> str:
    """A call or signature on one line, on three, or with a line for each item."""
    line = head + ", ".join(items) + tail
    if len(line) <= WIDTH:
        return line + "\n"
    indent = " " * (len(head) - len(head.lstrip()))
    inner = f"{indent}    {', '.join(items)}"
    if len(inner) <= WIDTH:
        return f"{head}\n{inner}\n{indent}{tail}\n"
    return head + "\n" + "".join(f"{indent}    {item},\n" for item in items) + f"{indent}{tail}\n"


def docstring(method: Method) -> str:
    blocks = [paragraph(method.summary, first='"""')]
    if method.notes:
        blocks.append(paragraph(method.notes))
    if method.arguments:
        lines = [paragraph(f"{a.name}: {a.text}.", "    ", hang="    ") for a in method.arguments]
        blocks.append("        Args:\n" + "".join(lines))
    blocks.append("        Raises:\n" + paragraph(method.error, "    ", hang="    "))
    blocks.append(f"        Source: PluginAPI.{method.rpc}, group {method.group}.\n")
    return "\n".join(blocks) + '        """\n'


def paragraph(text: str, indent: str = "", *, first: str = "", hang: str = "") -> str:
    start = "        " + indent
    wrapped = textwrap.wrap(
        first + text, WIDTH, initial_indent=start, subsequent_indent=start + hang,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return "\n".join(wrapped) + "\n"


# -------------------------------------------------------------------- types.py


def types_text() -> str:
    homes = type_homes()
    imports = "".join(import_text(module, sorted(names)) for module, names in sorted(homes.items()))
    listed = "".join(
        f'    "{name}",\n' for name in sorted(n for names in homes.values() for n in names)
    )
    table = "".join(
        f'    "{module}": (\n'
        + "".join(f'        "{name}",\n' for name in sorted(names))
        + "    ),\n"
        for module, names in sorted(homes.items())
    )
    return f'''"""The messages of hooks and API calls by name, each loaded on first use.

Generated by proto/generate_api.py from the descriptors. Do not edit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
{imports}
__all__ = [
{listed}]

_HOMES = {{
{table}}}

if not TYPE_CHECKING:  # to a type checker it would make every name right

    def __getattr__(name: str) -> Any:
        import importlib

        for module, names in _HOMES.items():
            if name in names:
                value = getattr(importlib.import_module(f"mm_asgi.protocol.{{module}}"), name)
                globals()[name] = value
                return value
        raise AttributeError(f"module {{__name__!r}} has no attribute {{name!r}}")


def __dir__() -> list[str]:
    return sorted(__all__)
'''


def import_text(module: str, names: Sequence[str]) -> str:
    line = f"    from mm_asgi.protocol.{module} import {', '.join(names)}\n"
    if len(line) <= WIDTH + 1:
        return line
    listed = "".join(f"        {name},\n" for name in names)
    return f"    from mm_asgi.protocol.{module} import (\n{listed}    )\n"


def type_homes() -> dict[str, set[str]]:
    """Messages and enums by module: what calls and hooks carry, not the envelopes."""
    modules = [
        import_module(f"mm_asgi.protocol.{path.stem}")
        for path in sorted((ROOT / "mm_asgi" / "protocol").glob("*_pb2.py"))
    ]
    rpcs = [
        m for mod in modules for s in mod.DESCRIPTOR.services_by_name.values() for m in s.methods
    ]
    envelopes = {d.name for rpc in rpcs for d in (rpc.input_type, rpc.output_type)}
    calls = api_pb2.DESCRIPTOR.services_by_name["PluginAPI"].methods
    envelopes -= {c.output_type.name for c in calls if len(answer_fields(c.output_type)) > 1}
    envelopes.add("Empty")
    homes = {}
    for module in modules:
        stem = module.__name__.rpartition(".")[2]
        names = {*module.DESCRIPTOR.message_types_by_name, *module.DESCRIPTOR.enum_types_by_name}
        if stem not in PRIVATE_FILES and names - envelopes:
            homes[stem] = names - envelopes
    return homes


# -------------------------------------------------------------------- the reference


def reference_text(methods: Sequence[Method]) -> str:
    groups: dict[str, list[Method]] = {}
    for method in methods:
        groups.setdefault(method.group, []).append(method)
    parts = []
    for group, members in groups.items():
        rows = "".join(reference_row(method) for method in members)
        parts.append(f"\n## {group}\n\n| call | answer | |\n|---|---|---|\n{rows}")
    return "".join(parts)


def reference_row(method: Method) -> str:
    declared = ", ".join(
        argument.name + (f"={argument.default}" if argument.default else "")
        for argument in method.arguments
    )
    absent = "**not on this host.** " if "UNIMPLEMENTED always" in method.errors_column else ""
    text = absent + method.summary + (f" {method.notes}" if method.notes else "")
    shown = method.answer.replace("types.", "").replace("|", "or")
    return f"| `{method.name}({declared})` | `{shown}` | {text.replace('|', '/').replace('<', '&lt;')} |\n"


if __name__ == "__main__":
    sys.exit(main())
