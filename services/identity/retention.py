"""How long what is kept of people, by the rules in ``retention_rule`` and `domain.retention`.

Every night a job erases what has run out. Closing an account erases at once what nothing asks us
to keep; who somebody was is sealed anew where the API's login can't read it.
"""

from __future__ import annotations

from datetime import timedelta

import asyncpg
import msgspec

from domain.retention import Rule
from infra import encryption
from services import people, transfers
from services.identity import codes
from services.unit_of_work import UnitOfWork

_SWEPT_FOR = timedelta(days=7)
_RETAINED = "retained_identity.sealed"
_LEFT_BEFORE = "user_id in (select user_id from closing where state = 'CLOSED' and ended_at < $1)"
# The rows that a rule erases once it has run out; $1 is the instant before which it has.
_RUN_OUT: dict[Rule, tuple[tuple[str, str], ...]] = {
    Rule.CODES: (("verification_code", "created_at < $1"), ("code_total", "starts_at < $1")),
    Rule.PLACES: (("login_throttle", "updated_at < $1"),),
    Rule.LOOKUPS: (("recipient_lookup", "hour < $1"),),
    Rule.CHALLENGES: (
        ("proof_challenge", "created_at < $1"),
        ("step_up", "created_at < $1"),
        ("login_challenge", "created_at < $1"),
        ("password_reset", "created_at < $1"),
        ("phone_change", "created_at < $1"),
        ("phone_replacement", "created_at < $1"),
    ),
    Rule.RECOVERIES: (("recovery_case", "expires_at < $1"),),
    Rule.SESSIONS: (("session", "least(refresh_expires_at, revoked_at) < $1"),),
    Rule.DEVICES: (("device", "revoked_at < $1"),),
    Rule.EXPORTS: (("data_export", "requested_at < $1 and state in ('EXPIRED', 'FAILED')"),),
    Rule.IDENTITY: (("retained_identity", "retained_at < $1"), ("identity_check", _LEFT_BEFORE)),
    Rule.CONSENTS: (("consent", _LEFT_BEFORE),),
}
# Rows that belong to a user alone. Notices come last: whoever tells news holds other rows first.
_OF_USERS = (
    *("session", "device", "passkey", "totp", "recovery_case"),
    *("notice_preference", "data_export", "notice"),
)
# Whoever tries to answer one holds its row and waits for the user's: those run out soon anyway.
# Codes are the user's by the phone, or by the user whom they were mailed for.
_ANSWERED = {
    "verification_code": "(phone_index = any($1::text[]) or subject = any($1::text[]))",
    "login_challenge": "user_id = $1",
    "proof_challenge": "user_id = $1",
    "step_up": "user_id = $1",
    "password_reset": "phone_index = $1",
    "phone_change": "user_id = $1",
    "phone_replacement": "(old_phone_index = $1 or new_phone_index = $1)",
}
# What closing does, by table, in this order. $1 is the user's id, or what stands for the user
# there.
AT_CLOSING: dict[str, str] = {
    "users": "update users set phone = ''::bytea, name = ''::bytea, phone_index = 'closed:' || id,"
    " former_phone_index = null, password_hash = '-', pin_hash = null, review_text = null,"
    " id_number = null, id_number_index = null, email = null, email_verified_at = null,"
    " postal_address = null, kyc_level = 'PHONE', version = version + 1 where id = $1",
    # One that nobody has decided ends here: whose it was, nobody is to find out about any more.
    "identity_check": "update identity_check set name = null, id_number = null, review_text = null,"
    " state = case when name is null then state else 'REJECTED' end,"
    " reason = case when name is null then reason end,"
    " reviewed_at = coalesce(reviewed_at, ledger.now()), version = version + 1 where user_id = $1",
    "bank_card": "update bank_card set token = ''::bytea, number_index = 'closed:' || id,"
    " last4 = '', removed_at = coalesce(removed_at, ledger.now()) where user_id = $1",
    **{
        table: f"delete from {table} where id in (select id from {table}"  # noqa: S608
        f" where {whose} for update skip locked)"
        for table, whose in _ANSWERED.items()
    },
    "recipient_lookup": "delete from recipient_lookup where key = any($1::text[])",
    **{table: f"delete from {table} where user_id = $1" for table in _OF_USERS},  # noqa: S608
}
# What goes with the rows of another table.
CASCADES = {"data_export_piece": "data_export", "push_token": "session"}


async def forget(work: UnitOfWork) -> dict[str, int]:
    """Erase what has run out; how many rows of each table it were.

    Codes hold a phone number, sealed, as long as no gateway took them; delays of strangers' guesses
    would pile up for ever.
    """
    days = await work.fetch(
        "select code, ledger.now() - make_interval(days => kept_days) as before"
        " from retention_rule where kept_days is not null"
    )
    before = {row["code"]: row["before"] for row in days}
    gone = {"push_token": await _forget_push_tokens(work)}
    for rule, rows in _RUN_OUT.items():
        for table, condition in rows:
            gone[table] = await work.fetchval(
                f"with gone as (delete from {table} where {condition} returning 1)"  # noqa: S608
                " select count(*) from gone",
                before[rule],
            )
    await _sweep(work)
    gone["risk_case"] = await _blank_cases(work, before[Rule.CASES])
    return gone


async def _sweep(work: UnitOfWork) -> None:
    """What calls that were under way when an account was closed have left of it."""
    for table in _OF_USERS:
        await work.execute(
            f"delete from {table} where user_id in"  # noqa: S608 - our own text
            " (select user_id from closing where state = 'CLOSED' and ended_at > $1)",
            work.now - _SWEPT_FOR,
        )


async def _forget_push_tokens(work: UnitOfWork) -> int:
    """Those of sessions that are over, though their rows are kept for a while."""
    return await work.fetchval(
        "with gone as (delete from push_token t using session s"
        " where s.id = t.session_id"
        " and least(s.refresh_expires_at, s.revoked_at + interval '1 hour') < $1 returning 1)"
        " select count(*) from gone",
        work.now,
    )


async def _blank_cases(work: UnitOfWork, before: object) -> int:
    """The words of cases that were decided long ago; that there was a case stays."""
    return await work.fetchval(
        "with gone as (update risk_case set reason = null, appeal = null, decision_reason = null"
        " where state = 'LIFTED' and decided_at < $1"
        " and coalesce(reason, appeal, decision_reason) is not null returning 1)"
        " select count(*) from gone",
        before,
    )


async def pseudonymise(work: UnitOfWork, user_id: int) -> None:
    """Erase all of a person that nothing asks us to keep; again changes nothing.

    Afterwards the phone number is nobody's. What is kept names a number only, the user's id.
    """
    row = await work.fetchrow("select * from users where id = $1 for update", user_id)
    if row is None or row["phone_index"].startswith("closed:"):
        return
    await work.execute(
        "insert into retained_identity(user_id, sealed, retained_at) values ($1, $2, $3)",
        user_id,
        encryption.encrypt(_RETAINED, user_id, msgspec.json.encode(_known(row)).decode()),
        work.now,
    )
    values: dict[str, object] = {
        "verification_code": [row["phone_index"], codes.subject_of(user_id)],
        "password_reset": row["phone_index"],
        "phone_replacement": row["phone_index"],
        "recipient_lookup": transfers.lookup_keys(user_id),
    }
    for table, statement in AT_CLOSING.items():
        if table == "notice":
            await _hold_notices(work, user_id)
        await work.execute(statement, values.get(table, user_id))


def _known(row: asyncpg.Record) -> dict[str, str | None]:
    """Who somebody is, as the law asks us to remember; no more than that."""
    return {
        "phone": people.open_phone(row["id"], row["phone"]),
        "name": people.open_name(row["id"], row["name"]),
        "id_number": people.open_details(row["id"], row).id_number,
        "kyc_level": row["kyc_level"],
    }


async def _hold_notices(work: UnitOfWork, user_id: int) -> None:
    """Whoever tells somebody news holds this row: notices come before the end, or not at all."""
    await work.execute(
        "insert into notice_stream(user_id, seq) values ($1, 0) on conflict do nothing", user_id
    )
    await work.execute("select from notice_stream where user_id = $1 for update", user_id)
