"""Every call of the PluginAPI, with made-up messages, on both faces against grpcio's own stub."""

from __future__ import annotations

import asyncio
import inspect
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mm_asgi import errors
from mm_asgi.api import API, AsyncAPI
from tests.unit.api.loopback import SERVICES, Loopback, loopback
from tests.unit.api.messages import message_class, messages, values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import MethodDescriptor
    from google.protobuf.message import Message

RPCS = {rpc.name: rpc for service in SERVICES for rpc in service.methods}
# What a call gives when its answer's message is missing; elsewhere that is an empty message.
NONE_WHEN_UNSET = {"GetPluginConfig", "SendEphemeralPost", "UpdateEphemeralPost", "UploadData"}
CLASSES = {
    400: errors.InvalidArgument,
    401: errors.Unauthenticated,
    403: errors.PermissionDenied,
    404: errors.NotFound,
    409: errors.AlreadyExists,
    413: errors.ResourceExhausted,
    429: errors.ResourceExhausted,
    500: errors.Internal,
    501: errors.Unimplemented,
    503: errors.Unavailable,
    0: errors.Internal,
    418: errors.Internal,
}


def method_name(rpc: str) -> str:
    """CreateOAuthApp is create_o_auth_app: one rule for all names."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", rpc).lower()


class Faces:
    """Both clients on one connection: blocking from this thread, async on the loop of another."""

    def __init__(self, target: str, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.api = AsyncAPI(target)
        self._blocking = API(self.api)

    def awaited(self, rpc: str, arguments: dict[str, Any]) -> Any:
        made = getattr(self.api, method_name(rpc))(**arguments)
        return asyncio.run_coroutine_threadsafe(made, self._loop).result(10)

    def blocking(self, rpc: str, arguments: dict[str, Any]) -> Any:
        return getattr(self._blocking, method_name(rpc))(**arguments)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.api.close(), self._loop).result(10)


@pytest.fixture(scope="module")
def host() -> Iterator[Loopback]:
    with loopback() as made:
        yield made


@pytest.fixture(scope="module")
def faces(host: Loopback) -> Iterator[Faces]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    made = Faces(host.target, loop)
    # The first call is the loop's, so that the connection is too.
    host.answer = b""
    made.awaited("GetTeams", {})
    yield made
    made.close()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def argument_strategy(rpc: MethodDescriptor) -> st.SearchStrategy[dict[str, Any]]:
    """Arguments of a call; what has a default is sometimes left out."""
    declared = inspect.signature(getattr(AsyncAPI, method_name(rpc.name))).parameters
    fields = {field.name: values(field) for field in rpc.input_type.fields}
    optional = {
        name: fields[name]
        for name in fields
        if declared[name].default is not inspect.Parameter.empty
    }
    return st.fixed_dictionaries(
        {name: made for name, made in fields.items() if name not in optional}, optional=optional
    )


def expected_request(rpc: MethodDescriptor, arguments: dict[str, Any]) -> Message:
    """What the host is to see: defaults filled in, each message but one always there."""
    declared = inspect.signature(getattr(AsyncAPI, method_name(rpc.name))).parameters
    request = message_class(rpc.input_type)(
        **{
            field.name: arguments.get(field.name, declared[field.name].default)
            for field in rpc.input_type.fields
        }
    )
    for field in rpc.input_type.fields:
        if field.message_type and not field.is_repeated and field.name != "view_restrictions":
            getattr(request, field.name).SetInParent()
    return request


def expected_answer(rpc: str, response: Any) -> Any:
    names = [field.name for field in response.DESCRIPTOR.fields if field.name != "error"]
    if not names:
        return None
    if len(names) > 1:
        return response
    field = response.DESCRIPTOR.fields_by_name[names[0]]
    value = getattr(response, field.name)
    if field.is_repeated:
        is_map = field.message_type and field.message_type.GetOptions().map_entry
        return dict(value) if is_map else list(value)
    if rpc in NONE_WHEN_UNSET and not response.HasField(field.name):
        return None
    return value


def answers(rpc: MethodDescriptor) -> st.SearchStrategy[Message]:
    kind = message_class(rpc.output_type)
    fields = {
        field.name: values(field) for field in rpc.output_type.fields if field.name != "error"
    }
    return st.fixed_dictionaries({}, optional=fields).map(lambda given: kind(**given))


QUIET = settings(
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)  # fmt: skip


def check_call(rpc: MethodDescriptor, data: st.DataObject, host: Loopback, faces: Faces) -> None:
    arguments = data.draw(argument_strategy(rpc))
    response = data.draw(answers(rpc))
    host.answer = response
    wanted = expected_answer(rpc.name, response)
    made = (faces.awaited(rpc.name, arguments), faces.blocking(rpc.name, arguments))
    for answer in made:
        assert answer == wanted
        assert type(answer) is type(wanted)
    host.ask(rpc.name, expected_request(rpc, arguments))
    (one, two, grpcio) = host.received[-3:]
    assert one == two == grpcio
    assert one[0] == rpc.name


def check_error(rpc: MethodDescriptor, data: st.DataObject, host: Loopback, faces: Faces) -> None:
    arguments = data.draw(argument_strategy(rpc))
    response: Any = data.draw(answers(rpc))
    error = data.draw(messages(response.DESCRIPTOR.fields_by_name["error"].message_type))
    status = data.draw(st.sampled_from(sorted(CLASSES)))
    response.error.CopyFrom(error)
    response.error.status_code = status
    host.answer = response
    for make in (faces.awaited, faces.blocking):
        with pytest.raises(errors.APIError) as caught:
            make(rpc.name, arguments)
        raised = caught.value
        assert type(raised) is CLASSES[status]
        for name in ("id", "message", "detailed_error", "status_code", "where"):
            assert getattr(raised, name) == getattr(response.error, name)


@pytest.mark.parametrize("name", RPCS)
def test_every_call(name: str, host: Loopback, faces: Faces) -> None:
    @settings(QUIET, max_examples=2)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        check_call(RPCS[name], data, host, faces)
        check_error(RPCS[name], data, host, faces)

    run()


@pytest.mark.full
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", RPCS)
def test_every_call_at_length(name: str, host: Loopback, faces: Faces) -> None:
    @settings(QUIET, max_examples=8, derandomize=False)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        check_call(RPCS[name], data, host, faces)
        check_error(RPCS[name], data, host, faces)

    run()


def test_no_call_is_missing_and_none_is_too_many() -> None:
    wanted = {method_name(name) for name in RPCS}
    assert len(wanted) == 236 + 2
    for face in (API, AsyncAPI):
        public = {name for name in vars(face) if not name.startswith("_")}
        assert public == wanted


def test_both_faces_have_the_same_signatures() -> None:
    for name in map(method_name, RPCS):
        assert inspect.signature(getattr(API, name)) == inspect.signature(getattr(AsyncAPI, name))
        assert getattr(API, name).__doc__ == getattr(AsyncAPI, name).__doc__
        assert inspect.iscoroutinefunction(getattr(AsyncAPI, name))
        assert not inspect.iscoroutinefunction(getattr(API, name))
