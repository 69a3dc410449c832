"""Crashes between us and the bank, which really runs, and the same call again."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import asyncpg
import msgspec
import pytest
from pydantic import SecretStr

from domain.identity import Viewer
from infra import bank, settings, signing
from resolvers import topups, wallets
from services import wallets as services_wallets
from services.unit_of_work import unit_of_work
from tests import movement as town
from tests import people
from tests.infra import sandboxes
from tests.money.crashes import Case, Verbs, leaves
from workers.topups import poll_top_ups, settle_top_up, start_top_up

VERBS = Verbs()
NORMAL, POOR = "6217000000000014", "6299010000000014"
_TOP_UPS = """
select a.posted, a.seq,
       (select array_agg(array[t.state::text, t.failure_code::text, (t.asked_count > 0)::text])
          from top_up t where t.account_id = a.id),
       (select array_agg(o.job order by o.job) from ledger.outbox o join top_up t
            on o.args ->> 'top_up_id' = t.id::text where t.account_id = a.id),
       (select count(*) from bank_event e join top_up t on e.reference = t.id::text
         where t.account_id = a.id),
       (select array_agg(n.kind::text) from notice n where n.user_id = a.owner_id),
       (select count(*) from bank_card c where c.user_id = a.owner_id and c.removed_at is null)
  from ledger.account a where a.id = $1"""


@pytest.fixture
async def city_bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    secret = SecretStr(sandboxes.CALLBACK_SECRET)
    monkeypatch.setattr(settings.get_settings(), "bank_callback_secret", secret)
    with sandboxes.running("bank", tmp_path) as server:
        server.behave(settle_ms=0)
        async with bank.HttpBank(url=server.url, secret=sandboxes.SECRET) as opened:
            bank.use(opened)
            yield
            bank.use(None)


async def _asked(number: str) -> tuple[Viewer, UUID]:
    """A resident and a top-up that they have asked for."""
    viewer = await town.resident()
    card = await wallets.link_bank_card(viewer, number=number)
    asked = await topups.create_top_up(
        viewer, card_id=card.id, amount_minor=5_000, key=town.key("top-up")
    )
    return viewer, asked.id


@VERBS.covering("resolvers.wallets.link_bank_card")
async def linking_a_card(superuser: asyncpg.Connection) -> Case:
    viewer = await town.resident()

    async def run() -> None:
        await wallets.link_bank_card(viewer, number=NORMAL)

    return Case(run, leaves(superuser, _TOP_UPS, viewer.account_id))


@VERBS.covering("resolvers.topups.create_top_up")
async def asking_for_a_top_up(superuser: asyncpg.Connection) -> Case:
    viewer, key = await town.resident(), town.key("top-up")
    async with unit_of_work() as work:
        card = await services_wallets.keep_card(
            work,
            user_id=viewer.user_id,
            holder_name="王小明",
            number_index=services_wallets.card_index(NORMAL),
            linked=bank.LinkedCard(card_token="token", bank_name="Bank", last4="0014"),
        )

    async def run() -> None:
        await topups.create_top_up(viewer, card_id=card.id, amount_minor=5_000, key=key)

    return Case(run, leaves(superuser, _TOP_UPS, viewer.account_id))


@VERBS.covering("workers.topups._credit")
async def topping_up(superuser: asyncpg.Connection) -> Case:
    """The bank is asked, and asked again, and pays."""
    viewer, asked = await _asked(NORMAL)

    async def run() -> None:
        await start_top_up({"top_up_id": str(asked)})
        await settle_top_up({"top_up_id": str(asked)})

    return Case(run, leaves(superuser, _TOP_UPS, viewer.account_id))


@VERBS.covering("workers.topups._fail")
async def being_declined(superuser: asyncpg.Connection) -> Case:
    viewer, asked = await _asked(POOR)

    async def run() -> None:
        await start_top_up({"top_up_id": str(asked)})
        await settle_top_up({"top_up_id": str(asked)})

    return Case(run, leaves(superuser, _TOP_UPS, viewer.account_id))


@VERBS.covering("resolvers.topups.bank_called")
async def being_called_back(superuser: asyncpg.Connection) -> Case:
    viewer, asked = await _asked(NORMAL)
    event = bank.BankEvent(
        event_id=f"event-{asked}",
        pull_id=f"pull-{asked}",
        reference=str(asked),
        status=bank.PullStatus.SUCCEEDED,
        amount_minor=5_000,
        currency="CNY",
        occurred_at=datetime.now(UTC),
    )
    body = msgspec.json.encode(event)
    headers = signing.headers(
        body,
        method="POST",
        path=bank.CALLBACK_PATH,
        secret=sandboxes.CALLBACK_SECRET,
        unix_seconds=time.time(),
    )

    async def run() -> None:
        assert await topups.bank_called(headers, body, bank.CALLBACK_PATH) == 204

    return Case(run, leaves(superuser, _TOP_UPS, viewer.account_id))


@VERBS.covering("workers.topups.poll_top_ups")
async def asking_about_a_silent_bank(superuser: asyncpg.Connection) -> Case:
    viewer, _ = await _asked(NORMAL)
    await people.pass_time(superuser, 61)
    return Case(poll_top_ups, leaves(superuser, _TOP_UPS, viewer.account_id))


@pytest.mark.usefixtures("city_bank")
async def test_top_ups_survive_a_crash_at_every_point(counter, superuser) -> None:
    await VERBS.survive(superuser)
