"""The calls to a plugin's keys and values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_asgi.host.mattermost.app_errors import AppError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mm_asgi.host.mattermost.server_state import ServerState
    from mm_asgi.protocol import api_kv_config_pb2 as pb

__all__ = ["CALLS"]


def _set(mm: ServerState, request: pb.KVSetRequest) -> None:
    mm.kv.set(request.key, request.value)


def _set_with_expiry(mm: ServerState, request: pb.KVSetWithExpiryRequest) -> None:
    mm.kv.set(request.key, request.value, request.expire_in_seconds)


def _set_with_options(mm: ServerState, request: pb.KVSetWithOptionsRequest) -> dict[str, Any]:
    options = request.options
    if options.old_value and not options.atomic:
        raise AppError(
            "PluginKVSetOptions.IsValid",
            "model.plugin_kvset_options.is_valid.old_value.app_error",
            400,
        )
    seconds = options.expire_in_seconds
    if options.atomic:
        old = options.old_value
        return {"success": mm.kv.compare_and_set(request.key, old, request.value, seconds)}
    mm.kv.set(request.key, request.value, seconds)
    return {"success": True}


def _compare_and_set(mm: ServerState, request: pb.KVCompareAndSetRequest) -> dict[str, Any]:
    return {"success": mm.kv.compare_and_set(request.key, request.old_value, request.new_value)}


def _compare_and_delete(mm: ServerState, request: pb.KVCompareAndDeleteRequest) -> dict[str, Any]:
    return {"success": mm.kv.compare_and_delete(request.key, request.old_value)}


def _get(mm: ServerState, request: pb.KVGetRequest) -> dict[str, Any]:
    return {"value": mm.kv.get(request.key)}


def _delete(mm: ServerState, request: pb.KVDeleteRequest) -> None:
    mm.kv.delete(request.key)


def _delete_all(mm: ServerState, request: pb.KVDeleteAllRequest) -> None:
    mm.kv.clear()


def _list(mm: ServerState, request: pb.KVListRequest) -> dict[str, Any]:
    return {"keys": mm.kv.page(request.page, request.per_page)}


CALLS: Mapping[str, Callable[..., Any]] = {
    "KVSet": _set,
    "KVSetWithExpiry": _set_with_expiry,
    "KVSetWithOptions": _set_with_options,
    "KVCompareAndSet": _compare_and_set,
    "KVCompareAndDelete": _compare_and_delete,
    "KVGet": _get,
    "KVDelete": _delete,
    "KVDeleteAll": _delete_all,
    "KVList": _list,
}
