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
from domain.identity import CodePurpose, LoginMethod, Viewer
from infra import authenticators, device_keys
from services import devices, people
from services.identity import codes, passkeys, sessions, staffing, totp
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
class PasskeyProof:
    """A passkey's answer to this challenge: the JSON that the browser made of it."""

    credential: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TotpProof:
    """The six digits that the authenticator app shows."""

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
    """A way: whether a user has it, and how a proof by it is checked.

    Staff need a ``strong`` one.
    """

    offered: Callable[[Snapshot, int], Awaitable[bool]]
    check: Callable[[UnitOfWork, Pending, Any], Awaitable[Checked]]
    strong: bool = False


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


async def _passkey(work: UnitOfWork, challenge: Pending, given: PasskeyProof) -> Checked:
    path = ("input", "proof", "passkey", "credential")
    try:
        answer = authenticators.read_answer(given.credential)
        verdict = await passkeys.verify_for_login(
            work,
            answer,
            nonce=challenge.passkey_nonce,
            user_id=challenge.user_id,
            source=str(challenge.id),
        )
    except (authenticators.NotVerified, refusals.ChallengeInvalid, refusals.PasskeyInvalid):
        return Checked(refusals.PasskeyInvalid(path=path))
    return Checked(refusals.PasskeyInvalid(path=path) if verdict.refusal else None)


async def _totp(work: UnitOfWork, challenge: Pending, given: TotpProof) -> Checked:
    refused = await totp.check(work, challenge.user_id, given.code)
    if refused is not None:
        refused.path = ("input", "proof", "totp")
    return Checked(refused)


async def _always(read: Snapshot, user_id: int) -> bool:
    return True


FACTORS: dict[LoginMethod, Factor] = {
    LoginMethod.DEVICE_KEY: Factor(devices.any_of, _device_key),
    LoginMethod.CODE: Factor(_always, _code),
    LoginMethod.PASSKEY: Factor(passkeys.any_of, _passkey, strong=True),
    LoginMethod.TOTP: Factor(totp.is_set, _totp, strong=True),
}


async def offered(read: Snapshot, user_id: int) -> list[LoginMethod]:
    """The ways that this user has; of staff, only the strong ones as soon as there is one."""
    ways = [method for method, way in FACTORS.items() if await way.offered(read, user_id)]
    strong = [method for method in ways if FACTORS[method].strong]
    return strong if strong and await staffing.role_of(read, user_id) else ways


async def ensure_strong_enough(read: Snapshot, user_id: int, method: LoginMethod) -> None:
    """Ask before anything is compared, sent or spent. Raises SecondFactorTooWeak."""
    if not FACTORS[method].strong and await _strong_needed(read, user_id):
        raise refusals.SecondFactorTooWeak


async def check(work: UnitOfWork, challenge: Pending, method: LoginMethod, given: Any) -> Checked:
    """Whether what the client sent for a way proves that the owner answers this challenge."""
    try:
        await ensure_strong_enough(work, challenge.user_id, method)
    except refusals.SecondFactorTooWeak as refused:
        refused.path = ("input", "proof")
        return Checked(refused)
    return await FACTORS[method].check(work, challenge, given)


async def ensure_may_enrol(work: UnitOfWork, viewer: Viewer) -> None:
    """A session that staff opened by less sets the first strong factor up, and never a second.

    Otherwise whoever has the password and the phone of a member of staff would add a factor of
    their own. Holds the user's row until the commit, so that of two sessions at once one is first.
    Raises SecondFactorRequired.
    """
    if not viewer.must_enrol:
        return
    await work.execute("select from users where id = $1 for update", viewer.user_id)
    if await any_strong(work, viewer.user_id):
        raise refusals.SecondFactorRequired


async def enrolled(work: UnitOfWork, viewer: Viewer) -> None:
    """The first strong factor is set up: this session is open now, and no other, or login, stays.

    Nothing happens for sessions that a strong factor opened, and for residents.
    """
    if not viewer.must_enrol or viewer.session_id is None:
        return
    await sessions.strengthen(work, viewer.session_id)
    await sessions.shut_out(
        work, viewer.user_id, reason="SECOND_FACTOR_ADDED", except_id=viewer.session_id
    )


async def _strong_needed(read: Snapshot, user_id: int) -> bool:
    return await any_strong(read, user_id) and await staffing.role_of(read, user_id) is not None


async def any_strong(read: Snapshot, user_id: int) -> bool:
    """Whether the user has a factor that is enough for staff."""
    return await passkeys.any_of(read, user_id) or await totp.is_set(read, user_id)
