"""Consents: what is asked in which version, and what somebody said to it, never rewritten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from domain import consents, refusals
from domain.consents import ConsentState, Purpose
from services.unit_of_work import Snapshot, UnitOfWork


@dataclass(frozen=True, slots=True)
class Asked:
    """A purpose and the version of its text that is in effect now, in both languages."""

    purpose: Purpose
    required: bool
    version: int
    effective_from: datetime
    title_zh: str
    title_en: str
    text_zh: str
    text_en: str


@dataclass(frozen=True, slots=True)
class Consent:
    """Where somebody stands with a purpose. ``version`` is the one that the last word was about."""

    user_id: int
    asked: Asked
    state: ConsentState
    version: int | None
    given_at: datetime | None
    withdrawn_at: datetime | None


_IN_EFFECT = """
select distinct on (p.code) p.code, p.required, v.version, v.effective_from, p.title_zh, p.title_en,
       v.text_zh, v.text_en
  from consent_purpose p join consent_version v on v.purpose = p.code
 where v.effective_from <= ledger.now() order by p.code, v.version desc"""
_NEWEST = """
select distinct on (purpose) purpose, version, given, said_at,
       max(said_at) filter (where given) over (partition by purpose) as given_at
  from consent where user_id = $1 order by purpose, said_at desc, id desc"""


async def in_effect(read: Snapshot) -> list[Asked]:
    """Every purpose with its text of today, the required ones first."""
    known = [purpose.value for purpose in Purpose]
    rows = [row for row in await read.fetch(_IN_EFFECT) if row["code"] in known]
    rows.sort(key=lambda row: known.index(row["code"]))
    return [_asked(row) for row in rows]


async def of_user(read: Snapshot, user_id: int) -> list[Consent]:
    """Where somebody stands with each purpose."""
    newest = {row["purpose"]: row for row in await read.fetch(_NEWEST, user_id)}
    return [_consent(user_id, asked, newest.get(asked.purpose)) for asked in await in_effect(read)]


async def permits(read: Snapshot, user_id: int, purpose: Purpose) -> bool:
    """Whether data may be used for an optional purpose: unless its owner has withdrawn that."""
    said = await read.fetchval(
        "select given from consent where user_id = $1 and purpose = $2"
        " order by said_at desc, id desc limit 1",
        user_id,
        purpose,
    )
    return said is not False


def ensure_required(given: Sequence[tuple[Purpose, int]]) -> None:
    """Raises ConsentRequired unless all that an account needs is among these."""
    if not {purpose for purpose, _ in given} >= consents.REQUIRED:
        raise refusals.ConsentRequired(path=("input", "consents"))


async def give(
    work: UnitOfWork,
    *,
    user_id: int,
    session_id: UUID | None,
    given: Sequence[tuple[Purpose, int]],
    path: tuple[str, ...],
) -> None:
    """Keep that somebody agreed to these versions; again changes nothing.

    Raises StaleVersion for a version that isn't the one in effect: it was not what was read.
    """
    now = {asked.purpose: asked.version for asked in await in_effect(work)}
    await _take_turns(work, user_id)
    newest = {row["purpose"]: row for row in await work.fetch(_NEWEST, user_id)}
    for purpose, version in dict(given).items():
        if version != now[purpose]:
            raise refusals.StaleVersion(path=path)
        last = newest.get(purpose)
        if last is None or not last["given"] or last["version"] != version:
            await _say(work, user_id, session_id, purpose, version, given=True)


async def give_first(
    work: UnitOfWork, user_id: int, session_id: UUID | None, given: Sequence[tuple[Purpose, int]]
) -> None:
    """What somebody agrees to by registering. Raises ConsentRequired, StaleVersion."""
    ensure_required(given)
    await give(
        work, user_id=user_id, session_id=session_id, given=given, path=("input", "consents")
    )


async def withdraw(
    work: UnitOfWork, *, user_id: int, session_id: UUID | None, purpose: Purpose
) -> None:
    """Keep that somebody withdrew a consent, or objects; again changes nothing.

    Raises ConsentRequired for what no account can be without.
    """
    if purpose in consents.REQUIRED:
        raise refusals.ConsentRequired(path=("input", "purpose"))
    now = {asked.purpose: asked.version for asked in await in_effect(work)}
    await _take_turns(work, user_id)
    if await permits(work, user_id, purpose):
        await _say(work, user_id, session_id, purpose, now[purpose], given=False)


async def _take_turns(work: UnitOfWork, user_id: int) -> None:
    """One word of a user at a time: what was said last is what counts."""
    await work.execute("select pg_advisory_xact_lock(6, hashint8($1))", user_id)


async def _say(
    work: UnitOfWork,
    user_id: int,
    session_id: UUID | None,
    purpose: Purpose,
    version: int,
    *,
    given: bool,
) -> None:
    await work.execute(
        "insert into consent(user_id, purpose, version, given, session_id, said_at)"
        " values ($1, $2, $3, $4, $5, ledger.now())",
        user_id,
        purpose,
        version,
        given,
        session_id,
    )


def _asked(row: asyncpg.Record) -> Asked:
    purpose, *rest = row
    return Asked(Purpose(purpose), *rest)


def _consent(user_id: int, asked: Asked, last: asyncpg.Record | None) -> Consent:
    if last is None:
        return Consent(user_id, asked, ConsentState.NEVER_ASKED, None, None, None)
    state = consents.state_of(given=last["given"], version=last["version"], current=asked.version)
    withdrawn_at = None if last["given"] else last["said_at"]
    return Consent(user_id, asked, state, last["version"], last["given_at"], withdrawn_at)
