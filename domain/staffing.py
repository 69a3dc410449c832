"""Staff: which roles there are, how changes of role are decided, and what needs elevation."""

from __future__ import annotations

from enum import StrEnum

from domain import refusals
from domain.identity import Role


class StaffRole(StrEnum):
    """The roles that an ADMIN may give; the same words as `Role` has."""

    SUPPORT = "SUPPORT"
    FINANCE = "FINANCE"
    RISK = "RISK"
    COMPLIANCE = "COMPLIANCE"
    AUDITOR = "AUDITOR"
    ADMIN = "ADMIN"

    @property
    def role(self) -> Role:
        return Role(self.value)


class ChangeState(StrEnum):
    """Where a change of role stands; EXPIRED is a PROPOSED one that nobody confirmed in time."""

    PROPOSED = "PROPOSED"
    DONE = "DONE"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


class ChangeDecision(StrEnum):
    """What another ADMIN says of a proposed change."""

    CONFIRM = "CONFIRM"
    REJECT = "REJECT"


class Method(StrEnum):
    """How a member of staff proved anew who they are."""

    TOTP = "TOTP"
    PASSKEY = "PASSKEY"


REASON_LENGTH_MAX = 200
ELEVATION_SECONDS = 900
LOOK_UPS_HOURLY_MAX = 60
CALLER_FREEZES_HOURLY_MAX = 20

# What migrations/sql/staffing.sql answers; DONE and PROPOSED are no refusals.
REFUSALS: dict[str, type[refusals.Refusal]] = {
    "NOT_FOUND": refusals.NotFound,
    "STALE": refusals.StaleVersion,
    "NOT_ACTIVE": refusals.AccountNotActive,
    "WALLET_IN_USE": refusals.WalletInUse,
    "SAME_PERSON": refusals.SecondPersonNeeded,
}
"""What a no of the database means. NOT_PERMITTED isn't here: it ends the whole field."""


def check(outcome: str) -> None:
    """Raise what the outcome stands for. Raises NotPermitted for whoever is no ADMIN (any more)."""
    if outcome == "NOT_PERMITTED":
        raise refusals.NotPermitted
    if outcome in REFUSALS:
        raise REFUSALS[outcome]()
