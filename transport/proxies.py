"""Who really asks, and by what: told by the proxies that we trust, and by nobody else.

A trusted proxy adds the address it was called from to ``X-Forwarded-For`` and says in
``X-Forwarded-Proto`` whether that call came by TLS. From any other peer both are only words.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_SECURE = {"http": "https", "https": "https", "ws": "wss", "wss": "wss"}


class Proxies:
    """The trusted networks."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = tuple(networks)
        self._trusts = lru_cache(4096)(self._look)

    def see_through(self, scope: Any) -> None:
        """Put the caller's own address and scheme into an ASGI scope."""
        if not self._networks or not scope.get("client"):
            return
        peer = scope["client"][0]
        if len(peer) > 64 or not self._trusts(peer):
            return
        forwarded = b",".join(v for k, v in scope["headers"] if k == b"x-forwarded-for")
        schemes = b",".join(v for k, v in scope["headers"] if k == b"x-forwarded-proto")
        scope["client"] = (self._caller(peer, forwarded.decode("latin-1")), 0)
        # Every hop that is told of counts: one in the clear is enough to have been overheard.
        words = {word.strip().lower() for word in schemes.split(b",")}
        if words == {b"https"}:
            scope["scheme"] = _SECURE[scope["scheme"]]

    def _caller(self, peer: str, forwarded: str) -> str:
        """The last address that no trusted proxy of ours has; what is ahead of it may be invented.

        The proxy's own where the header is missing or unreadable.
        """
        found = peer
        for word in reversed(forwarded.split(",")[-32:]):
            address = _address(word.strip())
            if address is None:
                return found
            found = address
            if not self._trusts(found):
                return found
        return found

    def _look(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._networks)


def _address(word: str) -> str | None:
    """An address, maybe with a port as some proxies write it, in its usual form."""
    if word.startswith("["):
        word = word[1:].partition("]")[0]
    elif word.count(":") == 1:
        word = word.partition(":")[0]
    try:
        return str(ipaddress.ip_address(word))
    except ValueError:
        return None
