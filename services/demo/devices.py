"""A device for everybody in the demo city, so that developers sign in without waiting for a code.

Their private keys are written where the passwords are: for development only.
"""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from domain.devices import NewDevice, Platform
from services import devices, people
from services.demo import city
from services.unit_of_work import unit_of_work

NAME = "演示手机"


async def enrol() -> dict[str, dict[str, str]]:
    """By phone: the device's GraphQL id, and its private key (PKCS #8 in base64url)."""
    numbers = [
        *(city.resident_phone(n) for n in range(len(city.RESIDENT_NAMES))),
        *(city.shop_phone(n) for n in range(len(city.SHOPS))),
        *(city.staff_phone(n) for n in range(len(city.STAFF))),
    ]
    return {phone: await _enrol(phone) for phone in numbers}


async def _enrol(phone: str) -> dict[str, str]:
    private = ec.generate_private_key(ec.SECP256R1())
    public = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    async with unit_of_work() as work:
        person = await people.find_by_phone(work, phone)
        assert person is not None
        enrolled = await devices.enrol(
            work, person.user_id, NewDevice(public, NAME, Platform.ANDROID)
        )
    kept = private.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    # A global id as the schema writes it, which services know nothing of; a test compares.
    return {"id": _base64url(f"Device:{enrolled.device.id}".encode()), "key": _base64url(kept)}


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
