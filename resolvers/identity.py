"""Who may do what about people, and the transactions it takes.

Hashing happens between two transactions, never inside one: the first counts the try, and commits;
the second writes what a right answer earns.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from domain import codes as codes_rules
from domain import passwords, refusals
from domain import registration as rules
from domain.consents import Purpose
from domain.devices import NewDevice
from domain.identity import CodePurpose, KycLevel, Status
from domain.passwords import Owner
from infra import hashing, hints
from resolvers import devices, registrations
from resolvers.devices import Described
from resolvers.registrations import NOTHING_TOLD, Told
from resolvers.viewer import ANYONE, SIGNED_IN, Viewer, access, also_enrolling
from services import consents, people
from services.identity import arrivals, codes, logins, number_releases, registration, sessions
from services.identity.arrivals import SignedIn
from services.unit_of_work import UnitOfWork, snapshot, unit_of_work

_PASSWORD_LENGTH_MAX = 1_000


@access(ANYONE)
async def request_verification_code(
    viewer: Viewer, *, phone: str, purpose: CodePurpose, address: str, language: str
) -> codes.Requested:
    """Have a code sent. The answer is the same for phones that we know and that we don't.

    Codes for a login or a payment are sent by the request they belong to, not here. Raises
    InvalidInput, RateLimited; NotSignedIn for what needs a session.
    """
    e164 = phone_of_input(phone)
    _ensure_may_ask(viewer, e164, purpose)
    async with unit_of_work() as work:
        return await codes.request(
            work, phone=e164, purpose=purpose, address=address, language=language
        )


@access(ANYONE)
async def register(
    viewer: Viewer,
    *,
    name: str,
    phone: str,
    verification_id: UUID | None,
    code: str,
    password: str,
    language: str,
    device: Described,
    address: str,
    given: Sequence[tuple[Purpose, int]],
    told: Told = NOTHING_TOLD,
) -> SignedIn:
    """Apply for a wallet, and be signed in to follow the application, on the first device.

    ``verification_id`` is that of the request for the code, None for an id that is none of ours;
    ``given``: what the applicant agrees to, in which version. Raises InvalidInput,
    PasswordUnacceptable, CodeInvalid, CodeExpired, PhoneTaken, UnderAge, ConsentRequired,
    StaleVersion (of a consent), Overloaded.
    """
    consents.ensure_required(given)
    e164, kept_name = phone_of_input(phone), registrations.checked_name(name)
    details, new_device = registrations.checked(told), devices.checked(device)
    _ensure_acceptable(password, Owner(kept_name, e164, details.id_number))
    ensure_room()
    code_id = await proven(e164, verification_id, code)
    await _ensure_free(e164)
    password_hash = await hashed(password)
    async with unit_of_work() as work:
        user_id = await registration.register(
            work,
            name=kept_name,
            phone=e164,
            code_id=code_id,
            password_hash=password_hash,
            language=language,
            details=details,
        )
        return await _enter(work, user_id, new_device, address=address, given=given)


async def _enter(
    work: UnitOfWork,
    user_id: int,
    device: NewDevice,
    *,
    address: str,
    given: Sequence[tuple[Purpose, int]],
) -> SignedIn:
    entered = await arrivals.admit_new(work, user_id, device, address=address, registering=True)
    await consents.give_first(work, user_id, entered.session.session_id, given)
    return entered


def _ensure_acceptable(password: str, owner: Owner) -> None:
    if not passwords.acceptable(password, owner):
        raise refusals.PasswordUnacceptable(path=("input", "password"))


@access(also_enrolling(SIGNED_IN))
async def shown_password(
    viewer: Viewer,
    *,
    password: str,
    address: str,
    path: tuple[str, ...] = ("input", "password"),
) -> tuple[logins.Attempt, str | None]:
    """A right password, shown anew: for `logins.succeed` in the transaction that it allows.

    Raises WrongCredentials, RateLimited, Overloaded.
    """
    ensure_room()
    async with unit_of_work() as work:
        attempt = await logins.begin_for_user(work, user_id=viewer.user_id, address=address)
    return attempt, await right_password(attempt, password, path=path)


@access(SIGNED_IN)
async def viewer_status_events(viewer: Viewer) -> AsyncIterator[Viewer]:
    """The caller now, and again whenever status or KYC level change; ends with the session."""
    topic = f"user:{viewer.user_id}"
    changed = hints.current().watch(topic)
    try:
        told: tuple[Status | None, KycLevel] | None = None
        while True:
            changed.clear()
            async with snapshot() as read:
                current = await sessions.viewer_by_session(read, _session_id(viewer))
            if current is None:
                return
            if (current.status, current.kyc_level) != told:
                told = current.status, current.kyc_level
                yield current
            await changed.wait()
    finally:
        hints.current().unwatch(topic, changed)


@access(also_enrolling(SIGNED_IN))
def me(viewer: Viewer) -> Viewer:
    """The caller."""
    return viewer


@access(also_enrolling(SIGNED_IN))
def display_name(viewer: Viewer) -> str:
    """The caller's own name, whole."""
    return people.name_of(viewer)


@access(also_enrolling(SIGNED_IN))
def masked_phone(viewer: Viewer) -> str | None:
    """The caller's own phone number, masked all the same: screens are looked at by others.

    None where the account has let go of it.
    """
    return rules.masked_phone(people.phone_of(viewer)) or None


@access(SIGNED_IN)
def review_reason(viewer: Viewer, *, language: str) -> str | None:
    """Why the registration was referred or rejected, in a language."""
    if viewer.status in (Status.REFERRED, Status.REJECTED):
        written = people.open_review_text(viewer.user_id, viewer.review_text_sealed)
        return written or rules.reason_text(viewer.review_reason, language)
    return None


def phone_of_input(text: str) -> str:
    """A mobile number in E.164. Raises InvalidInput."""
    e164 = rules.phone(text)
    if e164 is None:
        raise refusals.InvalidInput(
            path=("input", "phone"),
            en="Enter a mobile phone number.",
            zh="请输入正确的手机号。",
        )
    return e164


def _session_id(viewer: Viewer) -> UUID:
    assert viewer.session_id is not None, "a signed-in caller has a session"
    return viewer.session_id


def ensure_room() -> None:
    """Refuse before anything is counted; a try that the hasher refuses later is taken back."""
    try:
        hashing.ensure_room()
    except hashing.HasherBusy:
        raise refusals.Overloaded from None


def _ensure_may_ask(viewer: Viewer, phone: str, purpose: CodePurpose) -> None:
    """Raises NotSignedIn, InvalidInput. Says nothing about phones other than the caller's own."""
    if purpose in codes_rules.BOUND:
        raise refusals.InvalidInput(
            path=("input", "purpose"),
            en="This code is sent by the request that needs it.",
            zh="此类验证码由相应的操作发送。",
        )
    if purpose in codes_rules.OPEN:
        return
    if not viewer.signed_in:
        raise refusals.NotSignedIn
    if phone != people.phone_of(viewer):
        raise refusals.InvalidInput(
            path=("input", "phone"),
            en="Use the phone number of your account.",
            zh="请使用您账户的手机号。",
        )


async def hashed(password: str) -> str:
    """A new password's hash, for its row. Raises Overloaded."""
    try:
        return await hashing.hash_password(password)
    except hashing.HasherBusy:
        raise refusals.Overloaded from None


async def proven(phone: str, verification_id: UUID | None, code: str) -> UUID:
    """The id of the right code for whoever holds a phone (E.164) and has no account by it.

    A wrong one has cost a try when this raises: CodeInvalid, CodeExpired.
    """
    if verification_id is None or not rules.is_pin(code):
        raise refusals.CodeInvalid(path=("input", "code"))
    async with unit_of_work() as work:
        tried = await codes.spend_try(
            work,
            phone=phone,
            purpose=CodePurpose.REGISTER,
            verification_id=verification_id,
            code=code,
        )
    if tried.code_id is None:
        raise tried.refusal or refusals.CodeInvalid(path=("input", "code"))
    return tried.code_id


async def _ensure_free(phone: str) -> None:
    """Raises PhoneTaken before a password is hashed in vain; the index decides in the end."""
    async with snapshot() as read:
        taken = await people.exists(read, phone)
        if taken and not await number_releases.is_due(read, phone):
            raise refusals.PhoneTaken(path=("input", "phone"))


async def right_password(
    attempt: logins.Attempt, password: str, *, path: tuple[str, ...] | None
) -> str | None:
    """The hash to store anew, if any, of a right password. Raises WrongCredentials, Overloaded."""
    if len(password) > _PASSWORD_LENGTH_MAX:
        raise refusals.WrongCredentials(path=path)
    try:
        checked = await hashing.check_password(password, attempt.stored)
        new_hash = await hashing.hash_password(password) if checked.outdated else None
    except hashing.HasherBusy:
        async with unit_of_work() as work:
            await logins.withdraw(work, attempt)
        raise refusals.Overloaded from None
    if not checked.right:
        raise refusals.WrongCredentials(path=path)
    return new_hash
