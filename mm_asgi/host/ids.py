"""Ids in Mattermost's form: 26 characters of z-base-32 over 16 bytes (model/utils.go, NewId)."""

from __future__ import annotations

import base64
import hashlib
import re
import uuid

__all__ = ["is_id", "new_id", "stable_id"]

_ALPHABET = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"ybndrfg8ejkmcpqxot1uwisza345h769"
)
_FORM = re.compile(r"[a-z0-9]{26}")


def new_id() -> str:
    """Return a new random id."""
    return _encode(uuid.uuid4().bytes)


def stable_id(name: str) -> str:
    """Return the same id for the same name, so that ids in an app's database survive a restart."""
    return _encode(hashlib.sha256(name.encode()).digest()[:16])


def is_id(text: str) -> bool:
    """Return whether a text has the form of an id."""
    return _FORM.fullmatch(text) is not None


def _encode(data: bytes) -> str:
    return base64.b32encode(data).rstrip(b"=").translate(_ALPHABET).decode()
