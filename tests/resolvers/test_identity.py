"""Registering, signing in, proving, reviewing: through the functions that GraphQL calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import structlog

from domain import refusals
from domain.identity import ANONYMOUS, CodePurpose, Decision, Role, Status, Viewer
from domain.ledger import Operation
from domain.proofs import Pin
from infra import hashing, settings
from resolvers import identity, pins, proofs, registrations, sessions
from services.identity.arrivals import SignedIn
from services.unit_of_work import unit_of_work
from tests import people as make
from tests.demo.device import DeviceKey

pytestmark = pytest.mark.usefixtures("app")
ADDRESS = "192.0.2.7"


async def at_once(count: int, call: Callable[[int], Awaitable[Any]]) -> list[Any]:
    barrier = asyncio.Barrier(count)

    async def one(number: int) -> Any:
        await barrier.wait()
        return await call(number)

    return await asyncio.gather(*(one(n) for n in range(count)), return_exceptions=True)


def count(answers: list[Any], kind: type) -> int:
    return sum(isinstance(answer, kind) for answer in answers)


async def sign_in(phone: str, password: str = make.PASSWORD, address: str = ADDRESS) -> Any:
    """The first step; the second is in test_logins.py."""
    return await make.challenged(phone, password=password, address=address)


async def apply(phone: str, proof: tuple[UUID, str], **changes: str) -> SignedIn:
    given: dict[str, Any] = {"name": "王小明", "password": make.PASSWORD, "language": "en"}
    given |= {"device": make.described(DeviceKey()), "address": ADDRESS, "given": make.CONSENTS}
    verification_id, code = proof
    return await identity.register(
        ANONYMOUS, phone=phone, verification_id=verification_id, code=code, **given | changes
    )


def wrong(proof: tuple[UUID, str]) -> tuple[UUID, str]:
    return proof[0], f"{(int(proof[1]) + 1) % 1_000_000:06d}"


async def test_of_a_hundred_registrations_with_one_code_one_succeeds(
    superuser: asyncpg.Connection,
) -> None:
    phone = make.phone()
    await make.ask_code(phone)
    proof = await make.verification_of(superuser, phone)

    answers = await at_once(100, lambda _: apply(phone, proof))

    assert count(answers, SignedIn) == 1
    refused = (refusals.CodeInvalid, refusals.CodeExpired, refusals.PhoneTaken, refusals.Overloaded)
    assert sum(isinstance(answer, refused) for answer in answers) == 99
    assert await superuser.fetchval("select count(*) from users") == 1
    jobs = await superuser.fetch("select job from ledger.outbox where job = 'review_registration'")
    assert len(jobs) == 1


async def test_a_wrong_code_registers_nobody_and_costs_a_try(
    superuser: asyncpg.Connection,
) -> None:
    phone = make.phone()
    await make.ask_code(phone)
    proof = await make.verification_of(superuser, phone)

    with pytest.raises(refusals.CodeInvalid):
        await apply(phone, wrong(proof))

    assert await superuser.fetchval("select tries_left from verification_code") == 4
    assert await superuser.fetchval("select count(*) from users") == 0


@pytest.mark.parametrize(
    ("changes", "refusal", "field"),
    [
        ({"name": "\u200b"}, refusals.InvalidInput, "name"),
        ({"password": "password123"}, refusals.PasswordUnacceptable, "password"),
    ],
)
async def test_input_that_is_refused_costs_no_try(
    superuser: asyncpg.Connection, changes: dict[str, str], refusal: type, field: str
) -> None:
    phone = make.phone()
    await make.ask_code(phone)
    with pytest.raises(refusal) as caught:
        await apply(phone, await make.verification_of(superuser, phone), **changes)
    assert caught.value.path == ("input", field)
    assert await superuser.fetchval("select tries_left from verification_code") == 5


async def test_a_known_phone_is_told_so_only_after_its_code(superuser: asyncpg.Connection) -> None:
    phone = make.phone()
    await make.resident(superuser, phone)
    await make.pass_time(superuser, 61)
    known = await make.ask_code(phone)
    unknown = await make.ask_code(make.phone())
    assert replace(known, verification_id=unknown.verification_id) == replace(
        unknown, expires_at=known.expires_at
    )
    proof = await make.verification_of(superuser, phone)

    with pytest.raises(refusals.CodeInvalid):
        await apply(phone, wrong(proof))
    with pytest.raises(refusals.PhoneTaken):
        await apply(phone, proof)


async def test_who_may_ask_for_which_code(superuser: asyncpg.Connection) -> None:
    phone = make.phone()
    viewer = await make.resident(superuser, phone)
    for purpose in (
        CodePurpose.LOGIN,
        CodePurpose.PAYMENT,
        CodePurpose.CHANGE_PHONE,
        CodePurpose.REPLACE_PHONE,
        CodePurpose.RESET_PASSWORD,
    ):
        with pytest.raises(refusals.InvalidInput) as caught:
            await make.ask_code(phone, purpose=purpose, viewer=viewer)
        assert caught.value.path == ("input", "purpose")
    with pytest.raises(refusals.NotSignedIn):
        await make.ask_code(phone, purpose=CodePurpose.STEP_UP)
    with pytest.raises(refusals.InvalidInput) as caught:
        await make.ask_code(make.phone(), purpose=CodePurpose.STEP_UP, viewer=viewer)
    assert caught.value.path == ("input", "phone")
    asked = "select count(*) from verification_code where purpose <> 'REGISTER'"
    assert await superuser.fetchval(asked) == 0

    await make.ask_code(phone, purpose=CodePurpose.STEP_UP, viewer=viewer)
    assert await superuser.fetchval(asked) == 1


@pytest.mark.parametrize("proof", [(None, "123456"), (uuid4(), "12345"), (uuid4(), "１２３４５６")])
async def test_what_can_be_no_request_or_no_code_is_not_looked_up(
    superuser: asyncpg.Connection, proof: tuple[Any, str]
) -> None:
    phone = make.phone()
    await make.ask_code(phone)
    with pytest.raises(refusals.CodeInvalid):
        await apply(phone, proof)
    assert await superuser.fetchval("select tries_left from verification_code") == 5


async def test_an_unknown_phone_and_a_wrong_password_are_answered_alike(
    superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = make.phone()
    await make.resident(superuser, phone)
    asked: list[bytes] = []
    run = hashing.Hasher.run

    async def counted(hasher: hashing.Hasher, secret: bytes, stored: bytes) -> bytes:
        asked.append(stored[:7])
        return await run(hasher, secret, stored)

    monkeypatch.setattr(hashing.Hasher, "run", counted)
    answers = []
    for number in (phone, make.phone()):
        with pytest.raises(refusals.WrongCredentials) as caught:
            await sign_in(number, "not the password")
        answers.append((caught.value.code, caught.value.path, caught.value.message("en")))

    assert answers[0] == answers[1]
    assert asked == [b"$2b$04$"] * 2, "one hash each, of the same cost"


async def test_whoever_is_pending_or_rejected_may_sign_in_and_the_closed_may_not(
    superuser: asyncpg.Connection,
) -> None:
    phone, key = make.phone(), DeviceKey()
    pending = await make.registered(superuser, phone, name="测试", key=key)
    assert (await make.signed_in_again(phone, key)).viewer.status is Status.PENDING_REVIEW
    await make.reviewed(pending.viewer.user_id)
    assert (await make.signed_in_again(phone, key)).viewer.status is Status.REJECTED

    await superuser.execute("update users set status = 'CLOSED'")
    with pytest.raises(refusals.AccountNotActive):
        await sign_in(phone)
    with pytest.raises(refusals.WrongCredentials):
        await sign_in(phone, "not the password")


async def test_fifty_guesses_at_once_hash_five_and_the_owner_gets_in_after_the_delay(
    superuser: asyncpg.Connection,
) -> None:
    phone = make.phone()
    await make.resident(superuser, phone)

    answers = await at_once(50, lambda n: sign_in(phone, f"guess number {n}", f"192.0.2.{n}"))

    assert count(answers, refusals.WrongCredentials) == 5
    assert count(answers, refusals.RateLimited) == 45
    with pytest.raises(refusals.RateLimited) as caught:
        await sign_in(phone)
    await make.pass_time(superuser, caught.value.retry_after_seconds)
    assert (await sign_in(phone)).methods
    with pytest.raises(refusals.WrongCredentials):
        await sign_in(phone, "one wrong guess is free again")


async def test_guessing_phones_from_one_address_is_slowed_down() -> None:
    answers = []
    for _ in range(31):
        try:
            await sign_in(make.phone(), "guess", "203.0.113.5")
        except refusals.Refusal as refusal:
            answers.append(refusal)
    assert count(answers, refusals.WrongCredentials) == 30
    assert count(answers, refusals.RateLimited) == 1


async def test_the_delay_grows_with_every_failure(superuser: asyncpg.Connection) -> None:
    phone, waits = make.phone(), []
    for _ in range(12):
        try:
            await sign_in(phone, "guess", make.phone())
        except refusals.RateLimited as refusal:
            waits.append(refusal.retry_after_seconds)
            await make.pass_time(superuser, refusal.retry_after_seconds)
        except refusals.WrongCredentials:
            pass
    assert waits == sorted(set(waits))
    assert len(waits) >= 3


async def test_a_password_is_hashed_anew_when_the_cost_has_changed(
    superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = make.phone()
    await make.resident(superuser, phone)
    monkeypatch.setattr(settings.get_settings(), "password_cost", 5)
    await sign_in(phone)

    assert (await superuser.fetchval("select password_hash from users"))[11:].startswith("$2b$05$")
    await sign_in(phone)


async def test_a_busy_hasher_is_a_retryable_no_that_costs_no_try(
    superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = make.phone()
    viewer = await with_pin(superuser, phone)

    async def busy(hasher: hashing.Hasher, secret: bytes, stored: bytes) -> bytes:
        raise hashing.HasherBusy

    monkeypatch.setattr(hashing.Hasher, "run", busy)
    for _ in range(8):
        with pytest.raises(refusals.Overloaded):
            await sign_in(phone)
        with pytest.raises(refusals.Overloaded):
            await prove(viewer, make.PIN)
    monkeypatch.undo()
    await sign_in(phone)
    await prove(viewer, make.PIN)


async def with_pin(superuser: asyncpg.Connection, phone: str | None = None) -> Viewer:
    viewer = await make.resident(superuser, phone)
    return await pins.set_payment_pin(viewer, password=make.PASSWORD, pin=make.PIN, address=ADDRESS)


async def prove(viewer: Viewer, pin: str, key: str = "key") -> Any:
    return await proofs.prove(
        viewer,
        Pin(pin),
        operation=Operation.TRANSFER,
        key=key,
        input_hash=b"\x01" * 32,
        amount_minor=100,
    )


async def test_setting_a_pin_needs_the_password(superuser: asyncpg.Connection) -> None:
    viewer = await make.resident(superuser)
    with pytest.raises(refusals.WrongCredentials):
        await pins.set_payment_pin(
            viewer, password="not the password", pin=make.PIN, address=ADDRESS
        )
    assert await superuser.fetchval("select pin_hash from users") is None
    with pytest.raises(refusals.PinNotSet):
        await prove(viewer, make.PIN)

    assert (await with_pin(superuser)).pin_set


async def test_an_easy_pin_is_refused(superuser: asyncpg.Connection) -> None:
    viewer = await make.resident(superuser)
    with pytest.raises(refusals.InvalidInput) as caught:
        await pins.set_payment_pin(viewer, password=make.PASSWORD, pin="123456", address=ADDRESS)
    assert caught.value.path == ("input", "pin")


async def test_a_right_pin_leaves_a_proof_bound_to_its_instruction(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await with_pin(superuser)
    proof_id = await prove(viewer, make.PIN, key="pay-1")

    row = await superuser.fetchrow("select *, expires_at - ledger.now() as life from ledger.proof")
    assert row is not None
    assert (row["id"], row["actor_id"], row["operation"], row["key"], row["input_hash"]) == (
        proof_id,
        viewer.user_id,
        Operation.TRANSFER,
        "pay-1",
        b"\x01" * 32,
    )
    assert 0 < row["life"].total_seconds() <= 120


async def test_fifty_guesses_at_once_get_five_tries(superuser: asyncpg.Connection) -> None:
    viewer = await with_pin(superuser)
    compared: list[str] = []
    check = hashing.check_pin

    async def counted(user_id: int, pin: str, stored: str) -> bool:
        compared.append(pin)
        return await check(user_id, pin, stored)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashing, "check_pin", counted)
        answers = await at_once(50, lambda n: prove(viewer, f"9{n:05d}"))

    assert len(compared) == 5
    assert sorted(a.attempts_left for a in answers if isinstance(a, refusals.WrongPin)) == [
        1,
        2,
        3,
        4,
    ]
    assert count(answers, refusals.PinLocked) == 46
    with pytest.raises(refusals.PinLocked):
        await prove(viewer, make.PIN)
    assert await superuser.fetchval("select count(*) from ledger.proof") == 0


async def test_a_right_pin_makes_all_tries_free_again(superuser: asyncpg.Connection) -> None:
    viewer = await with_pin(superuser)
    for _ in range(3):
        for _ in range(4):
            with pytest.raises(refusals.WrongPin):
                await prove(viewer, "999998")
        await prove(viewer, make.PIN)


@pytest.mark.parametrize("pin", ["", "12345", "abcdef", "８２０４６１", "8204610"])
async def test_a_malformed_pin_spends_no_try(superuser: asyncpg.Connection, pin: str) -> None:
    viewer = await with_pin(superuser)
    with pytest.raises(refusals.InvalidInput):
        await prove(viewer, pin)
    assert await superuser.fetchval("select pin_tries_left from users") == 5


async def referred(superuser: asyncpg.Connection) -> Viewer:
    signed_in = await make.registered(superuser, make.phone(), name="Иван Петров")
    assert await make.reviewed(signed_in.viewer.user_id) is Status.REFERRED
    return await make.again(signed_in.viewer)


async def decide(staff: Viewer, applicant: Viewer, decision: Decision, **changes: Any) -> Any:
    return await registrations.review_registration(
        staff,
        user_id=applicant.user_id,
        decision=decision,
        **({"reason": "因为", "expected_version": applicant.version} | changes),
    )


async def test_of_two_reviewers_at_once_one_decides(superuser: asyncpg.Connection) -> None:
    applicant = await referred(superuser)
    support, compliance = await make.staff(Role.SUPPORT), await make.staff(Role.COMPLIANCE)

    answers = await at_once(
        2,
        lambda n: decide(
            (support, compliance)[n], applicant, (Decision.APPROVE, Decision.REJECT)[n]
        ),
    )

    assert count(answers, refusals.StaleVersion) == 1
    [decided] = [answer for answer in answers if not isinstance(answer, Exception)]
    assert (await make.again(applicant)).status is decided.status
    deeds = await superuser.fetch("select * from audit_entry where action = 'REVIEW_REGISTRATION'")
    assert len(deeds) == 1
    told = await superuser.fetch("select kind from notice where user_id = $1", applicant.user_id)
    assert len(told) == 2, "referred, then decided"


async def test_a_decision_on_an_old_version_or_without_reason_or_of_nobody_is_refused(
    superuser: asyncpg.Connection,
) -> None:
    applicant, support = await referred(superuser), await make.staff(Role.SUPPORT)
    with pytest.raises(refusals.StaleVersion):
        await decide(support, applicant, Decision.APPROVE, expected_version=applicant.version - 1)
    with pytest.raises(refusals.InvalidInput):
        await decide(support, applicant, Decision.REJECT, reason="  ")
    with pytest.raises(refusals.NotFound):
        await decide(support, replace(applicant, user_id=1), Decision.APPROVE)
    assert (await make.again(applicant)).status is Status.REFERRED


async def test_the_queue_is_for_reviewers_and_who_looked_is_on_record(
    superuser: asyncpg.Connection,
) -> None:
    applicants = [await referred(superuser) for _ in range(3)]
    support, finance = await make.staff(Role.SUPPORT), await make.staff(Role.FINANCE)
    window: dict[str, Any] = {"limit": 2, "after": None, "before": None, "backwards": False}

    with pytest.raises(refusals.NotPermitted):
        await registrations.registration_queue(finance, **window)
    assert await superuser.fetchval("select count(*) from audit_entry") == 0

    rows = await registrations.registration_queue(support, **window)
    assert [row.user_id for row in rows] == [a.user_id for a in applicants[:2]]
    entry = await superuser.fetchrow("select * from audit_entry")
    assert entry is not None
    assert entry["actor_id"] == support.user_id
    assert str(applicants[0].user_id) in entry["detail"]
    assert "Иван" not in entry["detail"]

    last = (rows[1].requested_at, rows[1].user_id)
    rest = await registrations.registration_queue(support, **window | {"after": last})
    assert [row.user_id for row in rest] == [applicants[2].user_id]
    back = await registrations.registration_queue(support, **window | {"backwards": True})
    assert [row.user_id for row in back] == [a.user_id for a in (applicants[2], applicants[1])]


async def test_the_applicant_sees_each_status_live_and_nothing_after_logout(
    superuser: asyncpg.Connection,
) -> None:
    signed_in = await make.registered(superuser, make.phone(), name="Иван Петров")
    viewer, support = signed_in.viewer, await make.staff(Role.SUPPORT)
    events = identity.viewer_status_events(viewer)
    async with asyncio.timeout(20):
        assert (await anext(events)).status is Status.PENDING_REVIEW
        waiting = asyncio.ensure_future(anext(events))
        await make.reviewed(viewer.user_id)
        current = await waiting
        assert current.status is Status.REFERRED
        waiting = asyncio.ensure_future(anext(events))
        await decide(support, current, Decision.APPROVE)
        assert (await waiting).account_id is not None

        await sessions.logout(ANONYMOUS, refresh_token=signed_in.session.refresh_token)
        waiting = asyncio.ensure_future(anext(events))
        async with unit_of_work() as work:
            work.announce(f"user:{viewer.user_id}")
        with pytest.raises(StopAsyncIteration):
            await waiting


async def test_nothing_personal_is_logged_or_said_in_errors(superuser: asyncpg.Connection) -> None:
    phone = make.phone()
    said: list[str] = []
    with structlog.testing.capture_logs() as logs:
        viewer = await with_pin(superuser, phone)
        for call in (
            lambda: sign_in(phone, "wrong-password"),
            lambda: sign_in("0755 8888 8888"),
            lambda: prove(viewer, "999998"),
            lambda: apply(phone, (uuid4(), "000000")),
            lambda: sessions.refresh_session(
                ANONYMOUS, refresh_token="a" * 43, device_signature="", address=ADDRESS
            ),
        ):
            with pytest.raises(refusals.Refusal) as caught:
                await call()
            said += [repr(caught.value), caught.value.message("en"), caught.value.message("zh")]
    spoken = repr(logs) + "".join(said) + repr(viewer)
    for secret in (phone, phone[3:], "王小明", make.PASSWORD, make.PIN, "wrong-password", "999998"):
        assert secret not in spoken
