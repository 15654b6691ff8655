"""The raw app as a plugin with one hook, which does nothing."""

from mm_asgi import Plugin
from tests.benchmarks.apps import raw

plugin = Plugin(raw.app)


@plugin.hook
async def on_configuration_change(context: object) -> None:
    return None
