"""Consents: asked in versions, kept as they were said, and withdrawn again."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from domain import refusals
from domain.consents import ConsentState, Purpose
from domain.identity import ANONYMOUS, Viewer
from domain.payments import Reason
from resolvers import consents, identity, payments
from services import people as services_people
from tests import movement as town
from tests import people
from tests.demo.device import DeviceKey

pytestmark = pytest.mark.usefixtures("app")


async def states(viewer: Viewer) -> dict[str, str]:
    return {one.asked.purpose: one.state for one in await consents.own_consents(viewer)}


async def said(superuser: asyncpg.Connection, viewer: Viewer) -> list[tuple[str, int, bool]]:
    rows = await superuser.fetch(
        "select purpose, version, given from consent where user_id = $1 order by said_at, id",
        viewer.user_id,
    )
    return [tuple(row) for row in rows]


async def new_version(superuser: asyncpg.Connection, purpose: str, *, from_now: str) -> None:
    await superuser.execute(
        "insert into consent_version(id, purpose, version, effective_from, text_zh, text_en)"
        " values (9, $1, 2, ledger.now() + $2::text::interval, '新条款', 'New terms')",
        purpose,
        from_now,
    )


async def test_registering_keeps_what_was_agreed_to_with_its_session(
    superuser: asyncpg.Connection,
) -> None:
    viewer = (await people.registered(superuser, people.phone())).viewer

    assert await said(superuser, viewer) == [("TERMS", 1, True), ("PRIVACY", 1, True)]
    sessions = await superuser.fetch("select distinct session_id from consent")
    assert [row["session_id"] for row in sessions] == [viewer.session_id]
    assert await states(viewer) == {
        "TERMS": "GIVEN",
        "PRIVACY": "GIVEN",
        "PERSONALISATION": "NEVER_ASKED",
    }


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ([], refusals.ConsentRequired),
        ([(Purpose.TERMS, 1)], refusals.ConsentRequired),
        ([(Purpose.TERMS, 1), (Purpose.PERSONALISATION, 1)], refusals.ConsentRequired),
        ([(Purpose.TERMS, 2), (Purpose.PRIVACY, 1)], refusals.StaleVersion),
        ([(Purpose.TERMS, 0), (Purpose.PRIVACY, 1)], refusals.StaleVersion),
    ],
)
async def test_nobody_registers_without_the_terms_of_today(
    superuser: asyncpg.Connection,
    given: list[tuple[Purpose, int]],
    refusal: type[refusals.Refusal],
) -> None:
    number = people.phone()
    await people.ask_code(number)
    verification_id, code = await people.verification_of(superuser, number)
    with pytest.raises(refusal) as refused:
        await identity.register(
            ANONYMOUS,
            name="王小明",
            phone=number,
            verification_id=verification_id,
            code=code,
            password=people.PASSWORD,
            language="zh-CN",
            device=people.described(DeviceKey()),
            address=people.ADDRESS,
            given=given,
        )

    assert refused.value.path == ("input", "consents")
    for table in ("users", "consent", "session"):
        assert await superuser.fetchval(f"select count(*) from {table}") == 0
    assert await superuser.fetchval("select used_at from verification_code") is None
    assert not await _exists(superuser, number)


async def _exists(superuser: asyncpg.Connection, number: str) -> bool:
    return await superuser.fetchval(
        "select exists (select from users where phone_index = $1)",
        services_people.phone_index(number),
    )


async def test_what_is_required_is_withdrawn_by_closing_only(superuser: asyncpg.Connection) -> None:
    viewer = (await people.registered(superuser, people.phone())).viewer
    before = await said(superuser, viewer)
    for purpose in (Purpose.TERMS, Purpose.PRIVACY):
        with pytest.raises(refusals.ConsentRequired):
            await consents.withdraw_consent(viewer, purpose=purpose)

    assert await said(superuser, viewer) == before


async def test_giving_and_withdrawing_is_kept_word_for_word_and_again_changes_nothing(
    superuser: asyncpg.Connection,
) -> None:
    viewer = (await people.registered(superuser, people.phone())).viewer
    purpose = Purpose.PERSONALISATION
    for _ in range(2):
        given = await consents.give_consent(viewer, purpose=purpose, version=1)
    for _ in range(2):
        withdrawn = await consents.withdraw_consent(viewer, purpose=purpose)
    again = await consents.give_consent(viewer, purpose=purpose, version=1)

    assert (given.state, given.withdrawn_at) == (ConsentState.GIVEN, None)
    assert withdrawn.state is ConsentState.WITHDRAWN
    assert withdrawn.given_at == given.given_at
    assert withdrawn.withdrawn_at is not None
    assert again.given_at is not None
    assert again.given_at > withdrawn.withdrawn_at
    words = [(v, g) for p, v, g in await said(superuser, viewer) if p == purpose]
    assert words == [(1, True), (1, False), (1, True)]


async def test_of_many_words_at_once_none_is_kept_twice(superuser: asyncpg.Connection) -> None:
    viewer = (await people.registered(superuser, people.phone())).viewer
    purpose = Purpose.PERSONALISATION
    await asyncio.gather(*(consents.withdraw_consent(viewer, purpose=purpose) for _ in range(12)))

    assert [word for word in await said(superuser, viewer) if word[0] == purpose] == [
        (purpose, 1, False)
    ]


async def test_a_new_version_is_asked_for_from_its_day_on_and_the_old_one_refused(
    superuser: asyncpg.Connection,
) -> None:
    viewer = (await people.registered(superuser, people.phone())).viewer
    await new_version(superuser, "TERMS", from_now="2 days")
    with pytest.raises(refusals.StaleVersion):
        await consents.give_consent(viewer, purpose=Purpose.TERMS, version=2)
    await people.pass_time(superuser, 3 * 86_400)

    [terms, *_] = await consents.consent_purposes(ANONYMOUS)
    assert (terms.purpose, terms.version, terms.text_en) == (Purpose.TERMS, 2, "New terms")
    assert (await states(viewer))["TERMS"] == "OUTDATED"
    with pytest.raises(refusals.StaleVersion):
        await consents.give_consent(viewer, purpose=Purpose.TERMS, version=1)
    given = await consents.give_consent(viewer, purpose=Purpose.TERMS, version=2)
    assert (given.state, given.version) == (ConsentState.GIVEN, 2)


async def test_the_logins_cannot_rewrite_what_was_said(
    superuser: asyncpg.Connection, api: asyncpg.Connection, worker: asyncpg.Connection
) -> None:
    viewer = (await people.registered(superuser, people.phone())).viewer
    before = await said(superuser, viewer)
    for login in (api, worker):
        for statement in (
            "update consent set given = true",
            "update consent_version set text_zh = ''",
            "insert into consent_purpose values ('X', false, '', '')",
            "update retention_rule set kept_days = 0",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await login.execute(statement)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await api.execute("delete from consent")

    assert await said(superuser, viewer) == before


@pytest.mark.usefixtures("counter")
async def test_whoever_withdraws_personalisation_gets_the_default_order_and_is_told_why() -> None:
    payer = await town.resident(balance=1_000, allowance=(5_000, 9))
    _, shop = await town.shop()
    await town.pay(payer, shop, 100)

    async def first() -> Reason:
        [(way, _), *_] = await payments.payment_methods(payer, amount_minor=100)
        assert way.recommended
        return way.reason

    assert await first() is Reason.USUAL
    await consents.withdraw_consent(payer, purpose=Purpose.PERSONALISATION)
    assert await first() is Reason.DEFAULT_ORDER
    [(short, _), *_] = await payments.payment_methods(payer, amount_minor=100_000)
    assert short.reason is Reason.INSUFFICIENT_BALANCE
    await consents.give_consent(payer, purpose=Purpose.PERSONALISATION, version=1)
    assert await first() is Reason.USUAL
