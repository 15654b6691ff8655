"""Files, after app/file.go: uploaded whole, kept in memory."""

from __future__ import annotations

import hashlib
import mimetypes
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from mm_asgi.host.ids import new_id
from mm_asgi.host.mattermost.app_errors import AppError
from mm_asgi.host.mattermost.calls.channels import need as need_channel
from mm_asgi.host.mattermost.named import page_of
from mm_asgi.host.mattermost.stored_files import StoredFile
from mm_asgi.protocol.file_pb2 import FileInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mm_asgi.host.mattermost.server_state import ServerState
    from mm_asgi.protocol import api_file_bot_pb2 as pb
    from mm_asgi.protocol.hooks_common_pb2 import PluginContext

__all__ = ["CALLS", "upload"]

NOBODY = "nouser"
"""The creator of a plugin's uploads; file.go, UploadFile."""


async def upload(
    mm: ServerState,
    data: bytes,
    channel_id: str,
    filename: str,
    user_id: str = NOBODY,
    context: PluginContext | None = None,
) -> FileInfo:
    """Store a file, unless FileWillBeUploaded refuses it.

    Raises:
        AppError: the plugin refuses it.
    """
    name = PurePosixPath(filename).name or filename
    info = FileInfo(
        id=new_id(),
        creator_id=user_id,
        channel_id=channel_id,
        name=name,
        size=len(data),
        extension=PurePosixPath(name).suffix.removeprefix(".").lower(),
        mime_type=mimetypes.guess_type(name)[0] or "application/octet-stream",
        create_at=mm.clock.now(),
        update_at=mm.clock.now(),
    )
    answer = await mm.hooks.call("FileWillBeUploaded", context, file_info=info, file_content=data)
    if answer.response is not None:
        if answer.response.rejection_reason:
            raise AppError(
                "DoUploadFile",
                "api.file.upload_file.rejected_by_plugin.app_error",
                400,
                f"Reason={answer.response.rejection_reason}",
            )
        if answer.response.HasField("modified_file_info"):
            info = answer.response.modified_file_info
        if answer.response.modified_content:
            data = answer.response.modified_content
            info.size = len(data)
    folder = f"teams/noteam/channels/{channel_id}/users/{user_id}"
    path = f"{folder}/{info.id}/{info.name}"
    mm.files[info.id] = StoredFile(info, data, path)
    return info


def _need(mm: ServerState, file_id: str, where: str = "GetFileInfo") -> StoredFile:
    stored = mm.files.get(file_id)
    if stored is None or stored.info.delete_at:
        raise AppError(where, "app.file_info.get.app_error", 404)
    return stored


# -------------------------------------------------------------------- the calls


async def _upload(mm: ServerState, request: pb.UploadFileRequest) -> dict[str, Any]:
    if request.channel_id:
        try:
            need_channel(mm, request.channel_id)
        except AppError as exc:
            refused = "api.file.upload_file.incorrect_channelId.app_error"
            raise AppError("UploadFile", refused, 400) from exc
    return {"file_info": await upload(mm, request.data, request.channel_id, request.filename)}


def _copy(mm: ServerState, request: pb.CopyFileInfosRequest) -> dict[str, Any]:
    """Make new records of the same bytes, without a post."""
    ids = []
    for file_id in request.file_ids:
        old = _need(mm, file_id, "CopyFileInfos")
        info = FileInfo()
        info.CopyFrom(old.info)
        info.id, info.creator_id, info.post_id = new_id(), request.user_id, ""
        info.create_at = info.update_at = mm.clock.now()
        mm.files[info.id] = StoredFile(info, old.data, old.path, old.searchable)
        ids.append(info.id)
    return {"file_ids": ids}


def _get_info(mm: ServerState, request: pb.GetFileInfoRequest) -> dict[str, Any]:
    return {"file_info": _need(mm, request.file_id).info}


def _set_searchable(mm: ServerState, request: pb.SetFileSearchableContentRequest) -> None:
    _need(mm, request.file_id, "SetFileSearchableContent").searchable = request.content


def _get_infos(mm: ServerState, request: pb.GetFileInfosRequest) -> dict[str, Any]:
    options = request.options
    if options.sort_by not in ("", "CreateAt", "Size"):
        raise AppError("GetFileInfos", "app.file_info.get_with_options.app_error", 400)
    found = [
        stored.info
        for stored in mm.files.values()
        if options.user_id in ("", stored.info.creator_id)
        and options.channel_id in ("", stored.info.channel_id)
        and (options.include_deleted or not stored.info.delete_at)
    ]
    found.sort(
        key=lambda info: info.size if options.sort_by == "Size" else info.create_at,
        reverse=options.sort_order == "desc",
    )
    return {"file_infos": page_of(found, request.page, request.per_page)}


def _get(mm: ServerState, request: pb.GetFileRequest) -> dict[str, Any]:
    return {"data": _need(mm, request.file_id).data}


def _get_link(mm: ServerState, request: pb.GetFileLinkRequest) -> dict[str, Any]:
    if not mm.config.get("FileSettings", {}).get("EnablePublicLink"):
        raise AppError("GetFileLink", "plugin_api.get_file_link.disabled.app_error", 501)
    info = _need(mm, request.file_id).info
    if not info.post_id:
        no_post = "plugin_api.get_file_link.no_post.app_error"
        raise AppError("GetFileLink", no_post, 400, f"file_id={info.id}")
    salt = mm.config["FileSettings"].get("PublicLinkSalt", "")
    proof = hashlib.sha256(f"{salt}{info.id}".encode()).hexdigest()
    return {"link": f"{mm.site_url}/files/{info.id}/public?h={proof}"}


def _read(mm: ServerState, request: pb.ReadFileRequest) -> dict[str, Any]:
    for stored in mm.files.values():
        if stored.path == request.path:
            return {"data": stored.data}
    raise AppError("ReadFile", "api.file.read_file.app_error", 500)


CALLS: Mapping[str, Callable[..., Any]] = {
    "UploadFile": _upload,
    "CopyFileInfos": _copy,
    "GetFileInfo": _get_info,
    "SetFileSearchableContent": _set_searchable,
    "GetFileInfos": _get_infos,
    "GetFile": _get,
    "GetFileLink": _get_link,
    "ReadFile": _read,
}
