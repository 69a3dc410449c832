"""The SMS gateway of the development city: it keeps the messages and shows them.

``python -m sandbox.sms --port 0 --data DIR --secret S`` prints ``{"port": N}`` when it is ready.
"""

from __future__ import annotations

import random
import secrets
import sqlite3
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox import behaviour, serving, storage

KEPT_MAX = 10_000
SHOWN_ON_PAGE = 100

SCHEMA = (
    behaviour.TABLE
    + """
create table if not exists message (
    number integer primary key autoincrement,
    message_id text not null,
    reference text not null unique,
    phone text not null,
    template text not null,
    text text not null,
    dropped integer not null,
    received_at text not null
);
create index if not exists message_phone on message (phone, number desc);
"""
)


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /messages."""

    to: Annotated[str, msgspec.Meta(pattern=r"^\+[1-9][0-9]{6,14}$")]
    template: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    reference: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class SmsBehaviour(behaviour.Basic, kw_only=True):
    """Beside the basics: a share of accepted messages that never reach a phone."""

    drop_rate: behaviour.Rate = 0.0


class Gateway:
    """The endpoints over one database."""

    def __init__(self, database: sqlite3.Connection, *, secret: str, seed: int | None) -> None:
        self._database = database
        self._secret = secret
        self._chance = random.Random(seed)
        self._behaviour = behaviour.Behaviour(database, SmsBehaviour)

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
        message = serving.decode(body, Message)
        await self._behaviour.before_answer()
        known = self._find(message.reference)
        if known is None:
            message_id = self._store(message)
        elif (known["phone"], known["template"], known["text"]) == (
            message.to,
            message.template,
            message.text,
        ):
            message_id = known["message_id"]
        else:
            raise serving.Refused(409, "REFERENCE_REUSED", "another message has this reference")
        if self._behaviour.spend("timeout_after_success_next"):
            raise serving.Refused(504, "TIMEOUT", "misbehaviour: timeout_after_success_next")
        answer = {"message_id": message_id, "status": "ACCEPTED"}
        return JSONResponse(answer, 202 if known is None else 200)

    async def read(self, request: Request) -> Response:
        """What phones received, newest first; ``to`` picks one phone, ``limit`` is at most 100."""
        phone = request.query_params.get("to")
        if phone is not None and phone.startswith(" "):  # a person typed + where %2B was needed
            phone = "+" + phone.strip()
        rows = self._newest(phone, serving.limit(request, default=20, maximum=100))
        return JSONResponse({"messages": [_shown(row) for row in rows]})

    async def show(self, _: Request) -> Response:
        """The last messages as a page."""
        heads = ("received", "to", "template", "text")
        rows = [
            (row["received_at"], row["phone"], row["template"], row["text"])
            for row in self._newest(None, SHOWN_ON_PAGE)
        ]
        return serving.page(title="Sandbox SMS gateway", heads=heads, rows=rows)

    async def healthz(self, _: Request) -> Response:
        self._database.execute("select 1")
        return JSONResponse({"status": "ok"})

    def _find(self, reference: str) -> sqlite3.Row | None:
        return self._database.execute(
            "select * from message where reference = ?", (reference,)
        ).fetchone()

    def _newest(self, phone: str | None, limit: int) -> list[sqlite3.Row]:
        return self._database.execute(
            "select * from message where not dropped and (?1 is null or phone = ?1) "
            "order by number desc limit ?2",
            (phone, limit),
        ).fetchall()

    def _store(self, message: Message) -> str:
        message_id = "msg_" + secrets.token_hex(8)
        dropped = self._chance.random() < self._behaviour.now.drop_rate
        with storage.transaction(self._database):
            number = self._database.execute(
                "insert into message (message_id, reference, phone, template, text, dropped, "
                "received_at) values (?, ?, ?, ?, ?, ?, ?)",
                (
                    message_id,
                    message.reference,
                    message.to,
                    message.template,
                    message.text,
                    dropped,
                    datetime.now(UTC).isoformat(),
                ),
            ).lastrowid
            assert number is not None
            self._database.execute("delete from message where number <= ?", (number - KEPT_MAX,))
        return message_id


def _shown(row: sqlite3.Row) -> dict[str, str]:
    return {
        "message_id": row["message_id"],
        "to": row["phone"],
        "template": row["template"],
        "text": row["text"],
        "reference": row["reference"],
        "received_at": row["received_at"],
    }


def application(database: sqlite3.Connection, *, secret: str, seed: int | None) -> Starlette:
    """The gateway as an ASGI app."""
    return serving.application(list(Gateway(database, secret=secret, seed=seed).routes()))


def main() -> None:
    options = serving.parse(serving.arguments("the SMS gateway of the development city"))
    database = storage.connect(options.data, name="sms.sqlite3", schema=SCHEMA)
    try:
        app = application(database, secret=options.secret, seed=options.seed)
        serving.serve(app, port=options.port)
    finally:
        database.close()


if __name__ == "__main__":
    main()
