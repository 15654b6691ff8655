"""The host's page: what a person sees of the simulated host in a browser, at ``/_mm/``.

An ASGI app before the gateway, with files of its own and no other way to the host than its
Mattermost, its log and its gate.
"""

from mm_asgi.host.page.app import Page

__all__ = ["Page"]
