"""Challenges: what for, how long they are good, how many may be open."""

from __future__ import annotations

import hashlib
from enum import StrEnum

LIFE_SECONDS = 300
OPEN_MAX_PER_USER = 60
OPEN_MAX_PER_ADDRESS = 300


class Purpose(StrEnum):
    """What a challenge is good for; it works for nothing else."""

    PASSKEY = "PASSKEY"  # to register one
    LOGIN = "LOGIN"
    PROOF = "PROOF"  # of a deed with money
    STEP_UP = "STEP_UP"  # of a deed without


def nonce(terms_digest: bytes, purpose: Purpose, chance: bytes) -> bytes:
    """The bytes to be signed: by themselves they stand for these terms and no others."""
    return hashlib.sha256(purpose.value.encode() + b"\0" + terms_digest + chance).digest()
