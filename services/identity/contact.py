"""How to reach somebody beside the phone: a mail address that a code has proved, and letters.

An address that was only told, when registering, is kept as unverified. One that replaces it counts
from when its code comes back, and whoever reads at the old one is told.
"""

from __future__ import annotations

from uuid import UUID

from domain.notices import NoticeKind
from services import notices, people
from services.identity import codes
from services.people import Details
from services.unit_of_work import UnitOfWork


async def confirm_email(work: UnitOfWork, user_id: int, *, email: str, code_id: UUID) -> None:
    """Make an address the user's, whose code was right (`codes.spend_try_by_mail`) and is used up.

    Raises CodeInvalid for whoever comes second with it.
    """
    await codes.use(work, code_id)
    old = await _lock(work, user_id)
    await people.keep_email(work, user_id, email)
    await tell_of_email(work, user_id, old=old, new=email)
    work.announce(f"user:{user_id}")


async def remove_email(work: UnitOfWork, user_id: int, email: str) -> None:
    """Keep no mail address; nothing happens if this one is not, or no longer, the user's."""
    old = await _lock(work, user_id)
    if old.email != email:
        return
    await people.keep_email(work, user_id, None)
    await tell_of_email(work, user_id, old=old, new=None)
    work.announce(f"user:{user_id}")


async def set_postal_address(work: UnitOfWork, user_id: int, address: str | None) -> None:
    """Keep an address as `domain.registration.postal_address` gave it, or none."""
    await people.keep_postal_address(work, user_id, address)
    work.announce(f"user:{user_id}")


async def tell_of_email(work: UnitOfWork, user_id: int, *, old: Details, new: str | None) -> None:
    """Tell a user that the address is another one now, and the old one, if it was proved.

    An unverified one may be a stranger's by a slip of the pen: nothing is sent there.
    """
    if old.email == new:
        return
    version = await work.fetchval("select version from users where id = $1", user_id)
    await notices.tell(
        work,
        user_id=user_id,
        kind=NoticeKind.CONTACT_EMAIL_CHANGED,
        params={},
        source=f"email:{user_id}:{version}",
        mail_to=old.email if old.email_verified else None,
    )


async def _lock(work: UnitOfWork, user_id: int) -> Details:
    """What the user has told, with the row locked until the unit of work ends."""
    await work.execute("select from users where id = $1 for no key update", user_id)
    return await people.details_of(work, user_id)
