"""Calls for the server itself: version, log, websocket events, mail, dialogs, and its one plugin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from mm_asgi.host.ids import stable_id
from mm_asgi.host.mattermost.app_errors import AppError
from mm_asgi.host.plugin.stderr import LogLine
from mm_asgi.protocol.api_kv_config_pb2 import Manifest, PluginStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mm_asgi.host.mattermost.server_state import ServerState
    from mm_asgi.protocol import api_kv_config_pb2 as pb
    from mm_asgi.protocol import api_remaining_pb2 as misc

__all__ = ["CALLS", "VERSION"]

VERSION = "11.4.0"
"""The server's version: that of the first servers that run Python plugins."""

RUNNING = 2
"""model.PluginStateRunning."""


def _publish(mm: ServerState, request: pb.PublishWebSocketEventRequest) -> None:
    to = request.broadcast
    mm.publish(
        f"custom_{mm.plugin_id}_{request.event}",
        json_format.MessageToDict(request.payload),
        user_id=to.user_id,
        channel_id=to.channel_id,
        team_id=to.team_id,
        omit_users=frozenset(to.omit_users),
        omit_connection_id=to.connection_id if to.omit_connection_id else "",
    )


def _logger(level: str) -> Callable[[ServerState, pb.LogInfoRequest], None]:
    def log(mm: ServerState, request: pb.LogInfoRequest) -> None:
        if mm.log is not None:
            fields: dict[str, Any] = {
                pair.key: json_format.MessageToDict(pair.value) for pair in request.key_value_pairs
            }
            fields["plugin_id"] = mm.plugin_id
            mm.log.add(LogLine(source="api", level=level, message=request.msg, fields=fields))

    return log


# -------------------------------------------------------------------- the plugin


def _bundle_path(mm: ServerState, request: pb.GetBundlePathRequest) -> dict[str, Any]:
    return {"path": str(Path(mm.bundle_path).absolute())}


def _plugins(mm: ServerState, request: pb.GetPluginsRequest) -> dict[str, Any]:
    names = (
        "name",
        "description",
        "homepage_url",
        "support_url",
        "release_notes_url",
        "icon_path",
        "version",
        "min_server_version",
    )
    texts = {name: str(mm.manifest.get(name, "")) for name in names}
    return {"manifests": [Manifest(id=mm.plugin_id, **texts)]}


def _plugin_status(mm: ServerState, request: pb.GetPluginStatusRequest) -> dict[str, Any]:
    if request.id != mm.plugin_id:
        raise AppError("GetPluginStatus", "app.plugin.not_installed.app_error", 404)
    status = PluginStatus(
        plugin_id=mm.plugin_id,
        plugin_path=str(Path(mm.bundle_path).absolute()),
        state=RUNNING,
        name=str(mm.manifest.get("name", mm.plugin_id)),
        description=str(mm.manifest.get("description", "")),
        version=str(mm.manifest.get("version", "")),
    )
    return {"status": status}


# -------------------------------------------------------------------- the server


def _license(mm: ServerState, request: misc.GetLicenseRequest) -> None:
    """Return no license: there is none."""


def _enterprise(mm: ServerState, request: misc.IsEnterpriseReadyRequest) -> dict[str, Any]:
    return {"is_enterprise_ready": False}


def _version(mm: ServerState, request: misc.GetServerVersionRequest) -> dict[str, Any]:
    return {"version": VERSION}


def _install_date(mm: ServerState, request: misc.GetSystemInstallDateRequest) -> dict[str, Any]:
    return {"install_date": mm.installed_at}


def _diagnostic_id(mm: ServerState, request: misc.GetDiagnosticIdRequest) -> dict[str, Any]:
    return {"diagnostic_id": stable_id("telemetry")}


def _telemetry_id(mm: ServerState, request: misc.GetTelemetryIdRequest) -> dict[str, Any]:
    return {"telemetry_id": stable_id("telemetry")}


def _mail(mm: ServerState, request: misc.SendMailRequest) -> None:
    for value, missing in (
        (request.to, "missing_to"),
        (request.subject, "missing_subject"),
        (request.html_body, "missing_htmlbody"),
    ):
        if not value:
            raise AppError("SendMail", f"plugin_api.send_mail.{missing}", 400)
    mm.mails.append((request.to, request.subject, request.html_body))


def _dialog(mm: ServerState, request: misc.OpenInteractiveDialogRequest) -> None:
    """Open a dialog for the user whose command or button has the trigger id."""
    user_id = mm.triggers.get(request.dialog.trigger_id)
    if user_id is None:
        bad = "interactive_message.decode_trigger_id.base64_decode_failed"
        raise AppError("DecodeTriggerId", bad, 400)
    shown = json_format.MessageToDict(request.dialog, preserving_proto_field_name=True)
    mm.publish("open_dialog", {"dialog": shown}, user_id=user_id)


def _cluster_event(mm: ServerState, request: misc.PublishPluginClusterEventRequest) -> None:
    """Accept a cluster event. A single server has no other to send it to, which is not an error."""


def _collection(mm: ServerState, request: misc.RegisterCollectionAndTopicRequest) -> None:
    """Accept the call. Servers ignore it, too."""


CALLS: Mapping[str, Callable[..., Any]] = {
    "PublishWebSocketEvent": _publish,
    "LogDebug": _logger("debug"),
    "LogInfo": _logger("info"),
    "LogWarn": _logger("warn"),
    "LogError": _logger("error"),
    "GetBundlePath": _bundle_path,
    "GetPlugins": _plugins,
    "GetPluginStatus": _plugin_status,
    "GetLicense": _license,
    "IsEnterpriseReady": _enterprise,
    "GetServerVersion": _version,
    "GetSystemInstallDate": _install_date,
    "GetDiagnosticId": _diagnostic_id,
    "GetTelemetryId": _telemetry_id,
    "SendMail": _mail,
    "OpenInteractiveDialog": _dialog,
    "PublishPluginClusterEvent": _cluster_event,
    "RegisterCollectionAndTopic": _collection,
}
