"""Codes of authenticator apps (RFC 6238): which time step a code belongs to."""

from __future__ import annotations

import hmac
import re
from datetime import datetime

from pyotp.totp import TOTP

STEP_SECONDS = 30
DRIFT_STEPS = 1
TRIES = 5
BLOCK_SECONDS = 900
SECRET_LENGTH = 32
"""160 bits in base32, as the RFC recommends for SHA-1."""
_CODE = re.compile(r"[0-9]{6}", re.ASCII)


def step_at(instant: datetime) -> int:
    """The number of the 30 seconds that an instant lies in."""
    return int(instant.timestamp()) // STEP_SECONDS


def matching_step(secret: str, code: str, *, now: datetime, after_step: int) -> int | None:
    """The step, later than ``after_step``, that this code is of; None for a wrong or used code.

    A clock may be half a minute off in either direction. All three are compared every time.
    """
    if not _CODE.fullmatch(code):
        return None
    generator, current = TOTP(secret), step_at(now)
    found = None
    for step in range(current - DRIFT_STEPS, current + DRIFT_STEPS + 1):
        right = hmac.compare_digest(generator.generate_otp(step), code)
        if right and step > after_step:
            found = step
    return found


def uri(secret: str, *, label: str, issuer: str) -> str:
    """What an authenticator app reads from a QR code: ``otpauth://totp/…``."""
    return TOTP(secret).provisioning_uri(name=label, issuer_name=issuer)
