"""A plugin that judges or changes a file, and tells how much memory it has had."""

from __future__ import annotations

import hashlib
import resource
from typing import TYPE_CHECKING

from mm_asgi import Plugin, Reject
from tests.contract.apps import catalog

if TYPE_CHECKING:
    from mm_asgi import types
    from mm_asgi.requester import Identity

plugin = Plugin(catalog.app)


@plugin.hook
def file_will_be_uploaded(
    context: Identity, file_info: types.FileInfo, file_content: bytes
) -> bytes:
    if file_info.name == "change":
        return file_content[::-1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    raise Reject(f"{len(file_content)} {hashlib.sha256(file_content).hexdigest()} {peak}")
