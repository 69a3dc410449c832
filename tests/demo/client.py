"""A small GraphQL client: operations over HTTP, subscriptions over graphql-transport-ws.

It is meant to be read and copied::

    async with Client("http://127.0.0.1:8000", token=token) as client:
        data = await client.run("query { viewer { displayName } }")
        async with client.live() as live:
            feed = await live.subscribe("subscription { transactionEvents { ... } }")
            event = await feed.next()
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import websockets

PROTOCOL = "graphql-transport-ws"
TIMEOUT_SECONDS = 10.0


class GraphQLError(Exception):
    """Top-level errors: a bug, no session, a limit. Expected refusals come as data instead."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__("; ".join(error["message"] for error in errors))
        self.errors = errors


class Client:
    """One person's app. ``token`` is the access token, empty before signing in."""

    def __init__(self, api_url: str, *, token: str = "", language: str = "zh-CN") -> None:
        self.token = token
        self.socket_url = "ws" + api_url.removeprefix("http") + "/graphql"
        self._language = language
        self._http = httpx.AsyncClient(base_url=api_url, timeout=30.0, trust_env=False)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    def headers(self) -> dict[str, str]:
        """What says who asks, and in which language."""
        headers = {"Accept-Language": self._language}
        return headers | {"Authorization": f"Bearer {self.token}"} if self.token else headers

    async def run(self, document: str, **variables: Any) -> dict[str, Any]:
        """The data of a query or mutation. Raises GraphQLError."""
        response = await self._http.post(
            "/graphql",
            json={"query": document, "variables": variables},
            headers=self.headers() | {"Accept": "application/graphql-response+json"},
        )
        answer = response.json()
        if answer.get("errors"):
            raise GraphQLError(answer["errors"])
        return answer["data"]

    async def mutate(self, document: str, **input: Any) -> dict[str, Any]:
        """The result of a mutation with the one argument ``input``: a success or a refusal."""
        [result] = (await self.run(document, input=input)).values()
        return result

    @asynccontextmanager
    async def live(self) -> AsyncIterator[Live]:
        """A socket for subscriptions; it ends with the block."""
        live = await Live.open(self.socket_url, self.headers())
        try:
            yield live
        finally:
            await live.close()


@dataclass(frozen=True)
class Event:
    """What a subscription delivered, and when (by ``time.perf_counter``)."""

    data: Any
    at: float


class Ended(Exception):
    """The server completed the subscription, or the socket went away."""


class Feed:
    """The events of one subscription, in order."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[Event | Exception] = asyncio.Queue()

    def put(self, event: Event | Exception) -> None:
        self._events.put_nowait(event)

    async def next(self, *, timeout_seconds: float = TIMEOUT_SECONDS) -> Event:
        """The next event. Raises TimeoutError, Ended, GraphQLError."""
        event = await asyncio.wait_for(self._events.get(), timeout_seconds)
        if isinstance(event, Exception):
            raise event
        return event

    def empty(self) -> bool:
        """Whether nothing has arrived that wasn't taken."""
        return self._events.empty()


class Live:
    """One socket; any number of subscriptions share it."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self._feeds: dict[str, Feed] = {}
        self._ids = itertools.count(1)
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, url: str, headers: dict[str, str]) -> Live:
        """Connect, introduce ourselves, and wait to be let in."""
        subprotocol = websockets.Subprotocol(PROTOCOL)
        socket = await websockets.connect(
            url,
            subprotocols=[subprotocol],
            additional_headers=headers,
            compression=None,
            proxy=None,
        )
        await socket.send(json.dumps({"type": "connection_init"}))
        while json.loads(await socket.recv())["type"] != "connection_ack":
            pass
        return cls(socket)

    async def subscribe(self, document: str, **variables: Any) -> Feed:
        """Start a subscription; its events wait in the feed until they are taken."""
        name = str(next(self._ids))
        feed = self._feeds[name] = Feed()
        payload = {"query": document, "variables": variables}
        await self._send({"id": name, "type": "subscribe", "payload": payload})
        return feed

    async def drop(self) -> None:
        """Lose the connection without a word, as a phone does in a tunnel."""
        self._socket.transport.abort()
        await self.close()

    async def close(self) -> None:
        """End it politely."""
        await self._socket.close()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def _send(self, message: dict[str, Any]) -> None:
        await self._socket.send(json.dumps(message))

    async def _read(self) -> None:
        try:
            async for text in self._socket:
                await self._take(json.loads(text), at=time.perf_counter())
        except websockets.ConnectionClosed:
            pass
        finally:
            for feed in self._feeds.values():
                feed.put(Ended("the socket is closed"))

    async def _take(self, message: dict[str, Any], *, at: float) -> None:
        kind, feed = message["type"], self._feeds.get(message.get("id", ""))
        if kind == "ping":
            await self._send({"type": "pong"})
        elif feed is None:
            return
        elif kind == "next" and message["payload"].get("errors"):
            feed.put(GraphQLError(message["payload"]["errors"]))
        elif kind == "next":
            [data] = message["payload"]["data"].values()
            feed.put(Event(data, at))
        elif kind == "error":
            feed.put(GraphQLError(message["payload"]))
        elif kind == "complete":
            feed.put(Ended("the subscription is over"))
