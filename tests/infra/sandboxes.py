"""The sandbox's servers as child processes, and a small real receiver for the bank's callbacks."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from infra import signing

ROOT = Path(__file__).resolve().parents[2]
SECRET = "the-secret-between-client-and-gateway"
CALLBACK_SECRET = "the-secret-that-signs-callbacks"
CALLBACK_PATH = "/callbacks/bank"
READY_SECONDS = 30


@dataclass
class Server:
    """One running sandbox server."""

    url: str
    process: subprocess.Popen[str]

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def ask(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """One unsigned request."""
        return httpx.request(
            method, self.url + path, json=json, content=content, headers=headers, trust_env=False
        )

    def behave(self, **settings: object) -> None:
        self.ask("POST", "/behaviour", json=settings).raise_for_status()


@contextmanager
def running(name: str, data: Path, *options: str, port: int = 0) -> Iterator[Server]:
    """``python -m sandbox.NAME`` over the directory ``data``, killed at the end."""
    arguments = ["--port", str(port), "--data", str(data), "--secret", SECRET, *options]
    process = subprocess.Popen(
        [sys.executable, "-m", f"sandbox.{name}", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, f"sandbox.{name} ended with {process.wait()}"
        yield Server(f"http://127.0.0.1:{json.loads(line)['port']}", process)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def signed(
    method: str,
    url: str,
    body: bytes,
    *,
    secret: str = SECRET,
    age_seconds: int = 0,
    signed_path: str | None = None,
) -> httpx.Response:
    """A request whose signature can be made wrong."""
    path = signed_path or httpx.URL(url).raw_path.decode()
    headers = signing.headers(
        body, method=method, path=path, secret=secret, unix_seconds=time.time() - age_seconds
    )
    return httpx.request(method, url, content=body, headers=headers, trust_env=False)


@dataclass
class Callback:
    """One request as the receiver got it."""

    path: str
    headers: dict[str, str]
    body: bytes
    answered: int


@dataclass
class Receiver:
    """Takes callbacks and answers with the statuses in ``answers``, then always with ``usual``."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    usual: int = 204
    inbox: asyncio.Queue[Callback] = field(default_factory=asyncio.Queue)

    async def take(self, count: int) -> list[Callback]:
        """The next ``count`` callbacks, whenever they come."""
        async with asyncio.timeout(READY_SECONDS):
            return [await self.inbox.get() for _ in range(count)]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in head[1:] if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            status = self.answers.pop(0) if self.answers else self.usual
            writer.write(
                f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
            )
            await writer.drain()
            self.inbox.put_nowait(Callback(head[0].split(" ")[1], headers, body, status))
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # a killed bank leaves half a request
        finally:
            writer.close()
