"""Uploads of files in parts, after app/upload.go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mm_asgi.host.ids import new_id
from mm_asgi.host.mattermost.app_errors import AppError
from mm_asgi.host.mattermost.calls import files
from mm_asgi.host.mattermost.calls.channels import need as need_channel
from mm_asgi.host.mattermost.stored_files import Upload
from mm_asgi.protocol.api_file_bot_pb2 import UploadSession

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mm_asgi.host.mattermost.server_state import ServerState
    from mm_asgi.protocol import api_file_bot_pb2 as pb

__all__ = ["CALLS"]

SMALLEST_FIRST_PART = 5 * 1024 * 1024
"""Bytes, unless it is the whole file; upload.go, minFirstPartSize. This is more than the 4 MiB of one call,
so a plugin can upload in parts only files that fit into one call."""


def _create(mm: ServerState, request: pb.CreateUploadSessionRequest) -> dict[str, Any]:
    session = UploadSession()
    session.CopyFrom(request.upload_session)
    session.ClearField("remote_id")
    session.ClearField("req_file_id")
    most = mm.config.get("FileSettings", {}).get("MaxFileSize", 0)
    if session.file_size > most:
        raise AppError("CreateUploadSession", "app.upload.create.upload_too_large.app_error", 413)
    if session.file_size <= 0:
        raise AppError(
            "UploadSession.IsValid", "model.upload_session.is_valid.file_size.app_error", 400
        )
    channel = need_channel(mm, session.channel_id, "CreateUploadSession")
    if channel.delete_at:
        deleted = "app.upload.create.cannot_upload_to_deleted_channel.app_error"
        raise AppError("CreateUploadSession", deleted, 400)
    session.id, session.file_offset = new_id(), 0
    session.create_at = mm.clock.now()
    session.type = session.type or "attachment"
    mm.uploads[session.id] = Upload(session)
    return {"upload_session": session}


def _get(mm: ServerState, request: pb.GetUploadSessionRequest) -> dict[str, Any]:
    upload = mm.uploads.get(request.upload_id)
    if upload is None:
        raise AppError("GetUpload", "app.upload.get.app_error", 404)
    return {"upload_session": upload.session}


async def _upload(mm: ServerState, request: pb.UploadDataRequest) -> dict[str, Any]:
    """Add one part. The answer has a file after the last part only."""
    upload = mm.uploads.get(request.upload_session.id)
    if upload is None:
        raise AppError("UploadData", "app.upload.get.app_error", 404)
    session = upload.session
    if request.upload_session.file_offset != session.file_offset:
        raise AppError("UploadData", "app.upload.upload_data.concurrent.app_error", 400)
    part = request.data[: session.file_size - session.file_offset]
    is_first = not session.file_offset
    if is_first and len(part) < min(SMALLEST_FIRST_PART, session.file_size):
        small = "app.upload.upload_data.first_part_too_small.app_error"
        raise AppError("UploadData", small, 400)
    upload.data += part
    session.file_offset += len(part)
    if session.file_offset < session.file_size:
        return {}
    del mm.uploads[session.id]
    info = await files.upload(
        mm, bytes(upload.data), session.channel_id, session.filename, session.user_id
    )
    return {"file_info": info}


CALLS: Mapping[str, Callable[..., Any]] = {
    "CreateUploadSession": _create,
    "UploadData": _upload,
    "GetUploadSession": _get,
}
