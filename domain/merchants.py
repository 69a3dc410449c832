"""Merchants' QR codes: what is printed in them and how it is read back."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

NAME_LENGTH_MAX = 80
PAYLOAD_LENGTH_MAX = 200
SCHEME = "pcw:q:"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,32}", re.ASCII)


def qr_payload(token: str, public_url: str) -> str:
    """The text of a merchant's code: a link, so that a foreign scanner leads somewhere useful."""
    return f"{public_url.rstrip('/')}/q/{token}"


def read_qr(payload: str, public_url: str) -> str | None:
    """The token inside one of our codes (the link, or ``pcw:q:<token>``); None for anything else.

    The host has to be our own: a look-alike link of somebody else is unreadable, not a merchant.
    """
    text = payload.strip()
    if len(text) > PAYLOAD_LENGTH_MAX:
        return None
    ours = text.lower().startswith(SCHEME)
    token = text[len(SCHEME) :] if ours else _of_link(text, public_url)
    return token if token is not None and _TOKEN.fullmatch(token) else None


def _of_link(text: str, public_url: str) -> str | None:
    try:
        link, own = urlsplit(text), urlsplit(public_url)
    except ValueError:
        return None
    if (link.scheme.lower(), link.netloc.lower()) != (own.scheme.lower(), own.netloc.lower()):
        return None
    prefix = own.path.rstrip("/") + "/q/"
    if not link.path.startswith(prefix) or link.query or link.fragment:
        return None
    return link.path[len(prefix) :]
