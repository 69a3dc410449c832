"""An owner's own freeze: at once, from any session, and lifted by nobody by accident."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from domain import refusals
from domain.identity import Role
from domain.ledger import AccountStatus, FreezeLevel, Outcome
from domain.notices import NoticeKind
from domain.risk import CaseState
from resolvers import risk, wallets
from services import notices
from services import wallets as service
from services.ledger import desk
from services.unit_of_work import snapshot
from tests import jobs, people
from tests import movement as town

pytestmark = pytest.mark.usefixtures("counter")
BLOCK, FULL = FreezeLevel.DEBIT_BLOCK, FreezeLevel.FULL


async def freeze(viewer, level: FreezeLevel = BLOCK):
    return await wallets.freeze_my_wallet(viewer, level=level, key=town.key("freeze"))


async def kinds(viewer) -> list[NoticeKind]:
    async with snapshot() as read:
        return [one.kind for one in await notices.page(read, viewer.user_id, limit=20)]


async def test_one_call_stops_payments_and_tells_the_owner(superuser: asyncpg.Connection) -> None:
    resident = await town.resident(balance=10_000, allowance=(5_000, 9))
    _, shop = await town.shop()

    wallet = await freeze(resident)

    assert (wallet.status, wallet.frozen_by_owner) == (AccountStatus.DEBITS_BLOCKED, True)
    with pytest.raises(refusals.AccountFrozen):
        await town.pay(resident, shop, 100)
    assert await town.balance(wallets.account_of(resident)) == 10_000
    await jobs.work_off()
    assert NoticeKind.WALLET_FROZEN_BY_OWNER in await kinds(resident)


async def test_freezing_again_does_no_harm_and_may_go_further() -> None:
    resident = await town.resident(balance=10_000)

    twice = await asyncio.gather(*(freeze(resident) for _ in range(20)))
    full = await freeze(resident, FULL)
    back = await freeze(resident, BLOCK)

    assert {one.status for one in twice} == {AccountStatus.DEBITS_BLOCKED}
    assert full.status == back.status == AccountStatus.FROZEN


async def test_what_the_city_takes_over_gets_a_case_and_stays_frozen() -> None:
    resident, officer = await town.resident(balance=10_000), await people.staff(Role.RISK)
    await freeze(resident)

    case, _ = await risk.freeze_wallet(
        officer, user_id=resident.user_id, reason="账户可疑", key=town.key("freeze")
    )
    again = await freeze(resident, FULL)

    assert case.state is CaseState.OPEN
    assert not again.frozen_by_owner
    assert again.status == AccountStatus.DEBITS_BLOCKED


async def test_who_has_no_wallet_freezes_none(superuser: asyncpg.Connection) -> None:
    applicant = (await people.registered(superuser, people.phone())).viewer

    for caller in (applicant, await people.staff(Role.SUPPORT)):
        with pytest.raises(refusals.NotPermitted):
            await freeze(caller)
    with pytest.raises(refusals.NotSignedIn):
        await freeze(town.ANONYMOUS)


async def test_nothing_leaves_behind_a_freeze_among_payments() -> None:
    resident = await town.resident(balance=100_000, allowance=(5_000, 10))
    _, shop = await town.shop()

    async def pay() -> bool:
        try:
            return (await town.pay(resident, shop, 100)).id is not None
        except refusals.AccountFrozen:
            return False

    *paid, _ = await asyncio.gather(*(pay() for _ in range(10)), freeze(resident))

    assert await town.balance(wallets.account_of(resident)) == 100_000 - 100 * sum(paid)
    assert not await pay()


async def test_a_careful_wallet_shows_its_lower_limit_until_it_ends(
    superuser: asyncpg.Connection,
) -> None:
    resident = await town.resident(balance=100_000)
    receipt = await desk.post(
        service.be_careful(
            account_id=wallets.account_of(resident),
            seconds=3_600,
            day_max_minor=2_000,
            key=town.key("careful"),
        )
    )
    careful = await wallets.wallet(resident)
    await people.pass_time(superuser, 3_601)
    later = await wallets.wallet(resident)

    assert receipt.outcome is Outcome.POSTED
    assert careful is not None
    assert later is not None
    assert careful.daily_limit_minor == careful.daily_limit_left_minor == 2_000
    assert careful.careful_until == receipt.at + timedelta(seconds=3_600)
    assert (later.careful_until, later.daily_limit_minor) == (None, 500_000)
