"""Cases of frozen wallets: opened and closed by what the ledger says, appealed by their users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec

from domain import ledger
from domain.ledger import CITY_ACTOR_ID, FreezeLevel, Instruction, Operation
from domain.notices import NoticeKind
from domain.risk import CaseState, Rule
from infra import encryption
from services import audit, counterparties, notices, risk_reasons
from services.ledger import reading
from services.notices import News
from services.unit_of_work import Snapshot, UnitOfWork

_COLUMNS = (
    "id, user_id, account_id, entry_id, rule, evidence, state, opened_at, opened_by, reason,"
    " appeal, appealed_at, decided_by, decided_at, decision_reason"
)
Key = tuple[datetime, UUID]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A freeze (``entry_id``) and what became of it.

    ``reason`` and ``opened_by`` only where staff froze.
    """

    id: UUID
    user_id: int
    account_id: int
    entry_id: UUID
    rule: Rule
    evidence: dict[str, Any]
    state: CaseState
    opened_at: datetime
    opened_by: int | None
    reason: str | None = field(repr=False)
    appeal: str | None = field(repr=False)
    appealed_at: datetime | None
    decided_by: int | None
    decided_at: datetime | None
    decision_reason: str | None = field(repr=False)


def freeze(
    *,
    actor_id: int,
    account_id: int,
    reason: str,
    key: str,
    level: FreezeLevel = FreezeLevel.DEBIT_BLOCK,
) -> Instruction:
    """A member of staff stops all that would leave a wallet, and at level FULL all that comes."""
    detail: dict[str, object] = {"rule": Rule.MANUAL}
    if level is not FreezeLevel.DEBIT_BLOCK:
        detail["level"] = level
    return ledger.instruct(
        actor_id=actor_id,
        operation=Operation.FREEZE,
        key=key,
        legs=ledger.touch(account_id),
        note=reading.mark_of(reason),
        memo=reading.sealed_memo(reason, actor_id=actor_id, key=key),
        detail=detail,
    )


def unfreeze(case: Case, *, actor_id: int, reason: str, key: str) -> Instruction:
    """A member of staff lets a wallet work again."""
    return ledger.instruct(
        actor_id=actor_id,
        operation=Operation.UNFREEZE,
        key=key,
        legs=ledger.touch(case.account_id),
        related_id=case.entry_id,
        note=reading.mark_of(reason),
        memo=reading.sealed_memo(reason, actor_id=actor_id, key=key),
        detail={"case_id": str(case.id)},
    )


_ENTRIES = """
select distinct on (i.id) i.id, i.actor_id, i.operation, i.key, i.at, i.memo, i.detail,
       p.account_id, p.seq, a.owner_id
  from unnest($1::bigint[], $2::timestamptz[]) as k(account_id, at)
  cross join lateral (  -- fenced, so that no plan reads all that the account ever did
    select w.* from ledger.posting w where w.account_id = k.account_id and w.at = k.at offset 0) p
  join ledger.account a on a.id = p.account_id
  join ledger.instruction i on i.id = p.entry_id
 where p.operation in (50, 51)"""


async def follow(work: UnitOfWork, places: Sequence[tuple[int, datetime]]) -> None:
    """Open or close the cases of freezes and unfreezes posted at these (account, time) places.

    Once each, however often it is called: by whoever posted, and by the job of the postings, which
    also comes when the former crashed.
    """
    if not places:
        return
    columns = [list(column) for column in zip(*places, strict=True)]
    rows = await work.fetch(_ENTRIES, *columns)
    news: list[News] = []
    for row in sorted(rows, key=lambda row: (row["account_id"], row["seq"])):
        if row["operation"] == Operation.FREEZE:
            news += await _open(work, row)
        else:
            news += await _close(work, row)
    await notices.tell_all(work, news)
    work.announce_all([f"user:{one.user_id}" for one in news])


async def _open(work: UnitOfWork, row: asyncpg.Record) -> list[News]:
    detail = msgspec.json.decode(row["detail"] or "{}")
    rule = Rule.of(detail.get("rule"))
    case_id = uuid4()
    opened = await work.fetchval(
        "insert into risk_case(id, user_id, account_id, rule, evidence, entry_id, opened_at,"
        " opened_by, reason) values ($1, $2, $3, $4, $5::jsonb, $6, $7, $8, $9)"
        " on conflict (entry_id) do nothing returning id",
        case_id,
        row["owner_id"],
        row["account_id"],
        rule,
        msgspec.json.encode(detail.get("evidence", {})).decode(),
        row["id"],
        row["at"],
        None if row["actor_id"] == CITY_ACTOR_ID else row["actor_id"],
        risk_reasons.seal(risk_reasons.REASON, case_id, _memo(row)),
    )
    if opened is None:
        return []
    await _record(work, row, "FREEZE_WALLET", case_id)
    params = {"case_id": case_id, "rule": rule}
    return [News(row["owner_id"], NoticeKind.WALLET_FROZEN, params, _source(row))]


async def _close(work: UnitOfWork, row: asyncpg.Record) -> list[News]:
    cases = await work.fetch(
        "select id from risk_case where account_id = $1 and state in ('OPEN', 'APPEALED')"
        " and opened_at <= $2 order by id for update",
        row["account_id"],
        row["at"],
    )
    for case in cases:
        await work.execute(
            "update risk_case set state = 'LIFTED', decided_by = $2, decided_at = $3,"
            " decision_reason = $4 where id = $1",
            case["id"],
            row["actor_id"],
            row["at"],
            risk_reasons.seal(risk_reasons.DECISION_REASON, case["id"], _memo(row)),
        )
        await _record(work, row, "UNFREEZE_WALLET", case["id"])
    return [
        News(
            row["owner_id"],
            NoticeKind.WALLET_UNFROZEN,
            {"case_id": case["id"], "lifted": True},
            _source(row),
        )
        for case in cases
    ]


async def _record(work: UnitOfWork, row: asyncpg.Record, action: str, case_id: UUID) -> None:
    if row["actor_id"] != CITY_ACTOR_ID:
        await audit.record(
            work,
            actor_id=row["actor_id"],
            action=action,
            object=f"risk_case:{case_id}",
            reason=_memo(row),
            acted=audit.by_of(row["detail"]),
        )


def _source(row: asyncpg.Record) -> str:
    return f"posting:{row['account_id']}:{row['seq']}"


def _memo(row: asyncpg.Record) -> str | None:
    place = f"{row['actor_id']}:{row['key']}"
    return row["memo"] and encryption.decrypt(reading.MEMO, place, row["memo"])


async def case(read: Snapshot, case_id: UUID) -> Case | None:
    """A case, whoever's it is: check before it leaves."""
    row = await read.fetchrow(
        f"select {_COLUMNS} from risk_case where id = $1",  # noqa: S608 - our own text
        case_id,
    )
    return _case(row) if row is not None else None


async def at(read: Snapshot, account_id: int, instant: datetime) -> Case | None:
    """The case that a freeze or unfreeze posted at an instant opened or closed."""
    row = await read.fetchrow(
        f"select {_COLUMNS} from risk_case"  # noqa: S608 - our own text
        " where user_id = (select owner_id from ledger.account where id = $1)"
        " and account_id = $1 and $2 in (opened_at, decided_at) order by opened_at desc limit 1",
        account_id,
        instant,
    )
    return _case(row) if row is not None else None


async def standing(read: Snapshot, user_id: int) -> Case | None:
    """The case because of which the user's wallet is frozen now, if it is."""
    row = await read.fetchrow(
        f"select {_COLUMNS} from risk_case where user_id = $1"  # noqa: S608 - our own text
        " and state in ('OPEN', 'APPEALED') order by opened_at desc limit 1",
        user_id,
    )
    return _case(row) if row is not None else None


async def undecided(read: Snapshot, user_id: int, *, limit: int) -> list[Case]:
    """The newest of a user's cases that stand."""
    rows = await read.fetch(
        f"select {_COLUMNS} from risk_case where user_id = $1"  # noqa: S608 - our own text
        f" and state in ('OPEN', 'APPEALED') order by opened_at desc, id limit {int(limit)}",
        user_id,
    )
    return [_case(row) for row in rows]


async def appeal(work: UnitOfWork, *, user_id: int, case_id: UUID, text: str) -> Case | None:
    """The user answers; a later answer replaces it. None unless the case is theirs and stands."""
    row = await work.fetchrow(
        "update risk_case set state = 'APPEALED', appeal = $3, appealed_at = $4"  # noqa: S608
        " where id = $1 and user_id = $2 and state in ('OPEN', 'APPEALED')"
        f" returning {_COLUMNS}",
        case_id,
        user_id,
        risk_reasons.seal(risk_reasons.APPEAL, case_id, text),
        work.now,
    )
    return _case(row) if row is not None else None


async def page(
    work: UnitOfWork,
    *,
    actor_id: int,
    state: CaseState | None,
    limit: int,
    after: Key | None = None,
    before: Key | None = None,
    backwards: bool = False,
) -> list[tuple[Case, str | None]]:
    """Cases with the masked names of their users, newest first (oldest first if ``backwards``).

    Who looked is recorded in this unit of work: the data may leave after its commit only.
    """
    order = "opened_at, id" if backwards else "opened_at desc, id desc"
    rows = await work.fetch(
        f"select {_COLUMNS} from risk_case where ($1::text is null or state = $1)"  # noqa: S608
        " and ($2::timestamptz is null or (opened_at, id) < ($2, $3::uuid))"
        " and ($4::timestamptz is null or (opened_at, id) > ($4, $5::uuid))"
        f" order by {order} limit {int(limit)}",
        state,
        *(after or (None, None)),
        *(before or (None, None)),
    )
    await audit.record(
        work,
        actor_id=actor_id,
        action="READ_RISK_CASES",
        object="risk_cases",
        detail={"cases": [str(row["id"]) for row in rows]},
    )
    return await named(work, [_case(row) for row in rows])


async def named(read: Snapshot, cases: Sequence[Case]) -> list[tuple[Case, str | None]]:
    """Cases with the masked names of their users."""
    parties = await counterparties.of_accounts(read, [one.account_id for one in cases])
    return [(one, parties[one.account_id].name) for one in cases]


async def account_of(read: Snapshot, user_id: int) -> int | None:
    """The account of a user's wallet."""
    return await read.fetchval(
        "select id from ledger.account where owner_id = $1 order by role limit 1", user_id
    )


def _case(row: asyncpg.Record) -> Case:
    return Case(
        id=row["id"],
        user_id=row["user_id"],
        account_id=row["account_id"],
        entry_id=row["entry_id"],
        rule=Rule(row["rule"]),
        evidence=msgspec.json.decode(row["evidence"]),
        state=CaseState(row["state"]),
        opened_at=row["opened_at"],
        opened_by=row["opened_by"],
        reason=risk_reasons.unseal(risk_reasons.REASON, row["id"], row["reason"]),
        appeal=risk_reasons.unseal(risk_reasons.APPEAL, row["id"], row["appeal"]),
        appealed_at=row["appealed_at"],
        decided_by=row["decided_by"],
        decided_at=row["decided_at"],
        decision_reason=risk_reasons.unseal(
            risk_reasons.DECISION_REASON, row["id"], row["decision_reason"]
        ),
    )
