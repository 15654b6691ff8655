"""What ``@on`` makes of letters: parameters, marks, and a road that is new in the table."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract import rows
from tests.roads import LETTERS, Each, Plan, Road, Site, on, spread, ways
from tests.roads.hosts import go_host
from tests.roads.http import HTTPRoad
from tests.roads.letters import Letter

if TYPE_CHECKING:
    from tests.roads import ProcessHost
    from tests.roads.on import Way


def marks(test: Any, name: str) -> list[pytest.Mark]:
    """The marks of that name which ``@on`` has put on a function."""
    return [mark for mark in getattr(test, "pytestmark", []) if mark.name == name]


def parameters(test: Any) -> dict[Any, Any]:
    """The parameters of its ``road`` or ``host``, by id."""
    (mark,) = marks(test, "parametrize")
    return {param.id: param for param in mark.args[1]}


def taking_road() -> Any:
    """A test that takes a road."""

    async def test(road: Road) -> None:
        pass

    return test


def taking_host() -> Any:
    """A test that starts a process."""

    def test(host: ProcessHost) -> None:
        pass

    return test


def taking_nothing() -> Any:
    """A test that does all itself."""

    def test() -> None:
        pass

    return test


def test_a_test_that_takes_a_road_runs_on_each_wire_of_it_and_of_those_like_it() -> None:
    found = parameters(on("m", "g")(taking_road()))
    assert list(found) == ["m", "g-native", "g-grpcio", "s-native", "s-grpcio", "n", "o", "r"]
    way: Way = found["s-grpcio"].values[0]
    assert (way.letter, way.plan, way.alone) == ("s", Plan(wire="grpcio"), False)
    assert [mark.name for mark in found["m"].marks] == []
    assert "full" in [mark.name for mark in found["s-native"].marks]


def test_what_a_test_says_of_its_plugin_is_in_its_plans() -> None:
    settings = {"loop": Each(("asyncio", "uvloop")), "drain": 0.5}
    site = Site(subpath="")
    found = list(ways("w", settings=settings, site=site, plugin="a:b", one_wire=True, alone=True))
    assert [param.id for param in found] == ["w-native-asyncio", "w-native-uvloop"]
    way: Any = found[1].values[0]
    plan = Plan("a:b", (("drain", 0.5), ("loop", "uvloop")), site, "native")
    assert (way.plan, way.alone) == (plan, True)
    assert plan.environ()["MM_ASGI_LOOP"] == "uvloop"
    assert plan.environ()["PLUGIN_TARGET"] == "a:b"


def test_a_test_that_starts_a_process_gets_the_class_for_it() -> None:
    found = parameters(on("p", "g")(taking_host()))
    assert [param.values[0] for param in found.values()] == [
        LETTERS["p"].process,
        LETTERS["g"].process,
    ]


def test_any_other_is_only_marked() -> None:
    test = on("g", tier="nightly")(taking_nothing())
    assert marks(test, "parametrize") == marks(test, "full") == []
    assert len(marks(test, "nightly")) == 1
    with pytest.raises(AssertionError, match="takes no road"):
        on("m", settings={"drain": 1})(taking_nothing())


def test_a_letter_that_is_unknown_is_refused() -> None:
    with pytest.raises(AssertionError, match="x"):
        spread("x")


def test_what_is_like_a_road_that_is_left_out_is_left_out_with_it() -> None:
    assert spread("g", but="n") == ["g", "s"]
    assert spread("g", but="o") == ["g", "s", "n", "r"]
    assert spread("n") == ["n", "o", "r"]
    # A road that shares what another cannot show is left out with that one too.
    assert spread("g", but="s") == ["g", "n", "o"]


def test_a_new_road_is_one_row_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LETTERS, "n", Letter(host=go_host, road=HTTPRoad, like="g"))
    assert list(parameters(on("m", "g", one_wire=True)(taking_road()))) == [
        "m",
        "g-native",
        "s-native",
        "n",
        "o",
        "r",
    ]
    assert spread("g", but="sn") == ["g"]
    (test,) = ast.parse('@on("m", "g", but="s")\nasync def test_S1_a(road: Road) -> None: ...').body
    assert isinstance(test, ast.AsyncFunctionDef)
    assert rows.roads_of(test) == ["m", "g", "n", "o"]
