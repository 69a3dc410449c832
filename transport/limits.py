"""How much one caller may ask of the endpoints. Sizes in bytes, times in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a request, a document, and a socket."""

    body_bytes: int = 100_000
    body_seconds: float = 15.0
    tokens: int = 1000
    depth: int = 10
    aliases: int = 15
    fields: int = 500  # after fragments are expanded
    duplicates: int = 32  # of one response name in one expanded selection set
    page_max: int = 100
    cached_documents: int = 256  # up to 200 KB of memory each, also for strangers
    cached_document_characters: int = 8192

    sockets: int = 10_000
    sockets_per_stranger: int = 200  # of one address, until they sign in
    sockets_per_session: int = 50
    socket_seconds: float = 3600.0  # then the client comes back, with its newest token
    message_characters: int = 64 * 1024
    operations_per_socket: int = 20
    init_timeout_seconds: float = 5.0
    ping_interval_seconds: float = 20.0
    silence_seconds: float = 60.0
    send_timeout_seconds: float = 10.0
    sweep_interval_seconds: float = 5.0
