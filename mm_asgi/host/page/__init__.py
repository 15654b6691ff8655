"""The host's page at ``/_mm/``: users, messages, hooks, calls and the log in a browser.

It is an ASGI app before the gateway, with files of its own. It knows the host's Mattermost, log and
gate, and nothing else of the host.
"""

from mm_asgi.host.page.app import Page

__all__ = ["Page"]
