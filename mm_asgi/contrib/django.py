"""Django: Mattermost's user as ``request.user``, its CSRF rule in place of the Referer, the API.

    MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "mm_asgi.contrib.django.CsrfViewMiddleware",  # for django.middleware.csrf's
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "mm_asgi.contrib.django.RemoteUserMiddleware",
    ]
    AUTHENTICATION_BACKENDS = [
        "django.contrib.auth.backends.ModelBackend",
        "mm_asgi.contrib.django.RemoteUserBackend",
    ]

No header is believed: the user is in the scope, which only the host's bridge fills. So under another
server, where a client could send a ``Mattermost-User-Id`` of its own, everybody is anonymous.
"""
# mypy: allow-subclassing-any

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import DisallowedHost
from django.middleware import csrf

from mm_asgi.contrib.common import api, blocking_api, user_id

if TYPE_CHECKING:
    from mm_asgi.contrib.remote_user import RemoteUserBackend, RemoteUserMiddleware

__all__ = [
    "CsrfViewMiddleware",
    "RemoteUserBackend",
    "RemoteUserMiddleware",
    "api",
    "blocking_api",
    "user_id",
]


if not TYPE_CHECKING:  # to a type checker it would make every name right

    def __getattr__(name: str) -> Any:
        # Lazy: a site without django.contrib.auth has the rest.
        if name not in ("RemoteUserBackend", "RemoteUserMiddleware"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from mm_asgi.contrib import remote_user

        return getattr(remote_user, name)


def __dir__() -> list[str]:
    return sorted(__all__)


class CsrfViewMiddleware(csrf.CsrfViewMiddleware):
    """Django's, for a host that takes the Referer away.

    Over https Django wants an Origin or a Referer. Browsers send an Origin with each POST; what
    comes without one passes here if the host left its user, which it does only after its own check
    of a token that no other site knows. Django's own token is wanted as ever.
    """

    def process_view(self, request: Any, *view: Any) -> Any:
        """Check a request before its view, see Django."""
        has_origin = request.META.keys() & {"HTTP_ORIGIN", "HTTP_REFERER"}
        if has_origin or user_id(request) is None:
            return super().process_view(request, *view)
        try:
            site = request.get_host()
        except DisallowedHost:  # for Django to judge, which does not need it for a GET
            return super().process_view(request, *view)
        request.META["HTTP_REFERER"] = f"https://{site}/"
        try:
            return super().process_view(request, *view)
        finally:
            del request.META["HTTP_REFERER"]
