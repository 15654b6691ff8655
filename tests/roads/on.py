"""``@on("m", "g")``: the roads of a test."""

from __future__ import annotations

import inspect
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from tests.roads.hosts import Plan
from tests.roads.letters import LETTERS
from tests.roads.road import APP, Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from _pytest.mark.structures import ParameterSet

__all__ = ["Each", "Way", "on", "spread", "ways"]

Test = TypeVar("Test", bound="Callable[..., Any]")


class Each(tuple[object, ...]):
    """Values of one setting: the road is taken once for each."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Way:
    """One road to one plugin: what the fixture ``road`` is asked for.

    Attributes:
        alone: the plugin is the test's own, which it may stop.
    """

    letter: str
    plan: Plan
    alone: bool


def spread(*letters: str, but: str = "") -> list[str]:
    """These letters with those that are like one of them, in the table's order.

    What is like a letter of ``but`` is left out with it, unless it is named.
    """
    named = set(letters)
    assert named <= LETTERS.keys(), named - LETTERS.keys()
    taken: list[str] = []
    for letter, row in LETTERS.items():  # each stands behind the one that it is like
        if letter in named - set(but) or (row.like in taken and not row.is_left_out(letter, but)):
            taken.append(letter)
    return taken


def ways(
    *letters: str,
    settings: Mapping[str, object] | None = None,
    plugin: str = APP,
    site: Site | None = None,
    one_wire: bool = False,
    alone: bool = False,
    api: bool = False,
    tier: str = "full",
) -> Iterator[ParameterSet]:
    """The parameters of the fixture ``road`` on these letters alone; the arguments are ``on``'s."""
    for letter in letters:
        row = LETTERS[letter]
        for wire in (row.wires[:1] if one_wire else row.wires) or ("",):
            for values in _each(settings or {}):
                chosen = [str(values[name]) for name in _varied(settings or {})]
                plan = Plan(plugin, tuple(sorted(values.items())), site or Site(), wire, api)
                yield pytest.param(
                    Way(letter, plan, alone),
                    id="-".join([letter, *filter(None, [wire]), *chosen]),
                    marks=row.marks(tier),
                )


def _varied(settings: Mapping[str, object]) -> list[str]:
    return [name for name, value in settings.items() if isinstance(value, Each)]


def _each(settings: Mapping[str, object]) -> Iterator[dict[str, object]]:
    choices = [value if isinstance(value, Each) else (value,) for value in settings.values()]
    for values in itertools.product(*choices):
        yield dict(zip(settings, values, strict=True))


def on(*letters: str, but: str = "", tier: str = "full", **how: Any) -> Callable[[Test], Test]:
    """Run a test on these roads and on those like them, once for each wire.

    A test that takes ``road`` gets a Road there. One that takes ``host`` gets the class with which
    it starts a process there. Any other goes its way itself, and is only marked; then no road is
    added. tests/contract/rows.py reads the letters here and in ``but``, so both are written out.

    Args:
        letters: of tests.roads.letters.
        tier: the mark of roads that are not of the default tier, ``full`` or ``nightly``; empty: its
            parameters have their own.
        but: letters of roads which are like the named ones and where this cannot be seen; say why.
        settings: of the plugin, beside DEFAULTS; a value may be ``Each``.
        plugin: ``module:name`` of an app or Plugin, instead of the contract's app.
        site: the server's settings.
        one_wire: on the first wire of each road alone.
        alone: the plugin is the test's own, which it may stop or of which it needs the whole log.
        api: the host serves the PluginAPI too.
    """

    def decorate(test: Test) -> Test:
        names = inspect.signature(test).parameters
        if "road" in names:
            params = list(ways(*spread(*letters, but=but), tier=tier, **how))
            marks = [pytest.mark.parametrize("road", params, indirect=True)]
            marks.append(pytest.mark.asyncio(loop_scope="session"))
        elif "host" in names:
            hosts = [
                pytest.param(LETTERS[letter].process, id=letter, marks=LETTERS[letter].marks(tier))
                for letter in letters
            ]
            marks = [pytest.mark.parametrize("host", hosts)]
        else:
            marks = [mark for letter in letters for mark in LETTERS[letter].marks(tier)]
        assert "road" in names or not how, f"{test.__name__} takes no road: it cannot have {how}"
        for mark in marks:
            test = mark(test)
        return test

    return decorate
