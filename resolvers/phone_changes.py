"""Changing one's phone number, with both phones in hand."""

from __future__ import annotations

from uuid import UUID

from domain import refusals
from domain import registration as rules
from domain.proofs import Action, Given
from resolvers import identity, proofs
from resolvers.viewer import ACTIVE, Viewer, access
from services import people
from services.identity import logins, phone_changes, sessions
from services.identity import proofs as proof_verbs
from services.identity.phone_changes import Opened
from services.unit_of_work import unit_of_work


@access(ACTIVE)
async def request_phone_change(
    viewer: Viewer,
    *,
    new_phone: str,
    password: str,
    proof: Given,
    address: str,
    language: str,
) -> Opened:
    """Have codes sent to the old phone and the new one. Nobody can tell whether it is taken.

    The proof is a step-up for CHANGE_PHONE whose subject is the new number in E.164. Raises
    InvalidInput, NoPhoneNumber, WrongCredentials, RateLimited, Overloaded, and what
    `resolvers.proofs.step_up` does.
    """
    old, new = people.reachable_phone(viewer), new_phone_of_input(new_phone)
    ensure_another(old, new)
    attempt, new_hash = await identity.shown_password(viewer, password=password, address=address)
    proof_id = await proofs.step_up(viewer, proof, action=Action.CHANGE_PHONE, subject=new)
    async with unit_of_work() as work:
        await logins.succeed(work, attempt, new_hash=new_hash)
        await proof_verbs.use_step_up(
            work, proof_id, user_id=viewer.user_id, action=Action.CHANGE_PHONE, subject=new
        )
        return await phone_changes.open_for(
            work,
            user_id=viewer.user_id,
            old_phone=old,
            new_phone=new,
            address=address,
            language=language,
        )


@access(ACTIVE)
async def confirm_phone_change(
    viewer: Viewer, *, change_id: UUID | None, old_code: str, new_code: str, address: str
) -> Viewer:
    """Move the account by the codes of both phones. The caller as of after it.

    Raises PhoneChangeInvalid, whatever is wrong.
    """
    wrong = refusals.PhoneChangeInvalid(path=("input",))
    assert viewer.session_id is not None
    if change_id is None or not (rules.is_pin(old_code) and rules.is_pin(new_code)):
        raise wrong
    async with unit_of_work() as work:
        tried = await phone_changes.spend_try(
            work, change_id, user_id=viewer.user_id, old_code=old_code, new_code=new_code
        )
    if tried is None:
        raise wrong
    async with unit_of_work() as work:
        await phone_changes.confirm(work, tried, keep_session_id=viewer.session_id, address=address)
        current = await sessions.viewer_by_session(work, viewer.session_id)
    if current is None:
        raise refusals.NotSignedIn
    return current


def ensure_another(old: str, new: str) -> None:
    """Raises InvalidInput where an account is to move to the number (E.164) that it has."""
    if new == old:
        raise refusals.InvalidInput(
            path=("input", "newPhone"), en="This is your number already.", zh="新号码与原号码相同。"
        )


def new_phone_of_input(text: str) -> str:
    """The new number in E.164. Raises InvalidInput."""
    e164 = rules.phone(text)
    if e164 is None:
        raise refusals.InvalidInput(
            path=("input", "newPhone"),
            en="Enter a mobile phone number.",
            zh="请输入正确的手机号。",
        )
    return e164
