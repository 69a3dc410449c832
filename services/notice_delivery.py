"""Notices on their way out: what to send to whom, put into words in the moment of sending."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
import msgspec

from domain import notice_words
from domain import notices as notice_rules
from domain.notices import NoticeChannel, PushPlatform
from infra import encryption
from services import notice_channels, notices, people
from services.notice_channels import Token
from services.notices import Notice
from services.unit_of_work import Snapshot


class Ask(msgspec.Struct, frozen=True):
    """The arguments of a SEND_NOTICE job.

    ``also_to`` is a phone, ``mail_to`` a mail address (then there is no channel), both sealed for
    the notice.
    """

    notice_id: UUID
    channel: NoticeChannel | None = None
    also_to: str | None = None
    mail_to: str | None = None


@dataclass(frozen=True, slots=True)
class Sms:
    """A text message; ``phone`` in E.164. The same ``reference`` however often it is made."""

    reference: str
    template: str
    phone: str = field(repr=False)
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail to an address that isn't, or is no longer, where its user reads."""

    reference: str
    to: str = field(repr=False)
    subject: str = field(repr=False)
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Push:
    """A push message for one app."""

    reference: str
    token_id: UUID
    platform: PushPlatform
    token: str = field(repr=False)
    title: str = field(repr=False)
    text: str = field(repr=False)


_NOTICES = """
select n.id, n.user_id, n.seq, n.kind, n.params, n.created_at, n.read_at, u.language, u.phone
  from notice n join users u on u.id = n.user_id where n.id = any($1::uuid[])"""


Message = Sms | Push | Mail


async def to_send(read: Snapshot, args: Sequence[str]) -> list[Message]:
    """The messages that jobs (their ``args`` as JSON) ask for, in a handful of queries.

    To the phone and the apps of now, in the language of now. Nobody to send to, nothing to send.
    """
    asks = [msgspec.json.decode(one, type=Ask) for one in args]
    rows = await read.fetch(_NOTICES, sorted({ask.notice_id for ask in asks}))
    opened = await notices.opened(read, rows)
    people_told = {row["id"]: (row, one) for row, one in zip(rows, opened, strict=True)}
    pushed = {
        people_told[ask.notice_id][0]["user_id"]
        for ask in asks
        if ask.channel is NoticeChannel.PUSH and ask.notice_id in people_told
    }
    ended = [
        (one.user_id, one.created_at) for one in opened if one.kind in notice_rules.ENDS_SESSIONS
    ]
    tokens = await notice_channels.tokens_of(read, sorted(pushed), ended=ended) if pushed else []
    found: list[Message] = []
    for ask in asks:
        if ask.notice_id not in people_told:
            continue
        row, notice = people_told[ask.notice_id]
        if ask.mail_to is not None:
            found.append(_mail(row, notice, ask.mail_to))
        elif ask.channel is NoticeChannel.PUSH:
            mine = [token for token in tokens if _reaches(token, notice)]
            found += [_push(row, notice, token) for token in mine]
        else:
            found += _sms(row, notice, ask)
    return found


def _reaches(token: Token, notice: Notice) -> bool:
    """An app whose session has ended hears what ended it, and nothing else."""
    if token.user_id != notice.user_id:
        return False
    return token.ended_at is None or (
        token.ended_at == notice.created_at and notice.kind in notice_rules.ENDS_SESSIONS
    )


def _push(row: asyncpg.Record, notice: Notice, token: Token) -> Push:
    language = row["language"]
    title, text = notice_words.render_short(notice.kind, notice.facts.words(language), language)
    return Push(
        reference=f"{notice.id}:push:{token.id}",
        token_id=token.id,
        platform=token.platform,
        token=token.token,
        title=title,
        text=text,
    )


def _mail(row: asyncpg.Record, notice: Notice, sealed: str) -> Mail:
    language = row["language"]
    title, text = notice_words.render_short(notice.kind, notice.facts.words(language), language)
    return Mail(
        reference=f"{notice.id}:mail",
        to=encryption.decrypt(notice_channels.MAIL_TO, notice.id, base64.b64decode(sealed)),
        subject=title,
        text=text,
    )


def _sms(row: asyncpg.Record, notice: Notice, ask: Ask) -> list[Sms]:
    """One text message; none for somebody whose phone is no longer kept."""
    language = row["language"]
    if ask.also_to is not None:
        sealed = base64.b64decode(ask.also_to)
        phone = encryption.decrypt(notice_channels.ALSO_TO, notice.id, sealed)
    elif row["phone"]:
        phone = people.open_phone(notice.user_id, row["phone"])
    else:
        return []
    return [
        Sms(
            reference=f"{notice.id}:sms" + (":also" if ask.also_to is not None else ""),
            template=notice.kind.value,
            phone=phone,
            text=notice_words.render_sms(notice.kind, notice.facts.words(language), language),
        )
    ]
