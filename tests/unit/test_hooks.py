"""The table of hooks against the contract's own tables and messages, and what registering refuses."""

from __future__ import annotations

import ast
import csv
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mm_asgi import Plugin, Reject, types
from mm_asgi.errors import ConfigError
from mm_asgi.hooks import HOOKS, LIFECYCLE, Hook, Kind
from mm_asgi.protocol import hooks_pb2, hooks_released_pb2
from mm_asgi.wire.netrpc.tables import SINCE
from tests.unit import hook_reference as reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from mm_asgi.requester import Identity

METHODS = hooks_pb2.DESCRIPTOR.services_by_name["PluginHooks"].methods_by_name
DATA = Path(__file__).parents[2] / "proto" / "tables"

RELEASED = hooks_released_pb2.DESCRIPTOR.services_by_name["ReleasedHooks"].methods_by_name
CONTRACT = [hook for hook in HOOKS.values() if not hook.since]

every_hook = pytest.mark.parametrize("hook", HOOKS.values(), ids=lambda hook: hook.name)
contract_hook = pytest.mark.parametrize("hook", CONTRACT, ids=lambda hook: hook.name)
released_hook = pytest.mark.parametrize(
    "hook", [hook for hook in HOOKS.values() if hook.since], ids=lambda hook: hook.name
)


def row(hook: Hook) -> dict[str, str]:
    with (DATA / "hooks.tsv").open() as file:
        return next(r for r in csv.DictReader(file, delimiter="\t") if r["hook"] == hook.rpc)


def test_the_table_has_the_services_unary_hooks() -> None:
    assert {hook.rpc for hook in CONTRACT} == set(METHODS.keys()) - {
        "Implemented", "ServeHTTP",
    }  # fmt: skip
    assert {hook.rpc for hook in HOOKS.values() if hook.since} == set(RELEASED.keys())
    assert [hook.name for hook in LIFECYCLE] == [
        "on_activate", "on_deactivate", "on_configuration_change",
    ]  # fmt: skip
    assert {"on_saml_login", "on_web_socket_connect"} <= HOOKS.keys()


@every_hook
def test_its_messages_are_the_services(hook: Hook) -> None:
    request, response = (message.DESCRIPTOR for message in hook.messages)
    method = (RELEASED if hook.since else METHODS)[hook.rpc]
    assert (request, response) == (method.input_type, method.output_type)
    fields = [f for f in request.fields if f.name not in ("context", "plugin_context")]
    assert hook.parameters == ("context", *(field.name for field in fields))
    for mark, field in zip(hook.takes.split(), fields, strict=True):
        assert (mark[-1] == "*") == field.is_repeated
        assert mark[-1] != "?" or field.message_type


@contract_hook
def test_its_answers_are_the_contracts(hook: Hook) -> None:
    response, contract = hook.messages[1].DESCRIPTOR.fields_by_name, row(hook)
    has_error = contract["error_field"].startswith("error(1)")
    has_reason = "rejection_reason" in contract["error_field"]
    refusal = "error" if has_error else "rejection_reason" if has_reason else ""
    assert hook.refusal == refusal
    assert refusal in response or not refusal
    rest = set(response.keys()) - {"error", "rejection_reason"}
    if hook.name == "user_will_log_in":
        rest = {"rejection_reason"}
    assert bool(hook.field) == bool(rest) == bool(hook.returns)
    assert hook.field in rest or not rest
    assert contract["host_timeout"].startswith(f"{hook.deadline:g}s")
    if hook.kind is Kind.NOTIFY:
        assert not response
    if hook.kind is Kind.FILTER:
        assert "WillBe" in hook.rpc or hook.rpc in ("UserWillLogIn", "OnSAMLLogin")


@released_hook
def test_a_hook_of_released_servers_has_their_version(hook: Hook) -> None:
    assert hook.since == SINCE[f"Hooks.{hook.rpc}"]
    assert (hook.kind, hook.refusal) == (Kind.FILTER, "rejection_reason")
    assert hook.field in hook.messages[1].DESCRIPTOR.fields_by_name


def test_absent_messages_are_none_where_the_contract_says_absent() -> None:
    marked = {name for hook in HOOKS.values() for name in hook.takes.split() if name[-1] == "?"}
    assert marked == {"actor?", "limits?"}
    for hook in CONTRACT:
        assert ("?" in hook.takes) == (" absent when " in row(hook)["notes"].replace(
            "request.data absent when", "")), hook.name  # fmt: skip


def test_messages_are_loaded_when_they_are_needed() -> None:
    code = """
import sys
from mm_asgi import Plugin, Reject
from mm_asgi.grpc_hooks import methods
from mm_asgi.serving import Serving
from mm_asgi.settings import Settings
plugin = Plugin()
@plugin.hook
async def message_will_be_posted(context, post): ...
@plugin.command("weather")
async def weather(context, city): ...
serving = Serving(Settings(), "demo", load=plugin.freeze)
rpcs = methods(serving)
serving.life.load()
groups = {f"mm_asgi.protocol.hooks_{name}_pb2" for name in ("message", "command", "user_channel")}
assert not groups & set(sys.modules), groups & set(sys.modules)
rpcs["/mattermost.pluginapi.v1.PluginHooks/UserHasBeenCreated"].request.FromString(b"")
assert groups & set(sys.modules) == {"mm_asgi.protocol.hooks_user_channel_pb2"}
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_reference_is_the_table() -> None:
    text = reference.PAGE.read_text()
    assert text == reference.written(text), "run: python -m tests.unit.hook_reference"


def test_the_hand_written_part_of_hooks_and_api_is_thin() -> None:
    package = Path(reference.PAGE).parents[2] / "mm_asgi"
    files = [package / "hooks.py", package / "commands.py", *(package / "api").glob("*.py")]
    texts = [file.read_text() for file in files]
    assert sum(code_lines(text) for text in texts if "enerated by" not in text[:200]) < 495


def code_lines(text: str) -> int:
    """The lines of a module as ast writes it, with each statement on one, and without docstrings."""
    written = ast.unparse(WithoutDocstrings().visit(ast.parse(text)))
    return sum(bool(line.strip()) for line in written.splitlines())


class WithoutDocstrings(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node


# -------------------------------------------------------------------- registering


def named(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    function.__name__ = name
    return function


def take_one(context: Identity) -> None: ...


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("mesage_will_be_posted", "did you mean 'message_will_be_posted'?"),
        ("MessageWillBePosted", "did you mean 'message_will_be_posted'?"),
        ("OnSAMLLogin", "did you mean 'on_saml_login'?"),
        ("serve_metrics", "no hook of this name that a plugin can register"),
        ("implemented", "no hook of this name that a plugin can register"),
        (
            "message_will_be_posted",
            r"takes \(.*context.*\).*, and the host passes \(context, post\)",
        ),
    ],
)
def test_what_is_no_hook_is_refused(name: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as caught:
        Plugin().hook(named(name, lambda context: None))
    assert repr(name) in str(caught.value)


def test_a_callable_without_a_name_is_refused() -> None:
    class Callable:
        def __call__(self, context: Identity) -> None: ...

    with pytest.raises(ConfigError, match="hook 'Callable'"):
        Plugin().hook(Callable())


def test_a_second_function_is_refused() -> None:
    plugin = Plugin()
    plugin.hook(named("on_activate", take_one))
    with pytest.raises(ConfigError, match="hook 'on_activate': registered twice"):
        plugin.hook(named("on_activate", lambda context: None))


def test_more_parameters_are_fine_when_they_need_no_value() -> None:
    function = named("on_activate", lambda context, *more, times=1: None)
    assert Plugin().hook(function) is function
    function = named("message_will_be_posted", lambda *arguments: None)
    assert Plugin().hook(function) is function


@every_hook
@pytest.mark.parametrize("fail", ["open", "closed"])
def test_only_what_can_refuse_takes_fail(hook: Hook, fail: Any) -> None:
    decorate = Plugin().hook(fail=fail)
    function = named(hook.name, lambda *arguments: None)
    if hook.is_gate:
        assert decorate(function) is function
    else:
        with pytest.raises(ConfigError, match=f"fail='{fail}'"):
            decorate(function)


def test_fail_is_open_or_closed() -> None:
    with pytest.raises(ConfigError, match="fail='shut'; expected 'open' or 'closed'"):
        Plugin().hook(fail="shut")(named("user_will_log_in", lambda context, user: None))  # type: ignore[call-overload]


def test_fail_open_lets_through_what_the_host_would_refuse() -> None:
    plugin = Plugin()
    plugin.hook(fail="open")(named("on_saml_login", lambda context, user, assertion: None))
    handler = plugin.freeze().hooks["on_saml_login"]
    assert not handler.closed
    assert not handler.hook.default(closed=handler.closed).HasField("error")


# -------------------------------------------------------------------- answers

NONSENSE: list[tuple[str, Any, str]] = [
    ("message_will_be_posted", {}, "returned dict, expected Post:"),
    ("message_will_be_posted", "hi", "returned str, expected Post:"),
    ("message_will_be_posted", False, "returned bool, expected Post:"),
    ("message_will_be_posted", types.User(), "returned User, expected Post:"),
    ("message_will_be_posted", (types.Post(), ""), "returned tuple, expected Post:"),
    ("messages_will_be_consumed", types.Post(), "returned Post, expected list of Post:"),
    ("messages_will_be_consumed", "hi", "returned str, expected list of Post:"),
    ("messages_will_be_consumed", [None], "returned list, expected list of Post:"),
    (
        "file_will_be_uploaded",
        b"",
        'the content is empty, which the host would read as "unchanged"',
    ),
    ("file_will_be_uploaded", (None, b"", 1), "returned tuple, expected bytes, FileInfo or"),
    ("file_will_be_uploaded", "text", "returned str, expected bytes, FileInfo or"),
    ("run_data_retention", "3", "returned str, expected int:"),
    ("run_data_retention", 2**63, "returned int, expected int:"),
    ("user_will_log_in", 3, "returned int, expected str:"),
    ("user_will_log_in", "\ud800", "returned str, expected str:"),
    ("on_shared_channels_ping", None, "returned NoneType, expected bool:"),
    ("on_shared_channels_ping", "yes", "returned str, expected bool:"),
    ("generate_support_data", ("a.txt", b"a"), "returned tuple, expected list of FileData or"),
    ("generate_support_data", [("a.txt",)], "returned list, expected list of FileData or"),
    ("generate_support_data", 3, "returned int, expected list of FileData or"),
    ("message_has_been_posted", 3, "returned int, expected None: the host takes no such answer"),
    ("on_saml_login", True, "returned bool, expected None"),
]


@pytest.mark.parametrize(("name", "value", "sentence"), NONSENSE)
def test_nonsense_is_named(name: str, value: Any, sentence: str) -> None:
    with pytest.raises(TypeError, match="returned") as caught:
        HOOKS[name].answer(value)
    assert sentence in str(caught.value)


def test_a_refusal_is_never_empty_and_never_breaks() -> None:
    hook: Any = HOOKS["user_will_log_in"]
    assert hook.refuse("").rejection_reason == hook.refuse(str(Reject())).rejection_reason != ""
    assert hook.refuse("\ud800").rejection_reason == "?"
    assert hook.refuse(Reject.DISMISS_POST).rejection_reason == (
        "plugin.message_will_be_posted.dismiss_post"
    )
