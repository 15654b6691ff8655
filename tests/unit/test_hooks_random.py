"""Every hook with made-up messages: what arrives is what was sent, what is returned arrives."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mm_asgi.grpc_hooks import SERVICE, methods
from mm_asgi.hooks import HOOKS, LIFECYCLE
from mm_asgi.plugin import Plugin
from mm_asgi.serving import Serving
from mm_asgi.settings import Settings
from mm_asgi.user_secrets import hide_secrets
from mm_asgi.wire.port import StatusCode
from tests.unit.api.messages import messages, values
from tests.wire.memory import MemoryServer

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from mm_asgi.hooks import Hook

CASES = [hook for hook in HOOKS.values() if hook not in LIFECYCLE]
FACTS = ("session_id", "request_id", "ip_address", "accept_language", "user_agent")


class Echo:
    """A plugin with one hook, which keeps what it gets and returns what it is told."""

    def __init__(self, hook: Hook) -> None:
        self.got: tuple[Any, ...] = ()
        self.value: Any = None

        async def function(*arguments: Any) -> Any:
            self.got = arguments
            return self.value

        function.__name__ = hook.name
        plugin = Plugin()
        plugin.hook(function)
        self._hook = hook
        # As over net/rpc, which has all of them.
        self._serving = Serving(Settings(), "demo", load=plugin.freeze, released=True)
        self._serving.life.load()
        self._server = MemoryServer()

    async def call(self, request: Message) -> Any:
        await self._server.start(None, methods(self._serving))
        peer = self._server.open(SERVICE + self._hook.rpc)
        # Its bytes, as on a real wire.
        peer.send(type(request).FromString(request.SerializeToString()))
        peer.half_close()
        response = await peer.receive()
        assert await peer.ended() == (StatusCode.OK, "")
        return response


def answers(hook: Hook) -> st.SearchStrategy[Any]:
    """What a function may return for the hook's field."""
    if not hook.field:
        return st.none()
    descriptor: Any = hook.messages[1].DESCRIPTOR
    return values(descriptor.fields_by_name[hook.field])


@pytest.mark.parametrize("hook", CASES, ids=lambda hook: hook.name)
def test_arguments_and_answers_pass_as_they_are(hook: Hook) -> None:
    echo = Echo(hook)
    descriptor: Any = hook.messages[0].DESCRIPTOR
    with asyncio.Runner() as runner:

        @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
        @given(messages(descriptor), answers(hook))
        def check(request: Any, value: Any) -> None:
            echo.value = value
            response = runner.run(echo.call(request))
            context, *arguments = echo.got
            hide_secrets(request)  # row H7
            for name, argument in zip(hook.parameters[1:], arguments, strict=True):
                if argument is None:
                    assert not request.HasField(name)
                else:
                    sent = getattr(request, name)
                    assert argument == (list(sent) if isinstance(argument, list) else sent)
            assert context.plugin_id == "demo"
            if "plugin_context" in request.DESCRIPTOR.fields_by_name:
                facts = request.plugin_context
                assert [getattr(context, f) for f in FACTS] == [getattr(facts, f) for f in FACTS]
            assert_is(response, hook, value)

        check()


def assert_is(response: Any, hook: Hook, value: Any) -> None:
    """The response has the value and nothing else; no bytes at all are no answer of a file's."""
    if value is None or value == b"":
        assert response == type(response)()
        return
    got = getattr(response, hook.field)
    assert (list(got) if isinstance(value, list) else got) == value
    response.ClearField(hook.field)
    assert response == type(response)()
