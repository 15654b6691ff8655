"""The hooks that a plugin may register, as a table: the function's name is the key.

Only the three lifecycle hooks are here so far: they belong to the life of the process.
"""

from __future__ import annotations

from dataclasses import dataclass

from mm_asgi.errors import ConfigError

__all__ = ["HOOKS", "LIFECYCLE", "Hook", "find_hook"]


@dataclass(frozen=True, slots=True)
class Hook:
    """One hook of the host.

    Attributes:
        rpc: its name on the wire and in Implemented's answer.
        name: the name of the function that a plugin registers.
    """

    rpc: str
    name: str


LIFECYCLE = (
    Hook("OnActivate", "on_activate"),
    Hook("OnDeactivate", "on_deactivate"),
    Hook("OnConfigurationChange", "on_configuration_change"),
)
"""Listed in Implemented always (row H1): the runtime itself answers them."""

HOOKS = {hook.name: hook for hook in LIFECYCLE}


def find_hook(name: str) -> Hook:
    """The hook that a function of this name handles.

    Raises:
        ConfigError: there is no such hook.
    """
    try:
        return HOOKS[name]
    except KeyError:
        known = ", ".join(sorted(HOOKS))
        raise ConfigError(
            f"hook {name!r}: the host has no hook of this name that a plugin can register;"
            f" known are {known}; name the function after the hook"
        ) from None
