"""Setting a payment PIN, and replacing one: that takes more than a password.

Tries are spent, and committed, before anything is compared; hashing is between the transactions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from domain import refusals
from domain import registration as rules
from domain.proofs import Action, Passkey, Pin
from domain.recovery import Identity
from infra import hashing
from resolvers import identity, proofs
from resolvers.viewer import ACTIVE, SIGNED_IN, Viewer, access
from services import people, wallets
from services.identity import identification, logins, pins, sessions
from services.identity import proofs as proof_verbs
from services.unit_of_work import UnitOfWork, unit_of_work

Given = Pin | Passkey | Identity
"""What proves, beside the password, that the PIN's owner replaces it."""

_PATH = ("input", "proof")


@access(ACTIVE)
async def set_payment_pin(
    viewer: Viewer, *, password: str, pin: str, address: str, proof: Given | None = None
) -> Viewer:
    """Set the payment PIN, or replace it by a proof, also a locked one. The caller as of after it.

    For a day after one that was forgotten or locked little may leave the wallet. Raises
    InvalidInput, WrongCredentials, ProofRequired, IdentityInvalid, RateLimited, Overloaded, and
    what `resolvers.proofs.step_up` does.
    """
    if not rules.pin_acceptable(pin, phone=people.phone_of(viewer)):
        raise refusals.InvalidInput(
            path=("input", "pin"),
            en="Six digits that are hard to guess: no run, no pattern, no date, no part of your"
            " number.",
            zh="请设置六位不易猜到的数字：不能连号、重复，不能是生日等日期，也不能是手机号的一部分。",
        )
    if proof is None and viewer.pin_set:
        raise refusals.ProofRequired(path=_PATH)
    attempt, new_hash = await identity.shown_password(viewer, password=password, address=address)
    shown = await _proven(viewer, proof)
    pin_hash = await _hashed(viewer, pin)
    assert viewer.session_id is not None
    async with unit_of_work() as work:
        await logins.succeed(work, attempt, new_hash=new_hash)
        if shown is None:
            await pins.keep(work, user_id=viewer.user_id, pin_hash=pin_hash)
        else:
            await _replace(work, viewer, shown, pin_hash)
        current = await sessions.viewer_by_session(work, viewer.session_id)
    if current is None:
        raise refusals.NotSignedIn
    return current


@dataclass(frozen=True, slots=True)
class _Shown:
    """A proof that was right: the old PIN's hash, or a step-up to be used, or an ID."""

    old_hash: str | None = field(default=None, repr=False)
    step_up: UUID | None = None
    identified: bool = False


async def _replace(work: UnitOfWork, viewer: Viewer, shown: _Shown, pin_hash: str) -> None:
    """Whoever showed the old PIN could pay before; whoever didn't has to wait for large sums."""
    if shown.step_up is not None:
        await proof_verbs.use_step_up(
            work, shown.step_up, user_id=viewer.user_id, action=Action.RESET_PIN
        )
    if shown.identified:
        await identification.forget_tries(work, identification.of_viewer(viewer))
    version = await pins.replace(
        work, user_id=viewer.user_id, pin_hash=pin_hash, instead_of=shown.old_hash
    )
    if shown.old_hash is None:
        key = f"pin-reset:{viewer.user_id}:{version}"
        await wallets.take_care(work, user_id=viewer.user_id, key=key)


async def _proven(viewer: Viewer, proof: Given | None) -> _Shown | None:
    if isinstance(proof, Pin):
        return _Shown(old_hash=await shown_pin(viewer, proof, path=(*_PATH, "currentPin")))
    if isinstance(proof, Passkey):
        made = await proofs.step_up(viewer, proof, action=Action.RESET_PIN, path=_PATH)
        return _Shown(step_up=made)
    if isinstance(proof, Identity):
        await ensure_identity(viewer, proof, path=(*_PATH, "identity"))
        return _Shown(identified=True)
    return None


@access(SIGNED_IN)
async def shown_pin(viewer: Viewer, given: Pin, *, path: tuple[str, ...]) -> str:
    """The hash of the caller's PIN, if it is this one.

    Raises InvalidInput, WrongPin, PinLocked, PinNotSet, Overloaded.
    """
    if not rules.is_pin(given.pin):
        raise refusals.InvalidInput(path=path)
    async with unit_of_work() as work:
        spent = await pins.spend_try(work, viewer.user_id)
    try:
        right = await hashing.check_pin(viewer.user_id, given.pin, spent.stored)
    except hashing.HasherBusy:
        async with unit_of_work() as work:
            await pins.withdraw(work, spent)
        raise refusals.Overloaded from None
    if not right:
        raise spent.wrong(path)
    return spent.stored


@access(SIGNED_IN)
async def ensure_identity(viewer: Viewer, given: Identity, *, path: tuple[str, ...]) -> None:
    """Whether the caller's reviewed ID is this one; each time is a try, five of them a day.

    Raises IdentityInvalid, RateLimited.
    """
    async with unit_of_work() as work:
        refusal = await identification.spend_try(work, identification.of_viewer(viewer))
        right = refusal is None and await identification.is_of(work, viewer.user_id, given)
    if refusal is not None:
        raise refusal
    if not right:
        raise refusals.IdentityInvalid(path=path)


async def _hashed(viewer: Viewer, pin: str) -> str:
    try:
        return await hashing.hash_pin(viewer.user_id, pin)
    except hashing.HasherBusy:
        raise refusals.Overloaded from None
