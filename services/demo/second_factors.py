"""An authenticator and a passkey for each member of staff in the demo city.

Their secrets are written where the passwords are, for development only: people type codes by the
first, programs that play the city sign by the second.
"""

from __future__ import annotations

import base64
import os
from uuid import UUID

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pyotp.totp import TOTP

from domain import totp as rules
from infra import authenticators
from infra.authenticators import Registered
from services import people
from services.demo import city
from services.demo.errands import DemoFailed
from services.identity import passkeys, totp
from services.unit_of_work import UnitOfWork, unit_of_work

NAME = "演示通行密钥"


async def enrol() -> dict[str, dict[str, str]]:
    """By phone: ``totp`` (base32), and the passkey's ``id`` and ``key`` (PKCS #8), in base64url."""
    return {phone: await _enrol(phone) for phone in map(city.staff_phone, range(len(city.STAFF)))}


async def _enrol(phone: str) -> dict[str, str]:
    credential_id, private = os.urandom(16), ec.generate_private_key(ec.SECP256R1())
    async with unit_of_work() as work:
        person = await people.find_by_phone(work, phone)
        assert person is not None
        secret = await _authenticator(work, person.user_id)
        registered = Registered(
            credential_id=credential_id,
            public_key=authenticators.cose_key(private.public_key()),
            sign_count=0,
            aaguid=UUID(int=0),
            transports=["internal"],
            synced=True,
        )
        await passkeys.add(work, user_id=person.user_id, registered=registered, name=NAME)
    kept = private.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {"totp": secret, "id": _base64url(credential_id), "key": _base64url(kept)}


async def _authenticator(work: UnitOfWork, user_id: int) -> str:
    made = await totp.enrol(work, user_id, label=city.STAFF_LABEL)
    code = TOTP(made.secret).generate_otp(rules.step_at(work.now))
    if await totp.confirm(work, user_id, code) is not None:
        raise DemoFailed("an authenticator of the demo city is wrong")
    return made.secret


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
