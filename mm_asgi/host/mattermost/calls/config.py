"""Calls for the server's configuration and the plugin's settings in it."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from mm_asgi.host.mattermost.app_errors import AppError, RPCRefused
from mm_asgi.protocol import hooks_lifecycle_pb2, struct_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mm_asgi.host.mattermost.server_state import ServerState
    from mm_asgi.protocol import api_kv_config_pb2 as pb

__all__ = ["CALLS", "save", "save_plugin"]

HIDDEN = "*" * 32
"""GetConfig's stand-in for a secret; model.FakeSetting."""

_SECRETS = (
    ("SqlSettings", "DataSource"),
    ("SqlSettings", "AtRestEncryptKey"),
    ("FileSettings", "PublicLinkSalt"),
    ("EmailSettings", "SMTPPassword"),
)


async def save(mm: ServerState, new: Mapping[str, Any]) -> None:
    """Save a whole configuration, with its hooks.

    ConfigurationWillBeSaved may change or refuse it, OnConfigurationChange is called afterwards.

    Raises:
        AppError: ConfigurationWillBeSaved refused it.
    """
    wanted: Any = _restore_secrets(dict(new), mm.config)
    answer = await mm.hooks.call(
        "ConfigurationWillBeSaved",
        new_config=hooks_lifecycle_pb2.ConfigJson(config_json=json.dumps(wanted).encode()),
    )
    if answer.called:
        if not answer.ok:
            # A hook that fails counts as a refusal (fail-closed).
            raise AppError("saveConfig", "app.save_config.plugin_hook_error", 400)
        replaced = answer.response.modified_config.config_json
        if replaced:
            try:
                wanted = _parse_object(replaced)
            except ValueError as exc:
                raise AppError(
                    "saveConfig", "app.save_config.plugin_hook_error", 400, str(exc)
                ) from exc
    mm.config = wanted
    mm.publish("config_changed")
    await mm.hooks.call("OnConfigurationChange")


async def save_plugin(mm: ServerState, settings: Mapping[str, Any]) -> None:
    """Replace the plugin's settings.

    Raises:
        AppError: ConfigurationWillBeSaved refused them.
    """
    new = copy.deepcopy(mm.config)
    new.setdefault("PluginSettings", {}).setdefault("Plugins", {})[mm.plugin_id] = dict(settings)
    await save(mm, new)


def plugin_settings(mm: ServerState) -> dict[str, Any]:
    """Return the plugin's settings."""
    found = mm.config.get("PluginSettings", {}).get("Plugins", {}).get(mm.plugin_id)
    return dict(found or {})


def _parse_object(data: bytes) -> dict[str, Any]:
    value = json.loads(data)
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    return value


def _hide_secrets(given: Mapping[str, Any]) -> dict[str, Any]:
    shown = copy.deepcopy(dict(given))
    for section, name in _SECRETS:
        if shown.get(section, {}).get(name):
            shown[section][name] = HIDDEN
    return shown


def _restore_secrets(new: dict[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    """Put back the secrets that were hidden from the caller (config.desanitize)."""
    for section, name in _SECRETS:
        if new.get(section, {}).get(name) == HIDDEN:
            new[section] = {**new[section], name: old.get(section, {}).get(name, "")}
    return new


# -------------------------------------------------------------------- the calls


def _load(mm: ServerState, request: pb.LoadPluginConfigurationRequest) -> dict[str, Any]:
    schema = mm.manifest.get("settings_schema") or {}
    # plugin_api.go lowers every key. Go's decoder ignores case, a Python dict does not.
    settings = {
        str(row.get("key", "")).lower(): row.get("default") for row in schema.get("settings") or ()
    }
    settings |= {name.lower(): value for name, value in plugin_settings(mm).items()}
    return {"config_json": json.dumps(settings).encode()}


def _get(mm: ServerState, request: pb.GetConfigRequest) -> dict[str, Any]:
    return {"config_json": json.dumps(_hide_secrets(mm.config)).encode()}


def _get_unsanitized(mm: ServerState, request: pb.GetUnsanitizedConfigRequest) -> dict[str, Any]:
    return {"config_json": json.dumps(mm.config).encode()}


async def _save(mm: ServerState, request: pb.SaveConfigRequest) -> None:
    try:
        new = _parse_object(request.config_json)
    except ValueError as exc:
        raise RPCRefused("INVALID_ARGUMENT", f"invalid config JSON: {exc}") from exc
    await save(mm, new)


def _get_plugin(mm: ServerState, request: pb.GetPluginConfigRequest) -> dict[str, Any]:
    settings = struct_pb2.Struct()
    settings.update(plugin_settings(mm))
    return {"config": settings}


async def _save_plugin(mm: ServerState, request: pb.SavePluginConfigRequest) -> None:
    await save_plugin(mm, json_format.MessageToDict(request.config))


CALLS: Mapping[str, Callable[..., Any]] = {
    "LoadPluginConfiguration": _load,
    "GetConfig": _get,
    "GetUnsanitizedConfig": _get_unsanitized,
    "SaveConfig": _save,
    "GetPluginConfig": _get_plugin,
    "SavePluginConfig": _save_plugin,
}
