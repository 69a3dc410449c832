"""The caller's history, and the stream of what is added to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, Union

import strawberry

from domain import transactions as domain
from resolvers import transactions
from resolvers.viewer import Viewer as Caller
from schema import enums, fields, ids, live, nodes, pagination, payments
from schema.context import Info
from schema.payments import Payment
from schema.scalars import EventCursor, Money, MoneyInput
from services import counterparties
from services.ledger.reading import Key, Posting

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

enums.described(
    domain.Kind,
    "TransactionKind",
    "What a transaction is about.",
    TOP_UP="Money from a bank card.",
    TRANSFER="Money from or to another resident.",
    PAYMENT="Money to a merchant; for the merchant, money from a resident.",
    REFUND="A payment given back.",
)
enums.described(
    domain.Direction,
    "TransactionDirection",
    "Seen from the caller's wallet.",
    IN="Money came.",
    OUT="Money left.",
)
enums.described(
    counterparties.CounterpartyKind,
    "CounterpartyKind",
    "Who is on the other side.",
    RESIDENT="Another resident.",
    MERCHANT="A merchant.",
    BANK="A bank card of the caller's own.",
    CITY="The city's wallet service itself.",
)


@strawberry.type(description="The other side of a transaction.")
class Counterparty:
    """As `services.counterparties.Counterparty`."""

    kind: counterparties.CounterpartyKind = strawberry.field(description="Who it is.")
    name: str | None = strawberry.field(
        description="A merchant's name, or a resident's, masked: `张*丰`."
    )


@strawberry.type(description="A movement of money, as the caller's wallet saw it.")
class Transaction(nodes.Node):
    """One leg of a journal entry."""

    kind: domain.Kind = strawberry.field(description="What it is about.")
    direction: domain.Direction = strawberry.field(description="Whether money came or left.")
    amount: Money = strawberry.field(description="How much, without a sign.")
    balance_after: Money = strawberry.field(description="The balance right after it.")
    at: datetime = strawberry.field(description="When it was posted.")
    row: strawberry.Private[Posting]

    @strawberry.field(description="The other side.")
    async def counterparty(self, info: Info) -> Counterparty | None:
        if self.row.counterparty_id is None:
            return None

        async def load(accounts: list[int]) -> dict[int, counterparties.Counterparty]:
            return await transactions.counterparties_of(info.context.viewer, accounts)

        found = await nodes.together(info, "counterparties", load, self.row.counterparty_id)
        return Counterparty(kind=found.kind, name=found.name) if found is not None else None

    @strawberry.field(description="The payment that it belongs to.")
    async def payment(self, info: Info) -> Payment | None:
        if self.row.subject_id is None:
            return None
        return await payments.payment(info, self.row.subject_id)

    @strawberry.field(description="What the payer wrote with it.")
    async def memo(self, info: Info) -> str | None:
        return await payments.memo(info, self.row.subject_id or self.row.entry_id)

    @classmethod
    def of(cls, row: Posting) -> Transaction:
        return cls(
            id=strawberry.ID(ids.encode("Transaction", _key_text(row))),
            kind=domain.KINDS[row.operation],
            direction=domain.Direction.IN if row.amount_minor > 0 else domain.Direction.OUT,
            amount=Money.of(abs(row.amount_minor), row.currency),
            balance_after=Money.of(row.balance_after_minor, row.currency),
            at=row.at,
            row=row,
        )


@strawberry.input(description="What narrows a history; what is left out doesn't.")
class TransactionFilter:
    """All that is given must hold."""

    kinds: list[domain.Kind] | None = strawberry.field(
        default=None, description="Any of these kinds."
    )
    direction: domain.Direction | None = strawberry.field(
        default=None, description="Only what came, or only what left."
    )
    since: datetime | None = strawberry.field(
        name="from", default=None, description="Not before this instant."
    )
    until: datetime | None = strawberry.field(
        name="to", default=None, description="Before this instant."
    )
    amount_min: MoneyInput | None = strawberry.field(default=None, description="At least this.")
    amount_max: MoneyInput | None = strawberry.field(default=None, description="At most this.")

    def narrow(self) -> domain.Filter:
        """The domain's filter. Raises InvalidInput."""
        least, most = self.amount_min, self.amount_max
        return domain.Filter(
            kinds=tuple(sorted(set(self.kinds or ()))),
            direction=self.direction,
            since=self.since,
            until=self.until,
            amount_min_minor=least.to_minor("filter", "amountMin") if least else None,
            amount_max_minor=most.to_minor("filter", "amountMax") if most else None,
        )


@strawberry.type
class TransactionViewer:
    """The part of Viewer about history."""

    @fields.query_field(
        calls=transactions.transactions,
        description="The caller's transactions, newest first.",
        arguments={"filter": "What narrows them; the same for all pages."},
    )
    async def transactions(
        self,
        info: Info,
        first: pagination.First = None,
        last: pagination.Last = None,
        after: pagination.After = None,
        before: pagination.Before = None,
        filter: TransactionFilter | None = None,
    ) -> pagination.Connection[Transaction]:
        viewer = info.context.viewer
        narrow = filter.narrow() if filter is not None else domain.Filter()
        return await pagination.connection(
            pagination.window(
                f"transactions:{viewer.account_id}",
                {"filter": repr(narrow)},
                first=first,
                last=last,
                after=after,
                before=before,
            ),
            partial(transactions.transactions, viewer, narrow),
            place=_key,
            key=lambda row: row.key,
            node=Transaction.of,
        )


@strawberry.type(description="A new transaction of the caller's.")
class TransactionEvent:
    """``sequence`` is the posting's number in the caller's account."""

    cursor: EventCursor = strawberry.field(description="To go on behind this event.")
    sequence: int = strawberry.field(
        description="Grows with every event of the account; events that move no money take "
        "numbers too."
    )
    transaction: Transaction = strawberry.field(description="The transaction.")


TransactionEventsResult: Any = Annotated[
    Union[TransactionEvent, live.EventsGap],  # noqa: UP007 - strawberry names it
    strawberry.union("TransactionEventsResult", description="A transaction, or a gap."),
]


@strawberry.type
class TransactionSubscription:
    """The part of Subscription about history."""

    @fields.subscription(
        calls=transactions.transaction_events,
        description="The caller's transactions behind `after` (without it: from now on).",
    )
    async def transaction_events(
        self, info: Info, after: live.After = None
    ) -> AsyncIterator[TransactionEventsResult]:  # pyright: ignore[reportInvalidTypeForm]
        stream = live.events(
            transactions.transaction_events(info.context.viewer, after=after),
            info.context.language,
            make=lambda cursor, sequence, row: TransactionEvent(
                cursor=cursor, sequence=sequence, transaction=Transaction.of(row)
            ),
        )
        async with aclosing(stream):
            async for event in stream:
                yield event


def _key(key: pagination.Key | None) -> Key | None:
    if key is None:
        return None
    at, seq = key
    assert isinstance(at, datetime)
    assert isinstance(seq, int)
    return at, seq


def _key_text(row: Posting) -> str:
    return f"{row.account_id}.{(row.at - _EPOCH) // _MICROSECOND}.{row.seq}"


def _key_of(text: str, account_id: int | None) -> Key | None:
    """The place that an id names, if it is in this account."""
    parts = text.split(".")
    if len(parts) != 3 or not all(part.isdecimal() and len(part) < 19 for part in parts):
        return None
    account, microseconds, seq = map(int, parts)
    if account != account_id:
        return None
    try:
        return _EPOCH + microseconds * _MICROSECOND, seq
    except OverflowError:
        return None


async def _load(viewer: Caller, keys: list[str]) -> Mapping[str, Transaction]:
    places = {text: _key_of(text, viewer.account_id) for text in keys}
    rows = await transactions.by_keys(viewer, [key for key in places.values() if key is not None])
    return {
        text: Transaction.of(rows[key])
        for text, key in places.items()
        if key is not None and key in rows
    }


nodes.loads("Transaction", _load)
