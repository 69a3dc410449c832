"""Getting back in without a password, a PIN or a phone: what proves that it is the owner."""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from domain.identity import CODE_LIFE_SECONDS, Status

RESET_LIFE_SECONDS = CODE_LIFE_SECONDS
RESET_TRIES = 5
IDENTITY_TRIES = 5
IDENTITY_WINDOW_SECONDS = 86_400
RECOVERABLE = (Status.PENDING_REVIEW, Status.REFERRED, Status.ACTIVE)
"""Whose password can be reset. A frozen wallet is no state of its owner: it stays frozen."""

CASE_LIFE_SECONDS = 259_200
RELEASE_DELAY_SECONDS = 259_200
RELEASE_LIFE_SECONDS = 1_209_600
"""Whoever uses a wallet seldom has three days to see that its number is to go, not hours."""

REPLACEMENT_TRIES = 5
REPLACEMENTS_PER_NEW_PHONE = 5
REPLACEMENTS_PER_ACCOUNT = 20
"""Tries in a day (IDENTITY_WINDOW_SECONDS) to say whose account is to move, right ones too: a right
one rings the owner's phone."""


class CaseKind(StrEnum):
    """What two of staff stand in for, and so what a case is good for; for nothing else."""

    PASSWORD = "PASSWORD"  # noqa: S105 - no password
    PHONE = "PHONE"
    RELEASE = "RELEASE"


class CaseState(StrEnum):
    """Where a request for help back in stands."""

    REQUESTED = "REQUESTED"
    APPROVED_ONCE = "APPROVED_ONCE"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    OBJECTED = "OBJECTED"
    USED = "USED"


# NFKC takes time by the square of a pile of accents, so nothing long is ever normalised.
_TYPED_MAX = 200
_LAST = 6


@dataclass(frozen=True, slots=True)
class ReviewedCase:
    """A case that two members of staff have approved."""

    case_id: UUID


@dataclass(frozen=True, slots=True)
class Identity:
    """What somebody says who they are: the registered name, and the end of the ID number."""

    name: str = field(repr=False)
    id_number_last6: str = field(repr=False)

    def is_of(self, *, name: str, id_number: str) -> bool:
        """Whether both are this person's. Takes as long for one wrong as for two."""
        right_name = _same(self.name, name)
        right_number = _same(self.id_number_last6, id_number[-_LAST:])
        return right_name & right_number


def _same(given: str, kept: str) -> bool:
    return hmac.compare_digest(_digest(given), _digest(kept))


def _digest(text: str) -> bytes:
    short = text if len(text) <= _TYPED_MAX else ""
    plain = " ".join(unicodedata.normalize("NFKC", short).split()).casefold()
    return hashlib.sha256(plain.encode(errors="replace")).digest()
