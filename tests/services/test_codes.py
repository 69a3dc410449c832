"""Verification codes against real PostgreSQL, with races staged by a barrier."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from domain import codes as rules
from domain import refusals
from domain.identity import CodePurpose
from infra import settings
from services.identity import codes
from services.unit_of_work import unit_of_work
from tests import people as make
from tests import races

pytestmark = pytest.mark.usefixtures("app")
RACERS = 50  # `tests.races` takes any number; 1,000 belong to `make prove`


async def ask(
    phone: str,
    purpose: CodePurpose = CodePurpose.REGISTER,
    *,
    address: str = "192.0.2.1",
    subject: str = "",
) -> UUID:
    async with unit_of_work() as work:
        requested = await codes.request(
            work, phone=phone, purpose=purpose, address=address, language="en", subject=subject
        )
    return requested.verification_id


async def spend(
    phone: str, proof: tuple[UUID, str], purpose: CodePurpose = CodePurpose.REGISTER, **more: str
) -> codes.Tried:
    async with unit_of_work() as work:
        return await codes.spend_try(
            work, phone=phone, purpose=purpose, verification_id=proof[0], code=proof[1], **more
        )


def wrong(proof: tuple[UUID, str]) -> tuple[UUID, str]:
    return proof[0], f"{(int(proof[1]) + 1) % 1_000_000:06d}"


async def asked(superuser: asyncpg.Connection, phone: str) -> tuple[UUID, str]:
    await ask(phone)
    return await make.verification_of(superuser, phone)


async def refused(call: Callable[[], Awaitable[Any]]) -> int:
    """After how many seconds a request that is refused may be repeated."""
    with pytest.raises(refusals.RateLimited) as caught:
        await call()
    return caught.value.retry_after_seconds


# --- trying and using -------------------------------------------------------------------------


async def test_a_right_code_is_found_and_used_once(superuser: asyncpg.Connection) -> None:
    phone = make.phone()
    tried = await spend(phone, await asked(superuser, phone))
    assert tried.code_id is not None

    async with unit_of_work() as work:
        await codes.use(work, tried.code_id)
    with pytest.raises(refusals.CodeInvalid):
        async with unit_of_work() as work:
            await codes.use(work, tried.code_id)


async def test_of_many_uses_of_one_code_at_once_exactly_one_wins(
    superuser: asyncpg.Connection,
) -> None:
    answers = await races.uses_of_one_code(superuser, count=RACERS)

    assert answers.pop("used") == 1
    assert sum(answers.values()) == RACERS - 1
    assert answers.keys() <= {"CODE_INVALID", "CODE_EXPIRED"}
    assert await superuser.fetchval("select count(used_at) from verification_code") == 1


async def test_five_tries_kill_a_code_also_for_the_right_one(
    superuser: asyncpg.Connection,
) -> None:
    phone = make.phone()
    proof = await asked(superuser, phone)

    answers = await races.at_once(40, lambda _: spend(phone, wrong(proof)))

    kinds = [type(answer.refusal) for answer in answers]
    assert kinds.count(refusals.CodeInvalid) == 5
    assert kinds.count(refusals.CodeExpired) == 35
    assert isinstance((await spend(phone, proof)).refusal, refusals.CodeExpired)


async def test_a_code_dies_after_five_minutes(superuser: asyncpg.Connection) -> None:
    phone = make.phone()
    proof = await asked(superuser, phone)
    await make.pass_time(superuser, 301)
    assert isinstance((await spend(phone, proof)).refusal, refusals.CodeExpired)


async def test_a_code_is_for_its_phone_purpose_request_and_subject_and_else_costs_no_try(
    superuser: asyncpg.Connection,
) -> None:
    phone = make.phone()
    await ask(phone, CodePurpose.PAYMENT, subject="challenge-1")
    proof = await make.verification_of(superuser, phone, CodePurpose.PAYMENT)
    right: dict[str, Any] = {"purpose": CodePurpose.PAYMENT, "subject": "challenge-1"}

    for answer in (
        await spend(make.phone(), proof, **right),
        await spend(phone, (uuid4(), proof[1]), **right),
        await spend(phone, proof, CodePurpose.LOGIN, subject="challenge-1"),
        await spend(phone, proof, CodePurpose.PAYMENT, subject="challenge-2"),
        await spend(phone, proof, CodePurpose.PAYMENT),
    ):
        assert answer.code_id is None
        assert isinstance(answer.refusal, refusals.CodeInvalid)
    assert await superuser.fetchval("select tries_left from verification_code") == 5
    assert (await spend(phone, proof, **right)).code_id == proof[0]


async def test_a_later_request_leaves_the_code_of_an_earlier_one_as_good_as_it_was(
    superuser: asyncpg.Connection,
) -> None:
    phone = make.phone()
    own = await asked(superuser, phone)
    await make.pass_time(superuser, 61)
    strangers = await asked(superuser, phone)

    assert (await spend(phone, (strangers[0], own[1]))).code_id is None
    for _ in range(5):
        await spend(phone, wrong(strangers))
    assert (await spend(phone, own)).code_id == own[0]


# --- how many are sent ------------------------------------------------------------------------


async def test_of_many_requests_at_once_one_is_sent(superuser: asyncpg.Connection) -> None:
    phone = make.phone()
    answers = await races.at_once(20, lambda _: races.patiently(lambda: make.ask_code(phone)))

    late = [answer for answer in answers if isinstance(answer, refusals.RateLimited)]
    assert len(late) == 19
    assert all(0 < refusal.retry_after_seconds <= 60 for refusal in late)
    assert await superuser.fetchval("select count(*) from verification_code") == 1
    assert await superuser.fetchval("select count(*) from ledger.outbox") == 1
    assert await superuser.fetchval("select count from code_total where period = 'DAY'") == 1


async def test_codes_are_capped_per_phone_and_hour_and_day(superuser: asyncpg.Connection) -> None:
    phone, caps = make.phone(), settings.get_settings()
    for number in range(caps.code_daily_max_per_phone):
        if number == caps.code_hourly_max_per_phone:
            wait_seconds = await refused(lambda: ask(phone))
            assert 3000 < wait_seconds <= 3600
            await make.pass_time(superuser, wait_seconds)
        await ask(phone)
        await make.pass_time(superuser, 61)

    await make.pass_time(superuser, 3600)
    assert await refused(lambda: ask(phone)) > 3600 * 20


async def test_codes_are_capped_per_address_whatever_the_phones() -> None:
    for _ in range(settings.get_settings().code_hourly_max_per_address):
        await ask(make.phone(), address="198.51.100.9")

    await refused(lambda: ask(make.phone(), address="198.51.100.9"))
    await ask(make.phone(), address="198.51.100.10")


@pytest.mark.parametrize(
    ("setting", "pause_seconds"), [("hourly", 3600), ("daily", 86_400)], ids=["hour", "day"]
)
async def test_codes_are_capped_over_all_phones_and_addresses(
    superuser: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    pause_seconds: int,
) -> None:
    monkeypatch.setattr(settings.get_settings(), f"code_{setting}_max_total", 3)

    async def one(number: int) -> UUID:
        return await ask(make.phone(), address=f"198.51.100.{number}")

    answers = await races.at_once(20, one)
    assert sum(isinstance(answer, UUID) for answer in answers) == 3
    assert sum(isinstance(answer, refusals.RateLimited) for answer in answers) == 17
    assert await superuser.fetchval("select count(*) from ledger.outbox") == 3
    wait_seconds = await refused(lambda: one(99))
    assert 0 < wait_seconds <= pause_seconds
    await make.pass_time(superuser, wait_seconds)
    await one(99)


async def test_strangers_who_use_up_the_texts_leave_those_of_logins_and_payments(
    superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = make.phone()
    monkeypatch.setattr(settings.get_settings(), "code_hourly_max_total", 5)
    now = await superuser.fetchval("select ledger.now()")
    await make.pass_time(superuser, 3_600 - now.minute * 60 - now.second)  # a whole hour ahead
    for _ in range(5):
        await ask(phone, CodePurpose.RESET_PASSWORD)
        await make.pass_time(superuser, 61)

    await refused(lambda: ask(phone, CodePurpose.RESET_PASSWORD))
    await refused(lambda: ask(make.phone(), CodePurpose.REGISTER))
    await ask(phone, CodePurpose.LOGIN, subject="challenge")
    await ask(phone, CodePurpose.PAYMENT, subject="challenge")


# --- what is sent -----------------------------------------------------------------------------


@pytest.mark.parametrize("purpose", CodePurpose)
@pytest.mark.parametrize("language", ["zh-CN", "en"])
def test_a_text_holds_the_code_once_and_says_what_it_is_for(
    purpose: CodePurpose, language: str
) -> None:
    others = {rules.text(p, "407913", language=language) for p in CodePurpose if p is not purpose}
    text = rules.text(purpose, "407913", language=language)
    assert text.count("407913") == 1
    assert text not in others


async def test_what_a_request_writes_is_the_same_for_known_and_unknown_phones(
    superuser: asyncpg.Connection,
) -> None:
    known, unknown = make.phone(), make.phone()
    await make.resident(superuser, known)
    statements: list[list[str]] = []
    for phone in (known, unknown):
        async with unit_of_work() as work:
            said: list[str] = []
            superuser_of = work.connection
            superuser_of.add_query_logger(lambda record, said=said: said.append(record.query))
            await codes.request(
                work,
                phone=phone,
                purpose=CodePurpose.RESET_PASSWORD,
                address="192.0.2.1",
                language="en",
            )
            superuser_of._query_loggers.clear()
            statements.append(said)
    assert statements[0] == statements[1]
    assert len(statements[0]) > 4
    rows = await superuser.fetch(
        "select length(code), tries_left, job from verification_code, ledger.outbox"
        " where purpose = 'RESET_PASSWORD' and args ->> 'code_id' = verification_code.id::text"
    )
    assert len(rows) == 2
    assert rows[0] == rows[1]
