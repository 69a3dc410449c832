"""The parts of a copy that say who somebody is, and what they were told."""

from __future__ import annotations

import msgspec

from domain import risk
from domain.exports import TOLD_ACTIONS
from services import devices as known
from services import notices, people, risk_reasons
from services.exports import pages
from services.exports.pages import Dicts, Owner, Page, Place, Rows
from services.identity import checks
from services.identity import codes as sent
from services.identity import elevations as lifted
from services.identity import passkeys as keys
from services.identity import recoveries as cases
from services.identity import sessions as logged
from services.unit_of_work import Snapshot


async def _opened_profile(read: Snapshot, owner: Owner, rows: Rows) -> Dicts:
    """The ID number whole: it is its owner's, in an archive that only its owner opens."""
    told = {row["id"]: people.open_details(row["id"], row) for row in rows}
    return [
        dict(row)
        | {
            "id_number": told[row["id"]].id_number,
            "email": told[row["id"]].email,
            "postal_address": told[row["id"]].postal_address,
            "phone": people.open_phone(row["id"], row["phone"]),
            "name": people.open_name(row["id"], row["name"]),
            "review_text": people.open_review_text(row["id"], row["review_text"]),
        }
        for row in rows
    ]


profile = pages.table(
    "select id, role, status, phone, name, language, pin_hash is not null as has_pin,"
    " review_reason, review_text, reviewed_at, created_at, id_number, email,"
    " email_verified_at, postal_address,"
    " kyc_level, password_changed_at from users where id = $1",
    key=(("id", "bigint"),),
    opened=_opened_profile,
)


async def _opened_recoveries(read: Snapshot, owner: Owner, rows: Rows) -> Dicts:
    return [
        dict(row) | {"statement": cases.open_statement(row["id"], row["statement"])} for row in rows
    ]


# What was written to staff, and what became of it; not who decided.
recoveries = pages.table(
    "select id, kind, statement, state, created_at, usable_from, expires_at, ended_at"
    " from recovery_case where user_id = $1",
    key=pages.by_time("created_at"),
    opened=_opened_recoveries,
)


async def _opened_sessions(read: Snapshot, owner: Owner, rows: Rows) -> Dicts:
    return [dict(row) | {"network": logged.open_network(row["id"], row["network"])} for row in rows]


sessions = pages.table(
    "select id, created_at, refresh_expires_at as usable_until, revoked_at as ended_at,"
    " revoked_reason as ended_by, device_id, refreshed_at, network from session"
    " where user_id = $1",
    key=pages.by_time("created_at"),
    opened=_opened_sessions,
)


async def _opened_devices(read: Snapshot, owner: Owner, rows: Rows) -> Dicts:
    return [dict(row) | {"name": known.open_name(row["id"], row["name"])} for row in rows]


# What somebody signed in on; not the keys.
devices = pages.table(
    "select id, name, platform, created_at as enrolled_at, last_seen_at, revoked_at"
    " from device where user_id = $1",
    key=pages.BY_ID,
    opened=_opened_devices,
)


async def _opened_passkeys(read: Snapshot, owner: Owner, rows: Rows) -> Dicts:
    return [
        dict(row)
        | {
            "name": keys.open_name(row["id"], row["name"]),
            "transports": msgspec.json.decode(row["transports"]),
        }
        for row in rows
    ]


# Also removed ones; not the keys, and not what authenticators know the owner by.
passkeys = pages.table(
    "select id, name, transports::text as transports, synced, aaguid as model,"
    " created_at, last_used_at, removed_at from passkey where user_id = $1",
    key=pages.BY_ID,
    opened=_opened_passkeys,
)

# That there is one, not its secret. Staff only, like the next two.
authenticators = pages.table(
    "select user_id, created_at, confirmed_at from totp where user_id = $1",
    key=(("user_id", "bigint"),),
)

# As what somebody works; not who decided that, and not in whose words.
roles = pages.table(
    "select id, from_role, to_role, state, proposed_at, decided_at from role_change"
    " where user_id = $1",
    key=pages.by_time("proposed_at"),
)


async def _opened_elevations(read: Snapshot, owner: Owner, rows: Rows) -> Dicts:
    return [dict(row) | {"reason": lifted.open_reason(row["id"], row["reason"])} for row in rows]


elevations = pages.table(
    "select id, method, reason, started_at, until, ended_at from elevation where user_id = $1",
    key=pages.by_time("started_at"),
    opened=_opened_elevations,
)

# What somebody proved anew of late, and how.
proofs = pages.table(
    "select id, action, method, created_at, used_at from step_up where user_id = $1",
    key=pages.by_time("created_at"),
)


async def _opened_checks(read: Snapshot, owner: Owner, rows: Rows) -> Dicts:
    opened = []
    for row in rows:
        name, id_number = checks.open_told(row) or (None, None)
        text = people.open_check_text(row["id"], row["review_text"])
        opened.append(dict(row) | {"name": name, "id_number": id_number, "review_text": text})
    return opened


# Also what was handed in, until it is decided; whoever reviewed it is not in it.
identity_checks = pages.table(
    "select id, state, name, id_number, reason, review_text, created_at, reviewed_at"
    " from identity_check where user_id = $1",
    key=pages.by_time("created_at"),
    opened=_opened_checks,
)

codes = pages.table(
    "select id, purpose, created_at, expires_at, sent_at, used_at from verification_code"
    " where (phone_index = any($1::text[]) or subject = any($1::text[]))",
    whose=lambda owner: [owner.phone_index, sent.subject_of(owner.user_id)],
    key=pages.by_time("created_at"),
)

consents = pages.table(
    "select id, purpose, version, given, said_at, session_id from consent where user_id = $1",
    key=pages.by_time("said_at"),
)

closings = pages.table(
    "select id, state, requested_at, due_at, ended_at from closing where user_id = $1",
    key=pages.by_time("requested_at"),
)

exports = pages.table(
    "select id, state, requested_at, ready_at, expires_at, fetched_at from data_export"
    " where user_id = $1",
    key=pages.by_time("requested_at"),
)

# What staff did about somebody, without who did it; never that anything is being looked into.
# Only actions that the person was told of anyway are in the list.
_TOLD = ", ".join(f"'{action}'" for action in TOLD_ACTIONS)
records = pages.table(
    "select id, action, created_at from audit_entry"  # noqa: S608 - constants only
    f" where object = $1 and action in ({_TOLD})",
    whose=lambda owner: f"user:{owner.user_id}",
    key=pages.by_time("created_at"),
)


async def notices_told(read: Snapshot, owner: Owner, place: Place | None, limit: int) -> Page:
    """In the owner's language, as the app shows them."""
    before = int(place[0]) if place else 0
    found = await notices.page(read, owner.user_id, limit=limit, before=before, backwards=True)
    rows = []
    for one in found:
        title, text = one.text(owner.language)
        rows.append(
            {
                "number": one.seq,
                "kind": one.kind,
                "title": title,
                "text": text,
                "created_at": one.created_at,
                "read_at": one.read_at,
            }
        )
    return Page(rows, [str(found[-1].seq)] if len(found) == limit else None)


# What was switched on and off, and which apps get push messages; not the apps' own tokens.
notice_settings = pages.table(
    "select * from (select id, user_id, notice_group, channel, enabled,"
    " null::text as app, null::timestamptz as registered_at from notice_preference"
    " union all select id, user_id, null, 'PUSH', true, platform, registered_at"
    " from push_token) s where user_id = $1",
    key=pages.BY_ID,
)


async def _opened_freezes(read: Snapshot, owner: Owner, rows: Rows) -> Dicts:
    unseal = risk_reasons.unseal
    return [
        {
            "id": row["id"],
            "state": row["state"],
            "frozen_at": row["opened_at"],
            "reason": unseal(risk_reasons.REASON, row["id"], row["reason"])
            or risk.rule_text(risk.Rule(row["rule"]), owner.language),
            "appeal": unseal(risk_reasons.APPEAL, row["id"], row["appeal"]),
            "appealed_at": row["appealed_at"],
            "decided_at": row["decided_at"],
            "decision": unseal(risk_reasons.DECISION_REASON, row["id"], row["decision_reason"]),
        }
        for row in rows
    ]


# As the app shows them to the owner: no evidence, no names of staff.
freezes = pages.table(
    "select id, rule, state, opened_at, reason, appeal, appealed_at, decided_at,"
    " decision_reason from risk_case where user_id = $1",
    key=pages.by_time("opened_at"),
    opened=_opened_freezes,
)
