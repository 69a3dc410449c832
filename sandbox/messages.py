"""What the SMS, push and mail gateways share: each takes signed messages, keeps and shows them.

A reference is taken once: the same message again gets the first one's answer, another one 409.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox import behaviour, serving, storage

KEPT_MAX = 10_000
SHOWN_ON_PAGE = 100
FAILURES_DRAWN = (0, 0, 0, 0, 1, 2)
DELAYS_DRAWN_SECONDS = (0.0, 0.0, 0.0, 0.1, 0.4)
LATE_FAILURE_RATE = 0.1

Reference = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Short = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]

SCHEMA = (
    behaviour.TABLE
    + """
create table if not exists sent (
    number integer primary key autoincrement,
    message_id text not null,
    reference text not null unique,
    recipient text not null,
    body blob not null,
    dropped integer not null,
    received_at text not null
);
create index if not exists sent_recipient on sent (recipient, number desc);
create table if not exists attempt (reference text primary key, count integer not null);
"""
)


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The body of POST /messages; each gateway narrows ``to`` and adds what it carries."""

    to: str
    reference: Reference


class MessageBehaviour(behaviour.Basic, kw_only=True):
    """Beside the basics: a share of accepted messages that never reach anybody."""

    drop_rate: behaviour.Rate = 0.0


_Kind = TypeVar("_Kind", bound=Message)
_Settings = TypeVar("_Settings", bound=MessageBehaviour)


class Gateway(Generic[_Kind, _Settings]):
    """The endpoints over one database.

    ``refuse`` may raise `serving.Refused` for a new message; ``seed`` has some references fail,
    wait, or be answered wrongly, the same ones each time.
    """

    def __init__(
        self,
        database: sqlite3.Connection,
        *,
        title: str,
        secret: str,
        seed: int | None,
        kind: type[_Kind],
        settings: type[_Settings],
        refuse: Callable[[_Kind, behaviour.Behaviour[_Settings]], None] | None = None,
    ) -> None:
        self._database = database
        self._title = title
        self._secret = secret
        self._seed = seed
        self._kind = kind
        self._chance = random.Random(seed)
        self._behaviour = behaviour.Behaviour(database, settings)
        self._refuse = refuse

    def routes(self) -> list[Route]:
        return [
            Route("/", self.show, methods=["GET"]),
            Route("/messages", self.accept, methods=["POST"]),
            Route("/messages", self.read, methods=["GET"]),
            Route("/healthz", self.healthz, methods=["GET"]),
            *self._behaviour.routes(),
        ]

    async def accept(self, request: Request) -> Response:
        """Store one message; the same reference again answers the first one (409 if it differs)."""
        body = await serving.signed_body(request, self._secret)
        message = serving.decode(body, self._kind)
        await self._behaviour.before_answer()
        fails_late = await self._drawn(message.reference)
        known = self._find(message.reference)
        if known is None:
            if self._refuse is not None:
                self._refuse(message, self._behaviour)
            message_id = self._store(message)
        elif msgspec.json.decode(known["body"], type=self._kind) == message:
            message_id = known["message_id"]
        else:
            raise serving.Refused(409, "REFERENCE_REUSED", "another message has this reference")
        if self._behaviour.spend("timeout_after_success_next") or (known is None and fails_late):
            raise serving.Refused(504, "TIMEOUT", "misbehaviour: timeout after success")
        answer = {"message_id": message_id, "status": "ACCEPTED"}
        return JSONResponse(answer, 202 if known is None else 200)

    async def read(self, request: Request) -> Response:
        """What arrived, newest first; ``to`` picks one recipient, ``limit`` is at most 100."""
        recipient = request.query_params.get("to")
        if recipient is not None and recipient.startswith(" "):  # a + where %2B was needed
            recipient = "+" + recipient.strip()
        rows = self._newest(recipient, serving.limit(request, default=20, maximum=100))
        return JSONResponse({"messages": [_shown(row) for row in rows]})

    async def show(self, _: Request) -> Response:
        """The last messages as a page."""
        names = [name for name in self._kind.__struct_fields__ if name != "reference"]
        rows = [_shown(row) for row in self._newest(None, SHOWN_ON_PAGE)]
        cells = [[row["received_at"], *(row[name] for name in names)] for row in rows]
        return serving.page(title=self._title, heads=["received", *names], rows=cells)

    async def healthz(self, _: Request) -> Response:
        self._database.execute("select 1")
        return JSONResponse({"status": "ok"})

    async def _drawn(self, reference: str) -> bool:
        """What the seed has in store: a wait, some 500s, maybe a hidden success (answered)."""
        if self._seed is None:
            return False
        chance = random.Random(f"{self._seed}:{reference}")
        failures = chance.choice(FAILURES_DRAWN)
        await asyncio.sleep(chance.choice(DELAYS_DRAWN_SECONDS))
        count = self._database.execute(
            "insert into attempt (reference, count) values (?, 1)"
            " on conflict (reference) do update set count = count + 1 returning count",
            (reference,),
        ).fetchone()["count"]
        if count <= failures:
            raise serving.Refused(500, "INTERNAL", "misbehaviour: drawn by the seed")
        return chance.random() < LATE_FAILURE_RATE

    def _find(self, reference: str) -> sqlite3.Row | None:
        return self._database.execute(
            "select * from sent where reference = ?", (reference,)
        ).fetchone()

    def _newest(self, recipient: str | None, limit: int) -> list[sqlite3.Row]:
        return self._database.execute(
            "select * from sent where not dropped and (?1 is null or recipient = ?1) "
            "order by number desc limit ?2",
            (recipient, limit),
        ).fetchall()

    def _store(self, message: _Kind) -> str:
        message_id = "msg_" + secrets.token_hex(8)
        dropped = self._chance.random() < self._behaviour.now.drop_rate
        with storage.transaction(self._database):
            number = self._database.execute(
                "insert into sent (message_id, reference, recipient, body, dropped, received_at) "
                "values (?, ?, ?, ?, ?, ?)",
                (
                    message_id,
                    message.reference,
                    message.to,
                    msgspec.json.encode(message),
                    dropped,
                    datetime.now(UTC).isoformat(),
                ),
            ).lastrowid
            assert number is not None
            self._database.execute("delete from sent where number <= ?", (number - KEPT_MAX,))
        return message_id


def _shown(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "message_id": row["message_id"],
        **msgspec.json.decode(row["body"]),
        "received_at": row["received_at"],
    }


def main(
    make: Callable[[sqlite3.Connection, str, int | None], Gateway[Any, Any]],
    *,
    name: str,
    description: str,
) -> None:
    """Serve a gateway over its own file ``NAME.sqlite3`` until it is told to stop.

    ``make`` takes the database, the secret and the seed.
    """
    options = serving.parse(serving.arguments(description))
    database = storage.connect(options.data, name=f"{name}.sqlite3", schema=SCHEMA)
    try:
        gateway = make(database, options.secret, options.seed)
        serving.serve(serving.application(list(gateway.routes())), port=options.port)
    finally:
        database.close()
