"""Refunds: their states, and whether a signed policy covers one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from uuid import UUID

REASON_LENGTH_MAX = 200
ELEVATED_FROM_MINOR = 100_000
"""From this amount on, whoever decides a refund has to be elevated."""


class State(IntEnum):
    """The numbers are those of the ledger's ``refund.state``."""

    REQUESTED = 1
    APPROVED = 2
    REJECTED = 3


class Decision(StrEnum):
    """What finance says of a refund."""

    APPROVE = "APPROVE"
    REJECT = "REJECT"


class Recommendation(StrEnum):
    """What follows from a review: a signed policy approves, or a person decides."""

    POLICY = "POLICY"
    FINANCE = "FINANCE"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a review looks at, as it was then; amounts in minor units.

    ``refunds_30_days`` are the payer's, the one at hand included; ``merchant_covers``: whether the
    merchant's balance suffices, or the city would have to advance the money.
    """

    amount_minor: int
    payment_age_seconds: int
    refunds_30_days: int
    merchant_id: UUID | None
    merchant_covers: bool


@dataclass(frozen=True, slots=True)
class Policy:
    """What a finance user signed: within it the city approves by itself, in the signer's name."""

    id: int
    amount_max_minor: int
    payment_age_max_seconds: int
    refunds_max_per_30_days: int
    signed_by: int


def covering(policies: list[Policy], facts: Facts, *, parties: frozenset[int]) -> Policy | None:
    """The oldest policy that covers the facts and that no party to the refund has signed."""
    for policy in sorted(policies, key=lambda policy: policy.id):
        if policy.signed_by not in parties and _covers(policy, facts):
            return policy
    return None


def _covers(policy: Policy, facts: Facts) -> bool:
    return (
        facts.amount_minor <= policy.amount_max_minor
        and facts.payment_age_seconds <= policy.payment_age_max_seconds
        and facts.refunds_30_days <= policy.refunds_max_per_30_days
    )
