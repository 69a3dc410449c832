"""The gateways' own reading of the signing protocol.

It repeats what the wallet has on its side, knowingly: two companies that speak one protocol share
its description, not their code, and a mistake made on one side only must be noticed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

WINDOW_SECONDS = 300


def sign(
    body: bytes, *, method: str, path: str, secret: str, unix_seconds: float
) -> dict[str, str]:
    """Headers that sign a request of ours, over ``timestamp.METHOD.path.sha256(body)``."""
    timestamp = str(int(unix_seconds))
    return {
        "X-Timestamp": timestamp,
        "X-Signature": _digest(timestamp, body, method=method, path=path, secret=secret),
    }


def is_signed(
    headers: Mapping[str, str],
    body: bytes,
    *,
    method: str,
    path: str,
    secret: str,
    unix_seconds: float,
) -> bool:
    """Whether the client signed exactly this request less than five minutes ago."""
    timestamp = headers.get("x-timestamp", "")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return False
    if abs(unix_seconds - int(timestamp)) > WINDOW_SECONDS:
        return False
    given = headers.get("x-signature", "").encode("utf-8", "replace")
    wanted = _digest(timestamp, body, method=method, path=path, secret=secret).encode()
    return hmac.compare_digest(wanted, given)


def _digest(timestamp: str, body: bytes, *, method: str, path: str, secret: str) -> str:
    body_hash = hashlib.sha256(body).hexdigest()
    message = ".".join((timestamp, method, path, body_hash))
    return hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest()
