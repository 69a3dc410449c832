"""Jobs about people. Each may be run again at any time: what was done stays done."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import structlog

from infra import mail, sms
from services.identity import checks, codes, passwords, registration, retention
from services.unit_of_work import snapshot, unit_of_work

log = structlog.get_logger()


async def review_registration(args: dict[str, Any]) -> None:
    """Let the rules decide a registration. ``args``: ``user_id``."""
    async with unit_of_work() as work:
        await registration.review(work, args["user_id"])


async def review_identity(args: dict[str, Any]) -> None:
    """Let the rules decide an identity check. ``args``: ``check_id``."""
    async with unit_of_work() as work:
        await checks.review(work, UUID(args["check_id"]))


async def send_code(args: dict[str, Any]) -> None:
    """Send a code by SMS or mail and blank it. ``args``: ``code_id``, ``language``.

    Raises SmsUnavailable, MailUnavailable, to be run again: gateways send one reference once.
    """
    code_id = UUID(args["code_id"])
    async with snapshot() as read:
        message = await codes.to_send(read, code_id, language=args["language"])
    sent = False
    if message is not None:
        try:
            await _send(message, reference=str(code_id))
            sent = True
        except (sms.SmsRefused, mail.MailRefused) as refused:
            log.warning("code_refused_by_gateway", code_id=str(code_id), reason=refused.code)
    async with unit_of_work() as work:
        await codes.forget(work, code_id, sent=sent)


async def _send(message: codes.Message, *, reference: str) -> None:
    if message.subject is not None:
        await mail.current().send(
            to=message.to, subject=message.subject, text=message.text, reference=reference
        )
        return
    await sms.current().send(
        phone=message.to, template="VERIFICATION_CODE", text=message.text, reference=reference
    )


async def forget_identity() -> None:
    """Delete codes, delays and sessions that have served their purpose; nightly."""
    async with unit_of_work() as work:
        gone = await retention.forget(work)
    log.info("identity_forgotten", rows=gone)


async def remind_of_passwords() -> None:
    """Ask those who have had a password for a year whether it is still a good one; nightly."""
    told = 0
    while True:
        async with unit_of_work() as work:
            count = await passwords.remind(work)
        told += count
        if count < passwords.REMINDED_AT_ONCE:
            break
    log.info("passwords_reminded", users=told)
