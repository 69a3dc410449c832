"""Global ids: opaque to clients, and decoded strictly, so that each thing has exactly one."""

from __future__ import annotations

import base64
import binascii
from uuid import UUID

_LENGTH_MAX = 200


def encode(type_name: str, key: object) -> str:
    """The id of the object of GraphQL type `type_name` whose key prints as `key`."""
    return base64.urlsafe_b64encode(f"{type_name}:{key}".encode()).rstrip(b"=").decode()


def parse(id: str) -> tuple[str, str] | None:
    """Type name and key of an id; None for anything `encode` would not have made."""
    if len(id) > _LENGTH_MAX:
        return None
    try:
        raw = base64.b64decode(id + "=" * (-len(id) % 4), altchars=b"-_", validate=True)
        type_name, _, key = raw.decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    if not type_name.isidentifier() or not key or encode(type_name, key) != id:
        return None
    return type_name, key


def decode(id: str, expected_type: str) -> str | None:
    """The key of an id of `expected_type`; None for another type's id or none at all."""
    found = parse(id)
    return found[1] if found and found[0] == expected_type else None


def decode_uuid(id: str, expected_type: str) -> UUID | None:
    """The same for keys that are UUIDs, written as they print and in no other way."""
    key = decode(id, expected_type)
    try:
        found = UUID(key or "")
    except ValueError:
        return None
    return found if str(found) == key else None
