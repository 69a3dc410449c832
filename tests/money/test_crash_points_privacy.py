"""Crashes while people agree, leave, or take their data along; and the same call again."""

from __future__ import annotations

import itertools

import asyncpg
import pytest

from domain import closings as rules
from domain import refusals
from domain.consents import Purpose
from domain.identity import ANONYMOUS, Viewer
from domain.proofs import Password
from resolvers import closings, consents, exports
from services.exports import orders
from services.identity import closings as verbs
from services.unit_of_work import unit_of_work
from tests import movement as town
from tests import people
from tests.money.crashes import Case, Verbs, leaves
from workers import closings as closing_jobs
from workers import exports as export_jobs

VERBS = Verbs()
_addresses = itertools.count(1)


def _address() -> str:
    """Where nobody has called from."""
    number = next(_addresses)
    return f"100.66.{number // 250}.{number % 250}"


_SAID = "select purpose, version, given from consent where user_id = $1 order by said_at"


@VERBS.covering("resolvers.consents.give_consent")
async def agreeing(superuser: asyncpg.Connection) -> Case:
    viewer = await town.resident()

    async def run() -> None:
        await consents.give_consent(viewer, purpose=Purpose.TERMS, version=1)

    return Case(run, leaves(superuser, _SAID, viewer.user_id))


@VERBS.covering("resolvers.consents.withdraw_consent")
async def withdrawing(superuser: asyncpg.Connection) -> Case:
    viewer = await town.resident()

    async def run() -> None:
        await consents.withdraw_consent(viewer, purpose=Purpose.PERSONALISATION)

    return Case(run, leaves(superuser, _SAID, viewer.user_id))


_EXPORT = (
    "select state, part, pieces > 18, password = '',"
    " (select count(*) from data_export_piece p where p.export_id = e.id) = pieces,"
    " (select count(*) from notice n where n.user_id = e.user_id),"
    " (select count(*) from ledger.outbox where args ->> 'export_id' = e.id::text) > 0"
    " from data_export e where user_id = $1"
)


@VERBS.covering("resolvers.exports.export_my_data", "resolvers.proofs._by_password")
async def asking_for_a_copy(superuser: asyncpg.Connection) -> Case:
    viewer, address = await town.resident(pin=False), _address()

    async def run() -> None:
        try:
            await exports.export_my_data(viewer, proof=Password(people.PASSWORD, address))
        except refusals.ExportUnderWay:
            return  # the answer was lost, and with it the password: another can be asked for later

    return Case(run, leaves(superuser, _EXPORT, viewer.user_id))


async def _ordered() -> tuple[Viewer, orders.Ordered]:
    viewer = await town.resident()
    async with unit_of_work() as work:
        ordered = await orders.order(work, user_id=viewer.user_id, session_id=None)
    return viewer, ordered


@VERBS.covering("workers.exports._write_page")
async def writing_a_copy(superuser: asyncpg.Connection) -> Case:
    viewer, ordered = await _ordered()
    # Near its end: each part is the same loop, and the end is another.
    await superuser.execute("update data_export set part = parts - 1")

    async def run() -> None:
        await export_jobs.export_data({"export_id": str(ordered.export.id)})

    return Case(run, leaves(superuser, _EXPORT, viewer.user_id))


@VERBS.covering("workers.exports.export_data")
async def writing_a_long_copy(superuser: asyncpg.Connection) -> Case:
    viewer, ordered = await _ordered()
    await superuser.execute(
        "delete from ledger.outbox where args ->> 'export_id' = $1", str(ordered.export.id)
    )
    await superuser.execute("update data_export set part = parts - 2")

    async def run() -> None:
        kept, export_jobs.PAGES_AT_ONCE_MAX = export_jobs.PAGES_AT_ONCE_MAX, 1
        try:
            await export_jobs.export_data({"export_id": str(ordered.export.id)})
        finally:
            export_jobs.PAGES_AT_ONCE_MAX = kept

    # Begun again it is a page further, and has the rest done by another job all the same.
    return Case(
        run,
        leaves(
            superuser,
            "select state <> 'WAITING', (select count(*) from ledger.outbox"
            " where args ->> 'export_id' = e.id::text) >= 1 from data_export e where user_id = $1",
            viewer.user_id,
        ),
    )


@VERBS.covering("resolvers.exports.download")
async def fetching_a_copy(superuser: asyncpg.Connection) -> Case:
    viewer, ordered = await _ordered()
    await export_jobs.export_data({"export_id": str(ordered.export.id)})
    [ready] = await exports.data_exports(viewer)
    assert ready.url is not None
    token = ready.url.rpartition("/")[2]

    async def run() -> None:
        assert await exports.download(ANONYMOUS, token) is not None

    question = "select fetched_at is not null from data_export where user_id = $1"
    return Case(run, leaves(superuser, question, viewer.user_id))


@VERBS.covering("workers.exports.expire_exports")
async def forgetting_copies(superuser: asyncpg.Connection) -> Case:
    viewer, ordered = await _ordered()
    await export_jobs.export_data({"export_id": str(ordered.export.id)})
    await superuser.execute("update data_export set expires_at = now() - interval '1 hour'")
    return Case(export_jobs.expire_exports, leaves(superuser, _EXPORT, viewer.user_id))


_CLOSING = (
    "select c.state, u.status, u.phone = '', (select status from ledger.account a"
    " where a.owner_id = u.id), (select array_agg(kind::text order by seq) from notice n"
    " where n.user_id = u.id), (select count(*) from session s where s.user_id = u.id"
    " and s.revoked_at is null), (select count(*) from retained_identity r where r.user_id = u.id),"
    " (select count(*) from audit_entry where object = 'user:' || u.id)"
    " from users u left join closing c on c.user_id = u.id where u.id = $1"
)


@VERBS.covering("resolvers.closings.close_my_account")
async def asking_to_leave(superuser: asyncpg.Connection) -> Case:
    viewer, address = await town.resident(pin=False), _address()

    async def run() -> None:
        await closings.close_my_account(viewer, proof=Password(people.PASSWORD, address))

    return Case(run, leaves(superuser, _CLOSING, viewer.user_id))


async def _leaving(superuser: asyncpg.Connection) -> tuple[Viewer, verbs.Closing]:
    viewer = await town.resident()
    async with unit_of_work() as work:
        closing = await verbs.request(work, user_id=viewer.user_id, session_id=None)
    return viewer, closing


@VERBS.covering("resolvers.closings.cancel_closing")
async def staying(superuser: asyncpg.Connection) -> Case:
    viewer, closing = await _leaving(superuser)

    async def run() -> None:
        await closings.cancel_closing(viewer, closing_id=closing.id)

    return Case(run, leaves(superuser, _CLOSING, viewer.user_id))


@VERBS.covering("workers.closings._close")
async def leaving(superuser: asyncpg.Connection) -> Case:
    viewer, _ = await _leaving(superuser)
    await _let_the_week_pass(superuser)
    return Case(closing_jobs.close_accounts, leaves(superuser, _CLOSING, viewer.user_id))


@VERBS.covering("workers.closings._close")
async def leaving_with_money_on_its_way(superuser: asyncpg.Connection) -> Case:
    """It comes after the last look, so that the ledger says no."""
    viewer, closing = await _leaving(superuser)
    await _let_the_week_pass(superuser)
    async with unit_of_work() as work:
        assert await verbs.begin(work, closing.id) is not None
    await town.desk.post(town.factories.top_up(viewer.account_id or 0, 5))
    return Case(closing_jobs.close_accounts, leaves(superuser, _CLOSING, viewer.user_id))


async def _let_the_week_pass(superuser: asyncpg.Connection) -> None:
    """For the closings alone: a clock that ran on for each crash would run out of partitions."""
    await superuser.execute(
        "update closing set due_at = due_at - $1::interval where state = 'COOLING'", rules.COOL_OFF
    )


@pytest.mark.usefixtures("workers_town")
async def test_leaving_and_taking_data_along_survive_a_crash_at_every_point(superuser) -> None:
    await VERBS.survive(superuser)
