"""Signed cursors: a place that a client hands back unread, good for one list or stream only."""

from __future__ import annotations

import base64
import binascii
import hmac
from functools import lru_cache

from infra import settings

_MAC_BYTES = 10
_LENGTH_MAX = 400


def seal(purpose: str, scope: bytes, payload: bytes) -> str:
    """The cursor of a payload; it opens with the same ``purpose`` and ``scope`` only."""
    sealed = _mac(purpose, scope, payload) + payload
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def unseal(purpose: str, scope: bytes, cursor: str) -> bytes | None:
    """The payload of a cursor of ours, or None."""
    if len(cursor) > _LENGTH_MAX:
        return None
    try:
        sealed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    mac, payload = sealed[:_MAC_BYTES], sealed[_MAC_BYTES:]
    return payload if hmac.compare_digest(mac, _mac(purpose, scope, payload)) else None


def _mac(purpose: str, scope: bytes, payload: bytes) -> bytes:
    key = _key(settings.get_settings().cursor_key.get_secret_value(), purpose)
    return hmac.digest(key, scope + payload, "sha256")[:_MAC_BYTES]


@lru_cache(maxsize=8)
def _key(secret: str, purpose: str) -> bytes:
    return hmac.digest(secret.encode(), purpose.encode(), "sha256")
