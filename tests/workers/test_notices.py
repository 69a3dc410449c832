"""Notices on their way out, against the real gateways: sent once, and where it is wanted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import structlog

import workers
from domain.identity import Viewer
from domain.notices import NoticeChannel, NoticeGroup, NoticeKind, PushPlatform
from infra import database as db
from infra import encryption, push, sms
from resolvers import notices as mine
from services import notices, outbox, people
from services.ledger import verification
from services.unit_of_work import snapshot, unit_of_work
from tests import jobs
from tests import movement as town
from tests import people as make
from tests.conftest import Database
from tests.infra import sandboxes
from workers.notices import send_notices

pytestmark = pytest.mark.usefixtures("counter")


@dataclass
class Gateways:
    """Both, as their owners see them."""

    sms: sandboxes.Server
    push: sandboxes.Server

    def texts(self, phone: str) -> list[str]:
        return _texts(self.sms, f"%2B{phone[1:]}")

    def pushed(self, token: str) -> list[str]:
        return _texts(self.push, token)


def _texts(server: sandboxes.Server, to: str) -> list[str]:
    found = server.ask("GET", f"/messages?to={to}&limit=100").json()["messages"]
    return [message["text"] for message in found][::-1]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    data = tmp_path_factory.mktemp("gateways")
    with (
        sandboxes.running("sms", data / "sms") as texts,
        sandboxes.running("push", data / "push") as pushes,
    ):
        yield Gateways(texts, pushes)


@pytest.fixture
async def gateways(both: Gateways) -> AsyncIterator[Gateways]:
    """Shared by the tests: phones and tokens are each test's own."""
    for server in (both.sms, both.push):
        server.ask("DELETE", "/behaviour").raise_for_status()
    async with (
        sms.HttpSms(url=both.sms.url, secret=sandboxes.SECRET) as sms_adapter,
        push.HttpPush(url=both.push.url, secret=sandboxes.SECRET) as push_adapter,
    ):
        sms.use(sms_adapter)
        push.use(push_adapter)
        yield both
        sms.use(None)
        push.use(None)


def phone_of(viewer: Viewer) -> str:
    return people.phone_of(viewer)


async def tell(
    viewer: Viewer, kind: NoticeKind, source: str, *, also_to: str | None = None
) -> None:
    async with unit_of_work() as work:
        await notices.tell(
            work,
            user_id=viewer.user_id,
            kind=kind,
            params={"amount_minor": 1_234, "currency": "CNY"},
            source=source,
            also_to=also_to,
        )


async def with_app(viewer: Viewer, token: str) -> Viewer:
    await mine.register_push_token(viewer, token=token, platform=PushPlatform.HARMONY)
    return viewer


async def prefer(viewer: Viewer, channel: NoticeChannel, enabled: bool) -> None:
    await mine.set_preference(viewer, group=NoticeGroup.PAYMENTS, channel=channel, enabled=enabled)


async def test_a_payment_is_told_where_its_two_sides_want_it(gateways: Gateways) -> None:
    payer = await with_app(
        await town.resident("欧阳明", balance=50_000, allowance=(5_000, 5)), "token-payer"
    )
    seller, shop = await town.shop("荔枝书店")
    await prefer(seller, NoticeChannel.SMS, True)
    await town.pay(payer, shop, 1_234)

    await jobs.work_off(outside=True)

    pushed = sorted(gateways.pushed("token-payer"))
    assert pushed == ["充值¥500.00已到账。", "您已向荔枝书店付款¥12.34。"]
    assert gateways.texts(phone_of(payer)) == []
    assert gateways.texts(phone_of(seller)) == ["【鹏城钱包】收到欧*明付款¥12.34。"]


async def test_a_channel_that_is_switched_off_stays_silent(gateways: Gateways) -> None:
    payer = await with_app(await town.resident(), "token-silent")
    await prefer(payer, NoticeChannel.PUSH, False)
    await tell(payer, NoticeKind.TOP_UP_SUCCEEDED, "1")
    await jobs.work_off(outside=True)
    assert gateways.pushed("token-silent") == []

    await prefer(payer, NoticeChannel.PUSH, True)
    await tell(payer, NoticeKind.TOP_UP_SUCCEEDED, "2")
    await jobs.work_off(outside=True)
    assert gateways.pushed("token-silent") == ["充值¥12.34已到账。"]
    assert (
        len(await mine.notice_page(payer, limit=9, after=None, before=None, backwards=False)) == 2
    )


async def test_a_freeze_is_told_by_sms_whatever_the_user_prefers(
    gateways: Gateways, superuser: asyncpg.Connection
) -> None:
    payer = await with_app(await town.resident(), "token-frozen")
    for group in NoticeGroup:
        if group is not NoticeGroup.SECURITY:
            for channel in (NoticeChannel.SMS, NoticeChannel.PUSH):
                await mine.set_preference(payer, group=group, channel=channel, enabled=False)
    with pytest.raises(asyncpg.CheckViolationError):
        await superuser.execute(
            "insert into notice_preference(user_id, notice_group, channel, enabled)"
            " values ($1, 'SECURITY', 'SMS', false)",
            payer.user_id,
        )

    await tell(payer, NoticeKind.WALLET_FROZEN, "freeze")
    await tell(payer, NoticeKind.REFUND_DEBITED, "other")
    await jobs.work_off(outside=True)

    [text] = gateways.texts(phone_of(payer))
    assert "钱包已被冻结" in text
    assert len(gateways.pushed("token-frozen")) == 1


async def test_texts_are_in_the_language_and_to_the_phone_of_the_moment_of_sending(
    gateways: Gateways, superuser: asyncpg.Connection
) -> None:
    payer = await town.resident()
    await tell(payer, NoticeKind.WALLET_UNFROZEN, "1")
    newer = make.phone()
    await superuser.execute(
        "update users set language = 'en', phone = $2, phone_index = $3 where id = $1",
        payer.user_id,
        encryption.encrypt("users.phone", payer.user_id, newer),
        people.phone_index(newer),
    )

    await jobs.work_off(outside=True)

    assert gateways.texts(phone_of(payer)) == []
    assert gateways.texts(newer) == ["[Pengcheng Wallet] Your wallet works again."]


async def test_a_second_phone_is_told_too_and_is_kept_nowhere_in_clear(
    gateways: Gateways, superuser: asyncpg.Connection
) -> None:
    payer, old = await town.resident(), make.phone()
    await tell(payer, NoticeKind.WALLET_FROZEN, "changed", also_to=old)
    kept = await superuser.fetchval(
        "select string_agg(o.args::text, ' ') || (select string_agg(n::text, ' ') from notice n)"
        " from ledger.outbox o"
    )
    assert old[3:] not in kept

    await jobs.work_off(outside=True)
    await jobs.work_off(outside=True)

    assert len(gateways.texts(old)) == len(gateways.texts(phone_of(payer))) == 1
    assert await superuser.fetchval("select count(*) from ledger.outbox") == 0


async def test_what_was_sent_but_not_committed_is_sent_once(
    gateways: Gateways, superuser: asyncpg.Connection
) -> None:
    """The worker dies between the gateway's answer and its commit: the row comes again."""
    payer = await with_app(await town.resident(), "token-killed")
    await tell(payer, NoticeKind.WALLET_FROZEN, "1")
    rows = await outbox_rows(superuser)
    assert len(rows) == 2

    for _ in range(3):
        await send_notices(rows)  # and nobody deletes the rows
    await superuser.execute("update users set language = 'en' where id = $1", payer.user_id)
    with structlog.testing.capture_logs() as logs:
        await workers.jobs.run([row["id"] for row in rows])

    assert len(gateways.texts(phone_of(payer))) == 1
    assert len(gateways.pushed("token-killed")) == 1
    assert await outbox_rows(superuser) == []
    assert logs == []


async def test_a_gateway_that_is_down_is_asked_again_until_it_is_up(
    tmp_path: Path, superuser: asyncpg.Connection
) -> None:
    payer = await town.resident()
    await tell(payer, NoticeKind.WALLET_FROZEN, "1")
    with sandboxes.running("sms", tmp_path) as server:
        port = int(server.url.rpartition(":")[2])
    async with sms.HttpSms(url=server.url, secret=sandboxes.SECRET) as adapter:
        sms.use(adapter)
        [row] = await outbox_rows(superuser)
        with structlog.testing.capture_logs() as logs:
            await workers.jobs.run([row["id"]])
        [left] = await superuser.fetch("select error, dead from ledger.outbox")
        assert tuple(left) == ("infra.sms.SmsUnavailable", False)
        assert phone_of(payer) not in repr(logs)

        with sandboxes.running("sms", tmp_path, port=port) as server:
            server.behave(timeout_after_success_next=1)
            for _ in range(2):
                with structlog.testing.capture_logs():
                    await workers.jobs.run([row["id"]])
            assert len(_texts(server, f"%2B{phone_of(payer)[1:]}")) == 1
    sms.use(None)
    assert await outbox_rows(superuser) == []


async def test_after_the_last_try_the_row_is_dead_and_verify_names_it(
    gateways: Gateways, superuser: asyncpg.Connection
) -> None:
    payer = await town.resident()
    await tell(payer, NoticeKind.WALLET_FROZEN, "1")
    [row] = await outbox_rows(superuser)
    await superuser.execute("update ledger.outbox set attempts = $1", outbox.ATTEMPTS_MAX)
    gateways.sms.behave(fail_next=2)
    for _ in range(2):
        with structlog.testing.capture_logs():
            await workers.jobs.run([row["id"]])

    async with snapshot(consistent=True) as read:
        report = await verification.verify(read)
    assert [(one.code, one.sentence) for one in report.faults] == [
        ("OUTBOX_DEAD", f"1 of job send_notice, the oldest row is {row['id']}")
    ]
    assert gateways.texts(phone_of(payer)) == []


async def test_a_token_that_is_gone_is_forgotten_and_the_others_are_reached(
    gateways: Gateways, superuser: asyncpg.Connection, database: Database
) -> None:
    payer = await with_app(await town.resident(), "token-gone-1")
    await with_app(await signed_in_again(payer), "token-gone-2")
    gateways.push.behave(gone_next=1)
    await tell(payer, NoticeKind.TOP_UP_SUCCEEDED, "1")
    await db.close_database()
    await db.open_database(database.worker_url)  # as whom a worker does it
    await jobs.work_off(outside=True)

    reached = gateways.pushed("token-gone-1") + gateways.pushed("token-gone-2")
    assert len(reached) == 1
    assert await superuser.fetchval("select count(*) from push_token") == 1


async def test_one_message_that_is_refused_for_good_stops_no_other(
    gateways: Gateways, superuser: asyncpg.Connection
) -> None:
    first, second = await town.resident(), await town.resident()
    await superuser.execute(
        "update users set phone = $2 where id = $1",
        first.user_id,
        encryption.encrypt("users.phone", first.user_id, "not a number"),
    )
    for payer in (first, second):
        await tell(payer, NoticeKind.WALLET_FROZEN, "1")
    with structlog.testing.capture_logs() as logs:
        await jobs.work_off(outside=True)

    assert len(gateways.texts(phone_of(second))) == 1
    assert [(log["event"], log["reason"]) for log in logs] == [("notice_refused", "INVALID")]


async def outbox_rows(superuser: asyncpg.Connection) -> list[Any]:
    return await superuser.fetch("select id, args from ledger.outbox order by id")


async def signed_in_again(viewer: Viewer) -> Viewer:
    async with unit_of_work() as work:
        return (await make.arrived(work, viewer.user_id)).viewer
