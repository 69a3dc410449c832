"""How we check who is at the other end: certificates and host names, always, and by whom we trust.

Asked for in one place, because every client library has a default of its own: redis-py doesn't
compare host names, asyncpg looks for a file in the home directory, httpx brings its own list.
"""

from __future__ import annotations

import ssl
from functools import lru_cache


@lru_cache(maxsize=8)
def verifying(authorities: str = "") -> ssl.SSLContext:
    """A client's context: TLS 1.2 or newer, chain and host name checked.

    ``authorities`` is a PEM file of those we trust instead of the system's ("" for the system's).
    Raises OSError (also as ssl.SSLError) for a file that can't be read.
    """
    context = ssl.create_default_context(cafile=authorities or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def ensure_pair(certificate: str, key: str) -> None:
    """Raise OSError (also as ssl.SSLError) unless the key in one PEM file fits the certificate."""
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
