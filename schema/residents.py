"""Residents as staff look them up: masked, for a reason, on record."""

from __future__ import annotations

from datetime import datetime

import strawberry

from domain import identity
from domain import refusals as no
from domain.ledger import AccountStatus, FreezeLevel
from resolvers import residents
from schema import fields, ids, nodes, risk
from schema.context import Info
from schema.wallets import FREEZE_LEVELS, STATUSES, WalletStatus
from services import residents as rows
from services.risk_cases import Case


@strawberry.type(description="A wallet as staff may know it: no amounts.")
class ResidentWallet:
    """As `services.wallets.Wallet`."""

    status: WalletStatus = strawberry.field(description="Whether money can move.")
    freeze_level: FreezeLevel | None = strawberry.field(
        description="What the freeze stops; null unless frozen."
    )
    frozen_by_owner: bool = strawberry.field(description="Whether its owner froze it.")
    careful_until: datetime | None = strawberry.field(
        description="Until when the daily limit is lower, because credentials have changed."
    )


def _status(status: AccountStatus) -> WalletStatus:
    return STATUSES.get(status, WalletStatus.FROZEN)


@strawberry.type(description="A case because of which a wallet is frozen, in short.")
class ResidentCase:
    """As `services.risk_cases.Case`."""

    id: strawberry.ID = strawberry.field(description="Its global id, as `riskCases` gives it.")
    rule: risk.domain.Rule = strawberry.field(description="Why the wallet was frozen.")
    state: risk.domain.CaseState = strawberry.field(description="Where it stands.")
    opened_at: datetime = strawberry.field(description="Since when.")

    @classmethod
    def of(cls, case: Case) -> ResidentCase:
        return cls(
            id=strawberry.ID(ids.encode("RiskCase", case.id)),
            rule=case.rule,
            state=case.state,
            opened_at=case.opened_at,
        )


@strawberry.type(description="Somebody with a wallet, or who applied for one. Looking is recorded.")
class Resident:
    """As `services.residents.Resident`."""

    id: strawberry.ID = strawberry.field(description="What `freezeWallet` takes as `userId`.")
    display_name: str = strawberry.field(description="The name; masked, except in full.")
    phone: str = strawberry.field(description="The phone number; masked, except in full.")
    role: identity.Role = strawberry.field(description="Resident or merchant.")
    status: identity.Status = strawberry.field(description="Where the registration stands.")
    registered_at: datetime = strawberry.field(description="When they applied.")
    wallet: ResidentWallet | None = strawberry.field(description="Null before approval.")
    open_cases: list[ResidentCase] = strawberry.field(
        description="The cases that stand, newest first, ten at most."
    )

    @classmethod
    def of(cls, row: rows.Resident) -> Resident:
        wallet = None
        if row.wallet is not None:
            status = AccountStatus(row.wallet.status)
            wallet = ResidentWallet(
                status=_status(status),
                freeze_level=FREEZE_LEVELS.get(status),
                frozen_by_owner=row.wallet.frozen_by_owner,
                careful_until=row.wallet.careful_until,
            )
        return cls(
            id=strawberry.ID(ids.encode("User", row.user_id)),
            display_name=row.name,
            phone=row.phone,
            role=row.role,
            status=row.status,
            registered_at=row.registered_at,
            wallet=wallet,
            open_cases=[ResidentCase.of(case) for case in row.cases],
        )


@strawberry.type
class ResidentStaff:
    """The part of Staff about residents."""

    @fields.query_field(
        calls=residents.resident,
        description="Whoever has a phone number, masked. Recorded with the reason; 60 an hour. For "
        "SUPPORT, RISK and COMPLIANCE.",
        arguments={
            "phone": "A mobile number; without country code a mainland one.",
            "reason": "Why, up to 200 characters; kept for good.",
        },
        refuses=(no.NotFound,),
    )
    async def resident(self, info: Info, phone: str, reason: str) -> Resident:
        return Resident.of(
            await residents.resident(info.context.viewer, phone=phone, reason=reason)
        )

    @fields.query_field(
        calls=residents.resident_in_full,
        description="The same with name and phone number as they are. For RISK and COMPLIANCE, "
        "elevated.",
        arguments={
            "user_id": "As `resident` or `riskCases` gave it.",
            "reason": "Why, up to 200 characters; kept for good.",
        },
        refuses=(no.NotFound,),
    )
    async def resident_in_full(self, info: Info, user_id: strawberry.ID, reason: str) -> Resident:
        found = await residents.resident_in_full(
            info.context.viewer, user_id=nodes.user_of(user_id, "userId"), reason=reason
        )
        return Resident.of(found)


@strawberry.input(description="Whose wallet is frozen at its owner's call.")
class StaffFreezeForCallerInput:
    """See `resolvers.residents.freeze_for_caller`."""

    phone: str = strawberry.field(description="The registered number, as the caller says it.")
    name: str = strawberry.field(description="The whole name, as the caller says it.")
    id_number_last6: str | None = strawberry.field(
        default=None,
        description="The last six of the ID number, as the caller says it. Needed unless the owner "
        "has told none.",
    )
    level: FreezeLevel = strawberry.field(description="What to stop.")
    reason: str = strawberry.field(description="What the owner reads, up to 200 characters.")
    idempotency_key: str = strawberry.field(description="1 to 128 characters, new per request.")


@strawberry.type(description="Frozen, or it was so already; its owner is told.")
class StaffFreezeForCallerSuccess:
    """Says no more than the caller may know."""

    wallet_status: WalletStatus = strawberry.field(description="Whether money can move.")


@strawberry.type
class ResidentMutation:
    """The part of Mutation about residents who call."""

    @fields.mutation(
        calls=residents.freeze_for_caller,
        description="Freeze the wallet of a resident who calls and knows its phone number, the "
        "owner's name, and the last six of the ID number. Recorded; 20 an hour. For SUPPORT and "
        "RISK.",
        refuses=(no.NotFound, no.IdempotencyKeyReused),
    )
    async def staff_freeze_for_caller(
        self, info: Info, input: StaffFreezeForCallerInput
    ) -> StaffFreezeForCallerSuccess:
        status = await residents.freeze_for_caller(
            info.context.viewer,
            phone=input.phone,
            name=input.name,
            id_number_last6=input.id_number_last6,
            level=input.level,
            reason=input.reason,
            key=input.idempotency_key,
        )
        return StaffFreezeForCallerSuccess(wallet_status=_status(status))
