"""Who may change how they are reached, and the transactions it takes."""

from __future__ import annotations

from uuid import UUID

from domain import refusals
from domain import registration as rules
from resolvers.viewer import SIGNED_IN, Viewer, access
from services.identity import codes, contact, sessions
from services.unit_of_work import Snapshot, unit_of_work


@access(SIGNED_IN)
async def set_contact_email(
    viewer: Viewer, *, email: str, address: str, language: str
) -> codes.Requested:
    """Have a code mailed that proves an address to be the caller's; nothing else changes yet.

    Raises InvalidInput, RateLimited.
    """
    kept = _email(email)
    async with unit_of_work() as work:
        return await codes.request_by_mail(
            work, email=kept, user_id=viewer.user_id, address=address, language=language
        )


@access(SIGNED_IN)
async def confirm_contact_email(
    viewer: Viewer, *, email: str, verification_id: UUID | None, code: str
) -> Viewer:
    """The code that was mailed: from now on the address is the caller's. The caller as of after it.

    Raises InvalidInput, CodeInvalid, CodeExpired.
    """
    kept = _email(email)
    if verification_id is None or not rules.is_pin(code):
        raise refusals.CodeInvalid(path=("input", "code"))
    async with unit_of_work() as work:
        tried = await codes.spend_try_by_mail(
            work,
            email=kept,
            user_id=viewer.user_id,
            verification_id=verification_id,
            code=code,
        )
        if tried.code_id is not None:
            await contact.confirm_email(work, viewer.user_id, email=kept, code_id=tried.code_id)
            return await _current(work, viewer)
    # After the commit: the try stays spent.
    raise tried.refusal or refusals.CodeInvalid(path=("input", "code"))


@access(SIGNED_IN)
async def remove_contact_email(viewer: Viewer, *, email: str) -> Viewer:
    """Keep no mail address of the caller's. The caller as of after it.

    Another one, which replaced it meanwhile, stays. Raises InvalidInput.
    """
    kept = _email(email)
    async with unit_of_work() as work:
        await contact.remove_email(work, viewer.user_id, kept)
        return await _current(work, viewer)


@access(SIGNED_IN)
async def set_postal_address(viewer: Viewer, *, postal_address: str | None) -> Viewer:
    """Replace the postal address, or keep none. The caller as of after it. Raises InvalidInput."""
    kept = None if postal_address is None else rules.postal_address(postal_address)
    if postal_address is not None and kept is None:
        raise refusals.InvalidInput(path=("input", "postalAddress"))
    async with unit_of_work() as work:
        await contact.set_postal_address(work, viewer.user_id, kept)
        return await _current(work, viewer)


def _email(text: str) -> str:
    kept = rules.email(text)
    if kept is None:
        raise refusals.InvalidInput(
            path=("input", "email"), en="Enter an e-mail address.", zh="请输入正确的电子邮箱。"
        )
    return kept


async def _current(read: Snapshot, viewer: Viewer) -> Viewer:
    assert viewer.session_id is not None
    current = await sessions.viewer_by_session(read, viewer.session_id)
    if current is None:
        raise refusals.NotSignedIn
    return current
