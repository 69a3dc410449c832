"""What is kept of people, where, under which rule, and what closing an account does to it.

How many days a rule keeps, and its legal ground, are rows of ``retention_rule``. The statements
that do it are in `services.identity.retention`; tests hold both against the tables there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Rule(StrEnum):
    """A class of data: how long it is kept, counted from what, and why."""

    CODES = "CODES"
    PLACES = "PLACES"
    LOOKUPS = "LOOKUPS"
    CHALLENGES = "CHALLENGES"
    RECOVERIES = "RECOVERIES"
    SESSIONS = "SESSIONS"
    DEVICES = "DEVICES"
    EXPORTS = "EXPORTS"
    PROFILE = "PROFILE"
    IDENTITY = "IDENTITY"
    LEDGER = "LEDGER"
    CASES = "CASES"
    CONSENTS = "CONSENTS"
    AUDIT = "AUDIT"
    NONE = "NONE"


class Deed(StrEnum):
    """What closing an account does: RETAIN seals identity anew, out of the API's reach."""

    ERASE_ROWS = "ERASE_ROWS"
    BLANK = "BLANK"
    RETAIN = "RETAIN"
    KEEP = "KEEP"


@dataclass(frozen=True, slots=True)
class Place:
    """A table, or some of its columns; without ``columns`` all that no other place names."""

    table: str
    rule: Rule
    at_closing: Deed
    columns: tuple[str, ...] = ()


_USERS = (
    Place("users", Rule.IDENTITY, Deed.RETAIN, ("phone", "name", "id_number")),
    Place(
        "users",
        Rule.PROFILE,
        Deed.BLANK,
        (
            *("phone_index", "former_phone_index", "password_hash", "pin_hash", "review_text"),
            *("id_number_index", "email", "email_verified_at", "postal_address", "kyc_level"),
        ),
    ),
    Place("users", Rule.LEDGER, Deed.KEEP),
    Place("retained_identity", Rule.IDENTITY, Deed.KEEP),
    Place("identity_check", Rule.PROFILE, Deed.BLANK, ("name", "id_number", "review_text")),
    Place("identity_check", Rule.IDENTITY, Deed.KEEP),
    Place("session", Rule.SESSIONS, Deed.ERASE_ROWS),
    Place("device", Rule.DEVICES, Deed.ERASE_ROWS),
    Place("passkey", Rule.PROFILE, Deed.ERASE_ROWS),
    Place("totp", Rule.PROFILE, Deed.ERASE_ROWS),
    Place("login_challenge", Rule.CHALLENGES, Deed.ERASE_ROWS),
    Place("proof_challenge", Rule.CHALLENGES, Deed.ERASE_ROWS),
    Place("step_up", Rule.CHALLENGES, Deed.ERASE_ROWS),
    Place("password_reset", Rule.CHALLENGES, Deed.ERASE_ROWS),
    Place("phone_change", Rule.CHALLENGES, Deed.ERASE_ROWS),
    Place("phone_replacement", Rule.CHALLENGES, Deed.ERASE_ROWS),
    Place("recovery_case", Rule.RECOVERIES, Deed.ERASE_ROWS),
    Place("verification_code", Rule.CODES, Deed.ERASE_ROWS),
    Place("login_throttle", Rule.PLACES, Deed.KEEP),
    Place("recipient_lookup", Rule.LOOKUPS, Deed.ERASE_ROWS),
    Place("notice", Rule.PROFILE, Deed.ERASE_ROWS),
    Place("notice_preference", Rule.PROFILE, Deed.ERASE_ROWS),
    Place("push_token", Rule.SESSIONS, Deed.ERASE_ROWS),
    Place("notice_stream", Rule.NONE, Deed.KEEP),
    Place("bank_card", Rule.PROFILE, Deed.BLANK, ("token", "number_index", "last4")),
    Place("bank_card", Rule.LEDGER, Deed.KEEP),
    Place("consent", Rule.CONSENTS, Deed.KEEP),
    Place("closing", Rule.CONSENTS, Deed.KEEP),
    Place("data_export", Rule.EXPORTS, Deed.ERASE_ROWS),
    Place("data_export_piece", Rule.EXPORTS, Deed.ERASE_ROWS),
    Place("merchant", Rule.LEDGER, Deed.KEEP),
    Place("top_up", Rule.LEDGER, Deed.KEEP),
    Place("bank_event", Rule.LEDGER, Deed.KEEP),
    Place("refund_review", Rule.LEDGER, Deed.KEEP),
    Place("risk_case", Rule.CASES, Deed.KEEP),
    Place("role_change", Rule.AUDIT, Deed.KEEP),
    Place("elevation", Rule.AUDIT, Deed.KEEP),
    Place("audit_entry", Rule.AUDIT, Deed.KEEP),
    Place("audit_leaf", Rule.AUDIT, Deed.KEEP),
    Place("audit_seal", Rule.AUDIT, Deed.KEEP),
)
_MONEY = tuple(
    Place(f"ledger.{table}", Rule.LEDGER, Deed.KEEP)
    for table in ("account", "instruction", "posting", "payment", "refund", "proof")
)
_NOBODYS = tuple(
    Place(table, Rule.NONE, Deed.KEEP)
    for table in (
        *(
            *("code_total", "key_rotation"),
            "consent_purpose",
            "consent_version",
            "proof_policy",
            "retention_rule",
            "risk_rule",
            "risk_scan",
        ),
        *("ledger.account_role", "ledger.city", "ledger.operation", "ledger.refund_policy"),
        *("ledger.outbox", "tortoise_migrations"),
    )
)
PLACES: tuple[Place, ...] = (*_USERS, *_MONEY, *_NOBODYS)
