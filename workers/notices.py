"""What follows from postings, and notices on their way out: reviews, cases, messages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import structlog

from infra import mail, push, sms
from services import notice_channels, notice_delivery, notices, risk_cases
from services.notice_delivery import Mail, Message, Push, Sms
from services.unit_of_work import snapshot, unit_of_work

log = structlog.get_logger()
SENT_AT_ONCE_MAX = 32
_SENT_BEFORE = "REFERENCE_REUSED"


async def notify_postings(rows: Sequence[Mapping[str, Any]]) -> None:
    """Handle outbox rows that number postings, all at once; again at any time, to the same end."""
    async with unit_of_work() as work:
        frozen = await notices.notify_postings(work, rows)
    if frozen:
        # By itself: cases lock users' streams one by one, after the notices' locks are gone.
        async with unit_of_work() as work:
            await risk_cases.follow(work, frozen)


async def send_notices(rows: Sequence[Mapping[str, Any]]) -> None:
    """Send notices outside: one message for each outbox row, or for each app of its user.

    Raises SmsUnavailable, PushUnavailable or MailUnavailable if one did not go through, to be run
    again with all: the gateways send one reference once.
    """
    async with snapshot() as read:
        messages = await notice_delivery.to_send(read, [row["args"] for row in rows])
    left, gone = iter(messages), list[UUID]()
    senders = (_send(left, gone) for _ in range(min(SENT_AT_ONCE_MAX, len(messages))))
    ends = await asyncio.gather(*senders, return_exceptions=True)
    if gone:
        async with unit_of_work() as work:
            await notice_channels.forget_tokens(work, gone)
    for failure in ends:
        if failure is not None:
            raise failure


async def _send(messages: Iterator[Message], gone: list[UUID]) -> None:
    """Send what others leave, up to the first failure; ``gone`` gets ids of tokens to forget."""
    for message in messages:
        try:
            await _hand_over(message)
        except push.TokenGone:
            assert isinstance(message, Push)
            gone.append(message.token_id)
        except (sms.SmsRefused, push.PushRefused, mail.MailRefused) as refused:
            # Between two tries a phone, a name or the language may have changed: the first one won.
            if refused.code != _SENT_BEFORE:
                log.warning("notice_refused", reference=message.reference, reason=refused.code)


async def _hand_over(message: Message) -> None:
    match message:
        case Sms():
            await _text(message)
        case Push():
            await _push(message)
        case Mail():
            await mail.current().send(
                to=message.to,
                subject=message.subject,
                text=message.text,
                reference=message.reference,
            )


async def _text(message: Sms) -> None:
    await sms.current().send(
        phone=message.phone,
        template=message.template,
        text=message.text,
        reference=message.reference,
    )


async def _push(message: Push) -> None:
    await push.current().send(
        token=message.token,
        platform=message.platform,
        title=message.title,
        text=message.text,
        reference=message.reference,
    )
