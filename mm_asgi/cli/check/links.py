"""The links of a page that leave the plugin: a browser would ask Mattermost itself for them."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["leaving", "links_of"]

_LINKS: Final = {
    "a": "href", "link": "href", "script": "src", "img": "src", "form": "action", "iframe": "src",
    "source": "src", "video": "src", "audio": "src",
}  # fmt: skip

MATTERMOSTS: Final = ("/api/v4/", "/plugins/", "/_redirect/", "/login", "/static/emoji/")
"""Paths that a page links to because they are Mattermost's."""

_LONGEST: Final = 120


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, None] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        wanted = _LINKS.get(tag)
        for name, value in attrs:
            if name == wanted and value:
                self.found[value.strip()] = None


def links_of(page: str) -> list[str]:
    """Return what an HTML page links to, loads or posts to, each once, in order."""
    parser = _Links()
    parser.feed(page)
    return list(parser.found)


def leaving(links: Iterable[str], prefix: str) -> list[str]:
    """Return those that begin with ``/`` and are neither below the prefix nor known as Mattermost's."""
    return [
        link[:_LONGEST]
        for link in links
        if link.startswith("/")
        and not link.startswith("//")
        and not f"{urlsplit(link).path}/".startswith(f"{prefix}/")
        and not link.startswith(MATTERMOSTS)
    ]
