"""Who may add, name and remove passkeys, and signing in by one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from domain import inputs, refusals
from domain.devices import NewDevice
from domain.identity import Status
from domain.proof_challenges import Purpose
from domain.proofs import Method
from infra import authenticators
from resolvers import devices, identity
from resolvers.devices import Described
from resolvers.viewer import ACTIVE, ANYONE, SIGNED_IN, Viewer, access, also_enrolling
from services import people, wallets
from services.identity import arrivals, logins, passkeys, proof_challenges, second_factors
from services.identity.arrivals import SignedIn
from services.identity.passkeys import NAME_LENGTH_MAX, Passkey, Removal
from services.unit_of_work import UnitOfWork, snapshot, unit_of_work


@dataclass(frozen=True, slots=True)
class Asked:
    """A challenge for an authenticator, and the options to ask it with, as JSON."""

    id: UUID
    expires_at: datetime
    options: str = field(repr=False)


@access(also_enrolling(SIGNED_IN))
async def mine(viewer: Viewer) -> list[Passkey]:
    """The caller's passkeys, oldest first."""
    async with snapshot() as read:
        return await passkeys.of_user(read, viewer.user_id)


@access(SIGNED_IN)
async def by_ids(viewer: Viewer, ids: list[UUID]) -> dict[UUID, Passkey]:
    """Those of the passkeys that are the caller's."""
    async with snapshot() as read:
        return await passkeys.by_ids(read, viewer.user_id, ids)


@access(also_enrolling(ACTIVE))
async def request_passkey_registration(viewer: Viewer, *, password: str, address: str) -> Asked:
    """Ask an authenticator for a new passkey; good in this session, for five minutes.

    The password is asked for here, so that nobody ends with a passkey that we don't know. Raises
    WrongCredentials, RateLimited, Overloaded.
    """
    attempt, new_hash = await identity.shown_password(viewer, password=password, address=address)
    async with unit_of_work() as work:
        await logins.succeed(work, attempt, new_hash=new_hash)
        known = await passkeys.credential_ids(work, viewer.user_id)
        made = await proof_challenges.make_for(
            work,
            user_id=viewer.user_id,
            session_id=viewer.session_id,
            purpose=Purpose.PASSKEY,
            terms_digest=_NEW_PASSKEY,
        )
    options = authenticators.registration_options(
        challenge=made.nonce,
        user_handle=passkeys.user_handle(viewer.user_id),
        user_name=people.label_of(viewer),
        known=known,
    )
    return Asked(made.id, made.expires_at, options)


@access(also_enrolling(ACTIVE))
async def register_passkey(
    viewer: Viewer, *, challenge_id: UUID, credential: str, name: str
) -> Passkey:
    """Keep what the authenticator made; for staff it may be the first second factor.

    Raises InvalidInput, ChallengeInvalid, PasskeyInvalid, SecondFactorRequired.
    """
    kept_name = _name(name)
    try:
        made, nonce = authenticators.read_registration(credential)
        registered = authenticators.verify_registration(made, challenge=nonce)
    except authenticators.NotVerified:
        raise refusals.PasskeyInvalid(path=("input", "credential")) from None
    async with unit_of_work() as work:
        challenge = await proof_challenges.lock(work, challenge_id, user_id=viewer.user_id)
        ours = challenge.is_for(Purpose.PASSKEY, _NEW_PASSKEY) and challenge.asks(nonce)
        if not ours or challenge.session_id != viewer.session_id:
            raise refusals.ChallengeInvalid(path=("input", "challengeId"))
        await second_factors.ensure_may_enrol(work, viewer)
        answer_hash = hashlib.sha256(registered.credential_id).digest()
        await proof_challenges.use(work, challenge.id, answer_hash=answer_hash)
        added = await passkeys.add(
            work, user_id=viewer.user_id, registered=registered, name=kept_name
        )
        # It took a password and a session, and is the strongest proof from now on.
        await wallets.take_care(work, user_id=viewer.user_id, key=f"passkey:{added.id}")
        await second_factors.enrolled(work, viewer)
        return added


@access(ACTIVE)
async def rename_passkey(viewer: Viewer, *, passkey_id: UUID, name: str) -> Passkey:
    """Call a passkey otherwise. Raises InvalidInput, NotFound."""
    kept_name = _name(name)
    async with unit_of_work() as work:
        return await passkeys.rename(work, passkey_id, user_id=viewer.user_id, name=kept_name)


@access(ACTIVE)
async def remove_passkey(
    viewer: Viewer, *, passkey_id: UUID, password: str, accept_remaining: bool, address: str
) -> list[Method]:
    """Never accept a passkey again; what is left to prove with, besides the password.

    Raises WrongCredentials, RateLimited, Overloaded, NotFound, and LastPasskey unless the caller
    accepts what remains. Staff keep a second factor: LastSecondFactor.
    """
    attempt, new_hash = await identity.shown_password(viewer, password=password, address=address)
    async with unit_of_work() as work:
        await logins.succeed(work, attempt, new_hash=new_hash)
        done = await passkeys.remove(
            work, passkey_id, user_id=viewer.user_id, last_too=accept_remaining
        )
        if viewer.staff and not await second_factors.any_strong(work, viewer.user_id):
            raise refusals.LastSecondFactor(path=("input", "passkeyId"))
    remaining = _remaining(viewer, passkey=done is Removal.DONE)
    if done is Removal.WOULD_BE_LAST:
        raise refusals.LastPasskey(remaining=remaining)
    return remaining


@access(ANYONE)
async def request_passkey_login(viewer: Viewer, *, origin: str, address: str) -> Asked:
    """Ask whoever it is for any passkey of ours, on a page of this origin. Raises RateLimited."""
    ensure_origin(origin)
    async with unit_of_work() as work:
        made = await proof_challenges.make_for_stranger(work, address=address, terms_digest=_LOGIN)
    options = authenticators.request_options(challenge=made.nonce)
    return Asked(made.id, made.expires_at, options)


@access(ANYONE)
async def login_with_passkey(
    viewer: Viewer, *, challenge_id: UUID, credential: str, device: Described, address: str
) -> SignedIn:
    """Sign in by a passkey alone: with user verification it is two factors by itself.

    The device is known from then on. The answer is the same for passkeys that nobody has and for
    wrong signatures. Raises InvalidInput, ChallengeInvalid, PasskeyInvalid, AccountNotActive
    (closed).
    """
    given = devices.checked(device)
    try:
        answer = authenticators.read_answer(credential)
    except authenticators.NotVerified:
        raise refusals.PasskeyInvalid(path=("input", "credential")) from None
    async with unit_of_work() as work:
        challenge = await proof_challenges.lock(work, challenge_id, user_id=None)
        if not challenge.is_for(Purpose.LOGIN, _LOGIN):
            raise refusals.ChallengeInvalid(path=("input", "challengeId"))
        verdict = await passkeys.verify(work, answer, challenge, user_id=None)
        if verdict.refusal is None:
            return await _sign_in(work, verdict.user_id, given, address=address)
    raise verdict.refusal


def ensure_origin(origin: str) -> None:
    """Raises InvalidInput for a page that our passkeys don't work on."""
    if origin not in authenticators.party().origins:
        raise refusals.InvalidInput(
            path=("input", "origin"),
            en="Passkeys of this wallet can't be used on this page.",
            zh="此页面无法使用本钱包的通行密钥。",
        )


async def _sign_in(work: UnitOfWork, user_id: int, given: NewDevice, *, address: str) -> SignedIn:
    status = await work.fetchval("select status from users where id = $1", user_id)
    if status == Status.CLOSED:
        raise refusals.AccountNotActive
    return await arrivals.admit_new(work, user_id, given, address=address, second_factor=True)


def _name(text: str) -> str:
    name = inputs.short_text(text, "input", "name", length_max=NAME_LENGTH_MAX)
    if name is None:
        raise refusals.InvalidInput(path=("input", "name"))
    return name


def _remaining(viewer: Viewer, *, passkey: bool) -> list[Method]:
    left = {Method.PIN, Method.PIN_AND_CODE} if viewer.pin_set else set()
    return [
        method for method in Method if method in left | ({Method.PASSKEY} if passkey else set())
    ]


_NEW_PASSKEY = hashlib.sha256(b"a new passkey").digest()
_LOGIN = hashlib.sha256(b"a login by passkey").digest()
