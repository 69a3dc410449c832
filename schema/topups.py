"""Topping up from a card, as clients see it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from uuid import UUID

import strawberry

from domain import refusals as no
from domain import topups as domain
from resolvers import topups, wallets
from resolvers.viewer import Viewer as Caller
from schema import enums, fields, ids, nodes, pagination
from schema.context import Info
from schema.scalars import Money, MoneyInput
from schema.wallets import BankCard
from services.topups import TopUp as Row
from services.wallets import Card

enums.described(
    domain.State,
    "TopUpState",
    "Where a top-up stands.",
    PROCESSING="The bank has been asked.",
    SUCCEEDED="The money is in the wallet.",
    FAILED="The bank said no; nothing moved.",
)


@strawberry.type(description="Money asked from a bank card.")
class TopUp(nodes.Node):
    """As `services.topups.TopUp`."""

    state: domain.State = strawberry.field(description="Where it stands.")
    amount: Money = strawberry.field(description="How much.")
    failure_code: str | None = strawberry.field(description="The bank's reason, if it FAILED.")
    created_at: datetime = strawberry.field(description="When it was asked for.")
    finished_at: datetime | None = strawberry.field(description="When it was decided.")
    card_id: strawberry.Private[UUID]

    @strawberry.field(description="The card that it comes from.")
    async def bank_card(self, info: Info) -> BankCard | None:
        async def load(card_ids: list[UUID]) -> dict[UUID, Card]:
            return await wallets.cards_by_ids(info.context.viewer, card_ids)

        found = await nodes.together(info, "cards", load, self.card_id)
        return BankCard.of(found) if found is not None else None

    @classmethod
    def of(cls, row: Row) -> TopUp:
        return cls(
            id=strawberry.ID(ids.encode("TopUp", row.id)),
            state=row.state,
            amount=Money.of(row.amount_minor, row.currency),
            failure_code=row.failure_code,
            created_at=row.created_at,
            finished_at=row.finished_at,
            card_id=row.card_id,
        )


@strawberry.input(description="Money for the caller's wallet from a linked card.")
class CreateTopUpInput:
    """Repeating it with its key repeats the answer."""

    bank_card_id: strawberry.ID = strawberry.field(description="One of the caller's cards.")
    amount: MoneyInput = strawberry.field(description="How much, at most 50,000.00.")
    idempotency_key: str = strawberry.field(description="1 to 128 characters, new per request.")


@strawberry.type(description="The bank is being asked; a notice tells how it ended.")
class CreateTopUpSuccess:
    """`transactionEvents` shows the money when it arrives."""

    top_up: TopUp = strawberry.field(description="The top-up.")


@strawberry.type
class TopUpViewer:
    """The part of Viewer about top-ups."""

    @fields.query_field(calls=topups.top_ups, description="The caller's top-ups, newest first.")
    async def top_ups(
        self,
        info: Info,
        first: pagination.First = None,
        last: pagination.Last = None,
        after: pagination.After = None,
        before: pagination.Before = None,
    ) -> pagination.Connection[TopUp]:
        viewer = info.context.viewer
        return await pagination.connection(
            pagination.window(
                f"topUps:{viewer.user_id}", first=first, last=last, after=after, before=before
            ),
            partial(topups.top_ups, viewer),
            place=nodes.time_and_uuid,
            key=lambda row: (row.created_at, str(row.id)),
            node=TopUp.of,
        )


@strawberry.type
class TopUpMutation:
    """The part of Mutation about top-ups."""

    @fields.mutation(
        calls=topups.create_top_up,
        description="Ask for money from a linked card. PROCESSING until the bank has decided.",
        refuses=(no.NotFound, no.IdempotencyKeyReused, no.AccountNotActive),
    )
    async def create_top_up(self, info: Info, input: CreateTopUpInput) -> CreateTopUpSuccess:
        card_id = nodes.uuid_of(input.bank_card_id, "BankCard")
        if card_id is None:
            raise no.NotFound(path=("input", "bankCardId"))
        row = await topups.create_top_up(
            info.context.viewer,
            card_id=card_id,
            amount_minor=input.amount.to_minor("input", "amount"),
            key=input.idempotency_key,
        )
        return CreateTopUpSuccess(top_up=TopUp.of(row))


async def _load(viewer: Caller, keys: list[str]) -> Mapping[str, TopUp]:
    rows = await topups.by_ids(viewer, nodes.uuids(keys))
    return {str(key): TopUp.of(row) for key, row in rows.items()}


nodes.loads("TopUp", _load)
