"""A line in the log for each act of proving who one is, and for each denial.

Lines say which act, how it ended, who, in which session and from which keyed hash of an address;
never what was typed. What staff do and look at is in the audit log besides, which nobody can edit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog

from domain.identity import Viewer
from domain.refusals import Spoken
from services import audit

ACTS: dict[str, tuple[str, ...]] = {
    "closings": ("close_my_account", "cancel_closing"),
    "contact": ("set_contact_email", "confirm_contact_email", "remove_contact_email"),
    "devices": ("revoke_device",),
    "exports": ("export_my_data",),
    "elevations": ("elevate", "end_elevation"),
    "identity": ("request_verification_code", "register"),
    "logins": ("login", "send_login_code", "complete_login"),
    "passwords": ("change_password",),
    "password_resets": (
        "request_password_reset", "request_password_reset_passkey", "complete_password_reset",
    ),
    "phone_changes": ("request_phone_change", "confirm_phone_change"),
    "phone_replacements": (
        "request_phone_replacement", "request_phone_replacement_review",
        "complete_phone_replacement",
    ),
    "pins": ("set_payment_pin",),
    "recoveries": (
        "request_recovery_review", "request_number_release", "object_to_recovery",
        "decide_recovery",
    ),
    "passkeys": (
        "request_passkey_registration", "register_passkey", "remove_passkey",
        "request_passkey_login", "login_with_passkey",
    ),
    "proof_challenges": (
        "request_payment_challenge", "request_step_up_challenge", "send_proof_code",
    ),
    "proofs": ("prove", "step_up"),
    "residents": ("freeze_for_caller",),
    "sessions": (
        "refresh_session", "logout", "revoke_session", "logout_everywhere", "end_sessions",
    ),
    "staffing": ("appoint_staff", "change_staff_role", "dismiss_staff", "decide_role_change"),
    "totp": ("enrol_totp", "confirm_totp", "remove_totp"),
    "wallets": ("freeze_my_wallet", "unfreeze_my_wallet", "set_payment_allowance"),
}  # fmt: skip
"""Functions that are logged however they end; of the others what is ``watched``, and denials."""

_log = structlog.get_logger()


def done(viewer: Viewer, function: Callable[..., Any], result: Any) -> None:
    """It ended well. Who signed in is known from the result only."""
    if _is_act(function):
        _write(getattr(result, "viewer", viewer), function, "DONE")


def refused(viewer: Viewer, function: Callable[..., Any], answer: Spoken) -> None:
    """It was refused or denied; the innermost guard writes it, once."""
    if answer.logged or not (answer.watched or _is_act(function)):
        return
    answer.logged = True
    _write(viewer, function, answer.code)


def _is_act(function: Callable[..., Any]) -> bool:
    return function.__name__ in ACTS.get(_module(function), ())


def _module(function: Callable[..., Any]) -> str:
    return function.__module__.removeprefix("resolvers.")


def _write(viewer: Viewer, function: Callable[..., Any], outcome: str) -> None:
    _log.info(
        "security",
        act=f"{_module(function)}.{function.__name__}",
        outcome=outcome,
        user_id=viewer.user_id or None,
        role=viewer.role if viewer.user_id else None,
        session_id=str(viewer.session_id) if viewer.session_id else None,
        origin=audit.origin(),
    )
