"""Contact addresses: proved by a mailed code, replaced, removed, and who hears of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from domain import codes as rules
from domain import refusals
from domain.identity import ANONYMOUS, CodePurpose, Viewer
from infra import encryption, mail, settings
from infra.mail import HttpMail
from resolvers import contact, registrations
from resolvers.registrations import Told
from services.identity.codes import Requested
from services.people import Details
from tests import people as make
from tests import races
from tests.infra import sandboxes
from workers import identity as jobs
from workers import notices as notice_jobs

pytestmark = pytest.mark.usefixtures("app")
MAIL = "wang@example.com"
NEW = "xiaoming@example.com"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[sandboxes.Server]:
    with sandboxes.running("mail", tmp_path) as server:
        async with HttpMail(url=server.url, secret=sandboxes.SECRET) as adapter:
            mail.use(adapter)
            yield server
            mail.use(None)


async def ask(viewer: Viewer, email: str = MAIL, *, address: str = "192.0.2.1") -> Requested:
    return await contact.set_contact_email(viewer, email=email, address=address, language="en")


async def code_of(superuser: asyncpg.Connection, verification_id: UUID) -> str:
    """The code on its way, read as the sending job reads it."""
    sealed = await superuser.fetchval(
        "select code from verification_code where id = $1", verification_id
    )
    return encryption.decrypt("verification_code.code", verification_id, sealed).split(" ")[1]


async def confirm(
    viewer: Viewer, verification_id: UUID | None, code: str, email: str = MAIL
) -> Any:
    return await contact.confirm_contact_email(
        viewer, email=email, verification_id=verification_id, code=code
    )


async def proved(superuser: asyncpg.Connection, viewer: Viewer, email: str = MAIL) -> Viewer:
    asked = await ask(viewer, email)
    code = await code_of(superuser, asked.verification_id)
    changed = await confirm(viewer, asked.verification_id, code, email)
    await make.pass_time(superuser, 61)
    return changed


async def details(viewer: Viewer) -> Details:
    return await registrations.personal_details(viewer)


async def told(superuser: asyncpg.Connection, viewer: Viewer) -> int:
    return await superuser.fetchval(
        "select count(*) from notice where user_id = $1 and kind = 'CONTACT_EMAIL_CHANGED'",
        viewer.user_id,
    )


async def send_notices(superuser: asyncpg.Connection) -> None:
    """The mails among the notices on their way."""
    rows = await superuser.fetch(
        "select args from ledger.outbox where job = 'send_notice' and args ? 'mail_to'"
    )
    await notice_jobs.send_notices(rows)


def mails(server: sandboxes.Server, to: str) -> list[dict[str, Any]]:
    return server.ask("GET", f"/messages?to={to}").json()["messages"]


# --- proving an address -----------------------------------------------------------------------


async def test_an_address_counts_once_the_code_that_was_mailed_comes_back(
    superuser: asyncpg.Connection, gateway: sandboxes.Server
) -> None:
    viewer = await make.resident(superuser)
    asked = await ask(viewer)
    assert await details(viewer) == Details()
    code = await code_of(superuser, asked.verification_id)
    args = {"code_id": str(asked.verification_id), "language": "en"}
    await jobs.send_code(args)
    await jobs.send_code(args)

    [sent] = mails(gateway, MAIL)
    assert code in sent["text"]
    assert code not in sent["subject"]
    left = "select code from verification_code where id = $1"
    assert await superuser.fetchval(left, asked.verification_id) == b""
    changed = await confirm(viewer, asked.verification_id, code)
    assert await details(changed) == Details(email=MAIL, email_verified=True)
    assert await told(superuser, viewer) == 1
    plain = str(dict(await superuser.fetchrow("select * from users where id = $1", viewer.user_id)))
    assert "wang" not in plain


async def test_an_address_from_the_registration_is_unverified_until_it_is_proved(
    superuser: asyncpg.Connection,
) -> None:
    signed_in = await make.registered(superuser, make.phone(), told=Told(email=MAIL))
    viewer = signed_in.viewer
    assert await details(viewer) == Details(email=MAIL, email_verified=False)
    await proved(superuser, viewer)
    assert await details(viewer) == Details(email=MAIL, email_verified=True)
    assert await told(superuser, viewer) == 0, "it is the same address"


@pytest.mark.parametrize("email", ["", "nobody", "a@b", "a@b.com\nBcc: x@y.com", "x" * 300])
async def test_what_is_no_address_is_refused_and_nothing_is_mailed(
    superuser: asyncpg.Connection, email: str
) -> None:
    viewer = await make.resident(superuser)
    codes = await superuser.fetchval("select count(*) from verification_code")
    with pytest.raises(refusals.InvalidInput) as caught:
        await ask(viewer, email)
    assert caught.value.path == ("input", "email")
    assert await superuser.fetchval("select count(*) from verification_code") == codes


async def test_a_code_is_for_its_caller_address_and_request_and_else_costs_no_try(
    superuser: asyncpg.Connection,
) -> None:
    viewer, stranger = await make.resident(superuser), await make.resident(superuser)
    asked = await ask(viewer)
    code = await code_of(superuser, asked.verification_id)
    for who, request, email in (
        (stranger, asked.verification_id, MAIL),
        (viewer, uuid4(), MAIL),
        (viewer, None, MAIL),
        (viewer, asked.verification_id, NEW),
    ):
        with pytest.raises(refusals.CodeInvalid):
            await confirm(who, request, code, email)
    left = "select tries_left from verification_code where id = $1"
    assert await superuser.fetchval(left, asked.verification_id) == 5
    assert await details(viewer) == await details(stranger) == Details()
    await confirm(viewer, asked.verification_id, code)


async def test_a_code_to_a_phone_proves_no_address_and_none_of_a_mail_a_phone(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await make.resident(superuser)
    with pytest.raises(refusals.InvalidInput):
        await make.ask_code(make.phone(), purpose=CodePurpose.CONTACT_EMAIL, viewer=viewer)
    number = make.phone()
    await make.ask_code(number)
    verification_id, code = await make.verification_of(superuser, number)
    with pytest.raises(refusals.CodeInvalid):
        await confirm(viewer, verification_id, code)
    assert await details(viewer) == Details()


async def test_five_wrong_codes_kill_it_and_stay_spent(superuser: asyncpg.Connection) -> None:
    viewer = await make.resident(superuser)
    asked = await ask(viewer)
    code = await code_of(superuser, asked.verification_id)
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    answers = await races.at_once(20, lambda _: confirm(viewer, asked.verification_id, wrong))
    assert sum(isinstance(answer, refusals.CodeInvalid) for answer in answers) == 5
    assert sum(isinstance(answer, refusals.CodeExpired) for answer in answers) == 15
    with pytest.raises(refusals.CodeExpired):
        await confirm(viewer, asked.verification_id, code)
    assert await details(viewer) == Details()


async def test_of_many_uses_of_one_code_at_once_one_counts(superuser: asyncpg.Connection) -> None:
    viewer = await make.resident(superuser)
    asked = await ask(viewer)
    code = await code_of(superuser, asked.verification_id)
    answers = await races.at_once(30, lambda _: confirm(viewer, asked.verification_id, code))
    assert sum(isinstance(answer, Viewer) for answer in answers) == 1
    assert all(
        isinstance(answer, Viewer | refusals.CodeInvalid | refusals.CodeExpired)
        for answer in answers
    )
    assert await told(superuser, viewer) == 1


# --- how many are mailed ----------------------------------------------------------------------


async def test_one_caller_has_a_few_mailed_an_hour_whatever_the_addresses(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await make.resident(superuser)
    answers = await races.at_once(
        8, lambda n: ask(viewer, f"a{n}@example.com", address=f"198.51.100.{n}")
    )
    assert sum(isinstance(answer, Requested) for answer in answers) == 1
    await make.pass_time(superuser, 61)
    cap = settings.get_settings().code_hourly_max_per_phone
    for number in range(cap - 1):
        await ask(viewer, f"b{number}@example.com", address=f"198.51.100.{number}")
        await make.pass_time(superuser, 61)
    with pytest.raises(refusals.RateLimited):
        await ask(viewer, NEW, address="198.51.100.99")
    await ask(await make.resident(superuser), NEW, address="198.51.100.99")


async def test_one_address_gets_a_few_an_hour_whoever_asks(superuser: asyncpg.Connection) -> None:
    for number in range(settings.get_settings().code_hourly_max_per_phone):
        await ask(await make.resident(superuser), address=f"198.51.100.{number}")
        await make.pass_time(superuser, 61)
    with pytest.raises(refusals.RateLimited):
        await ask(await make.resident(superuser), address="198.51.100.99")


async def test_mails_are_capped_in_all_and_take_no_text_message_from_anybody(
    superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewers = [await make.resident(superuser) for _ in range(5)]
    counts = await superuser.fetch("select askers, sum(count) from code_total group by 1")
    monkeypatch.setattr(settings.get_settings(), "code_hourly_max_total", 4)
    answers = await races.at_once(4, lambda n: ask(viewers[n], f"c{n}@example.com"))
    assert all(isinstance(answer, Requested) for answer in answers)
    with pytest.raises(refusals.RateLimited):
        await ask(viewers[4], NEW)
    now = await superuser.fetch(
        "select askers, sum(count) from code_total where askers <> 'MAIL' group by 1"
    )
    assert now == counts


def test_every_purpose_is_counted_with_exactly_one_kind() -> None:
    counted = [purpose for purposes in rules.ASKERS.values() for purpose in purposes]
    assert sorted(counted) == sorted(CodePurpose)


# --- replaced and removed ---------------------------------------------------------------------


async def test_whoever_reads_at_the_old_address_is_told_of_the_new_one(
    superuser: asyncpg.Connection, gateway: sandboxes.Server
) -> None:
    viewer = await make.resident(superuser)
    await proved(superuser, viewer)
    changed = await proved(superuser, viewer, NEW)

    assert (await details(changed)).email == NEW
    assert await told(superuser, viewer) == 2
    await send_notices(superuser)
    await send_notices(superuser)
    [sent] = mails(gateway, MAIL)
    assert sent["subject"] == "联系邮箱已变更"
    assert NEW not in sent["text"]
    assert mails(gateway, NEW) == []
    waiting = await superuser.fetchval("select string_agg(args::text, ' ') from ledger.outbox")
    assert "example.com" not in waiting


async def test_nothing_is_mailed_to_an_old_address_that_nobody_proved(
    superuser: asyncpg.Connection,
) -> None:
    signed_in = await make.registered(superuser, make.phone(), told=Told(email="slip@example.com"))
    await proved(superuser, signed_in.viewer)
    assert await told(superuser, signed_in.viewer) == 1
    assert not await superuser.fetchval(
        "select exists (select from ledger.outbox where args ? 'mail_to')"
    )


async def test_an_address_that_is_removed_is_gone_and_told_once(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await make.resident(superuser)
    await proved(superuser, viewer)
    await contact.remove_contact_email(viewer, email=NEW)
    assert await details(viewer) == Details(email=MAIL, email_verified=True), "it is another one"
    await races.at_once(5, lambda _: contact.remove_contact_email(viewer, email=MAIL))
    assert await details(viewer) == Details()
    assert await told(superuser, viewer) == 2
    jobs_left = "select count(*) from ledger.outbox where args ? 'mail_to'"
    assert await superuser.fetchval(jobs_left) == 1


async def test_a_correction_keeps_a_proved_address_proved_only_if_it_is_the_same(
    superuser: asyncpg.Connection,
) -> None:
    for email, verified, mailed in ((MAIL, True, 0), (NEW, False, 1)):
        await superuser.execute("delete from ledger.outbox")
        await make.pass_time(superuser, 3_600)
        signed_in = await make.registered(superuser, make.phone(), name="测试")
        await make.reviewed(signed_in.viewer.user_id)
        viewer = await proved(superuser, signed_in.viewer)
        again = await registrations.resubmit_registration(
            viewer, name="李雷", told=Told(email=email)
        )
        assert await details(again) == Details(email=email, email_verified=verified)
        jobs_left = "select count(*) from ledger.outbox where args ? 'mail_to'"
        assert await superuser.fetchval(jobs_left) == mailed


async def test_a_postal_address_is_kept_sealed_replaced_and_removed(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await make.resident(superuser)
    kept = await contact.set_postal_address(viewer, postal_address=" 深圳市\n福田区　１号 ")
    assert (await details(kept)).postal_address == "深圳市 福田区 1号"
    sealed = await superuser.fetchval(
        "select postal_address from users where id = $1", kept.user_id
    )
    assert "福田".encode() not in sealed
    for wrong in ("", "\u200b", "路" * 201):
        with pytest.raises(refusals.InvalidInput):
            await contact.set_postal_address(viewer, postal_address=wrong)
    assert (await details(kept)).postal_address == "深圳市 福田区 1号"
    await contact.set_postal_address(viewer, postal_address=None)
    assert await details(kept) == Details()


async def test_strangers_may_do_none_of_it(superuser: asyncpg.Connection) -> None:
    for call in (
        ask(ANONYMOUS),
        confirm(ANONYMOUS, uuid4(), "123456"),
        contact.remove_contact_email(ANONYMOUS, email=MAIL),
        contact.set_postal_address(ANONYMOUS, postal_address="x"),
    ):
        with pytest.raises(refusals.NotSignedIn):
            await call
    assert await superuser.fetchval("select count(*) from verification_code") == 0
