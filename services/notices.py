"""Notices in the app: told once, numbered per user without a gap, put into words when read.

What is told is also sent outside, where its user wants that: `services.notice_delivery`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from domain import notice_words, notices
from domain.ledger import Operation
from domain.notices import NoticeKind
from services import live, notice_channels, notice_facts, refunds
from services.live import Position
from services.notice_channels import Told
from services.notice_facts import Facts
from services.unit_of_work import Snapshot, UnitOfWork

UNREAD_COUNT_MAX = 100
EVENTS_MAX = 100
_COLUMNS = "id, user_id, seq, kind, params, created_at, read_at"


@dataclass(frozen=True, slots=True)
class News:
    """One thing to tell a user. ``source`` names what happened: per user it is told once.

    ``params`` hold amounts, ids and codes only; names are looked up, and masked, when read.
    ``also_to`` is a phone (E.164) that is told by SMS beside the user's own, for instance the one
    that was theirs until now; ``mail_to`` is a mail address that is told, too.
    """

    user_id: int
    kind: NoticeKind
    params: Mapping[str, Any]
    source: str
    also_to: str | None = field(default=None, repr=False)
    mail_to: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice as its user reads it; `text` says it in a language."""

    id: UUID
    user_id: int
    seq: int
    kind: NoticeKind
    params: Mapping[str, Any]
    created_at: datetime
    read_at: datetime | None
    facts: Facts = field(repr=False)

    def text(self, language: str) -> tuple[str, str]:
        """Title and text."""
        return notice_words.render(self.kind, self.facts.words(language), language)


async def tell(
    work: UnitOfWork,
    *,
    user_id: int,
    kind: NoticeKind | str,
    params: Mapping[str, Any],
    source: str,
    also_to: str | None = None,
    mail_to: str | None = None,
) -> bool:
    """Tell a user something once; False if this ``source`` was told before.

    As `News`. Goes out by SMS and push where the user wants that, and always by SMS for
    `domain.notices.SECURITY_KINDS`.
    Takes the row lock of the user's stream until the unit of work commits, so call it last.
    """
    news = News(user_id, NoticeKind(kind), params, source, also_to, mail_to)
    return bool(await tell_all(work, [news]))


# Streams are locked in the order of users: two writers never wait for each other in a circle.
_OPEN_STREAMS = """
insert into notice_stream(user_id, seq) select u, 0 from unnest($1::bigint[]) u order by u
on conflict (user_id) do nothing"""
_LOCK_STREAMS = """
select user_id from notice_stream where user_id = any($1::bigint[]) order by user_id
for no key update"""
_INSERT = """
insert into notice(user_id, seq, kind, params, source, created_at)
select w.user_id, s.seq + row_number() over (partition by w.user_id order by w.i),
       w.kind, w.params::jsonb, w.source, $5
  from unnest($1::bigint[], $2::text[], $3::text[], $4::text[])
         with ordinality as w(user_id, kind, params, source, i)
  join notice_stream s on s.user_id = w.user_id
 where not exists (select from notice n where n.user_id = w.user_id and n.source = w.source)
   and not exists (select from users u where u.id = w.user_id and u.phone_index like 'closed:%')
returning id, user_id, source"""
_ADVANCE = """
update notice_stream s set seq = s.seq + t.told
  from (select u as user_id, count(*) as told from unnest($1::bigint[]) u group by u) t
 where s.user_id = t.user_id"""


async def tell_all(work: UnitOfWork, news: Sequence[News]) -> set[tuple[int, str]]:
    """Tell all of it in five statements, numbered per user in the order given.

    Returns (user_id, source) of what had not been told before. Whoever closed the account is told
    nothing any more.
    """
    wanted: dict[tuple[int, str], News] = {}
    for one in news:
        wanted.setdefault((one.user_id, one.source), one)
    if not wanted:
        return set()
    users = sorted({user_id for user_id, _ in wanted})
    await work.execute(_OPEN_STREAMS, users)
    await work.fetch(_LOCK_STREAMS, users)
    rows = await work.fetch(
        _INSERT,
        [one.user_id for one in wanted.values()],
        [one.kind.value for one in wanted.values()],
        [msgspec.json.encode(one.params, enc_hook=str).decode() for one in wanted.values()],
        [one.source for one in wanted.values()],
        work.now,
    )
    if rows:
        await work.execute(_ADVANCE, [row["user_id"] for row in rows])
        work.announce_all([f"notices:{user_id}" for user_id in {row["user_id"] for row in rows}])
        await notice_channels.enqueue(work, [_told(row, wanted) for row in rows])
    return {(row["user_id"], row["source"]) for row in rows}


def _told(row: asyncpg.Record, wanted: Mapping[tuple[int, str], News]) -> Told:
    one = wanted[row["user_id"], row["source"]]
    return Told(row["id"], one.user_id, one.kind, one.also_to, one.mail_to)


async def notify_postings(
    work: UnitOfWork, rows: Sequence[Mapping[str, Any]]
) -> list[tuple[int, datetime]]:
    """Tell the owners of accounts about postings, and have what follows from refunds done.

    ``rows`` are outbox rows with ``accounts``, ``times`` (one) and ``seqs``. Each posting is told
    once, however often and in however many jobs it comes. Returns the (account, time) places of
    freezes and unfreezes among them, for `risk_cases.follow` in a unit of work of its own.
    """
    postings = await refunds.with_refunds(work, rows)
    told = await tell_all(work, [one for row in postings for one in _news(row)])
    fresh = [row for row in postings if (row["owner_id"], _source(row)) in told]
    await refunds.follow(work, fresh)
    return [
        (row["account_id"], row["at"])
        for row in postings
        if row["operation"] in (Operation.FREEZE, Operation.UNFREEZE)
    ]


def _source(posting: asyncpg.Record) -> str:
    return f"posting:{posting['account_id']}:{posting['seq']}"


def _news(posting: asyncpg.Record) -> list[News]:
    """What the owner of the account hears of a posting; nothing for most kinds."""
    kind = notices.of_posting(posting["operation"], posting["amount"])
    if kind is None:
        return []
    params: dict[str, Any] = {
        "amount_minor": abs(posting["amount"]) or posting["refund_amount"],
        "currency": posting["currency"],
        "account_id": posting["counterparty_id"],
        "entry_id": posting["entry_id"],
        "payment_id": posting["subject_id"],
        "refund_id": posting["refund_id"],
    }
    kept = {name: value for name, value in params.items() if value is not None}
    news = [News(posting["owner_id"], kind, kept, _source(posting))]
    if kind is NoticeKind.REFUND_CREDITED:
        approved = f"{_source(posting)}:approved"
        news.insert(0, News(posting["owner_id"], NoticeKind.REFUND_APPROVED, kept, approved))
    return news


async def page(
    read: Snapshot,
    user_id: int,
    *,
    limit: int,
    after: int | None = None,
    before: int | None = None,
    backwards: bool = False,
) -> list[Notice]:
    """The user's notices between two numbers, newest first (oldest first if ``backwards``)."""
    rows = await read.fetch(
        f"select {_COLUMNS} from notice where user_id = $1"  # noqa: S608 - our own text
        " and ($2::bigint is null or seq < $2) and ($3::bigint is null or seq > $3)"
        f" order by seq {'asc' if backwards else 'desc'} limit {int(limit)}",
        user_id,
        after,
        before,
    )
    return await opened(read, rows)


async def by_ids(read: Snapshot, user_id: int, notice_ids: Sequence[UUID]) -> dict[UUID, Notice]:
    """Those of the notices that are the user's."""
    rows = await read.fetch(
        f"select {_COLUMNS} from notice"  # noqa: S608 - our own text
        " where user_id = $1 and id = any($2::uuid[])",
        user_id,
        notice_ids,
    )
    return {one.id: one for one in await opened(read, rows)}


async def unread_count(read: Snapshot, user_id: int) -> int:
    """How many notices are unread, 100 standing for 100 or more."""
    return await read.fetchval(
        "select count(*) from (select from notice where user_id = $1 and read_at is null limit $2)",
        user_id,
        UNREAD_COUNT_MAX,
    )


async def mark_read(work: UnitOfWork, user_id: int, up_to_seq: int) -> None:
    """The user has read the notices up to a number; those read before keep their time."""
    await work.execute(
        "update notice set read_at = $3 where user_id = $1 and seq <= $2 and read_at is null",
        user_id,
        up_to_seq,
        work.now,
    )


async def newest(read: Snapshot, user_id: int) -> Position:
    """The place of the user's newest notice."""
    epoch = await live.epoch(read)
    seq = await read.fetchval("select seq from notice_stream where user_id = $1", user_id)
    return Position(epoch, seq or 0)


async def events(read: Snapshot, user_id: int, place: Position) -> list[tuple[Position, Notice]]:
    """Up to 100 notices behind a place, oldest first."""
    found = await page(read, user_id, limit=EVENTS_MAX, before=place.number, backwards=True)
    return [(Position(place.epoch, one.seq), one) for one in found]


async def opened(read: Snapshot, rows: Sequence[asyncpg.Record]) -> list[Notice]:
    """Notices of rows of their table, in the same order."""
    params = [msgspec.json.decode(row["params"]) for row in rows]
    facts = await notice_facts.load(read, params)
    return [
        Notice(
            id=row["id"],
            user_id=row["user_id"],
            seq=row["seq"],
            kind=NoticeKind(row["kind"]),
            params=told,
            created_at=row["created_at"],
            read_at=row["read_at"],
            facts=fact,
        )
        for row, told, fact in zip(rows, params, facts, strict=True)
    ]
