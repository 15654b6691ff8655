"""The docs against the code: settings, names, hooks, links."""

import re
from pathlib import Path

import pytest

import mm_asgi
from mm_asgi import errors, servicer, testing
from mm_asgi.protocol import hooks_pb2
from mm_asgi.settings import TABLE, Setting

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "decisions" not in page.parts)
FENCE = re.compile(r"^```(\w+)(?: title=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def _default(row: Setting) -> str:
    if row.unset:
        return row.unset
    if isinstance(row.default, bool):
        return "on" if row.default else "off"
    if isinstance(row.default, float):
        return f"{row.default:g}"
    if row.default == "":
        return "the working directory" if row.path else "-"
    return "none" if row.default is None else str(row.default)


def _values(row: Setting) -> str:
    if row.choices:
        return ", ".join(row.choices)
    return "on, off" if row.kind is bool else row.unit or row.path or "text"


def test_the_settings_table_is_the_settings() -> None:
    lines = (REFERENCE / "settings.md").read_text().splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("| setting |"))
    cells = [[cell.strip() for cell in line.split(" | ")] for line in lines[start + 2 :] if line]
    written = [(name.strip("|` "), default, values) for name, default, values, _ in cells]
    assert written == [(row.key, _default(row), _values(row)) for row in TABLE]


@pytest.mark.parametrize("module", [mm_asgi, testing, servicer, errors])
def test_the_reference_has_every_public_name(module: object) -> None:
    text = (REFERENCE / "index.md").read_text()
    names: list[str] = module.__all__  # type: ignore[attr-defined]
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []


def test_the_tree_of_errors_is_the_modules() -> None:
    assert errors.__doc__ is not None
    tree = errors.__doc__.partition("\n\n")[2].partition("\n\n")[0]
    assert tree in (REFERENCE / "index.md").read_text()


def test_the_protocol_has_every_hook() -> None:
    text = (DOCS / "protocol.md").read_text()
    hooks = hooks_pb2.DESCRIPTOR.services_by_name["PluginHooks"].methods_by_name
    assert len(hooks) > 40
    assert [hook for hook in hooks if not re.search(rf"\b{hook}\b", text)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        found = (page.parent / target).resolve() if target else page
        assert found.exists(), link
        if anchor:
            assert anchor in _anchors(found), link


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_python_in_the_docs_is_python(page: Path) -> None:
    for language, _, code in FENCE.findall(page.read_text()):
        if language == "python":
            # Not run: a snippet need not bring its imports.
            compile(code, page.name, "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_each_table_has_its_head(page: Path) -> None:
    # A blank line inside a table leaves the rest of it as plain text.
    text = FENCE.sub("", page.read_text())
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert [rows for rows in tables if not re.match(r".*\n\|[-:| ]+\|\n", rows)] == []
