"""What people are asked to agree to. Versions and texts are data: ``consent_version``."""

from __future__ import annotations

from enum import StrEnum


class Purpose(StrEnum):
    """What personal data is used for. The first two are required of everybody with an account.

    PERSONALISATION is done unless it was withdrawn, as the law on automated decisions has it.
    """

    TERMS = "TERMS"
    PRIVACY = "PRIVACY"
    PERSONALISATION = "PERSONALISATION"


REQUIRED = frozenset({Purpose.TERMS, Purpose.PRIVACY})


class ConsentState(StrEnum):
    """Where somebody stands with a purpose. OUTDATED: agreed, but to an earlier version."""

    NEVER_ASKED = "NEVER_ASKED"
    GIVEN = "GIVEN"
    OUTDATED = "OUTDATED"
    WITHDRAWN = "WITHDRAWN"


def state_of(*, given: bool | None, version: int | None, current: int) -> ConsentState:
    """The state after the newest thing that somebody said; None if nothing was said."""
    if given is None:
        return ConsentState.NEVER_ASKED
    if not given:
        return ConsentState.WITHDRAWN
    return ConsentState.GIVEN if version == current else ConsentState.OUTDATED
