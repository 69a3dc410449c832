"""Notices: told once, numbered without a gap, private, in words when read."""

from __future__ import annotations

import asyncio

import pytest

from domain.notices import NoticeKind
from domain.refusals import InvalidInput
from infra import hints
from resolvers import notices as mine
from resolvers.live import Event
from services import notices, outbox
from services.unit_of_work import snapshot, unit_of_work
from tests import jobs
from tests import movement as town
from workers.notices import notify_postings

pytestmark = pytest.mark.usefixtures("counter")


async def told(user_id: int) -> list[notices.Notice]:
    async with snapshot() as read:
        return await notices.page(read, user_id, limit=1_000, backwards=True)


async def outbox_rows() -> list:
    async with snapshot() as read:
        ids = [row["id"] for row in await read.fetch("select id from ledger.outbox")]
        return await outbox.load(read, ids)


async def test_a_source_is_told_once_whoever_tells_it_at_once() -> None:
    person = await town.resident()

    async def tell() -> bool:
        async with unit_of_work() as work:
            return await notices.tell(
                work,
                user_id=person.user_id,
                kind="REGISTRATION_APPROVED",
                params={},
                source="registration:1",
            )

    assert sorted(await asyncio.gather(*(tell() for _ in range(10)))) == [False] * 9 + [True]
    assert [one.seq for one in await told(person.user_id)] == [1]


async def test_what_was_not_committed_was_not_told_and_leaves_no_gap() -> None:
    person = await town.resident()
    for number in range(4):
        try:
            async with unit_of_work() as work:
                await notices.tell(
                    work,
                    user_id=person.user_id,
                    kind=NoticeKind.WALLET_UNFROZEN,
                    params={},
                    source=f"test:{number}",
                )
                if number % 2:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            pass

    assert [one.seq for one in await told(person.user_id)] == [1, 2]


async def test_postings_are_told_once_however_often_and_in_what_pieces_the_job_runs() -> None:
    payers = [await town.resident(balance=50_000, allowance=(1_000, 10)) for _ in range(5)]
    seller, shop = await town.shop()
    await asyncio.gather(*(town.pay(payer, shop, 100) for payer in payers for _ in range(8)))
    rows = await outbox_rows()
    pieces = [rows, rows[::-1], rows[::2], rows[1::3], rows[:1]]

    await asyncio.gather(*(notify_postings(piece) for piece in pieces))
    await notify_postings(rows)

    mine_told = await told(seller.user_id)
    assert len(mine_told) == 40
    assert {one.kind for one in mine_told} == {NoticeKind.PAYMENT_RECEIVED}
    assert [one.seq for one in mine_told] == list(range(1, 41))
    for payer in payers:
        own = await told(payer.user_id)
        kinds = sorted(one.kind for one in own)
        assert kinds == ["PAYMENT_SUCCEEDED"] * 8 + ["TOP_UP_SUCCEEDED"]
        assert [one.seq for one in own] == list(range(1, 10))


async def test_one_job_tells_in_the_order_of_the_account() -> None:
    payer = await town.resident(balance=50_000, allowance=(10_000, 10))
    _, shop = await town.shop()
    for amount in (1, 2, 3, 4, 5):
        await town.pay(payer, shop, amount)

    await notify_postings((await outbox_rows())[::-1])

    amounts = [one.params["amount_minor"] for one in await told(payer.user_id)]
    assert amounts == [50_000, 1, 2, 3, 4, 5]


async def test_hundreds_of_postings_take_a_handful_of_statements() -> None:
    payers = [await town.resident(balance=50_000, allowance=(1_000, 10)) for _ in range(4)]
    _, shop = await town.shop()
    await asyncio.gather(*(town.pay(payer, shop, 100) for payer in payers for _ in range(10)))
    rows = await outbox_rows()
    async with unit_of_work() as work:
        counted = Counting(work)
        await notices.notify_postings(counted, rows)

    assert counted.statements <= 6


class Counting:
    """A unit of work that counts what it is asked."""

    def __init__(self, work) -> None:
        self._work = work
        self.statements = 0

    def __getattr__(self, name: str):
        if name in ("fetch", "fetchval", "fetchrow", "execute"):
            self.statements += 1
        return getattr(self._work, name)


async def test_names_are_masked_when_read_and_params_never_hold_them(superuser) -> None:
    payer = await town.resident("欧阳明", balance=10_000, allowance=(5_000, 5))
    seller, shop = await town.shop("荔枝书店")
    await town.pay(payer, shop, 1_234)
    await jobs.work_off()

    [received] = await told(seller.user_id)
    *_, paid = await told(payer.user_id)

    assert received.text("zh-CN") == ("收款到账", "收到欧*明付款¥12.34。")
    assert paid.text("en")[1] == "You paid ¥12.34 to 荔枝书店."
    stored = await superuser.fetchval("select string_agg(params::text, ' ') from notice")
    assert "欧" not in stored
    assert "balance" not in stored


async def test_reading_marks_up_to_a_number_once_and_counts_the_rest() -> None:
    payer = await town.resident(balance=10_000, allowance=(5_000, 5))
    _, shop = await town.shop()
    for _ in range(3):
        await town.pay(payer, shop, 100)
    await jobs.work_off()

    assert await mine.unread_count(payer) == 4
    assert await mine.mark_read(payer, up_to_sequence=2) == 2
    first = [one.read_at for one in await told(payer.user_id)]
    assert await mine.mark_read(payer, up_to_sequence=3) == 1
    again = [one.read_at for one in await told(payer.user_id)]
    assert again[:2] == first[:2]
    with pytest.raises(InvalidInput):
        await mine.mark_read(payer, up_to_sequence=0)


async def test_nobody_reads_anothers_notices() -> None:
    payer = await town.resident(balance=10_000)
    other = await town.resident(balance=10_000)
    await jobs.work_off()
    [own] = await told(payer.user_id)

    assert await mine.notices_by_ids(other, [own.id]) == {}
    assert list(await mine.notices_by_ids(payer, [own.id])) == [own.id]


async def test_a_follower_misses_nothing_and_hears_nothing_twice() -> None:
    payer = await town.resident(balance=10_000, allowance=(5_000, 10))
    _, shop = await town.shop()
    heard: list[tuple[int, str]] = []

    async def listen(after: str | None, count: int) -> None:
        stream = mine.notice_events(payer, after=after)
        async for event in stream:
            assert isinstance(event, Event)
            heard.append((event.sequence, event.cursor))
            if len(heard) == count:
                break
        await stream.aclose()

    await jobs.work_off()
    listening = asyncio.create_task(listen(None, 2))
    async with asyncio.timeout(10):
        while f"notices:{payer.user_id}" not in hints.current().watched():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for _ in range(2):
            await town.pay(payer, shop, 100)
            await jobs.work_off()
        await listening
        for _ in range(2):
            await town.pay(payer, shop, 100)
        await jobs.work_off()
        await listen(heard[-1][1], 4)

    assert [sequence for sequence, _ in heard] == [2, 3, 4, 5]
