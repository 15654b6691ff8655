"""The parts of ``mm_asgi.contrib.django`` that need django.contrib.auth, and so its models."""
# mypy: allow-subclassing-any, allow-untyped-decorators

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.contrib.auth import BACKEND_SESSION_KEY, authenticate, backends, load_backend
from django.contrib.auth.models import AnonymousUser
from django.utils.decorators import sync_and_async_middleware
from django.utils.functional import SimpleLazyObject

from mm_asgi.api import API
from mm_asgi.contrib.common import user_id
from mm_asgi.errors import APIError
from mm_asgi.running import running_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

__all__ = ["RemoteUserBackend", "RemoteUserMiddleware"]

logger = logging.getLogger("mm_asgi.contrib")

NAME_TIMEOUT = 3.0  # s that the first request of a user waits for the name


class RemoteUserBackend(backends.RemoteUserBackend):
    """Makes a Django user of a Mattermost user at the first visit.

    Django's username is Mattermost's user id, which stays when the name changes. First and last
    name and the address are asked of the host's API once; without an answer they stay empty.
    """

    def configure_user(self, request: HttpRequest, user: Any, created: bool = True) -> Any:
        """Fill in a new user."""
        if not created:
            return user
        api = API(running_source(), timeout=NAME_TIMEOUT)
        try:
            known = api.get_user(user_id=user.get_username())
        except APIError as exc:
            logger.info("the name of a new Django user: %s", exc)
        else:
            user.first_name, user.last_name = known.first_name, known.last_name
            user.email = known.email
        user.set_unusable_password()
        user.save()
        return user


@sync_and_async_middleware
def RemoteUserMiddleware(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """``request.user`` and ``request.auser()`` of the user that the host vouches for.

    For each request anew, without a session: Django's own middleware would end the session of a
    request that lost its user. Nothing is looked up before the user is asked for. Who has logged in
    to Django itself, as to the admin with a password, stays that user.
    """

    def prepare(request: Any) -> None:
        own = getattr(request, "user", None)  # AuthenticationMiddleware's, as lazy

        def found() -> Any:
            return _user(request, own)

        def evaluated() -> Any:
            _ = request.user.is_authenticated  # the query, in this thread
            return request.user

        request.user = SimpleLazyObject(found)
        request.auser = sync_to_async(evaluated)

    if iscoroutinefunction(get_response):

        async def async_middleware(request: Any) -> Any:
            prepare(request)
            return await get_response(request)

        return markcoroutinefunction(async_middleware)

    def middleware(request: Any) -> Any:
        prepare(request)
        return get_response(request)

    return middleware


def _user(request: Any, own: Any) -> Any:
    if own is not None and own.is_authenticated and not _is_of_host(request):
        return own
    found = user_id(request)
    return (found and authenticate(request, remote_user=found)) or AnonymousUser()


def _is_of_host(request: Any) -> bool:
    """Return whether login() kept the host's user of another request, maybe of another user's."""
    path = getattr(request, "session", {}).get(BACKEND_SESSION_KEY)
    return path is not None and isinstance(load_backend(path), backends.RemoteUserBackend)
