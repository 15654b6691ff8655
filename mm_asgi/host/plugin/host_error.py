"""The error of a plugin that does not start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mm_asgi.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["HostError"]


class HostError(StartupError):
    """The plugin's process could not be started, or did not become active.

    Attributes:
        stage: the step that failed: ``start`` (up to the handshake), ``health``, ``implemented`` or
            ``activate``.
        error: the error that a Mattermost admin would see.
        stderr: the last lines that the process wrote to stderr, tracebacks included.
    """

    def __init__(self, stage: str, error: str, stderr: Sequence[str] = ()) -> None:
        super().__init__(f"plugin: it failed at {stage}: {error or 'it gave no reason'}")
        self.stage = stage
        self.error = error
        self.stderr = tuple(stderr)
