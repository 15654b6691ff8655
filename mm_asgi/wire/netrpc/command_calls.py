"""RegisterCommand with autocomplete data, which gRPC's Command has no field for.

Each argument holds its data in a Go interface, so that the wire names its type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mm_asgi.wire.netrpc.gob_values import Registered
from mm_asgi.wire.netrpc.tables import CALLS
from mm_asgi.wire.netrpc.translate import fill, values_of

if TYPE_CHECKING:
    from mm_asgi.wire.netrpc.api_calls import APICaller

__all__ = ["register_with_autocomplete"]

_KINDS: Final = {
    "text": ("TextInput", "*model.AutocompleteTextArg"),
    "static_list": ("StaticList", "*model.AutocompleteStaticListArg"),
    "dynamic_list": ("DynamicList", "*model.AutocompleteDynamicListArg"),
}
"""By the message's field: Go's word for the kind, and the registered name of its data."""


async def register_with_autocomplete(caller: APICaller, request: Any, response: type[Any]) -> Any:
    """Make the call; request and response are messages, as for ``APICaller.call``."""
    arguments, returns = CALLS["RegisterCommand"]
    values = values_of(request, arguments)
    values.setdefault("A", {})["AutocompleteData"] = _data(request.autocomplete)
    returned = await caller.call_raw("RegisterCommand", values)
    message = response()
    fill(message, returns, returned)
    return message


def _data(data: Any) -> dict[str, Any]:
    return {
        "Trigger": data.trigger,
        "Hint": data.hint,
        "HelpText": data.help_text,
        "RoleID": data.role_id,
        "Arguments": [_argument(argument) for argument in data.arguments],
        "SubCommands": [_data(one) for one in data.sub_commands],
    }


def _argument(argument: Any) -> dict[str, Any]:
    field = argument.WhichOneof("data") or "text"
    kind, registered = _KINDS[field]
    return {
        "Name": argument.name,
        "HelpText": argument.help_text,
        "Type": kind,
        "Required": argument.required,
        "Data": Registered(registered, _inside(field, getattr(argument, field))),
    }


def _inside(field: str, data: Any) -> dict[str, Any]:
    if field == "text":
        return {"Hint": data.hint, "Pattern": data.pattern}
    if field == "dynamic_list":
        return {"FetchURL": data.fetch_url}
    return {
        "PossibleArguments": [
            {"Item": one.item, "Hint": one.hint, "HelpText": one.help_text}
            for one in data.possible_arguments
        ]
    }
