"""Every column that holds sealed text: one list for rotating keys, for verifying, and for tests.

A new sealed column is one entry here. A test compares the list with the database's columns, and
another with the places that the code seals for.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """Where sealed texts of one kind lie, in SQL of ours.

    ``place`` is the first argument of `infra.encryption.encrypt`, ``row`` an expression that gives
    the second one as text. ``append_only`` columns are never rewritten: their texts keep their key.
    The others are walked by ``key``, a unique column of ``key_type``. ``fleeting`` texts are gone
    again after minutes. ``where`` narrows rows down where one column holds texts of several kinds.
    """

    place: str
    table: str
    column: str
    row: str = "id::text"
    where: str = "true"
    key: str = "id"
    key_type: str = "uuid"
    append_only: bool = False
    fleeting: bool = False


_DECIDED = """coalesce((select r.id::text from ledger.refund r
  where r.payment_id = subject_id order by r.decided_at = at desc nulls last limit 1), '')"""

COLUMNS = (
    Sealed(place="users.phone", table="users", column="phone", key_type="bigint"),
    Sealed(place="users.name", table="users", column="name", key_type="bigint"),
    Sealed(place="users.id_number", table="users", column="id_number", key_type="bigint"),
    Sealed(place="users.email", table="users", column="email", key_type="bigint"),
    Sealed(place="users.postal_address", table="users", column="postal_address", key_type="bigint"),
    Sealed(place="users.review_text", table="users", column="review_text", key_type="bigint"),
    Sealed(place="verification_code.code", table="verification_code", column="code", fleeting=True),
    Sealed(place="identity_check.name", table="identity_check", column="name"),
    Sealed(place="identity_check.id_number", table="identity_check", column="id_number"),
    Sealed(place="identity_check.review_text", table="identity_check", column="review_text"),
    Sealed(place="phone_change.new_phone", table="phone_change", column="new_phone", fleeting=True),
    Sealed(
        place="phone_replacement.new_phone",
        table="phone_replacement",
        column="new_phone",
        fleeting=True,
    ),
    Sealed(place="recovery_case.new_phone", table="recovery_case", column="new_phone"),
    Sealed(place="recovery_case.statement", table="recovery_case", column="statement"),
    Sealed(place="bank_card.token", table="bank_card", column="token"),
    Sealed(place="push_token.token", table="push_token", column="token"),
    Sealed(place="device.name", table="device", column="name"),
    Sealed(place="session.network", table="session", column="network"),
    Sealed(place="passkey.name", table="passkey", column="name", where="removed_at is null"),
    Sealed(
        place="passkey.name",
        table="passkey",
        column="name",
        where="removed_at is not null",  # a trigger refuses every change of what was removed
        append_only=True,
    ),
    Sealed(
        place="retained_identity.sealed",
        table="retained_identity",
        column="sealed",
        row="user_id::text",
        key="user_id",
        key_type="bigint",
    ),
    Sealed(place="data_export.password", table="data_export", column="password", fleeting=True),
    Sealed(place="risk_case.reason", table="risk_case", column="reason"),
    Sealed(place="risk_case.appeal", table="risk_case", column="appeal"),
    Sealed(place="risk_case.decision_reason", table="risk_case", column="decision_reason"),
    Sealed(place="audit_entry.reason", table="audit_entry", column="reason", append_only=True),
    Sealed(
        place="totp.secret",
        table="totp",
        column="secret",
        row="user_id::text",
        key="user_id",
        key_type="bigint",
    ),
    # Records of what staff did are kept as they were written.
    Sealed(place="role_change.reason", table="role_change", column="reason", append_only=True),
    Sealed(place="elevation.reason", table="elevation", column="reason", append_only=True),
    # What was written with money stays as it was written: see docs/decisions/0008.
    Sealed(
        place="instruction.memo",
        table="ledger.instruction",
        column="memo",
        row="actor_id || ':' || key",
        where="operation not in (40, 41, 42)",
        append_only=True,
    ),
    Sealed(
        place="refund.reason",
        table="ledger.instruction",
        column="memo",
        row="subject_id || ':' || actor_id",
        where="operation = 40",
        append_only=True,
    ),
    Sealed(
        place="refund.decision_reason",
        table="ledger.instruction",
        column="memo",
        row=_DECIDED,
        where="operation in (41, 42)",
        append_only=True,
    ),
    Sealed(
        place="refund.reason",
        table="ledger.refund",
        column="reason",
        row="payment_id || ':' || requester_id",
        append_only=True,
    ),
    Sealed(
        place="refund.decision_reason",
        table="ledger.refund",
        column="decision_reason",
        append_only=True,
    ),
)

ROTATING = tuple(column for column in COLUMNS if not column.append_only)
"""Those whose texts a rotation seals anew."""

PLACES = frozenset(column.place for column in COLUMNS)

IN_JOBS = frozenset({"notice.also_to", "notice.mail_to"})
"""Places of texts inside a job that waits in the outbox; they are gone when it is done."""
