"""Where a user is told beside the app: what they decided, and the push tokens of their sessions."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

from domain import notices, refusals
from domain.notices import NoticeChannel, NoticeGroup, NoticeKind, PushPlatform
from infra import encryption
from infra.queue import Job
from services.unit_of_work import Snapshot, UnitOfWork

ALSO_TO = "notice.also_to"
MAIL_TO = "notice.mail_to"
_TOKEN = "push_token.token"  # noqa: S105 - the place that ciphertexts are bound to


@dataclass(frozen=True, slots=True)
class Told:
    """A notice that is now in the app.

    ``also_to`` is a phone (E.164) told beside its user's, ``mail_to`` an address told by mail.
    """

    notice_id: UUID
    user_id: int
    kind: NoticeKind
    also_to: str | None = field(default=None, repr=False)
    mail_to: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Token:
    """An app that takes push messages; ``ended_at`` if its session is over."""

    id: UUID
    user_id: int
    platform: PushPlatform
    token: str = field(repr=False)
    ended_at: datetime | None = None


Preferences = dict[NoticeGroup, frozenset[NoticeChannel]]


async def preferences(read: Snapshot, user_id: int) -> Preferences:
    """On which channels a user hears of each group: as decided, else as usual."""
    rows = await read.fetch(
        "select notice_group, channel, enabled from notice_preference where user_id = $1", user_id
    )
    found = {group: set(channels) for group, channels in notices.DEFAULT_CHANNELS.items()}
    for row in rows:
        channels, channel = found[NoticeGroup(row["notice_group"])], NoticeChannel(row["channel"])
        (channels.add if row["enabled"] else channels.discard)(channel)
    return {group: frozenset(channels) for group, channels in found.items()}


async def prefer(
    work: UnitOfWork, *, user_id: int, group: NoticeGroup, channel: NoticeChannel, enabled: bool
) -> None:
    """Keep a decision. Raises NoticeMandatory for what can't be switched off."""
    if not notices.changeable(group, channel):
        if not enabled:
            raise refusals.NoticeMandatory(path=("input", "enabled"))
        return
    await work.execute(
        "insert into notice_preference(user_id, notice_group, channel, enabled)"
        " values ($1, $2, $3, $4) on conflict (user_id, notice_group, channel)"
        " do update set enabled = excluded.enabled",
        user_id,
        group,
        channel,
        enabled,
    )


async def register_token(
    work: UnitOfWork, *, user_id: int, session_id: UUID, token: str, platform: PushPlatform
) -> None:
    """A session's app takes push messages from now on; nobody else's does by this token.

    Raises NotSignedIn if the session has ended meanwhile.
    """
    # Under the session's lock: one token a session, and none of one that ends at the same moment.
    held = await work.fetchval(
        "select id from session where id = $1 and revoked_at is null for no key update", session_id
    )
    if held is None:
        raise refusals.NotSignedIn
    index = _index(token)
    await work.execute(
        "delete from push_token where session_id = $1 and token_index <> $2", session_id, index
    )
    token_id = uuid4()  # made here: the ciphertext is bound to it
    await work.execute(
        "insert into push_token(id, user_id, session_id, token_index, token, platform,"
        " registered_at) values ($1, $2, $3, $4, $5, $6, $7) on conflict (token_index)"
        " do update set id = excluded.id, user_id = excluded.user_id,"
        " session_id = excluded.session_id, token = excluded.token,"
        " platform = excluded.platform, registered_at = excluded.registered_at",
        token_id,
        user_id,
        session_id,
        index,
        encryption.encrypt(_TOKEN, token_id, token),
        platform,
        work.now,
    )


async def remove_token(work: UnitOfWork, *, user_id: int, token: str) -> None:
    """The user's app with this token is told nothing more; also if it never was."""
    await work.execute(
        "delete from push_token where user_id = $1 and token_index = $2", user_id, _index(token)
    )


async def forget_tokens(work: UnitOfWork, token_ids: Sequence[UUID]) -> None:
    """The gateway says that no app has these tokens; one registered since has another id."""
    await work.execute("delete from push_token where id = any($1::uuid[])", token_ids)


async def tokens_of(
    read: Snapshot, user_ids: Sequence[int], *, ended: Sequence[tuple[int, datetime]] = ()
) -> list[Token]:
    """The tokens of these users' sessions that go on.

    ``ended`` (user, time): those, too, that a change of the user's credentials has ended at that
    time, for the notice that says so: the owner holds one of those devices.
    """
    rows = await read.fetch(
        "select t.id, t.user_id, t.token, t.platform, s.revoked_at from push_token t"
        " join session s on s.id = t.session_id"
        " where t.user_id = any($1::bigint[]) and (s.revoked_at is null"
        " and s.refresh_expires_at > ledger.now() or (t.user_id, s.revoked_at) in"
        " (select * from unnest($2::bigint[], $3::timestamptz[]))) order by t.id",
        user_ids,
        [user_id for user_id, _ in ended],
        [at for _, at in ended],
    )
    return [
        Token(
            id=row["id"],
            user_id=row["user_id"],
            ended_at=row["revoked_at"],
            platform=PushPlatform(row["platform"]),
            token=encryption.decrypt(_TOKEN, row["id"], row["token"]),
        )
        for row in rows
    ]


def _index(token: str) -> str:
    return encryption.blind_index("push token", token)


_ENQUEUE = """
insert into ledger.outbox(job, args)
select $1, jsonb_build_object('notice_id', w.id, 'channel', c.channel)
  from unnest($2::uuid[], $3::bigint[], $4::text[], $5::bool[], $6::bool[])
         as w(id, user_id, notice_group, sms, push)
 cross join lateral (values ('SMS', w.sms), ('PUSH', w.push)) as c(channel, usual)
  left join notice_preference p on p.user_id = w.user_id and p.notice_group = w.notice_group
        and p.channel = c.channel
 where coalesce(p.enabled, c.usual)
   and (c.channel = 'SMS' or exists (select from push_token t where t.user_id = w.user_id))"""


async def enqueue(work: UnitOfWork, told: Sequence[Told]) -> None:
    """Have notices sent outside, on each channel that their users want: one statement for all.

    What ``also_to`` and ``mail_to`` hold travels sealed in its job, and is gone when that is done.
    """
    groups = [notices.GROUP_OF[one.kind] for one in told]
    usual = [notices.DEFAULT_CHANNELS[group] for group in groups]
    made = await work.execute(
        _ENQUEUE,
        Job.SEND_NOTICE.value,
        [one.notice_id for one in told],
        [one.user_id for one in told],
        [group.value for group in groups],
        [NoticeChannel.SMS in channels for channels in usual],
        [NoticeChannel.PUSH in channels for channels in usual],
    )
    if not made.endswith(" 0"):
        work.wake_relay()
    for one in told:
        if one.also_to is not None:
            work.enqueue(
                Job.SEND_NOTICE,
                notice_id=str(one.notice_id),
                channel=NoticeChannel.SMS,
                also_to=_sealed(ALSO_TO, one.notice_id, one.also_to),
            )
        if one.mail_to is not None:
            work.enqueue(
                Job.SEND_NOTICE,
                notice_id=str(one.notice_id),
                mail_to=_sealed(MAIL_TO, one.notice_id, one.mail_to),
            )


def _sealed(place: str, notice_id: UUID, recipient: str) -> str:
    return base64.b64encode(encryption.encrypt(place, notice_id, recipient)).decode()
