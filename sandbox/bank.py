"""The bank of the development city: cards, pulls from them, callbacks, and every way to misbehave.

``python -m sandbox.bank --port 0 --data DIR --secret S`` prints ``{"port": N}`` when it is ready.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox import bank_desk, bank_store, behaviour, cards, mischief, serving, storage

SHOWN_ON_PAGE = 100
STATEMENT_MAX = 1_000
AMOUNT_MINOR_MAX = 10**12

Reference = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._:-]{1,100}$")]


class LinkRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /cards."""

    number: Annotated[str, msgspec.Meta(max_length=30)]
    holder_name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    phone: Annotated[str, msgspec.Meta(pattern=r"^\+[1-9][0-9]{6,14}$")]
    reference: Reference


class PullRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /pulls."""

    reference: Reference
    card_token: Annotated[str, msgspec.Meta(max_length=100)]
    amount_minor: Annotated[int, msgspec.Meta(ge=1, le=AMOUNT_MINOR_MAX)]
    currency: Annotated[str, msgspec.Meta(pattern="^CNY$")]
    callback_url: Annotated[str, msgspec.Meta(pattern="^https?://", max_length=500)] | None = None


class Settlement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /pulls/{reference}/settle: how a waiting pull is to end."""

    failure_code: Annotated[str, msgspec.Meta(pattern="^[A-Z][A-Z_]{0,39}$")] | None = None


class Bank:
    """The endpoints over one store."""

    def __init__(
        self,
        store: bank_store.Store,
        *,
        secret: str,
        callback_secret: str,
        callback_url: str | None,
        seed: int | None,
    ) -> None:
        self._store = store
        self._secret = secret
        self._callback_url = callback_url
        self._seed = seed
        self._behaviour = behaviour.Behaviour(store.database, mischief.BankBehaviour)
        self.desk = bank_desk.Desk(store, self._behaviour, callback_secret=callback_secret)

    def routes(self) -> list[Route]:
        return [
            Route("/", self.show, methods=["GET"]),
            Route("/cards", self.link, methods=["POST"]),
            Route("/pulls", self.pull, methods=["POST"]),
            Route("/pulls/{reference}", self.state, methods=["GET"]),
            Route("/pulls/{reference}/settle", self.settle, methods=["POST"]),
            Route("/statement", self.statement, methods=["GET"]),
            Route("/healthz", self.healthz, methods=["GET"]),
            *self._behaviour.routes(),
        ]

    async def link(self, request: Request) -> Response:
        """Check a card and give it a token; the same reference again answers the same."""
        body = await serving.signed_body(request, self._secret)
        asked = serving.decode(body, LinkRequest)
        await self._behaviour.before_answer()
        fields = (asked.number, asked.holder_name, asked.phone)
        request_hash = hashlib.sha256(msgspec.json.encode(fields)).hexdigest()
        known = self._store.card_linked_by(asked.reference)
        if known is None:
            self._add_card(asked, request_hash)
        elif known["request_hash"] != request_hash:
            raise serving.Refused(409, "REFERENCE_REUSED", "another card has this reference")
        card = self._store.card_linked_by(asked.reference)
        assert card is not None
        answer = {name: card[name] for name in ("card_token", "bank_name", "last4")}
        return JSONResponse({**answer, "status": "LINKED"}, 201 if known is None else 200)

    def _add_card(self, asked: LinkRequest, request_hash: str) -> None:
        if not cards.is_number(asked.number):
            raise serving.Refused(422, "CARD_NUMBER_INVALID", "not a card number")
        outcome = cards.outcome(asked.number)
        if outcome in cards.NOT_LINKED:
            raise serving.Refused(422, outcome, "the card can't be linked")
        self._store.add_card(
            reference=asked.reference,
            request_hash=request_hash,
            bank_name=cards.bank_name(asked.number),
            last4=asked.number[-4:],
            outcome=outcome,
        )

    async def pull(self, request: Request) -> Response:
        """Accept a pull; the same reference again only answers how that pull stands."""
        body = await serving.signed_body(request, self._secret)
        asked = serving.decode(body, PullRequest)
        await self._behaviour.before_answer()
        known = self._store.pull(asked.reference)
        if known is not None:
            # Where to call back is no part of what is asked for: a retry may name another address.
            if (known["card_token"], known["amount_minor"], known["currency"]) != (
                asked.card_token,
                asked.amount_minor,
                asked.currency,
            ):
                raise serving.Refused(409, "REFERENCE_REUSED", "another pull has this reference")
            return JSONResponse(_state(known))
        return await self._accept(asked)

    async def _accept(self, asked: PullRequest) -> Response:
        card = self._store.card(token=asked.card_token)
        if card is None:
            raise serving.Refused(422, "CARD_UNKNOWN", "no such card token")
        fate = mischief.decide(self._behaviour, seed=self._seed, reference=asked.reference)
        self._store.add_pull(
            reference=asked.reference,
            card_token=asked.card_token,
            amount_minor=asked.amount_minor,
            currency=asked.currency,
            callback_url=asked.callback_url or self._callback_url,
            fate=fate,
            settle_at=self._settle_at(card["outcome"]),
        )
        accepted = self._store.pull(asked.reference)
        assert accepted is not None
        self.desk.wake()
        if fate.before_answer:
            self.desk.settle(asked.reference, outcome=card["outcome"])
            await self.desk.deliver_now(accepted["pull_id"])
        if fate.timeout:
            raise serving.Refused(504, "TIMEOUT", "misbehaviour: timeout_after_success_next")
        return JSONResponse(_state(accepted), 202)

    def _settle_at(self, outcome: str) -> float | None:
        """When the pull will end; None for a slow card that waits until it is told."""
        settings = self._behaviour.now
        if outcome != cards.Outcome.SLOW:
            return time.time() + settings.settle_ms / 1000
        return time.time() + settings.slow_ms / 1000 if settings.slow_ms else None

    async def state(self, request: Request) -> Response:
        """How a pull stands: the bank's own word, whatever its callbacks said."""
        await serving.signed_body(request, self._secret)
        await self._behaviour.before_answer()
        return JSONResponse(_state(self._known(request)))

    async def settle(self, request: Request) -> Response:
        """For people and tests: end a pull that is PROCESSING now. Unsigned, as is /behaviour."""
        body = await serving.control_body(request)
        told = serving.decode(body or b"{}", Settlement)
        pull = self._known(request)
        if pull["status"] != "PROCESSING":
            raise serving.Refused(409, "PULL_SETTLED", "the pull has ended already")
        self._store.settle(pull["reference"], failure_code=told.failure_code)
        self.desk.wake()
        return JSONResponse(_state(self._known(request)))

    async def statement(self, request: Request) -> Response:
        """Pulls settled since ``from``, in order; ``next`` is the ``after`` of the next page."""
        await serving.signed_body(request, self._secret)
        limit = serving.limit(request, default=100, maximum=STATEMENT_MAX)
        rows = self._store.statement(since=_since(request), after=_after(request), limit=limit)
        pulls = [{**_state(row), "number": row["settled_number"]} for row in rows]
        following = rows[-1]["settled_number"] if len(rows) == limit else None
        return JSONResponse({"pulls": pulls, "next": following})

    async def show(self, _: Request) -> Response:
        """The last pulls as a page."""
        heads = ("created", "reference", "bank", "card", "minor units", "status", "", "owed")
        rows = [
            (
                bank_store.moment(row["created_at"]),
                row["reference"],
                row["bank_name"],
                "…" + row["last4"],
                f"{row['amount_minor']} {row['currency']}",
                row["status"],
                row["failure_code"] or "",
                row["owed"] or "",
            )
            for row in self._store.newest(SHOWN_ON_PAGE)
        ]
        return serving.page(title="Sandbox bank", heads=heads, rows=rows)

    async def healthz(self, _: Request) -> Response:
        self._store.database.execute("select 1")
        return JSONResponse({"status": "ok"})

    def _known(self, request: Request) -> sqlite3.Row:
        pull = self._store.pull(request.path_params["reference"])
        if pull is None:
            raise serving.Refused(404, "PULL_UNKNOWN", "no pull has this reference")
        return pull


def _state(pull: sqlite3.Row) -> dict[str, object]:
    names = ("pull_id", "reference", "status", "failure_code", "amount_minor", "currency")
    settled_at = pull["settled_at"]
    return {
        **{name: pull[name] for name in names},
        "created_at": bank_store.moment(pull["created_at"]),
        "settled_at": None if settled_at is None else bank_store.moment(settled_at),
    }


def _since(request: Request) -> float:
    text = request.query_params.get("from")
    if text is None:
        return 0.0
    try:
        since = datetime.fromisoformat(text)
    except ValueError:
        since = None
    if since is None or since.tzinfo is None:
        raise serving.Refused(422, "INVALID", "from is a time with an offset")
    return since.timestamp()


def _after(request: Request) -> int:
    text = request.query_params.get("after", "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise serving.Refused(422, "INVALID", "after is a number")
    return int(text)


def application(bank: Bank) -> Starlette:
    """The bank as an ASGI app, its back office at work as long as it serves."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        work = asyncio.create_task(bank.desk.run())
        yield
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    return serving.application(bank.routes(), lifespan=lifespan)


def main() -> None:
    parser = serving.arguments("the bank of the development city")
    parser.add_argument("--callback-url", default=None, help="for pulls that name none")
    parser.add_argument(
        "--callback-secret",
        default=os.environ.get("SANDBOX_CALLBACK_SECRET", ""),
        help="signs callbacks (or SANDBOX_CALLBACK_SECRET); without it --secret does",
    )
    options = serving.parse(parser)
    database = storage.connect(options.data, name="bank.sqlite3", schema=bank_store.SCHEMA)
    try:
        bank = Bank(
            bank_store.Store(database),
            secret=options.secret,
            callback_secret=options.callback_secret or options.secret,
            callback_url=options.callback_url,
            seed=options.seed,
        )
        serving.serve(application(bank), port=options.port)
    finally:
        database.close()


if __name__ == "__main__":
    main()
