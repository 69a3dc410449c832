"""What may prove, besides the password, who signs in: one table, one line for each way.

A checker gets what the client sent for its way. It says whether that is right for this challenge,
and spends whatever works once in the same unit of work as the login that it allows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from domain import devices as rules
from domain import refusals
from domain.identity import CodePurpose, LoginMethod
from infra import device_keys
from services import devices, people
from services.identity import codes
from services.identity.challenges import Pending
from services.unit_of_work import Snapshot, UnitOfWork


@dataclass(frozen=True, slots=True)
class DeviceKeyProof:
    """A device and its signature over the challenge (`domain.devices.login_message`)."""

    device_id: UUID | None
    signature: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CodeProof:
    """The six digits that the owner's phone got for this challenge, and the id of their request."""

    verification_id: UUID | None
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Checked:
    """``refusal`` None: right. ``device_id`` if it was a known device that proved itself.

    A refusal is raised after the commit only, because the tries must stay spent.
    """

    refusal: refusals.Refusal | None = None
    device_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Factor:
    """A way: whether a user has it, and how a proof by it is checked."""

    offered: Callable[[Snapshot, int], Awaitable[bool]]
    check: Callable[[UnitOfWork, Pending, Any], Awaitable[Checked]]


async def _device_key(work: UnitOfWork, challenge: Pending, given: DeviceKeyProof) -> Checked:
    wrong = refusals.DeviceProofInvalid(path=("input", "proof", "deviceKey"))
    if given.device_id is None:
        return Checked(wrong)
    public_key = await devices.lock(work, user_id=challenge.user_id, device_id=given.device_id)
    message = rules.login_message(challenge.secret, challenge.nonce)
    if public_key is None or not device_keys.verify(public_key, given.signature, message):
        return Checked(wrong)
    return Checked(device_id=given.device_id)


async def _code(work: UnitOfWork, challenge: Pending, given: CodeProof) -> Checked:
    path = ("input", "proof", "code")
    if given.verification_id is None:
        return Checked(refusals.CodeInvalid(path=path))
    tried = await codes.spend_try(
        work,
        phone=await people.phone_of_user(work, challenge.user_id),
        purpose=CodePurpose.LOGIN,
        verification_id=given.verification_id,
        code=given.code,
        subject=challenge.subject,
    )
    if tried.code_id is None:
        expired = isinstance(tried.refusal, refusals.CodeExpired)
        return Checked((refusals.CodeExpired if expired else refusals.CodeInvalid)(path=path))
    await codes.use(work, tried.code_id)
    return Checked()


async def _always(read: Snapshot, user_id: int) -> bool:
    return True


FACTORS: dict[LoginMethod, Factor] = {
    LoginMethod.DEVICE_KEY: Factor(devices.any_of, _device_key),
    LoginMethod.CODE: Factor(_always, _code),
}


async def offered(read: Snapshot, user_id: int) -> list[LoginMethod]:
    """The ways that this user has."""
    return [method for method, way in FACTORS.items() if await way.offered(read, user_id)]


async def check(work: UnitOfWork, challenge: Pending, method: LoginMethod, given: Any) -> Checked:
    """Whether what the client sent for a way proves that the owner answers this challenge."""
    return await FACTORS[method].check(work, challenge, given)
