"""Signing in takes two steps: the password opens a challenge, a second factor answers it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from domain import refusals
from domain.identity import CodePurpose, LoginMethod, Status
from infra import authenticators
from resolvers import devices, identity
from resolvers.devices import Described
from resolvers.viewer import ANYONE, Viewer, access
from services import people
from services.identity import arrivals, challenges, codes, logins, passkeys, second_factors
from services.identity.arrivals import SignedIn
from services.unit_of_work import unit_of_work


@dataclass(frozen=True, slots=True)
class Challenged:
    """A right password waits: the challenge's secret id, and the ways to answer it.

    ``passkey_options`` are for the browser, as JSON; None for whoever has no passkey.
    """

    secret: str = field(repr=False)
    nonce: str = field(repr=False)
    methods: list[LoginMethod]
    expires_at: datetime
    passkey_options: str | None = field(repr=False, default=None)


@access(ANYONE)
async def login(viewer: Viewer, *, phone: str, password: str, address: str) -> Challenged:
    """The first step: also while the registration waits, or was rejected.

    Nobody learns of a challenge but by a right password. Raises InvalidInput, WrongCredentials,
    AccountNotActive (closed), RateLimited, Overloaded.
    """
    e164 = identity.phone_of_input(phone)
    identity.ensure_room()
    async with unit_of_work() as work:
        attempt = await logins.begin(work, phone=e164, address=address)
    new_hash = await identity.right_password(attempt, password, path=None)
    assert attempt.user_id is not None
    if attempt.status is Status.CLOSED:
        raise refusals.AccountNotActive
    async with unit_of_work() as work:
        await logins.succeed(work, attempt, new_hash=new_hash)
        methods = await second_factors.offered(work, attempt.user_id)
        known = await passkeys.credential_ids(work, attempt.user_id)
        opened = await challenges.open_for(work, attempt.user_id)
    options = None
    if known:
        options = authenticators.request_options(challenge=opened.passkey_nonce, known=known)
    return Challenged(opened.secret, opened.nonce, methods, opened.expires_at, options)


@access(ANYONE)
async def send_login_code(
    viewer: Viewer, *, secret: str, address: str, language: str
) -> codes.Requested:
    """Have a code sent to the phone of whoever the challenge is for; good for this challenge only.

    Raises LoginChallengeInvalid, SecondFactorTooWeak, RateLimited.
    """
    async with unit_of_work() as work:
        challenge = await challenges.find(work, secret)
        if challenge is None:
            raise refusals.LoginChallengeInvalid(path=("input", "challengeId"))
        await second_factors.ensure_strong_enough(work, challenge.user_id, LoginMethod.CODE)
        phone = await people.phone_of_user(work, challenge.user_id)
        return await codes.request(
            work,
            phone=phone,
            purpose=CodePurpose.LOGIN,
            address=address,
            language=language,
            subject=challenge.subject,
        )


@access(ANYONE)
async def complete_login(
    viewer: Viewer,
    *,
    secret: str,
    method: LoginMethod,
    proof: Any,
    device: Described | None,
    address: str,
) -> SignedIn:
    """The second step. ``proof`` is what `second_factors` expects of the method.

    Whoever proves it otherwise than by a known device's key says on which device, which is known
    from then on. Challenge, proof, device and session are written together: of many at once, one.
    Raises InvalidInput, LoginChallengeInvalid, DeviceProofInvalid, CodeInvalid, CodeExpired,
    PasskeyInvalid, TotpInvalid, TotpNotSet, SecondFactorTooWeak (of staff), RateLimited.
    """
    given = None if method is LoginMethod.DEVICE_KEY else devices.checked(_needed(device))
    async with unit_of_work() as work:
        challenge = await challenges.spend_try(work, secret)
        if challenge is None:
            raise refusals.LoginChallengeInvalid(path=("input", "challengeId"))
        checked = await second_factors.check(work, challenge, method, proof)
        if checked.refusal is None:
            await challenges.use(work, challenge.id)
            await logins.know_place(work, challenge.user_id, address=address)
            if checked.device_id is not None:
                return await arrivals.admit(
                    work, challenge.user_id, device_id=checked.device_id, address=address
                )
            assert given is not None, "only a device's key says which device it is"
            return await arrivals.admit_new(
                work,
                challenge.user_id,
                given,
                address=address,
                second_factor=second_factors.FACTORS[method].strong,
            )
    # After the commit: the tries stay spent.
    raise checked.refusal


def _needed(device: Described | None) -> Described:
    if device is None:
        raise refusals.InvalidInput(
            path=("input", "device"),
            en="Say which device this is.",
            zh="请提供设备信息。",
        )
    return device
