"""Money from one resident to another, found by phone number."""

from __future__ import annotations

from dataclasses import dataclass, field

from domain import ledger
from domain.identity import Role, Status
from domain.ledger import AccountRole, Instruction, Operation
from domain.transfers import masked_name
from services import people
from services.ledger import reading
from services.unit_of_work import Snapshot, UnitOfWork

LOOKUP_PURPOSES = ("preview", "transfer")


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who would receive: their account, and as much of the name as others may see."""

    user_id: int
    account_id: int
    masked_name: str = field(repr=False)


async def count_lookup(work: UnitOfWork, *, user_id: int, purpose: str) -> int:
    """Count one look-up of a recipient; how many it were in the hour that is running.

    ``purpose`` is one of LOOKUP_PURPOSES.
    """
    return await work.fetchval(
        "insert into recipient_lookup as l (key, hour, count)"
        " values ($1, date_trunc('hour', $2::timestamptz), 1)"
        " on conflict (key) do update set hour = excluded.hour,"
        " count = case when l.hour = excluded.hour then l.count + 1 else 1 end returning count",
        f"{purpose}:{user_id}",
        work.now,
    )


def lookup_keys(user_id: int) -> list[str]:
    """Where a user's look-ups are counted."""
    return [f"{purpose}:{user_id}" for purpose in LOOKUP_PURPOSES]


async def find_recipient(read: Snapshot, phone: str) -> Recipient | None:
    """The resident who can receive at this phone number (E.164); None for everybody else."""
    person = await people.find_by_phone(read, phone)
    if person is None or person.role is not Role.RESIDENT or person.status is not Status.ACTIVE:
        return None
    account_id = await read.fetchval(
        "select id from ledger.account where owner_id = $1 and role = $2 and currency = 'CNY'",
        person.user_id,
        AccountRole.RESIDENT.value,
    )
    if account_id is None:
        return None
    return Recipient(person.user_id, account_id, masked_name(person.name))


def instruct(
    *,
    actor_id: int,
    payer_account_id: int,
    payee_account_id: int,
    amount_minor: int,
    memo: str | None,
    key: str,
) -> Instruction:
    """Send money; needs a proof."""
    return ledger.instruct(
        actor_id=actor_id,
        operation=Operation.TRANSFER,
        key=key,
        legs=ledger.move(payer_account_id, payee_account_id, amount_minor),
        note=reading.mark_of(memo),
        memo=reading.sealed_memo(memo, actor_id=actor_id, key=key),
    )
