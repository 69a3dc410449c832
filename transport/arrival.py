"""Who knocked, and how: what a context is made of."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from typing import Any

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}", re.ASCII)


@dataclass(slots=True)
class Arrival:
    """A request, or a socket that has introduced itself.

    `headers` has lower-case names, the last of several winning. `address` is the peer's.
    `parameters` is the payload of a socket's connection_init, empty over HTTP.
    """

    headers: dict[str, str]
    address: str
    request_id: str
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def authorization(self) -> str:
        """The credentials, from the header or from a socket's ``authorization`` parameter."""
        given = self.headers.get("authorization")
        if given is None:
            given = self.parameters.get("authorization", self.parameters.get("Authorization", ""))
        return given if isinstance(given, str) else ""


def of(scope: Any) -> Arrival:
    """The arrival of an ASGI scope."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    client = scope.get("client")
    return Arrival(
        headers=headers,
        address=client[0] if client else "",
        request_id=scope.get("wallet.request_id") or request_id(headers.get("x-request-id", "")),
    )


def network(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 that a household gets of IPv6."""
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped
    return str(mapped) if mapped else str(ipaddress.IPv6Network((parsed, 64), strict=False))


def request_id(proposed: str) -> str:
    """The proposed id if it is harmless, else a new one."""
    return proposed if _REQUEST_ID.fullmatch(proposed) else os.urandom(12).hex()
