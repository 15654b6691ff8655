"""What Mattermost shows while a command is typed: what is built, and what is refused at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mm_asgi import Plugin, types
from mm_asgi.autocomplete import Choices, Dynamic, SubCommand, Suggestion, Text
from mm_asgi.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable


def defined(*parts: Any) -> types.AutocompleteData:
    plugin = Plugin()

    @plugin.command("do", description="Do it", autocomplete=parts)
    async def do(context: object, *words: str) -> None: ...

    [command] = plugin.freeze().commands
    assert command.autocomplete is not None
    return command.autocomplete


def test_arguments_and_subcommands_are_built_as_go_has_them() -> None:
    data = defined(
        SubCommand(
            "add",
            "Add one",
            Choices("Which", ["a", Suggestion("b", "hint", "help")]),
            Text("Note", "[note]", name="note", required=False),
            hint="[which]",
            role="system_user",
        ),
        SubCommand("more", "More", SubCommand("still", "Still", Dynamic("Of these", "/suggest"))),
    )
    assert (data.trigger, data.hint, data.help_text) == ("do", "[words]", "Do it")
    add, more = data.sub_commands
    assert (add.trigger, add.help_text, add.hint, add.role_id) == (
        "add", "Add one", "[which]", "system_user",
    )  # fmt: skip
    which, note = add.arguments
    assert [one.item for one in which.static_list.possible_arguments] == ["a", "b"]
    assert (note.name, note.required, note.text.hint) == ("note", False, "[note]")
    [deep] = more.sub_commands[0].arguments
    assert (deep.dynamic_list.fetch_url, deep.required) == ("/suggest", True)


def test_without_it_a_command_has_none() -> None:
    plugin = Plugin()
    plugin.command("do")(lambda context: None)
    assert plugin.freeze().commands[0].autocomplete is None


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (lambda: ["word"], "'word' is of str; expected Text, Choices, Dynamic or SubCommand"),
        (lambda: [Text("a"), SubCommand("b", "c")], "arguments and subcommands"),
        (lambda: [Text("a", name="n"), Text("b")], "put those without a name first"),
        (lambda: [Text("a", required=False)], "a Text without a name is always required"),
        (lambda: [Choices("a", ["b", ""])], "expected a list of words, none of them empty"),
        (lambda: [Choices("a", "word")], "expected a list of words"),
        (lambda: [Dynamic("a", "suggest")], "expected a path of the app without a query"),
        (lambda: [Dynamic("a", "/suggest?x=1")], "expected a path of the app without a query"),
        (lambda: [SubCommand("Add", "a")], "expected one word in small letters"),
        (lambda: [SubCommand("a", "b", role="boss")], "expected system_admin or system_user"),
    ],
)
def test_what_a_server_would_refuse_is_refused_where_it_is_written(
    parts: Callable[[], list[Any]], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        defined(*parts())
