"""A TCP port in front of a server on a Unix socket: with TLS, and able to hang and to go away."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

from tests.certificates import Certificate

_CHUNK_BYTES = 65_536
_SSL_REQUEST_BYTES = 8  # how PostgreSQL's clients ask for TLS before they begin it


class Front:
    """Carries bytes between ``port`` of 127.0.0.1 and the Unix socket at ``path``.

    With a certificate it speaks TLS; ``asked_for`` then says that clients ask in PostgreSQL's way.
    While ``hanging`` is set, connections are taken and nothing is carried.
    """

    def __init__(
        self, path: str, *, certificate: Certificate | None = None, asked_for: bool = False
    ) -> None:
        self._path = path
        self._certificate = certificate
        self._asked_for = asked_for
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.port = 0
        self.handshakes = 0

    async def __aenter__(self) -> Front:
        await self.come_back()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hang(False)
        await self.go_away()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hang(self, hanging: bool = True) -> None:
        """Stop carrying, or go on with what has piled up."""
        if hanging:
            self._flowing.clear()
        else:
            self._flowing.set()

    async def go_away(self) -> None:
        """Hang up on everybody and refuse whoever comes."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()

    async def come_back(self) -> None:
        """Listen, on the same port as before if there was one."""
        self._server = await asyncio.start_server(
            self._serve,
            "127.0.0.1",
            self.port,
            ssl=None if self._asked_for else self._context(),
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def _context(self) -> ssl.SSLContext | None:
        if self._certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate.certificate, self._certificate.key)
        return context

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Whoever doesn't like our certificate hangs up in the middle of it.
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            if self._asked_for:
                await reader.readexactly(_SSL_REQUEST_BYTES)
                writer.write(b"S")
                context = self._context()
                assert context is not None
                await writer.start_tls(context)
            self.handshakes += 1
            far_reader, far_writer = await asyncio.open_unix_connection(self._path)
            self._writers |= {writer, far_writer}
            for pump in (self._pump(reader, far_writer), self._pump(far_reader, writer)):
                task = asyncio.create_task(pump)
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            return
        writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
        self._writers.discard(writer)
