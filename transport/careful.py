"""uvicorn's HTTP protocol with bounds that it lacks: on heads of requests, and on waiting to write.

Without them a stranger holds memory and connections for nothing, by a header that never ends, by
a connection that never asks or by one that never reads. Chosen by
``--http transport.careful:CarefulProtocol``.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX = 64 * 1024
HEAD_SECONDS = 15.0
UNREAD_SECONDS = 30.0


class CarefulProtocol(HttpToolsProtocol):
    """Closes a connection whose next request has too large or too slow a head.

    Bytes are counted after they are parsed, so a read or two more than the bound may be held. The
    idle time between two requests is uvicorn's own to bound.
    """

    _waiting: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = True

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._bound_unread(transport.get_extra_info("socket"))
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        in_head = self._in_head
        super().data_received(data)
        # A read that also held the end of an earlier request doesn't count.
        if in_head and self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        self._expect_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_arrived()
        super().on_headers_complete()

    def _bound_unread(self, connection: Any) -> None:
        """Have the kernel drop a peer that takes nothing: closing waits for what it doesn't read.

        It holds for the WebSocket too that the connection may become. Only Linux can.
        """
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        if option is not None and connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, option, int(UNREAD_SECONDS * 1000))

    def _expect_head(self) -> None:
        self._head_arrived()
        self._head_bytes, self._in_head = 0, True
        self._waiting = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def _head_arrived(self) -> None:
        self._in_head = False
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _too_slow(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
