"""Numbers that a carrier has given to somebody else: an old account lets go of its own.

The new holder has shown a code that was sent to the number, which says nothing about whose account
it is: they never get into it. Two of staff decide, its owner has days to object from any session,
and the holder's next registration takes the number. Money and history stay where they are; the
owner comes back with another number (`services.identity.phone_replacements`).
"""

from __future__ import annotations

from uuid import UUID

from domain import refusals
from domain.ledger import CITY_ACTOR_ID
from domain.notices import NoticeKind
from domain.recovery import CaseKind
from services import audit, notices, people
from services.identity import codes, recoveries
from services.identity.recoveries import Case
from services.unit_of_work import Snapshot, UnitOfWork

# Whoever closes the account, moves it, or asks staff again, takes this row first.
_LOCK_OWNER = "select id from users where phone_index = $1 and status <> 'CLOSED' for update"


async def ask(work: UnitOfWork, *, phone: str, code_id: UUID, statement: str) -> Case:
    """Have two of staff look at it, using up the code; the owner is told everywhere.

    ``phone`` in E.164. A case that is open stays as it is. Raises CodeInvalid, NotFound where no
    account stands in the way.
    """
    await codes.use(work, code_id)
    owner_id = await work.fetchval(_LOCK_OWNER, people.phone_index(phone))
    if owner_id is None:
        raise refusals.NotFound(path=("input", "phone"))
    return await recoveries.open_once(work, owner_id, CaseKind.RELEASE, statement=statement)


async def is_due(read: Snapshot, phone: str) -> bool:
    """Whether `release` would take the number (E.164) from an account now."""
    return await read.fetchval(
        "select exists (select from recovery_case c join users u on u.id = c.user_id"
        " where u.phone_index = $1 and u.status <> 'CLOSED' and c.kind = 'RELEASE'"
        " and c.state = 'APPROVED' and c.usable_from <= ledger.now()"
        " and c.expires_at > ledger.now())",
        people.phone_index(phone),
    )


async def release(work: UnitOfWork, phone: str) -> None:
    """Take the number (E.164) from the account that has it, if that was approved; else nothing.

    The account has no phone then: it can't be signed in to by one, gets no texts, and is told in
    the app. No code that went to the number before is right for it any more.
    """
    index = people.phone_index(phone)
    owner_id = await work.fetchval(_LOCK_OWNER, index)
    if owner_id is None:
        return
    case_id = await recoveries.use_for_release(work, owner_id)
    if case_id is None:
        return
    await work.execute(
        "update users set phone = ''::bytea, phone_index = 'released:' || id,"
        " former_phone_index = $2, version = version + 1 where id = $1",
        owner_id,
        index,
    )
    await audit.record(
        work,
        actor_id=CITY_ACTOR_ID,
        action="RELEASE_NUMBER",
        object=f"user:{owner_id}",
        detail={"recovery_case": str(case_id)},
    )
    work.announce(f"user:{owner_id}")
    await notices.tell(
        work,
        user_id=owner_id,
        kind=NoticeKind.NUMBER_RELEASED,
        params={},
        source=f"number-release:{case_id}",
    )
