"""The roads of the contract's tests: one plugin behind several hosts, and one way to test it.

    @on("m", "w", "g", settings={"drain": 0.5})
    async def test_R14_...(road: Road) -> None:
        answer = await road.ask("hello")

docs/behaviour.md says what each letter stands for. A test names letters, the decorator makes
parameters of them, and the fixture ``road`` (tests/conftest.py) starts what is missing and drives it:

    on.py         the decorator
    letters.py    the table: letter -> driver, host, wires
    road.py       Road, Exchange, Answer: what a test can do and see anywhere
    memory.py     m, in the test's own process
    messages.py   what m and w share: a request as ServeHTTP's messages
    host_road.py  what w, g and s share: a host's log, its hooks, its end
    raw.py        w, raw messages; http.py: g and s, a browser
    hosts.py      the Go host and the simulated one behind one face, each started once
    process/      p, and g for tests that start a process themselves
    h2c.py        HTTP/2 for the few tests that need it

A further road is one new file and one letter. The file has a function that makes a host of a Plan
(a RunningHost, hosts.py) and, unless HTTPRoad is what drives it, a class of Road. The letter is one
row of LETTERS (letters.py); with ``like="g"`` each test of g runs there too. Then
``python -m tests.contract.rows`` writes it into docs/behaviour.md.
"""

from tests.roads.hosts import Plan
from tests.roads.http import HTTPExchange, HTTPRoad
from tests.roads.letters import LETTERS, ProcessHost
from tests.roads.line import Line, find
from tests.roads.memory import MemoryRoad, MemoryRPC
from tests.roads.messages import RPC, MessageRoad, Messages, build_init
from tests.roads.on import Each, on, spread, ways
from tests.roads.raw import RawRoad
from tests.roads.road import PLUGIN_ID, Answer, Exchange, Headers, HookOutcome, Road, Site

__all__ = [
    "LETTERS",
    "PLUGIN_ID",
    "RPC",
    "Answer",
    "Each",
    "Exchange",
    "HTTPExchange",
    "HTTPRoad",
    "Headers",
    "HookOutcome",
    "Line",
    "MemoryRPC",
    "MemoryRoad",
    "MessageRoad",
    "Messages",
    "Plan",
    "ProcessHost",
    "RawRoad",
    "Road",
    "Site",
    "build_init",
    "find",
    "on",
    "spread",
    "ways",
]
