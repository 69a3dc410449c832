"""Closing one's account."""

from __future__ import annotations

from datetime import datetime

import strawberry

from domain import closings as domain
from domain import refusals as no
from resolvers import closings
from schema import enums, fields, ids, nodes, proofs
from schema.context import Info
from services.identity.closings import Closing as Row

enums.described(
    domain.ClosingState,
    "ClosingState",
    "Where the closing of an account stands.",
    COOLING="Asked for; can be cancelled, also by signing in anew.",
    CLOSING="The week is over; it is being done.",
    CLOSED="Done, for good.",
    CANCELLED="Its owner stays.",
    STOPPED="Money or unfinished business came up, so the account stays open.",
)


@strawberry.type(description="A request to close the caller's account.")
class Closing:
    """As `services.identity.closings.Closing`."""

    id: strawberry.ID = strawberry.field(description="What `cancelClosing` takes.")
    state: domain.ClosingState = strawberry.field(description="Where it stands.")
    requested_at: datetime = strawberry.field(description="When it was asked for.")
    due_at: datetime = strawberry.field(description="Until when it can be cancelled.")
    ended_at: datetime | None = strawberry.field(description="When it was done, or ended early.")

    @classmethod
    def of(cls, row: Row) -> Closing:
        return cls(
            id=strawberry.ID(ids.encode("Closing", row.id)),
            state=row.state,
            requested_at=row.requested_at,
            due_at=row.due_at,
            ended_at=row.ended_at,
        )


@strawberry.input(description="A request to close the caller's account.")
class CloseMyAccountInput:
    """See `resolvers.closings.close_my_account`."""

    proof: proofs.AccountProofInput = strawberry.field(description="Proves who asks.")


@strawberry.input(description="A request to close the account that is taken back.")
class CancelClosingInput:
    """See `resolvers.closings.cancel_closing`."""

    closing_id: strawberry.ID = strawberry.field(description="The id of `viewer { closing }`.")


@strawberry.type(description="The account will be closed in a week.")
class CloseMyAccountSuccess:
    """Also if it was asked for before."""

    closing: Closing = strawberry.field(description="The request, and until when to cancel it.")


@strawberry.type(description="The account stays open.")
class CancelClosingSuccess:
    """Also if it was cancelled before."""

    closing: Closing = strawberry.field(description="The cancelled request.")


@strawberry.type
class ClosingViewer:
    """The part of Viewer about closing the account."""

    @fields.query_field(
        calls=closings.own_closing,
        description="The newest request to close the account; null if there never was one.",
    )
    async def closing(self, info: Info) -> Closing | None:
        row = await closings.own_closing(info.context.viewer)
        return Closing.of(row) if row is not None else None


@strawberry.type
class ClosingMutation:
    """The part of Mutation about closing the account."""

    @fields.mutation(
        calls=closings.close_my_account,
        description="Close the account in a week. Signing in anew, or `cancelClosing`, cancels it.",
        costly=True,
        refuses=(no.AccountNotActive, no.ClosingNotPossible, no.WrongCredentials, *proofs.REFUSALS),
    )
    async def close_my_account(
        self, info: Info, input: CloseMyAccountInput
    ) -> CloseMyAccountSuccess:
        row = await closings.close_my_account(
            info.context.viewer, proof=input.proof.shown(info.context.address)
        )
        return CloseMyAccountSuccess(closing=Closing.of(row))

    @fields.mutation(
        calls=closings.cancel_closing,
        description="Keep the account after all, as long as the week lasts.",
        refuses=(no.NotFound,),
    )
    async def cancel_closing(self, info: Info, input: CancelClosingInput) -> CancelClosingSuccess:
        row = await closings.cancel_closing(
            info.context.viewer, closing_id=nodes.uuid_of(input.closing_id, "Closing")
        )
        return CancelClosingSuccess(closing=Closing.of(row))
