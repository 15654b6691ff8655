"""Recognizes a request that lost its user to Mattermost's CSRF rule, to say so once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LOST_USER", "lost_its_user"]

# The session's own cookie, MMAUTHTOKEN, does not leave the host; these two do.
_COOKIES = (b"MMCSRF=", b"MMUSERID=")

LOST_USER = (
    "a %s by cookie came without its user, and with%s X-CSRF-Token: Mattermost makes a request"
    " anonymous that has a session's cookie, is no GET and lacks a valid token (or whose session"
    " has ended); send the value of the cookie MMCSRF as the header X-CSRF-Token, see"
    " docs/how-to/csrf.md; said once"
)


def lost_its_user(scope: Mapping[str, Any]) -> tuple[str, str] | None:
    """The method, and "" or "out", for LOST_USER; None for a request of nobody who logged in.

    Args:
        scope: of an anonymous request that is not a GET.
    """
    names = set()
    has_session = False
    for name, value in scope["headers"]:
        names.add(name)
        if name == b"cookie":
            pairs = [pair.lstrip() for pair in value.split(b";")]
            has_session |= any(pair.startswith(_COOKIES) for pair in pairs)
    if not has_session or scope["extensions"]["mattermost"]["source_plugin_id"]:
        return None
    return scope["method"], "" if b"x-csrf-token" in names else "out"
