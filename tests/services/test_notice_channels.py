"""Where a user is told: preferences, and push tokens that go with their sessions."""

from __future__ import annotations

import asyncio
import contextlib
from uuid import UUID

import asyncpg
import pytest

from domain import refusals
from domain.identity import Viewer
from domain.notices import DEFAULT_CHANNELS, NoticeChannel, NoticeGroup, NoticeKind, PushPlatform
from infra import database as pool
from resolvers import notices as mine
from resolvers import sessions
from services import notice_channels, notices
from services.identity import retention
from services.identity.sessions import Issued
from services.notices import News
from services.unit_of_work import snapshot, unit_of_work
from tests import movement as town
from tests import people as make
from tests.conftest import Database

pytestmark = pytest.mark.usefixtures("counter")


async def registered(viewer: Viewer, token: str) -> None:
    await mine.register_push_token(viewer, token=token, platform=PushPlatform.IOS)


async def tokens(viewer: Viewer) -> list[str]:
    async with snapshot() as read:
        return [one.token for one in await notice_channels.tokens_of(read, [viewer.user_id])]


async def another_session(viewer: Viewer) -> tuple[Viewer, Issued]:
    async with unit_of_work() as work:
        signed_in = await make.arrived(work, viewer.user_id)
    return signed_in.viewer, signed_in.session


async def asked(superuser: asyncpg.Connection) -> list[tuple[str, str]]:
    """(channel, kind) of what waits to be sent."""
    rows = await superuser.fetch(
        "select o.args ->> 'channel' as channel, n.kind from ledger.outbox o"
        " join notice n on n.id::text = o.args ->> 'notice_id' where o.job = 'send_notice'"
        " order by 1, 2"
    )
    return [(row["channel"], row["kind"]) for row in rows]


async def test_who_decided_nothing_hears_as_usual_and_a_decision_is_the_deciders_alone() -> None:
    decider, other = await town.resident(), await town.resident()
    assert await mine.preferences(decider) == DEFAULT_CHANNELS

    changed = await mine.set_preference(
        decider, group=NoticeGroup.REFUNDS, channel=NoticeChannel.SMS, enabled=True
    )
    await mine.set_preference(
        decider, group=NoticeGroup.REFUNDS, channel=NoticeChannel.PUSH, enabled=False
    )

    assert changed[NoticeGroup.REFUNDS] == set(NoticeChannel)
    found = await mine.preferences(decider)
    assert found[NoticeGroup.REFUNDS] == {NoticeChannel.APP, NoticeChannel.SMS}
    assert found[NoticeGroup.PAYMENTS] == DEFAULT_CHANNELS[NoticeGroup.PAYMENTS]
    assert await mine.preferences(other) == DEFAULT_CHANNELS


async def test_the_app_and_security_cannot_be_muted_and_nothing_is_kept(superuser) -> None:
    viewer = await town.resident()
    locked = [
        *((NoticeGroup.SECURITY, channel) for channel in NoticeChannel),
        *((group, NoticeChannel.APP) for group in NoticeGroup),
    ]
    for group, channel in locked:
        with pytest.raises(refusals.NoticeMandatory):
            await mine.set_preference(viewer, group=group, channel=channel, enabled=False)
        await mine.set_preference(viewer, group=group, channel=channel, enabled=True)

    assert await mine.preferences(viewer) == DEFAULT_CHANNELS
    assert await superuser.fetchval("select count(*) from notice_preference") == 0


async def test_switching_at_once_leaves_one_decision(superuser) -> None:
    viewer = await town.resident()
    await asyncio.gather(
        *(
            mine.set_preference(
                viewer,
                group=NoticeGroup.PAYMENTS,
                channel=NoticeChannel.SMS,
                enabled=bool(number % 2),
            )
            for number in range(12)
        )
    )
    assert await superuser.fetchval("select count(*) from notice_preference") == 1


async def test_only_wanted_channels_are_asked_for(superuser) -> None:
    plain, with_app = await town.resident(), await town.resident()
    await registered(with_app, "an-app-of-theirs")
    kinds = (NoticeKind.PAYMENT_SUCCEEDED, NoticeKind.WALLET_FROZEN)
    async with unit_of_work() as work:
        await notices.tell_all(
            work,
            [
                News(viewer.user_id, kind, {}, f"test:{kind}")
                for viewer in (plain, with_app)
                for kind in kinds
            ],
        )
    assert await asked(superuser) == [
        ("PUSH", "PAYMENT_SUCCEEDED"),
        ("PUSH", "WALLET_FROZEN"),
        ("SMS", "WALLET_FROZEN"),
        ("SMS", "WALLET_FROZEN"),
    ]


async def test_what_is_told_again_is_not_sent_again(superuser) -> None:
    viewer = await town.resident()

    async def tell() -> None:
        async with unit_of_work() as work:
            await notices.tell(
                work, user_id=viewer.user_id, kind="WALLET_FROZEN", params={}, source="once"
            )

    await asyncio.gather(*(tell() for _ in range(8)))
    assert await asked(superuser) == [("SMS", "WALLET_FROZEN")]


async def test_what_was_not_committed_is_not_sent(superuser) -> None:
    viewer = await town.resident()
    with contextlib.suppress(ZeroDivisionError):
        async with unit_of_work() as work:
            await notices.tell(
                work,
                user_id=viewer.user_id,
                kind="WALLET_FROZEN",
                params={},
                source="never",
                also_to=make.phone(),
            )
            raise ZeroDivisionError
    assert await superuser.fetchval("select count(*) from ledger.outbox") == 0


# --- push tokens ------------------------------------------------------------------------------


async def test_a_session_has_one_token_and_a_token_one_session(superuser) -> None:
    first, second = await town.resident(), await town.resident()
    await registered(first, "token-one")
    await registered(first, "token-two")
    assert await tokens(first) == ["token-two"]

    await registered(second, "token-two")
    assert await tokens(first) == []
    assert await tokens(second) == ["token-two"]
    await mine.remove_push_token(first, token="token-two")
    assert await tokens(second) == ["token-two"], "one's own only"
    await mine.remove_push_token(second, token="token-two")
    assert await superuser.fetchval("select count(*) from push_token") == 0


async def test_a_token_is_kept_sealed(superuser) -> None:
    viewer = await town.resident()
    await registered(viewer, "a-token-to-be-found-nowhere")
    row = await superuser.fetchval("select t::text from push_token t")
    assert b"found-nowhere".hex() not in row
    assert "found-nowhere" not in row


@pytest.mark.parametrize(
    "token", ["", "short", "with a space in it", "令牌令牌令牌令牌", "x" * 4097]
)
async def test_what_can_be_no_token_is_refused(superuser, token: str) -> None:
    viewer = await town.resident()
    with pytest.raises(refusals.InvalidInput):
        await registered(viewer, token)
    assert await superuser.fetchval("select count(*) from push_token") == 0


async def test_a_token_goes_with_its_session_however_that_ends(
    app: Database, superuser: asyncpg.Connection
) -> None:
    viewer = await town.resident()
    ended, issued = await another_session(viewer)
    expired, _ = await another_session(viewer)
    await registered(viewer, "token-that-stays")
    await registered(ended, "token-signed-out")
    await registered(expired, "token-expired")
    await sessions.logout(viewer, refresh_token=issued.refresh_token)
    assert await superuser.fetchval("select count(*) from push_token") == 2

    await superuser.execute(
        "update session set refresh_expires_at = ledger.now() where id = $1", expired.session_id
    )
    assert await tokens(viewer) == ["token-that-stays"]
    await pool.close_database()
    await pool.open_database(app.worker_url)
    async with unit_of_work() as work:
        assert (await retention.forget(work))["push_token"] == 1
    assert await superuser.fetchval("select count(*) from push_token") == 1


async def test_a_session_that_ends_at_the_same_moment_keeps_no_token(superuser) -> None:
    """Whoever comes first: at the end no ended session has a token."""
    viewer = await town.resident()
    for number in range(10):
        other, issued = await another_session(viewer)
        await asyncio.gather(
            registered(other, f"token-in-a-race-{number}"),
            sessions.logout(other, refresh_token=issued.refresh_token),
            return_exceptions=True,
        )
    assert await superuser.fetchval("select count(*) from push_token") == 0


async def test_an_ended_session_registers_nothing() -> None:
    viewer, issued = await another_session(await town.resident())
    await sessions.logout(viewer, refresh_token=issued.refresh_token)
    with pytest.raises(refusals.NotSignedIn):
        await registered(viewer, "token-too-late")
    assert await tokens(viewer) == []


async def test_many_registrations_of_one_session_at_once_leave_one(superuser) -> None:
    viewer = await town.resident()
    await asyncio.gather(*(registered(viewer, f"token-number-{n}") for n in range(12)))
    [session_id] = [row[0] for row in await superuser.fetch("select session_id from push_token")]
    assert UUID(str(session_id)) == viewer.session_id


async def test_neither_login_can_do_more_with_these_tables_than_it_needs(
    api: asyncpg.Connection, worker: asyncpg.Connection
) -> None:
    for connection, statement in (
        (api, "delete from notice_preference"),
        (worker, "update notice_preference set enabled = true"),
        (worker, "update push_token set user_id = 1"),
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
