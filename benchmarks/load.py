"""A small HTTP load client: keep-alive connections, one request in flight on each.

Each connection says that it was forwarded for an address of its own, which counts where the server
trusts us as a proxy: a crowd doesn't come from one address.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

Body = Callable[[int, int, bytes], tuple[bytes, str]]
"""Takes connection, turn and the turn's previous answer; gives a JSON body and Authorization."""


@dataclass(slots=True)
class Outcome:
    """What a run of load saw. Latencies of whole turns, in seconds."""

    elapsed_seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    wrong: int = 0
    sample: bytes = b""

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.elapsed_seconds

    def percentile_ms(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000


async def post(
    url: str,
    *,
    connections: int,
    seconds: float,
    bodies: Sequence[Body],
    right: bytes,
    turns_per_second: float | None = None,
    warm_up_seconds: float = 2.0,
) -> Outcome:
    """POST again and again until the time is up; each turn sends all ``bodies``, one after another.

    A turn whose last answer lacks ``right`` counts as wrong. Counted are turns that end after the
    warm-up and before the time is up, so that long ones are neither lost nor paid for twice. With
    ``turns_per_second`` a turn begins when its time has come, and its latency counts from then,
    however long it waited for a connection; without, a turn follows the other.
    """
    outcome = Outcome(elapsed_seconds=seconds)
    parts = urlsplit(url)
    opened = time.perf_counter()
    started = opened + warm_up_seconds
    deadline = started + seconds

    async def due(number: int, turn: int) -> float:
        if turns_per_second is None:
            return time.perf_counter()
        at = opened + (turn * connections + number) / turns_per_second
        await asyncio.sleep(max(at - time.perf_counter(), 0.0))
        return at

    async def one(number: int) -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        turn = 0
        while (begun := await due(number, turn)) < deadline and time.perf_counter() < deadline:
            answer = b""
            for body in bodies:
                payload, authorization = body(number, turn, answer)
                writer.write(_request(parts.path, parts.netloc, payload, authorization, number))
                answer = await _response(reader)
            turn += 1
            ended = time.perf_counter()
            if not started <= ended <= deadline:
                continue
            outcome.latencies.append(ended - begun)
            if right not in answer:
                outcome.wrong += 1
                outcome.sample = answer[:300]
        writer.close()

    await asyncio.gather(*(one(number) for number in range(connections)))
    return outcome


def _request(path: str, host: str, payload: bytes, authorization: str, number: int) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Accept: application/json\r\nAuthorization: {authorization}\r\n"
        f"X-Forwarded-For: 198.51.100.{number % 254 + 1}\r\n"
        f"Content-Length: {len(payload)}\r\n\r\n"
    )
    return head.encode() + payload


async def _response(reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    begin = head.index(b"content-length:") + 15
    length = int(head[begin : head.index(b"\r\n", begin)])
    return await reader.readexactly(length)
