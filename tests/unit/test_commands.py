"""Slash commands: registering, arguments from text, answers, and the host that is told of them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Optional

import grpc
import pytest

from mm_asgi import Plugin, Reject, types
from mm_asgi.commands import CommandContext
from mm_asgi.errors import ConfigError
from mm_asgi.hooks import HOOKS
from mm_asgi.protocol.api_remaining_pb2 import RegisterCommandRequest
from mm_asgi.requester import Identity
from tests.unit.api.loopback import Loopback, Status, loopback

if TYPE_CHECKING:
    from collections.abc import Callable

IDENTITY = Identity(plugin_id="demo", request_id="r1", session_id="s1")


async def execute(plugin: Plugin, text: str, **args: str) -> Any:
    """The answer to what a user typed: a response, or text of one that the user alone sees."""
    handler = plugin.freeze().hooks["execute_command"]
    value = await handler.function(IDENTITY, types.CommandArgs(command=text, **args))
    answer: Any = handler.hook.answer(value)
    return answer.response


def with_command(function: Callable[..., Any], **options: Any) -> Plugin:
    plugin = Plugin()
    assert plugin.command("do", **options)(function) is function
    return plugin


def take(context: CommandContext, n: int, x: float = 0.5, on: bool = False, t: str = "t") -> str:
    return repr((n, x, on, t))


async def take_async(context: CommandContext, who: str | None, n: int | None = 3) -> str:
    return repr((who, n))


def take_optional(context: CommandContext, n: Optional[int]) -> str:  # noqa: UP045 - users write it
    return repr(n)


def take_all(context: CommandContext, first: str, *rest: int) -> str:
    return repr((first, rest))


def take_bare(context, one, two):  # type: ignore[no-untyped-def]
    return repr((one, two))


def take_nothing(context: CommandContext) -> str:
    return "nothing"


@functools.wraps(take)
def take_wrapped(*arguments: Any) -> str:
    return take(*arguments)


@pytest.mark.parametrize(
    ("function", "text", "shown"),
    [
        (take, "/do 7", "(7, 0.5, False, 't')"),
        (take, "/do 7 1e3 yes all the rest", "(7, 1000.0, True, 'all the rest')"),
        (take, '/do -7 2 OFF "two words"', "(-7, 2.0, False, 'two words')"),
        (take, '/do 7 2 1 "two words" more', "(7, 2.0, True, '\"two words\" more')"),
        (take, "  /DO   7  ", "(7, 0.5, False, 't')"),
        (take_wrapped, "/do 7", "(7, 0.5, False, 't')"),
        (take_async, "/do", "(None, 3)"),
        (take_async, "/do bob", "('bob', 3)"),
        (take_async, '/do "" 4', "('', 4)"),
        (take_optional, "/do", "None"),
        (take_optional, "/do 4", "4"),
        (take_all, "/do a", "('a', ())"),
        (take_all, "/do a 1 2", "('a', (1, 2))"),
        (take_bare, "/do a b c", "('a', 'b c')"),
        (take_nothing, "/do", "nothing"),
        (take, "/do", "`n` is missing. Usage: `/do n [x] [on] [t]`"),
        (take, "/do seven", "`n`: `seven` is not a whole number. Usage: `/do n [x] [on] [t]`"),
        (take, "/do 7 x", "`x`: `x` is not a number. Usage: `/do n [x] [on] [t]`"),
        (take, "/do 7 1 maybe", "`on`: `maybe` is not yes or no. Usage: `/do n [x] [on] [t]`"),
        (take_async, "/do bob 3 4", "Unexpected argument `4`. Usage: `/do [who] [n]`"),
        (take_all, "/do a 1 b", "`rest`: `b` is not a whole number. Usage: `/do first [rest]`"),
        (take_nothing, "/do it", "Unexpected argument `it`. Usage: `/do`"),
    ],
)
async def test_words_become_arguments(function: Any, text: str, shown: str) -> None:
    answer = await execute(with_command(function), text)
    assert (answer.text, answer.response_type) == (shown, "ephemeral")


async def test_the_context_says_who_and_where() -> None:
    got: list[CommandContext] = []
    plugin = with_command(lambda context, text: got.append(context))
    places = {
        "user_id": "u", "channel_id": "c", "team_id": "t", "root_id": "r", "trigger_id": "x",
    }  # fmt: skip
    answer = await execute(plugin, "/do  a  b ", **places)
    assert got == [
        CommandContext(plugin_id="demo", request_id="r1", session_id="s1", text="a  b", **places)
    ]
    # A response that shows nothing: without one the host says that there is no such command.
    assert answer == types.CommandResponse()


async def test_a_response_goes_as_it_is_and_a_refusal_is_the_hosts() -> None:
    response = types.CommandResponse(response_type="in_channel", text="hi")
    assert await execute(with_command(lambda context: response), "/do") == response

    def refuse(context: CommandContext) -> None:
        raise Reject("not today")

    with pytest.raises(Reject, match="not today"):
        await execute(with_command(refuse), "/do")


async def test_other_triggers_go_to_the_hook_or_nowhere() -> None:
    plugin = with_command(take_nothing)
    with pytest.raises(Reject, match="/else: this plugin has no such command"):
        await execute(plugin, "/else it")

    plugin = with_command(take_nothing)

    @plugin.hook
    async def execute_command(context: Identity, args: types.CommandArgs) -> str:
        return f"the hook has {args.command}"

    assert (await execute(plugin, "/else it")).text == "the hook has /else it"
    assert (await execute(plugin, "")).text == "the hook has "
    assert (await execute(plugin, "/do")).text == "nothing"


def test_commands_list_their_hook() -> None:
    assert list(with_command(take_nothing).freeze().hooks) == ["execute_command"]
    assert HOOKS["execute_command"].rpc == "ExecuteCommand"


# -------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("trigger", ["", "/", "two words", "a/b", "//x", "a\n"])
def test_a_trigger_is_one_word(trigger: str) -> None:
    with pytest.raises(ConfigError, match="expected one word"):
        Plugin().command(trigger)(take_nothing)


def with_list(context: Identity, items: list[str]) -> None: ...
def with_union(context: Identity, item: int | str) -> None: ...
def with_keyword(context: Identity, *, item: str) -> None: ...
def with_keywords(context: Identity, **items: str) -> None: ...
def with_unknown(context: Identity, item: NoSuchType) -> None: ...  # type: ignore[name-defined] # noqa: F821
def with_none() -> None: ...


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (with_list, "parameter items: 'list.str.'; expected a positional str, int, float or bool"),
        (with_union, "expected a positional str, int, float or bool"),
        (with_keyword, "expected a positional str, int, float or bool"),
        (with_keywords, "expected a positional str, int, float or bool"),
        (with_unknown, "command 'do'.*NoSuchType"),
        (with_none, "expected the CommandContext first"),
    ],
)
def test_parameters_that_cannot_come_from_text(function: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        Plugin().command("do")(function)


def test_a_second_command_and_a_late_one() -> None:
    plugin = with_command(take_nothing)
    with pytest.raises(ConfigError, match="command '/DO': registered twice"):
        plugin.command("/DO")(take_nothing)
    plugin.freeze()
    with pytest.raises(ConfigError, match="registered after the host asked"):
        plugin.command("later")(take_nothing)


# -------------------------------------------------------------------- the host is told


async def register(host: Loopback) -> list[types.Command]:
    """What a host hears of a plugin's two commands."""
    plugin = Plugin()
    plugin.command("/Weather", hint="[city]", description="The weather")(take_nothing)
    plugin.command("do")(take)
    plugin.connection.use(host.target, 5.0)
    try:
        await plugin.freeze().register_commands()
    finally:
        await plugin.connection.close()
    requests = [RegisterCommandRequest.FromString(data) for _, data in host.received]
    return [request.command for request in requests]


async def test_the_host_is_told_of_each() -> None:
    with loopback() as host:
        weather, do = await register(host)
    assert weather == types.Command(
        trigger="weather",
        auto_complete=True,
        auto_complete_hint="[city]",
        auto_complete_desc="The weather",
    )
    assert (do.trigger, do.auto_complete_hint) == ("do", "n [x] [on] [t]")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (grpc.StatusCode.UNIMPLEMENTED, 1),
        (grpc.StatusCode.UNAVAILABLE, 1),
        (grpc.StatusCode.INTERNAL, 2),
    ],
)
async def test_a_host_that_cannot_be_told_fails_nothing(
    code: grpc.StatusCode, said: int, caplog: pytest.LogCaptureFixture
) -> None:
    with loopback() as host:
        host.answer = Status(code, "planted")
        assert len(await register(host)) == said
    assert [record.levelname for record in caplog.records] == ["WARNING"] * said
    assert caplog.messages[0] == "the command /weather is not registered: planted"


async def test_without_an_api_that_is_said_once_and_fails_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    plugin = with_command(take_nothing)
    plugin.command("more")(take_nothing)
    plugin.connection.use(None, 5.0)
    await plugin.freeze().register_commands()
    assert len(caplog.messages) == 1
    assert "the command /do is not registered" in caplog.text
    assert "MATTERMOST_PLUGIN_API_TARGET" in caplog.text
