"""Frozen wallets: what their owners see and answer, and what the risk desk does."""

from __future__ import annotations

from datetime import datetime
from functools import partial

import strawberry

from domain import refusals as no
from domain import risk as domain
from domain.ledger import FreezeLevel
from resolvers import risk
from schema import enums, fields, ids, nodes, pagination
from schema.context import Info
from schema.scalars import Money
from services.risk_cases import Case

enums.described(
    domain.Rule,
    "FreezeReason",
    "Why a wallet was frozen.",
    PAYMENT_BURST="Unusually many payments in a short time.",
    AMOUNT_FAR_ABOVE_HABIT="A payment far above what the user usually pays.",
    DRAINED_TO_NEW_PAYEE="Almost the whole balance went to somebody never paid before.",
    MANUAL="A member of staff froze it.",
)
enums.described(
    domain.CaseState,
    "RiskCaseState",
    "Where a case stands.",
    OPEN="The wallet is frozen.",
    APPEALED="The wallet is frozen, and its owner has answered.",
    LIFTED="The wallet works again.",
)


@strawberry.type(description="Why and since when the caller's wallet is frozen.")
class Freeze:
    """The owner's view of a case."""

    case_id: strawberry.ID = strawberry.field(description="What `appealFreeze` takes.")
    reason: domain.Rule = strawberry.field(description="Why, for programs.")
    rule_text: str = strawberry.field(description="Why, in the caller's language.")
    state: domain.CaseState = strawberry.field(description="Where it stands.")
    frozen_at: datetime = strawberry.field(description="Since when.")
    appeal: str | None = strawberry.field(description="What the caller answered.")
    appealed_at: datetime | None = strawberry.field(description="When the caller answered.")

    @classmethod
    def of(cls, case: Case, language: str) -> Freeze:
        return cls(
            case_id=strawberry.ID(ids.encode("RiskCase", case.id)),
            reason=case.rule,
            rule_text=case.reason or domain.rule_text(case.rule, language),
            state=case.state,
            frozen_at=case.opened_at,
            appeal=case.appeal,
            appealed_at=case.appealed_at,
        )


@strawberry.type(description="What a rule saw.")
class RiskEvidence:
    """Which of them are known depends on the rule."""

    postings: list[int] = strawberry.field(
        description="The numbers of the debits, in the wallet's own sequence."
    )
    amount: Money | None = strawberry.field(description="What they come to.")
    median: Money | None = strawberry.field(description="What the user usually paid before.")
    share_percent: int | None = strawberry.field(
        description="Which part of the balance they took, in whole percent."
    )
    took_milliseconds: int | None = strawberry.field(
        description="How long they took together, in milliseconds."
    )

    @classmethod
    def of(cls, case: Case) -> RiskEvidence:
        known = case.evidence
        return cls(
            postings=known.get("postings", []),
            amount=_money(known.get("amount_minor")),
            median=_money(known.get("median_minor")),
            share_percent=_scaled(known.get("share"), 100),
            took_milliseconds=_scaled(known.get("took_seconds"), 1000),
        )


def _money(amount_minor: float | None) -> Money | None:
    return None if amount_minor is None else Money.of(round(amount_minor))


def _scaled(value: float | None, factor: int) -> int | None:
    return None if value is None else round(value * factor)


@strawberry.type(description="A frozen wallet as the risk desk sees it. Reading one is recorded.")
class RiskCase:
    """As `services.risk_cases.Case`."""

    id: strawberry.ID = strawberry.field(description="Its global id.")
    user_id: strawberry.ID = strawberry.field(description="Whose wallet it is.")
    display_name: str | None = strawberry.field(description="The owner's name, masked.")
    rule: domain.Rule = strawberry.field(description="Why the wallet was frozen.")
    reason: str | None = strawberry.field(description="What a member of staff wrote who froze it.")
    evidence: RiskEvidence = strawberry.field(description="What the rule saw.")
    state: domain.CaseState = strawberry.field(description="Where it stands.")
    opened_at: datetime = strawberry.field(description="When the wallet was frozen.")
    appeal: str | None = strawberry.field(description="What the owner answered.")
    appealed_at: datetime | None = strawberry.field(description="When the owner answered.")
    decided_at: datetime | None = strawberry.field(description="When it was decided.")
    decision_reason: str | None = strawberry.field(description="Why it was unfrozen.")

    @classmethod
    def of(cls, row: risk.Named) -> RiskCase:
        case, name = row
        return cls(
            id=strawberry.ID(ids.encode("RiskCase", case.id)),
            user_id=strawberry.ID(ids.encode("User", case.user_id)),
            display_name=name,
            rule=case.rule,
            reason=case.reason,
            evidence=RiskEvidence.of(case),
            state=case.state,
            opened_at=case.opened_at,
            appeal=case.appeal,
            appealed_at=case.appealed_at,
            decided_at=case.decided_at,
            decision_reason=case.decision_reason,
        )


@strawberry.type
class RiskViewer:
    """The part of Viewer about a frozen wallet."""

    @fields.query_field(
        calls=risk.own_freeze,
        description="Why the caller's wallet is frozen; null while it works.",
    )
    async def freeze(self, info: Info) -> Freeze | None:
        case = await risk.own_freeze(info.context.viewer)
        return Freeze.of(case, info.context.language) if case is not None else None


@strawberry.type
class RiskStaff:
    """The part of Staff about frozen wallets."""

    @fields.query_field(
        calls=risk.case_page,
        description="Frozen wallets, newest first. Who looked is recorded. For RISK and AUDITOR.",
        arguments={"state": "Only cases that stand so; the same for all pages."},
    )
    async def risk_cases(
        self,
        info: Info,
        first: pagination.First = None,
        last: pagination.Last = None,
        after: pagination.After = None,
        before: pagination.Before = None,
        state: domain.CaseState | None = None,
    ) -> pagination.Connection[RiskCase]:
        return await pagination.connection(
            pagination.window(
                "riskCases",
                {"state": state and state.value},
                first=first,
                last=last,
                after=after,
                before=before,
            ),
            partial(risk.case_page, info.context.viewer, state=state),
            place=nodes.time_and_uuid,
            key=lambda row: (row[0].opened_at, str(row[0].id)),
            node=RiskCase.of,
        )


@strawberry.input(description="The owner's answer to a freeze.")
class AppealFreezeInput:
    """A later answer replaces an earlier one."""

    case_id: strawberry.ID = strawberry.field(description="As `viewer { freeze }` gave it.")
    text: str = strawberry.field(description="Up to 1,000 characters.")


@strawberry.type(description="Answered: the risk desk sees it.")
class AppealFreezeSuccess:
    """The wallet stays frozen until somebody has decided."""

    freeze: Freeze = strawberry.field(description="As it is now.")


@strawberry.input(description="A wallet that nothing may leave.")
class FreezeWalletInput:
    """Money still arrives, unless the level is FULL."""

    user_id: strawberry.ID = strawberry.field(description="Whose wallet.")
    reason: str = strawberry.field(description="What the owner reads, up to 200 characters.")
    idempotency_key: str = strawberry.field(description="1 to 128 characters, new per request.")
    level: FreezeLevel | None = strawberry.field(
        default=None, description="What to stop; DEBIT_BLOCK if left out."
    )


@strawberry.type(description="Frozen; its owner is told.")
class FreezeWalletSuccess:
    """No debit has a later number in the wallet's sequence."""

    risk_case: RiskCase = strawberry.field(description="The new case.")


@strawberry.input(description="A wallet that may work again.")
class UnfreezeWalletInput:
    """What led to the freeze doesn't freeze it again."""

    case_id: strawberry.ID = strawberry.field(description="As `riskCases` gave it.")
    reason: str = strawberry.field(description="What the owner reads, up to 200 characters.")
    idempotency_key: str = strawberry.field(description="1 to 128 characters, new per request.")


@strawberry.type(description="Unfrozen; its owner is told.")
class UnfreezeWalletSuccess:
    """The decision of one member of staff, never the owner's own."""

    risk_case: RiskCase = strawberry.field(description="The closed case.")


_DECIDES = (no.NotFound, no.ReviewerIsParty, no.StaleVersion, no.IdempotencyKeyReused)


@strawberry.type
class RiskMutation:
    """The part of Mutation about frozen wallets."""

    @fields.mutation(
        calls=risk.appeal_freeze,
        description="Answer to the freezing of one's own wallet.",
        refuses=(no.NotFound,),
    )
    async def appeal_freeze(self, info: Info, input: AppealFreezeInput) -> AppealFreezeSuccess:
        case_id = nodes.uuid_of(input.case_id, "RiskCase")
        if case_id is None:
            raise no.NotFound(path=("input", "caseId"))
        case = await risk.appeal_freeze(info.context.viewer, case_id=case_id, text=input.text)
        return AppealFreezeSuccess(freeze=Freeze.of(case, info.context.language))

    @fields.mutation(
        calls=risk.freeze_wallet,
        description="Stop all that would leave somebody's wallet. For RISK.",
        refuses=_DECIDES,
    )
    async def freeze_wallet(self, info: Info, input: FreezeWalletInput) -> FreezeWalletSuccess:
        row = await risk.freeze_wallet(
            info.context.viewer,
            user_id=nodes.user_of(input.user_id, "input", "userId"),
            reason=input.reason,
            key=input.idempotency_key,
            level=input.level or FreezeLevel.DEBIT_BLOCK,
        )
        return FreezeWalletSuccess(risk_case=RiskCase.of(row))

    @fields.mutation(
        calls=risk.unfreeze_wallet,
        description="Let a frozen wallet work again. For RISK, elevated, and never one's own.",
        refuses=_DECIDES,
    )
    async def unfreeze_wallet(
        self, info: Info, input: UnfreezeWalletInput
    ) -> UnfreezeWalletSuccess:
        case_id = nodes.uuid_of(input.case_id, "RiskCase")
        if case_id is None:
            raise no.NotFound(path=("input", "caseId"))
        row = await risk.unfreeze_wallet(
            info.context.viewer, case_id=case_id, reason=input.reason, key=input.idempotency_key
        )
        return UnfreezeWalletSuccess(risk_case=RiskCase.of(row))
