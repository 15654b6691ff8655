"""The table of roads: a letter, and how a test gets there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.go_host import go_missing_reason
from tests.roads.hosts import go_host, net_host, old_net_host, released_host, simulated_host
from tests.roads.http import HTTPRoad
from tests.roads.process.light_host import LightHost
from tests.roads.process.real_host import FlushlessHost, RealHost, ReleasedHost
from tests.roads.raw import RawRoad

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.roads.host_road import HostRoad
    from tests.roads.hosts import Plan, RunningHost

__all__ = ["LETTERS", "Letter", "ProcessHost"]

ProcessHost = type[LightHost] | type[RealHost]
GRPC = ("native", "grpcio")
NO_GO = go_missing_reason()


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A road.

    Attributes:
        host: for tests that take ``road``, makes the host that it leads through; None: there is
            none, and the plugin is in the test's own process.
        road: drives it, where there is a host.
        process: for tests that take ``host``, the class that they start a process with.
        wires: the plugin's wires, each of which is a road of its own; none: it has no choice.
        like: a letter whose tests all run here too, but for those that say ``but=`` of either.
        limits: letters whose ``but=`` counts here too, for it shares what they cannot show.
        full: it is of the full tier.
        nightly: it is of the nightly tier instead.
        missing: why it cannot be taken here; None: it can.
    """

    host: Callable[[Plan], RunningHost] | None = None
    road: type[HostRoad] | None = None
    process: ProcessHost | None = None
    wires: tuple[str, ...] = ()
    like: str = ""
    limits: str = ""
    full: bool = True
    nightly: bool = False
    missing: str | None = None

    def is_left_out(self, letter: str, but: str) -> bool:
        """Return whether a test that says ``but`` leaves this road out, whose letter is given."""
        return bool({letter, *self.limits} & set(but))

    def marks(self, tier: str = "full") -> list[pytest.MarkDecorator]:
        """The marks of a test on this road; ``tier`` as for ``on``."""
        if not self.full:
            return []
        if self.nightly and tier == "full":
            tier = "nightly"
        marks = [pytest.mark.skipif(bool(self.missing), reason=str(self.missing))]
        if tier:
            marks += [getattr(pytest.mark, tier), pytest.mark.timeout(120)]  # it may build the host
        return marks


LETTERS = {
    "m": Letter(full=False),
    "w": Letter(host=go_host, road=RawRoad, wires=GRPC, missing=NO_GO),
    "g": Letter(host=go_host, road=HTTPRoad, process=RealHost, wires=GRPC, missing=NO_GO),
    "s": Letter(host=simulated_host, road=HTTPRoad, wires=GRPC, like="g"),
    "n": Letter(host=net_host, road=HTTPRoad, process=ReleasedHost, like="g", missing=NO_GO),
    "o": Letter(
        host=old_net_host,
        road=HTTPRoad,
        process=FlushlessHost,
        like="n",
        nightly=True,
        missing=NO_GO,
    ),
    "r": Letter(host=released_host, road=HTTPRoad, like="n", limits="s"),
    "p": Letter(process=LightHost, full=False),
}
"""In the order of docs/behaviour.md, which says what each of them can show."""
