"""The plugin's state on the page: four states, and the table of their transitions.

The gate tells the page only that something has changed, never why. What it can see there is
one of three things: a plugin is let in (OPENED), requests are held until a start is decided (HELD),
or requests are refused (REFUSED). A gate that holds means a first start as long as nothing was
decided, and a restart ever after, also after a start that failed. A restart that is still under way
stays one when the gate changes to holding again, as it does for each try.

Every pair of a state and a step stands in the table; all twelve can happen.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["TABLE", "GateStep", "PageState"]


class PageState(Enum):
    """The plugin's state as the page names it."""

    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"
    FAILED = "failed"


class GateStep(Enum):
    """The gate's condition after a change, as the page sees it."""

    OPENED = "a plugin is let in"
    HELD = "requests wait for a start"
    REFUSED = "requests are refused"


TABLE: dict[tuple[PageState, GateStep], PageState] = {
    (PageState.STARTING, GateStep.OPENED): PageState.RUNNING,
    (PageState.STARTING, GateStep.HELD): PageState.STARTING,
    (PageState.STARTING, GateStep.REFUSED): PageState.FAILED,
    (PageState.RUNNING, GateStep.OPENED): PageState.RUNNING,
    (PageState.RUNNING, GateStep.HELD): PageState.RESTARTING,
    (PageState.RUNNING, GateStep.REFUSED): PageState.FAILED,
    (PageState.RESTARTING, GateStep.OPENED): PageState.RUNNING,
    (PageState.RESTARTING, GateStep.HELD): PageState.RESTARTING,
    (PageState.RESTARTING, GateStep.REFUSED): PageState.FAILED,
    (PageState.FAILED, GateStep.OPENED): PageState.RUNNING,
    (PageState.FAILED, GateStep.HELD): PageState.RESTARTING,
    (PageState.FAILED, GateStep.REFUSED): PageState.FAILED,
}
