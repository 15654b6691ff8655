"""The raw app as a plugin with one hook, which does nothing."""

from mm_asgi import Plugin
from tests.benchmarks.apps import raw

plugin = Plugin(raw.app)


@plugin.hook
async def message_has_been_posted(context: object, post: object) -> None:
    return None
