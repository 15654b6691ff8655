"""The identity behind a request: facts that the host sets and a client cannot.

The host removes any ``Mattermost-User-Id`` and ``Mattermost-Plugin-ID`` that a client sends and
sets its own; these facts are what is left after that. A request without a user is anonymous: not
logged in, or a cookie request that the host's CSRF rule made anonymous.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SERVER_PLUGIN_ID", "Identity", "identity"]

SERVER_PLUGIN_ID = "com.mattermost.server"
"""``source_plugin_id`` of a request that the Mattermost server itself makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The facts of one request, from ``scope["extensions"]["mattermost"]``.

    Attributes:
        plugin_id: the id that the host runs this plugin under.
        user_id: the logged-in Mattermost user, or None for an anonymous request.
        session_id: the user's session; empty when there is none.
        request_id: the host's id of this request, also in its log.
        ip_address: the client's address as the host sees it, behind its proxies.
        user_agent: the client's User-Agent.
        accept_language: the client's Accept-Language.
        source_plugin_id: the plugin that sent an inter-plugin request (SERVER_PLUGIN_ID for
            the server itself), or None for a request from outside.
    """

    plugin_id: str = ""
    user_id: str | None = None
    session_id: str = ""
    request_id: str = ""
    ip_address: str = ""
    user_agent: str = ""
    accept_language: str = ""
    source_plugin_id: str | None = None

    @classmethod
    def of_hook(cls, plugin_id: str, context: Any | None) -> Identity:
        """Return the facts of a hook's ``plugin_context``; it names no user, and some hooks have none."""
        if context is None:
            return cls(plugin_id=plugin_id)
        return cls(
            plugin_id=plugin_id,
            session_id=context.session_id,
            request_id=context.request_id,
            ip_address=context.ip_address,
            user_agent=context.user_agent,
            accept_language=context.accept_language,
        )

    @property
    def is_anonymous(self) -> bool:
        """Whether the request has no user that the host vouches for."""
        return self.user_id is None


def identity(scope: Mapping[str, Any]) -> Identity:
    """Return the identity of the request that ``scope`` describes.

    Args:
        scope: an ASGI http scope as this package makes it, or one that
            ``mm_asgi.testing.as_user`` filled.

    Raises:
        LookupError: the scope has no Mattermost facts: the app runs outside a plugin.
    """
    facts = (scope.get("extensions") or {}).get("mattermost")
    if facts is None:
        raise LookupError(
            'identity: the scope has no extensions["mattermost"]: this request did not come'
            " through a Mattermost host; in tests wrap the app in mm_asgi.testing.as_user()"
        )
    return Identity(**facts)
