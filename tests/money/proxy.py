"""Between asyncpg and PostgreSQL: carries bytes, and on demand swallows the answer and hangs up."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

CHUNK_BYTES = 65_536
SOCKET = ".s.PGSQL.5432"


class Proxy:
    """A Unix socket of its own in front of the server that ``url`` names.

    While ``swallowing`` is set the server gets everything and the client nothing; ``cut`` hangs up
    on both. ``swallowed`` counts the answers that were lost so.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._folder = tempfile.TemporaryDirectory(prefix="wp", dir="/tmp")  # short enough a path
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.swallowing = False
        self.swallowed = 0

    @property
    def url(self) -> str:
        return urlunsplit(urlsplit(self._url)._replace(query=f"host={self._folder.name}&port=5432"))

    async def __aenter__(self) -> Proxy:
        path = str(Path(self._folder.name) / SOCKET)
        self._server = await asyncio.start_unix_server(self._serve, path)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._folder.cleanup()

    def cut(self) -> None:
        """Hang up on everybody; new connections are served as before."""
        self.swallowing = False
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        query = parse_qs(urlsplit(self._url).query)
        path = Path(query["host"][0]) / SOCKET
        far_reader, far_writer = await asyncio.open_unix_connection(str(path))
        for one in (writer, far_writer):
            self._writers.add(one)
        for pump in (
            self._pump(reader, far_writer, answers=False),
            self._pump(far_reader, writer, answers=True),
        ):
            task = asyncio.create_task(pump)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                if answers and self.swallowing:
                    self.swallowed += 1
                    continue
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
        self._writers.discard(writer)
