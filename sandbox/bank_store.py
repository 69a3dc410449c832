"""What the bank remembers: cards, pulls, and the callbacks that it still owes."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from datetime import UTC, datetime

import msgspec

from sandbox import behaviour, mischief, storage

SCHEMA = (
    behaviour.TABLE
    + """
create table if not exists card (
    card_token text primary key,
    reference text not null unique,
    request_hash text not null,
    bank_name text not null,
    last4 text not null,
    outcome text not null
);
create table if not exists pull (
    pull_id text primary key,
    reference text not null unique,
    card_token text not null references card,
    amount_minor integer not null check (amount_minor > 0),
    currency text not null,
    callback_url text,
    mischief blob not null,
    reordered integer not null,
    status text not null default 'PROCESSING',
    failure_code text,
    created_at real not null,
    settle_at real,
    settled_at real,
    settled_number integer unique
);
create index if not exists pull_due on pull (settle_at) where status = 'PROCESSING';
create table if not exists callback (
    number integer primary key autoincrement,
    pull_id text not null references pull,
    lane text not null,
    position integer not null,
    url text not null,
    body blob not null,
    attempts integer not null default 0,
    next_at real,
    claimed integer not null default 0,
    delivered_at real
);
create index if not exists callback_lane on callback (lane, position) where delivered_at is null;
create index if not exists callback_due on callback (next_at) where delivered_at is null;
create index if not exists callback_pull on callback (pull_id);
"""
)

REORDERED = "reordered"


class Store:
    """The bank's book, over one SQLite database. Times are Unix seconds."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database

    def card(self, *, token: str) -> sqlite3.Row | None:
        return self._one("select * from card where card_token = ?", token)

    def card_linked_by(self, reference: str) -> sqlite3.Row | None:
        return self._one("select * from card where reference = ?", reference)

    def add_card(
        self, *, reference: str, request_hash: str, bank_name: str, last4: str, outcome: str
    ) -> str:
        """The new card's token."""
        token = "card_" + secrets.token_hex(12)
        self.database.execute(
            "insert into card (card_token, reference, request_hash, bank_name, last4, outcome) "
            "values (?, ?, ?, ?, ?, ?)",
            (token, reference, request_hash, bank_name, last4, outcome),
        )
        return token

    def pull(self, reference: str) -> sqlite3.Row | None:
        return self._one("select * from pull where reference = ?", reference)

    def add_pull(
        self,
        *,
        reference: str,
        card_token: str,
        amount_minor: int,
        currency: str,
        callback_url: str | None,
        fate: mischief.Mischief,
        settle_at: float | None,
    ) -> None:
        self.database.execute(
            "insert into pull (pull_id, reference, card_token, amount_minor, currency, "
            "callback_url, mischief, reordered, created_at, settle_at) "
            "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                "pull_" + secrets.token_hex(12),
                reference,
                card_token,
                amount_minor,
                currency,
                callback_url,
                msgspec.json.encode(fate),
                fate.reorder_position > 0,
                time.time(),
                settle_at,
            ),
        )

    def due_pulls(self, now: float) -> list[tuple[str, str]]:
        """Reference and card's outcome of the pulls whose time has come."""
        rows = self.database.execute(
            "select pull.reference, outcome from pull join card using (card_token) "
            "where status = 'PROCESSING' and settle_at <= ? order by settle_at limit 500",
            (now,),
        )
        return [(row["reference"], row["outcome"]) for row in rows]

    def settle(self, reference: str, *, failure_code: str | None) -> None:
        """End a pull and owe its callbacks, in one transaction; a settled one stays as it is."""
        now = time.time()
        status = "SUCCEEDED" if failure_code is None else "FAILED"
        with storage.transaction(self.database):
            changed = self.database.execute(
                "update pull set status = ?, failure_code = ?, settled_at = ?, settled_number = "
                "(select coalesce(max(settled_number), 0) + 1 from pull) "
                "where reference = ? and status = 'PROCESSING'",
                (status, failure_code, now, reference),
            ).rowcount
            pull = self.pull(reference)
            if changed and pull is not None and pull["callback_url"]:
                self._owe(pull)

    def _owe(self, pull: sqlite3.Row) -> None:
        fate = msgspec.json.decode(pull["mischief"], type=mischief.Mischief)
        if fate.lose:
            return
        due_at = pull["settled_at"] + fate.late_ms / 1000
        told = event(pull, status=pull["status"], failure_code=pull["failure_code"])
        if fate.reorder_position:
            # Held back (no time set) until `release_reordered` lets the whole group go.
            self._add_callback(pull, told, REORDERED, fate.reorder_position, None)
        else:
            self._add_callback(pull, told, f"{pull['pull_id']}:0", 0, due_at)
        for copy in range(1, fate.duplicates + 1):
            # A lane each, so that the copies race with each other.
            self._add_callback(pull, told, f"{pull['pull_id']}:{copy}", 0, due_at)
        if fate.contradict:
            lie = _contradiction(pull)
            self._add_callback(pull, lie, f"{pull['pull_id']}:0", 1, due_at)

    def _add_callback(
        self, pull: sqlite3.Row, body: bytes, lane: str, position: int, next_at: float | None
    ) -> None:
        self.database.execute(
            "insert into callback (pull_id, lane, position, url, body, next_at) "
            "values (?, ?, ?, ?, ?, ?)",
            (pull["pull_id"], lane, position, pull["callback_url"], body, next_at),
        )

    def release_reordered(self) -> None:
        """Let the held group go, the last settled first, once none of it is still to come."""
        self.database.execute(
            "update callback set next_at = ? where lane = ? and next_at is null and not exists "
            "(select 1 from pull where status = 'PROCESSING' and reordered)",
            (time.time(), REORDERED),
        )

    def due_callbacks(
        self, now: float, *, limit: int, pull_id: str | None = None
    ) -> list[sqlite3.Row]:
        """The first undelivered callback of each lane, if its time has come and nobody has it."""
        return self.database.execute(
            "select * from callback c where delivered_at is null and not claimed "
            "and next_at <= ?1 and (?2 is null or pull_id = ?2) "
            "and not exists (select 1 from callback before "
            "where before.lane = c.lane and before.delivered_at is null "
            "and (before.position, before.number) < (c.position, c.number)) "
            "order by next_at limit ?3",
            (now, pull_id, limit),
        ).fetchall()

    def claim(self, number: int) -> None:
        """Somebody is delivering it."""
        self.database.execute("update callback set claimed = 1 where number = ?", (number,))

    def forget_claims(self) -> None:
        """At the start nobody is delivering anything, whatever a killed process had begun."""
        self.database.execute("update callback set claimed = 0 where claimed")

    def delivered(self, number: int) -> None:
        self.database.execute(
            "update callback set delivered_at = ?, attempts = attempts + 1, claimed = 0 "
            "where number = ?",
            (time.time(), number),
        )

    def try_later(self, number: int, *, seconds: float) -> None:
        self.database.execute(
            "update callback set next_at = ?, attempts = attempts + 1, claimed = 0 "
            "where number = ?",
            (time.time() + seconds, number),
        )

    def next_due_at(self) -> float | None:
        """When the next pull settles or the next callback is due."""
        row = self.database.execute(
            "select min(at) as at from (select min(settle_at) as at from pull "
            "where status = 'PROCESSING' union all select min(next_at) from callback "
            "where delivered_at is null and not claimed)"
        ).fetchone()
        return row["at"]

    def statement(self, *, since: float, after: int, limit: int) -> list[sqlite3.Row]:
        """Settled pulls in the order of their settlement."""
        return self.database.execute(
            "select * from pull where settled_number > ? and settled_at >= ? "
            "order by settled_number limit ?",
            (after, since, limit),
        ).fetchall()

    def newest(self, limit: int) -> list[sqlite3.Row]:
        return self.database.execute(
            "select pull.*, card.bank_name, card.last4, (select count(*) from callback c "
            "where c.pull_id = pull.pull_id and c.delivered_at is null) as owed "
            "from pull join card using (card_token) order by pull.rowid desc limit ?",
            (limit,),
        ).fetchall()

    def _one(self, query: str, value: str) -> sqlite3.Row | None:
        return self.database.execute(query, (value,)).fetchone()


def event(pull: sqlite3.Row, *, status: str, failure_code: str | None) -> bytes:
    """The body of a callback."""
    return json.dumps(
        {
            "event_id": "evt_" + secrets.token_hex(12),
            "reference": pull["reference"],
            "pull_id": pull["pull_id"],
            "status": status,
            "failure_code": failure_code,
            "amount_minor": pull["amount_minor"],
            "currency": pull["currency"],
            "occurred_at": moment(pull["settled_at"]),
        }
    ).encode()


def _contradiction(pull: sqlite3.Row) -> bytes:
    if pull["status"] == "SUCCEEDED":
        return event(pull, status="FAILED", failure_code="BANK_ERROR")
    return event(pull, status="SUCCEEDED", failure_code=None)


def moment(unix_seconds: float) -> str:
    """RFC 3339 in UTC."""
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat()
