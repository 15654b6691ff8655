"""An in-memory Mattermost behind the plugin's API: state goes in and comes out by calls and hooks."""

from mm_asgi.host.api.errors import AppError
from mm_asgi.host.api.journal import Call, Event, HookCall
from mm_asgi.host.api.mattermost import Mattermost
from mm_asgi.host.api.service import APIServer

__all__ = ["APIServer", "AppError", "Call", "Event", "HookCall", "Mattermost"]
