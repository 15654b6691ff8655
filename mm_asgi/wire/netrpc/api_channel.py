"""The host's API over net/rpc, as the port's Channel: messages in, messages out.

A call's request becomes the arguments of ``Plugin.<name>``, its returns become the response, and
an AppError among them becomes the response's ``error``, which is how the API's client reads it on
every wire. What differs from gRPC stays here:

- A server that lacks a call says "can't find method": UNIMPLEMENTED, with the version that has it.
- Bodies are streams of the broker (api_streams.py): a file to upload, another plugin's answer.
- A config never goes back: a setting of a newer server, which the tables do not have, would be lost.

The connection is the plugin's only one. When it is lost the process ends, so that UNAVAILABLE here
is the last word and nothing is dialled anew.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, NoReturn

from mm_asgi.errors import HostProtocolError
from mm_asgi.wire.netrpc.api_calls import APICaller
from mm_asgi.wire.netrpc.api_streams import STREAMED
from mm_asgi.wire.netrpc.command_calls import register_with_autocomplete
from mm_asgi.wire.netrpc.live_calls import CallRefused
from mm_asgi.wire.netrpc.tables import CALLS, SINCE
from mm_asgi.wire.port import RPCError, StatusCode

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from mm_asgi.wire.netrpc.plugin_session import PluginSession
    from mm_asgi.wire.port import Call, Metadata

__all__ = ["APIChannel"]

NO_CONFIG: Final = (
    "SaveConfig: this server speaks net/rpc, where a config that is saved loses every setting that"
    " this version of mm_asgi does not know; change single settings by SavePluginConfig, or by the REST API"
)


class APIChannel:
    """The API of one session's host.

    Args:
        session: the host's connection.
        number: the broker's number that the API is offered on.
    """

    def __init__(self, session: PluginSession, number: int) -> None:
        self._caller = APICaller(session, number)
        self._is_closed = False

    async def unary(
        self,
        path: str,
        request: Message,
        response: type[Any],
        *,
        timeout: float | None = None,
        metadata: Metadata = (),
        wait_for_ready: bool = False,
    ) -> Any:
        """Make a call; the arguments are those of the port's Channel.

        Raises:
            RPCError: any status but OK.
        """
        name = path.rpartition("/")[2]
        if self._is_closed:
            text = f"{name}: the channel to the host's API is closed"
            raise RPCError(StatusCode.UNAVAILABLE, text, path=path)
        try:
            async with asyncio.timeout(timeout):
                return await self._call(name, request, response)
        except TimeoutError:
            raise RPCError(StatusCode.DEADLINE_EXCEEDED, "no answer in time", path=path) from None
        except CallRefused as exc:
            self._refused(name, exc, path)
        except (ConnectionError, HostProtocolError) as exc:
            raise RPCError(StatusCode.UNAVAILABLE, str(exc), path=path) from None
        except (TypeError, ValueError) as exc:
            raise RPCError(StatusCode.INVALID_ARGUMENT, f"{name}: {exc}", path=path) from None

    async def _call(self, name: str, request: Any, response: type[Any]) -> Any:
        if name == "SaveConfig":
            raise RPCError(StatusCode.UNIMPLEMENTED, NO_CONFIG)
        if name in STREAMED:
            return await STREAMED[name](self._caller, request, response)
        if name == "RegisterCommandWithAutocomplete":
            return await register_with_autocomplete(self._caller, request, response)
        if name not in CALLS:
            raise RPCError(StatusCode.UNIMPLEMENTED, f"{name}: net/rpc has no such call")
        return await self._caller.call(name, request, response)

    def _refused(self, name: str, exc: CallRefused, path: str) -> NoReturn:
        if not exc.is_unknown:
            raise RPCError(StatusCode.INTERNAL, exc.text, path=path) from None
        since = SINCE.get(f"API.{name}")
        text = f"{name}: this Mattermost server has no such call"
        if since:
            text += f"; servers have it since {since}"
        raise RPCError(StatusCode.UNIMPLEMENTED, text, path=path) from None

    def stream(
        self,
        path: str,
        response: type[Message],
        *,
        timeout: float | None = None,
        metadata: Metadata = (),
        wait_for_ready: bool = False,
    ) -> Call:
        """Refuse: no call of the API is a stream of messages."""
        raise RPCError(StatusCode.UNIMPLEMENTED, "net/rpc has no streams of messages", path=path)

    async def close(self, grace: float = 0.0) -> None:
        """End the stream; open calls may still be answered."""
        self._is_closed = True
        self._caller.close()
