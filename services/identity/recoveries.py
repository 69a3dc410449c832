"""Recovery by staff: a resident with a code and no second proof, whom two of staff believe.

The code is the old phone's where a password is forgotten, and the new one's where the old is lost.
Where a number has a new holder it is that number's, and the account is to let go of it.
The owner is told at the request and at the decision, and has hours to object from any session.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import asyncpg

from domain import recovery as rules
from domain import refusals
from domain.identity import Viewer
from domain.notices import NoticeKind
from domain.recovery import CaseKind, CaseState
from infra import encryption, settings
from services import audit, notices, people
from services.identity import password_resets
from services.identity.password_resets import Tried
from services.unit_of_work import Snapshot, UnitOfWork

Key = tuple[datetime, UUID]
_STATEMENT = "recovery_case.statement"
_NEW_PHONE = "recovery_case.new_phone"
_WAITING = [CaseState.REQUESTED, CaseState.APPROVED_ONCE]
_OPEN = [*_WAITING, CaseState.APPROVED]
_TOLD = {
    CaseState.REQUESTED: NoticeKind.RECOVERY_REQUESTED,
    CaseState.APPROVED: NoticeKind.RECOVERY_APPROVED,
    CaseState.REJECTED: NoticeKind.RECOVERY_REJECTED,
}
_TOLD_OF_RELEASE = {
    CaseState.REQUESTED: NoticeKind.NUMBER_RELEASE_REQUESTED,
    CaseState.APPROVED: NoticeKind.NUMBER_RELEASE_APPROVED,
    CaseState.REJECTED: NoticeKind.NUMBER_RELEASE_REJECTED,
}


@dataclass(frozen=True, slots=True)
class Case:
    """A case, opened. ``name`` and ``phone`` (E.164) are the account's.

    ``new_phone`` (E.164) is where it is to move: of a PHONE case that hasn't ended.
    ``identified``: the owner's ID was reviewed. ``last_seen_at`` is when a session of the account
    last got new tokens, as far as that is kept.
    """

    id: UUID
    user_id: int
    kind: CaseKind
    state: CaseState
    version: int
    created_at: datetime
    usable_from: datetime
    expires_at: datetime
    approvals: int
    statement: str = field(repr=False)
    name: str = field(default="", repr=False)
    phone: str = field(default="", repr=False)
    new_phone: str | None = field(default=None, repr=False)
    identified: bool = False
    last_seen_at: datetime | None = None


async def open_for(work: UnitOfWork, tried: Tried, *, statement: str) -> Case:
    """Open a case for whoever has shown the code, using it up; tell the owner everywhere.

    A case that is open stays as it is. Raises ResetProofInvalid.
    """
    if tried.user_id is None or tried.code_id is None:
        raise refusals.ResetProofInvalid(path=("input",))
    await password_resets.use(work, tried.reset_id, tried.code_id)
    return await open_once(work, tried.user_id, CaseKind.PASSWORD, statement=statement)


async def open_once(
    work: UnitOfWork, user_id: int, kind: CaseKind, *, statement: str, new_phone: str | None = None
) -> Case:
    """The open case of this kind, for PHONE that to ``new_phone`` (E.164); else a new one.

    Of a new one the owner is told. The caller has seen what shows whose account, or number, it is.
    """
    await work.execute("select id from users where id = $1 for update", user_id)
    standing = await work.fetch(
        "select * from recovery_case where user_id = $1 and kind = $2 and state = any($3::text[])"
        " and expires_at > $4",
        user_id,
        kind,
        _OPEN,
        work.now,
    )
    for row in standing:
        if _new_phone(row) == new_phone:
            return _case(row)
    case = await _open(work, user_id, kind, statement=statement, new_phone=new_phone)
    await _tell(work, case)
    return case


async def _open(
    work: UnitOfWork, user_id: int, kind: CaseKind, *, statement: str, new_phone: str | None
) -> Case:
    case_id = uuid4()
    delay_seconds = settings.get_settings().recovery_delay_seconds
    life_seconds = rules.CASE_LIFE_SECONDS
    if kind is CaseKind.RELEASE:
        delay_seconds, life_seconds = rules.RELEASE_DELAY_SECONDS, rules.RELEASE_LIFE_SECONDS
    row = await work.fetchrow(
        "insert into recovery_case(id, user_id, kind, new_phone, statement, created_at,"
        " usable_from, expires_at) values ($1, $2, $3, $4, $5, $6, $7, $8) returning *",
        case_id,
        user_id,
        kind,
        None if new_phone is None else encryption.encrypt(_NEW_PHONE, case_id, new_phone),
        encryption.encrypt(_STATEMENT, case_id, statement),
        work.now,
        work.now + timedelta(seconds=delay_seconds),
        work.now + timedelta(seconds=life_seconds),
    )
    assert row is not None
    return _case(row)


async def account_of(read: Snapshot, case_id: UUID) -> int | None:
    """Whose account a case is about; None for no case."""
    return await read.fetchval("select user_id from recovery_case where id = $1", case_id)


async def use_for_phone(work: UnitOfWork, case_id: UUID, *, user_id: int, new_phone: str) -> bool:
    """Use up what two of staff have approved, once its owner had time to object; False if it isn't.

    It must be this user's, and for just this number (E.164).
    """
    row = await work.fetchrow(
        "select * from recovery_case where id = $1 and user_id = $2 and kind = 'PHONE'"
        " and state = 'APPROVED' and usable_from <= $3 and expires_at > $3 for update",
        case_id,
        user_id,
        work.now,
    )
    if row is None or _new_phone(row) != new_phone:
        return False
    await work.execute(
        "update recovery_case set state = 'USED', version = version + 1, ended_at = $2"
        " where id = $1",
        case_id,
        work.now,
    )
    return True


async def use_for_release(work: UnitOfWork, user_id: int) -> UUID | None:
    """Use up what lets go of this user's number, which the caller holds; None if nothing does."""
    return await work.fetchval(
        "update recovery_case set state = 'USED', version = version + 1, ended_at = $2 where id ="
        " (select id from recovery_case where user_id = $1 and kind = 'RELEASE'"
        " and state = 'APPROVED' and usable_from <= $2 and expires_at > $2"
        " order by id limit 1 for update) returning id",
        user_id,
        work.now,
    )


async def decide(
    work: UnitOfWork,
    viewer: Viewer,
    case_id: UUID,
    *,
    approve: bool,
    reason: str,
    expected_version: int,
) -> Case:
    """One of two approvals, or the one no that ends it. Tells the owner when it is decided.

    Raises NotFound, ReviewerIsParty (own case, or approved it before), StaleVersion.
    """
    row = await work.fetchrow("select * from recovery_case where id = $1 for update", case_id)
    if row is None:
        raise refusals.NotFound(path=("input", "recoveryCaseId"))
    if viewer.user_id in (row["user_id"], row["first_by"]):
        raise refusals.ReviewerIsParty(path=("input", "recoveryCaseId"))
    waits = row["state"] in _WAITING and row["expires_at"] > work.now
    if not waits or row["version"] != expected_version:
        raise refusals.StaleVersion
    case = await _step(work, row, viewer.user_id, approve=approve)
    await audit.record(
        work,
        actor_id=viewer.user_id,
        action="APPROVE_RECOVERY" if approve else "REJECT_RECOVERY",
        object=f"recovery_case:{case_id}",
        reason=reason,
    )
    if case.state is not CaseState.APPROVED_ONCE:
        await _tell(work, case)
    return case


async def _step(work: UnitOfWork, row: asyncpg.Record, member_id: int, *, approve: bool) -> Case:
    first = row["state"] == CaseState.REQUESTED
    state = CaseState.REJECTED
    if approve:
        state = CaseState.APPROVED_ONCE if first else CaseState.APPROVED
    decided = await work.fetchrow(
        "update recovery_case set state = $2::varchar, version = version + 1,"
        " first_by = case when $4 then $3 else first_by end,"
        " second_by = case when $5 then $3 else second_by end,"
        " ended_at = case when $2 = 'REJECTED' then $6::timestamptz end"
        " where id = $1 returning *",
        row["id"],
        state,
        member_id,
        first and approve,
        approve and not first,
        work.now,
    )
    assert decided is not None
    return _case(decided)


async def object_to(
    work: UnitOfWork, user_id: int, *, case_id: UUID | None = None, kind: CaseKind | None = None
) -> int:
    """The owner is here and has not asked for it (None: for any): how many cases this ends."""
    # As whoever uses a case and then ends others: nobody waits in a circle.
    await work.execute("select id from users where id = $1 for update", user_id)
    rows = await work.fetch(
        "with mine as (select id from recovery_case where user_id = $1"
        " and state = any($2::text[]) and id = coalesce($4, id) and kind = coalesce($5, kind)"
        " order by id for update)"
        " update recovery_case set state = 'OBJECTED', version = version + 1, ended_at = $3"
        " where id in (select id from mine) returning id",
        user_id,
        _OPEN,
        work.now,
        case_id,
        kind,
    )
    return len(rows)


async def page(
    work: UnitOfWork,
    viewer: Viewer,
    *,
    limit: int,
    after: Key | None = None,
    before: Key | None = None,
    backwards: bool = False,
) -> list[Case]:
    """Cases that wait for a decision, oldest first; who looked is on record with it."""
    order = "created_at desc, id desc" if backwards else "created_at, id"
    rows = await work.fetch(
        "select * from recovery_case where state = any($1::text[]) and expires_at > $2"  # noqa: S608
        " and ($3::timestamptz is null or (created_at, id) > ($3, $4::uuid))"
        " and ($5::timestamptz is null or (created_at, id) < ($5, $6::uuid))"
        f" order by {order} limit {int(limit)}",
        _WAITING,
        work.now,
        *(after or (None, None)),
        *(before or (None, None)),
    )
    await audit.record(
        work,
        actor_id=viewer.user_id,
        action="READ_RECOVERY_CASES",
        object="recovery_cases",
        detail={"cases": [str(row["id"]) for row in rows]},
    )
    return await _with_owners(work, rows)


async def _with_owners(read: Snapshot, rows: list[asyncpg.Record]) -> list[Case]:
    user_ids = [row["user_id"] for row in rows]
    persons = await people.find(read, user_ids)
    standing = await read.fetch(
        "select u.id, u.kyc_level <> 'PHONE' as identified,"
        " max(coalesce(s.refreshed_at, s.created_at)) as seen_at"
        " from users u left join session s on s.user_id = u.id"
        " where u.id = any($1::bigint[]) group by u.id",
        user_ids,
    )
    known = {row["id"]: row for row in standing}
    return [
        replace(
            _case(row),
            name=persons[row["user_id"]].name,
            phone=persons[row["user_id"]].phone,
            identified=known[row["user_id"]]["identified"],
            last_seen_at=known[row["user_id"]]["seen_at"],
        )
        for row in rows
    ]


async def _tell(work: UnitOfWork, case: Case) -> None:
    kinds = _TOLD_OF_RELEASE if case.kind is CaseKind.RELEASE else _TOLD
    await notices.tell(
        work,
        user_id=case.user_id,
        kind=kinds[case.state],
        params={},
        source=f"recovery:{case.id}:{case.version}",
    )


def open_statement(case_id: UUID, sealed: bytes) -> str:
    """What the resident wrote."""
    return encryption.decrypt(_STATEMENT, case_id, sealed)


def _new_phone(row: asyncpg.Record) -> str | None:
    sealed = row["new_phone"]
    return encryption.decrypt(_NEW_PHONE, row["id"], sealed) if sealed else None


def _case(row: asyncpg.Record) -> Case:
    return Case(
        id=row["id"],
        user_id=row["user_id"],
        kind=CaseKind(row["kind"]),
        state=CaseState(row["state"]),
        version=row["version"],
        created_at=row["created_at"],
        usable_from=row["usable_from"],
        expires_at=row["expires_at"],
        approvals=(row["first_by"] is not None) + (row["second_by"] is not None),
        statement=open_statement(row["id"], row["statement"]),
        new_phone=_new_phone(row),
    )
