"""What is kept of people for a while only: codes, delays, places, tokens, what has ended."""

from __future__ import annotations

from datetime import timedelta

from services.unit_of_work import UnitOfWork

CODES_KEPT = timedelta(days=2)  # longer than the window in which they are counted
PLACES_KEPT = timedelta(days=30)
SESSIONS_KEPT = timedelta(days=90)
CHALLENGES_KEPT = timedelta(days=1)
REVOKED_DEVICES_KEPT = timedelta(days=180)


# Table → what is deleted of it, and how long ago $1 is.
_AGED = {
    "verification_code": ("verification_code where created_at < $1", CODES_KEPT),
    "code_total": ("code_total where starts_at < $1", CODES_KEPT),
    "login_throttle": ("login_throttle where updated_at < $1", PLACES_KEPT),
    "proof_challenge": ("proof_challenge where created_at < $1", CHALLENGES_KEPT),
    "step_up": ("step_up where created_at < $1", CHALLENGES_KEPT),
    "push_token": (
        "push_token t using session s where s.id = t.session_id"
        " and least(s.refresh_expires_at, s.revoked_at + interval '1 hour') < $1",
        timedelta(0),
    ),
    "session": ("session where least(refresh_expires_at, revoked_at) < $1", SESSIONS_KEPT),
    "login_challenge": ("login_challenge where created_at < $1", CHALLENGES_KEPT),
    "password_reset": ("password_reset where created_at < $1", CHALLENGES_KEPT),
    "phone_change": ("phone_change where created_at < $1", CHALLENGES_KEPT),
    "device": ("device where revoked_at < $1", REVOKED_DEVICES_KEPT),
}


async def forget(work: UnitOfWork) -> dict[str, int]:
    """Delete what has served its purpose; how many rows of each table it were.

    Codes hold a phone number, sealed, as long as no gateway took them; delays of strangers' guesses
    would pile up for ever.
    """
    return {
        table: await _delete(work, rows, work.now - kept) for table, (rows, kept) in _AGED.items()
    }


async def _delete(work: UnitOfWork, rows: str, before: object) -> int:
    return await work.fetchval(
        f"with gone as (delete from {rows} returning 1) select count(*) from gone",  # noqa: S608
        before,
    )
