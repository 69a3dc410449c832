"""A small schema, and a real server for it in a thread, as the transport's tests need them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import strawberry
import uvicorn

from infra import logging
from transport import app, limits, serve


class Refused(Exception):
    """Stands for an exception that callers may see."""


@dataclass(eq=False)
class Caller:
    """Stands for a context: what transport asks of one, and what the tests' resolvers need."""

    session: str = "none"
    request_id: str = ""
    may_introspect: bool = False
    holder: str = ""
    world: World | None = None
    loaded: int = 0

    def fresh(self) -> Caller:
        return replace(self, loaded=0)

    def presented(self, error: BaseException) -> tuple[str, str] | None:
        return ("UNAUTHENTICATED", "Please sign in.") if isinstance(error, Refused) else None


@dataclass
class World:
    """What the tests look at from outside."""

    contexts: int = 0
    open_streams: int = 0
    closes_with: int | None = None
    checks: int = 0

    async def context(self, came: Any) -> Caller:
        self.contexts += 1
        token = came.authorization
        session = {"": "none", "ended": "ended", "forged": "bad"}.get(token, "valid")
        if token == "broken":
            raise RuntimeError("13800001111 could not be looked up")
        holder = token if session == "valid" else ""
        return Caller(session, came.request_id, token == "staff", holder, self)

    async def must_close(self, _caller: Caller) -> int | None:
        self.checks += 1
        return self.closes_with


@strawberry.input
class Nested:
    amount: int
    note: str = ""


@strawberry.input
class PayInput:
    key: str
    to: str
    nested: Nested


@strawberry.type
class Paid:
    id: str
    amount: int
    to: str


@strawberry.type
class Declined:
    code: str


@strawberry.type
class Thing:
    id: int

    @strawberry.field
    def thing(self, first: int = 1) -> Thing:
        return Thing(id=self.id + first)

    @strawberry.field
    def again(self) -> Thing:
        return self


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, name: str = "world") -> str:
        return f"Hello {name}"

    @strawberry.field
    def thing(self, first: int = 1) -> Thing:
        return Thing(id=first)

    @strawberry.field
    def broken(self) -> str:
        raise RuntimeError("secret dsn 13800001111")

    @strawberry.field
    def denied(self) -> str | None:
        raise Refused

    @strawberry.field
    def unprintable(self) -> int | None:
        return 13800001111


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def pay(self, input: PayInput) -> Paid | Declined:
        return Paid(id=input.key, amount=input.nested.amount, to=input.to)


@strawberry.type
class Tick:
    number: int

    @strawberry.field
    def loaded_before(self, info: strawberry.Info) -> int:
        """How much the event's context had loaded: always 0 if it is a fresh one."""
        info.context.loaded += 1
        return info.context.loaded - 1


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def ticks(
        self, info: strawberry.Info, after: int = 0, count: int = 3, then: str = ""
    ) -> AsyncGenerator[Tick]:
        world: World = info.context.world
        world.open_streams += 1
        try:
            for number in range(after + 1, after + 1 + count):
                yield Tick(number=number)
            if then == "fail":
                raise RuntimeError("secret")
            if then == "deny":
                raise Refused
            if then == "wait":
                await asyncio.Event().wait()
        finally:
            world.open_streams -= 1

    @strawberry.subscription
    async def flood(self, info: strawberry.Info) -> AsyncGenerator[str]:
        world: World = info.context.world
        world.open_streams += 1
        try:
            while True:
                yield "x" * 50_000
        finally:
            world.open_streams -= 1


SCHEMA = strawberry.Schema(Query, Mutation, Subscription)
PAY = """mutation Pay($input: PayInput!) { pay(input: $input) {
  __typename ... on Paid { id amount to } ... on Declined { code } } }"""


def build(world: World, bounds: limits.Limits | None = None, **options: Any) -> app.Application:
    """The application of the small schema, seen by `world`."""
    logging.configure()
    return app.build(
        schema=SCHEMA,
        context_factory=world.context,
        must_close=world.must_close,
        limits=bounds,
        **{"callbacks": {}, "readiness": {}, "lifespan": None, **options},
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def served(application: app.Application, *, port: int = 0, **options: Any) -> Iterator[int]:
    """Serves an application as production does, in a thread; gives the port.

    ``options`` are uvicorn's, a certificate for instance.
    """
    port = port or free_port()
    usual = {**serve.OPTIONS, "loop": "auto", "timeout_graceful_shutdown": 5, **options}
    config = uvicorn.Config(application, host="127.0.0.1", port=port, log_config=None, **usual)
    server = uvicorn.Server(config)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    # The socket listens already, so clients may connect before the server reads.
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join(timeout=15)
        listener.close()
        assert not thread.is_alive(), "the server did not stop"
