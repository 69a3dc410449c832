"""Closing one's account: what stands in the way, the week in between, and what is left."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from domain import ledger, refusals
from domain.closings import ClosingState, Obstacle
from domain.identity import ANONYMOUS, Role, Viewer
from domain.ledger import AccountStatus, FreezeLevel, Operation
from domain.proofs import Action, Password, Pin
from infra import settings
from resolvers import closings, identity, refunds, topups, wallets
from resolvers.logins import Challenged
from resolvers.registrations import Told
from services.identity import closings as verbs
from services.unit_of_work import unit_of_work
from tests import factories, jobs, people
from tests import movement as town
from tests import passkeys as keys
from tests.demo.device import DeviceKey
from tests.leaving import ADDRESS, WEEK, ask, card, closing_states, identity_check
from tests.money import checking
from workers import closings as jobs_of_closing
from workers import identity as nightly


async def obstacles(viewer: Viewer) -> list[Obstacle]:
    with pytest.raises(refusals.ClosingNotPossible) as refused:
        await ask(viewer)
    return refused.value.obstacles


async def status(superuser: asyncpg.Connection, viewer: Viewer) -> tuple[str, int]:
    row = await superuser.fetchrow(
        "select u.status, a.status as account from users u join ledger.account a"
        " on a.owner_id = u.id where u.id = $1",
        viewer.user_id,
    )
    assert row is not None
    return row["status"], row["account"]


@pytest.mark.usefixtures("counter")
async def test_everything_that_stands_in_the_way_is_named(superuser: asyncpg.Connection) -> None:
    rich = await town.resident(balance=50_000, allowance=(20_000, 9))
    _, shop = await town.shop()
    paid = await town.pay(rich, shop, 10_000)
    await town.pay(rich, shop, 39_999)
    await refunds.request_refund(rich, payment_id=paid.id, reason="坏了", key=town.key())
    linked = await card(rich)
    await topups.create_top_up(rich, card_id=linked.id, amount_minor=100, key=town.key())
    await wallets.freeze_my_wallet(rich, level=FreezeLevel.FULL, key=town.key())

    assert await obstacles(rich) == [
        Obstacle.MONEY_LEFT,
        Obstacle.REFUND_OPEN,
        Obstacle.PAYMENT_OPEN,
        Obstacle.TOP_UP_PENDING,
        Obstacle.WALLET_FROZEN,
    ]
    assert await closing_states(superuser, rich) == []


@pytest.mark.parametrize("count", range(1, len(Obstacle) + 1))
def test_obstacles_are_told_in_the_callers_language(count: int) -> None:
    found = list(Obstacle)[:count]
    refusal = refusals.ClosingNotPossible(obstacles=found)

    assert refusal.message("en").count(";") == len(found) - 1
    assert refusal.message("zh-CN").count("；") == len(found) - 1
    assert "{" not in refusal.message("en") + refusal.message("zh")


@pytest.mark.usefixtures("counter")
async def test_only_whoever_proves_it_anew_may_close_and_shops_and_staff_may_not(
    superuser: asyncpg.Connection,
) -> None:
    viewer, bare = await town.resident(), await town.resident(pin=False)
    seller, _ = await town.shop()
    for weak in (Pin(town.PIN), Password(people.PASSWORD, ADDRESS)):
        with pytest.raises(refusals.ProofTooWeak):
            await ask(viewer, weak)
    with pytest.raises(refusals.WrongCredentials):
        await ask(bare, Password("Futian-guess-12", ADDRESS))
    for other in (seller, await people.staff(Role.SUPPORT)):
        with pytest.raises(refusals.NotPermitted):
            await ask(other)
    with pytest.raises(refusals.NotSignedIn):
        await ask(ANONYMOUS)

    assert await superuser.fetchval("select count(*) from closing") == 0


@pytest.mark.usefixtures("workers_town")
async def test_whoever_changes_their_mind_or_signs_in_stays(superuser: asyncpg.Connection) -> None:
    number, key = people.phone(), DeviceKey()
    viewer = await people.resident(superuser, number, key=key)
    first = await ask(viewer)
    assert (await ask(viewer)).id == first.id
    with pytest.raises(refusals.NotFound):
        await closings.cancel_closing(await town.resident(), closing_id=first.id)
    cancelled = await closings.cancel_closing(viewer, closing_id=first.id)
    again = await closings.cancel_closing(viewer, closing_id=first.id)

    second = await ask(viewer)
    with pytest.raises(refusals.NotFound):
        await closings.cancel_closing(viewer, closing_id=first.id)
    challenge = await people.challenged(number, address=ADDRESS)
    assert await closing_states(superuser, viewer) == ["CANCELLED", "COOLING"], "a password only"
    await people.complete(challenge, key)
    device, _ = await keys.added(viewer)
    await closings.close_my_account(
        viewer, proof=await keys.stepping(viewer, device, Action.CLOSE_ACCOUNT)
    )
    await keys.signed_in(device)
    await people.pass_time(superuser, WEEK + 60)
    await jobs_of_closing.close_accounts()

    assert cancelled.state is again.state is ClosingState.CANCELLED
    assert second.id != first.id
    assert await closing_states(superuser, viewer) == ["CANCELLED"] * 3
    assert await status(superuser, viewer) == ("ACTIVE", AccountStatus.OPEN)
    kinds = await superuser.fetch("select kind from notice where user_id = $1", viewer.user_id)
    assert [row["kind"] for row in kinds].count("CLOSING_CANCELLED") == 3


@pytest.mark.usefixtures("workers_town")
async def test_after_a_week_the_account_is_closed_for_good_and_the_number_is_free(
    superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings.get_settings(), "accounts_max_per_person", 1)
    number, key, told = people.phone(), DeviceKey(), Told(people.id_number())
    viewer = await people.resident(superuser, number, key=key, told=told)
    authenticator, _ = await keys.added(viewer)
    await ask(viewer, await keys.stepping(viewer, authenticator, Action.CLOSE_ACCOUNT))
    await jobs_of_closing.close_accounts()
    assert await status(superuser, viewer) == ("ACTIVE", AccountStatus.OPEN), "not before its time"
    await people.pass_time(superuser, WEEK + 60)
    await jobs_of_closing.close_accounts()
    await jobs_of_closing.close_accounts()

    assert await status(superuser, viewer) == ("CLOSED", AccountStatus.CLOSED)
    assert await closing_states(superuser, viewer) == ["CLOSED"]
    with pytest.raises(refusals.NotSignedIn):
        await identity.viewer_status_events(ANONYMOUS).__anext__()
    with pytest.raises(refusals.WrongCredentials):
        await people.challenged(number, address=ADDRESS)
    with pytest.raises(refusals.PasskeyInvalid):
        await keys.signed_in(authenticator)
    anew = await people.resident(superuser, number, key=key, told=told)
    await keys.added(anew, authenticator)
    assert anew.user_id != viewer.user_id
    assert anew.account_id != viewer.account_id
    assert (await checking.verified(superuser)).faults == []


@pytest.mark.usefixtures("workers_town")
async def test_an_applicant_without_a_wallet_can_leave_too(superuser: asyncpg.Connection) -> None:
    applicant = (await people.registered(superuser, people.phone())).viewer
    await ask(applicant)
    await people.pass_time(superuser, WEEK + 60)
    await jobs_of_closing.close_accounts()

    row = await superuser.fetchrow(
        "select status, phone, name from users where id = $1", applicant.user_id
    )
    assert tuple(row or ()) == ("CLOSED", b"", b"")


@pytest.mark.usefixtures("workers_town")
async def test_money_that_came_during_the_week_stops_the_closing(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await town.resident()
    await ask(viewer)
    assert viewer.account_id is not None
    await factories.send(superuser, factories.top_up(viewer.account_id, 700))
    await people.pass_time(superuser, WEEK + 60)
    await jobs_of_closing.close_accounts()

    assert await status(superuser, viewer) == ("ACTIVE", AccountStatus.OPEN)
    assert await closing_states(superuser, viewer) == ["STOPPED"]
    assert (await people.again(viewer)).account_id == viewer.account_id, "still signed in"


@pytest.mark.usefixtures("workers_town")
async def test_money_between_the_last_look_and_the_ledger_lets_the_owner_in_again(
    superuser: asyncpg.Connection,
) -> None:
    number = people.phone()
    viewer, sender = await town.resident(number=number), await town.resident(balance=900)
    closing = await ask(viewer)
    await people.pass_time(superuser, WEEK + 60)
    async with unit_of_work() as work:
        begun = await verbs.begin(work, closing.id)
    assert begun is not None
    handed_in = await identity_check(superuser, viewer, name="李雷", id_number=people.id_number())
    await nightly.review_identity({"check_id": str(handed_in)})
    with pytest.raises(refusals.AccountNotActive):
        await people.challenged(number, address=ADDRESS)
    await factories.send(
        superuser,
        await factories.proven(
            superuser,
            ledger.instruct(
                actor_id=sender.user_id,
                operation=Operation.TRANSFER,
                key=town.key(),
                legs=ledger.move(sender.account_id, viewer.account_id, 5),
            ),
        ),
    )
    await jobs_of_closing.close_accounts()

    assert await town.balance(viewer.account_id) == 5
    assert await status(superuser, viewer) == ("ACTIVE", AccountStatus.OPEN)
    assert await closing_states(superuser, viewer) == ["STOPPED"]
    await jobs.work_off()
    kinds = await superuser.fetch("select kind from notice where user_id = $1", viewer.user_id)
    news = {"CLOSING_STOPPED", "TRANSFER_RECEIVED", "IDENTITY_REFERRED"}
    assert {row["kind"] for row in kinds} >= news, "and nothing that waited is forgotten"
    assert (await checking.verified(superuser)).faults == []


@pytest.mark.usefixtures("workers_town")
async def test_nothing_new_begins_once_the_owner_is_shut_out(
    superuser: asyncpg.Connection,
) -> None:
    """Requests that were let in just before still carry the old viewer."""
    viewer = await town.resident()
    linked = await card(viewer)
    closing = await ask(viewer)
    await people.pass_time(superuser, WEEK + 60)
    async with unit_of_work() as work:
        await verbs.begin(work, closing.id)

    with pytest.raises(refusals.AccountNotActive):
        await topups.create_top_up(viewer, card_id=linked.id, amount_minor=100, key=town.key())
    with pytest.raises(refusals.AccountNotActive):
        await card(viewer, "6225880000009999")
    assert await superuser.fetchval("select count(*) from top_up") == 0
    assert await superuser.fetchval("select count(*) from bank_card") == 1


@pytest.mark.usefixtures("workers_town")
async def test_a_top_up_and_a_closing_at_once_never_both_happen(
    superuser: asyncpg.Connection,
) -> None:
    ends = set()
    for number in range(10):
        viewer = await town.resident()
        linked = await card(viewer)
        closing = await ask(viewer)
        await people.pass_time(superuser, WEEK + 60)
        lock = superuser.transaction()
        await lock.start()
        await superuser.execute("select from users where id = $1 for update", viewer.user_id)
        asks = [_top_up(viewer, linked.id), _begin(closing.id)]
        both = []
        for place in (0, 1) if number % 2 else (1, 0):
            both.append(asyncio.create_task(asks[place]))
            await _wait(superuser, len(both))
        await lock.commit()
        first, second = await asyncio.gather(*both)
        ends.add((first, second))

    assert ends == {(True, False)}, "whoever came first, and only that one"


@pytest.mark.usefixtures("workers_town")
async def test_signing_in_and_the_end_of_the_week_at_once_never_both_happen(
    superuser: asyncpg.Connection,
) -> None:
    for number in range(6):
        phone, key = people.phone(), DeviceKey()
        viewer = await people.resident(superuser, phone, key=key)
        closing = await ask(viewer)
        await people.pass_time(superuser, WEEK + 60)
        challenge = await people.challenged(phone)
        lock = superuser.transaction()
        await lock.start()
        await superuser.execute("select from closing where id = $1 for update", closing.id)
        asks = [_signs_in(challenge, key), _begin(closing.id)]
        both = []
        for place in (0, 1) if number % 2 else (1, 0):
            both.append(asyncio.create_task(asks[place]))
            await _wait(superuser, len(both))
        await lock.commit()

        assert await asyncio.gather(*both) == [True, False], "whoever came first"
        alive = await superuser.fetchval(
            "select count(*) from session where user_id = $1 and revoked_at is null",
            viewer.user_id,
        )
        end = ("ACTIVE", ["CANCELLED"], 2) if number % 2 else ("CLOSED", ["CLOSING"], 0)
        states = await closing_states(superuser, viewer)
        assert ((await status(superuser, viewer))[0], states, alive) == end


async def _signs_in(challenge: Challenged, key: DeviceKey) -> bool:
    try:
        await people.complete(challenge, key)
    except refusals.NotSignedIn:
        return False
    return True


async def _top_up(viewer: Viewer, card_id: Any) -> bool:
    try:
        await topups.create_top_up(viewer, card_id=card_id, amount_minor=1, key=town.key())
    except refusals.AccountNotActive:
        return False
    return True


async def _begin(closing_id: Any) -> bool:
    async with unit_of_work() as work:
        return await verbs.begin(work, closing_id) is not None


async def _wait(superuser: asyncpg.Connection, count: int) -> None:
    async with asyncio.timeout(10):
        while await _waiting(superuser) < count:  # noqa: ASYNC110 - the lock is in PostgreSQL
            await asyncio.sleep(0.005)


async def _waiting(superuser: asyncpg.Connection) -> int:
    await superuser.execute("select pg_stat_clear_snapshot()")  # kept for the whole transaction
    return await superuser.fetchval(
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
        " and datname = current_database()"
    )
