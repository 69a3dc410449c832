"""How we and the gateways prove to each other who sent a request: HMAC-SHA256 over its outline.

The signed text is ``timestamp.METHOD.path.sha256(body)``: ``timestamp`` in whole Unix seconds,
``path`` as sent (with its query string), the hash in hexadecimal. It travels in the headers
``X-Timestamp`` and ``X-Signature`` and is good for 300 seconds. A replay inside that window is
harmless because every request that changes something carries a reference of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping

TIMESTAMP_HEADER = "X-Timestamp"
SIGNATURE_HEADER = "X-Signature"
WINDOW_SECONDS = 300

_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)


class BadSignature(Exception):
    """The request was not signed by the holder of the secret, or not recently."""


def headers(
    body: bytes, *, method: str, path: str, secret: str, unix_seconds: float
) -> dict[str, str]:
    """The two headers that sign this request as sent at ``unix_seconds``."""
    timestamp = str(int(unix_seconds))
    return {
        TIMESTAMP_HEADER: timestamp,
        SIGNATURE_HEADER: _signature(body, timestamp, method=method, path=path, secret=secret),
    }


def verify(
    received: Mapping[str, str],
    body: bytes,
    *,
    method: str,
    path: str,
    secret: str,
    unix_seconds: float,
) -> None:
    """Raise `BadSignature` unless the headers sign exactly this request within the window."""
    if not secret:
        raise BadSignature("no secret is set")
    named = {name.lower(): value for name, value in received.items()}
    timestamp = named.get(TIMESTAMP_HEADER.lower(), "")
    signature = named.get(SIGNATURE_HEADER.lower(), "")
    if not _TIMESTAMP.fullmatch(timestamp):
        raise BadSignature("the timestamp is missing or unreadable")
    expected = _signature(body, timestamp, method=method, path=path, secret=secret)
    # Bytes, because compare_digest refuses text with characters outside ASCII.
    if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
        raise BadSignature("the signature does not match")
    if abs(unix_seconds - int(timestamp)) > WINDOW_SECONDS:
        raise BadSignature("the timestamp is outside the window")


def _signature(body: bytes, timestamp: str, *, method: str, path: str, secret: str) -> str:
    text = f"{timestamp}.{method.upper()}.{path}.{hashlib.sha256(body).hexdigest()}"
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
