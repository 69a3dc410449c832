"""Copies of one's own data: all of it, nobody else's, encrypted, for a day, to its owner."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import asyncpg
import pytest

from domain import exports as rules
from domain import refusals, retention
from domain.consents import Purpose
from domain.exports import ExportState
from domain.identity import ANONYMOUS, CodePurpose, Role, Viewer
from domain.proofs import Action, Method, Password, Pin
from domain.refunds import Decision
from infra.bank import LinkedCard
from resolvers import closings, consents, contact, exports, pins, refunds, risk, transfers
from resolvers.registrations import Told
from services import audit, wallets
from services import people as services_people
from services.exports import orders, pages, parts, writing
from services.unit_of_work import snapshot, unit_of_work
from tests import jobs, people, zips
from tests import movement as town
from tests import passkeys as keys
from tests.leaving import identity_check
from workers import exports as jobs_of_exports

pytestmark = pytest.mark.usefixtures("workers_town")
ADDRESS = "192.0.2.78"


async def order(viewer: Viewer) -> orders.Ordered:
    return await exports.export_my_data(
        viewer, proof=await keys.own_proof(viewer, Action.EXPORT_DATA)
    )


async def fetched(viewer: Viewer) -> bytes | None:
    """The newest copy by its link, or None."""
    newest, *_ = await exports.data_exports(viewer)
    if newest.url is None:
        return None
    archive = await exports.download(ANONYMOUS, newest.url.rpartition("/")[2])
    if archive is None:
        return None
    content = b"".join([chunk async for chunk in archive.chunks()])
    assert len(content) == archive.size_bytes == newest.size_bytes
    return content


async def copy_of(viewer: Viewer) -> dict[str, Any]:
    """All files of a fresh copy, by the name of their part; the index as text."""
    ordered = await order(viewer)
    await jobs.work_off()
    archive = await fetched(viewer)
    assert archive is not None
    files = zips.opened(archive, ordered.password)
    found: dict[str, Any] = {"README.txt": files.pop("README.txt").decode()}
    for name, content in files.items():
        found.setdefault(name.rpartition("-")[0], []).extend(json.loads(content))
    return found


async def _busy_resident(superuser: asyncpg.Connection) -> tuple[Viewer, dict[str, str]]:
    """Somebody with a full history, and every personal datum that was typed."""
    personal = Told(people.id_number(), "wang@example.com", "深圳市福田区福中路1号")
    viewer = await people.resident(superuser, told=personal)
    await keys.added(viewer, name="蓝色钥匙扣")
    friend = await town.resident("司徒远航", balance=5_000)
    _, shop = await town.shop("荔枝书店")
    await pins.set_payment_pin(viewer, password=people.PASSWORD, pin=town.PIN, address=ADDRESS)
    viewer = await people.again(viewer)
    told = {
        "name": "王小明",
        "phone": services_people.phone_of(viewer),
        "ID number": personal.id_number or "",
        "e-mail": personal.email or "",
        "postal address": personal.postal_address or "",
        "device": "测试手机",
        "passkey": "蓝色钥匙扣",
        "incoming memo": "还你午饭钱",
        "memo": "给外婆买降压药",
        "note": "三号桌不要香菜",
        "refund reason": "鞋子尺码不合脚",
        "rejection": "鞋底已有明显磨损痕迹",
        "appeal": "手机已经找回来了",
        "freeze reason": "机主来电称手机被抢",
        "last digits": "4321",
    }
    await transfers.create_transfer(
        friend,
        phone=told["phone"],
        amount_minor=4_000,
        memo=told["incoming memo"],
        proof=Pin(town.PIN),
        key=town.key(),
    )
    async with unit_of_work() as work:
        await wallets.keep_card(
            work,
            user_id=viewer.user_id,
            holder_name="王小明",
            number_index=wallets.card_index("6225880000004321"),
            linked=LinkedCard(card_token="tok-1", bank_name="鹏城银行", last4="4321"),
        )
    await _pay_and_ask_back(viewer, shop, told)
    await transfers.create_transfer(
        viewer,
        phone=services_people.phone_of(friend),
        amount_minor=100,
        memo=told["memo"],
        proof=Pin(town.PIN),
        key=town.key(),
    )
    await consents.withdraw_consent(viewer, purpose=Purpose.PERSONALISATION)
    await _freeze_and_appeal(viewer, told)
    await jobs.work_off()
    return viewer, told


async def _pay_and_ask_back(viewer: Viewer, shop: Any, told: dict[str, str]) -> None:
    paid = await town.pay(viewer, shop, 1_000, note=told["note"])
    await town.payments.confirm_payment(
        viewer, payment_id=paid.id, proof=Pin(town.PIN), key=town.key()
    )
    asked = await refunds.request_refund(
        viewer, payment_id=paid.id, reason=told["refund reason"], key=town.key()
    )
    await refunds.decide_refund(
        await people.staff(Role.FINANCE),
        refund_id=asked.id,
        decision=Decision.REJECT,
        reason=told["rejection"],
        key=town.key(),
    )


async def _freeze_and_appeal(viewer: Viewer, told: dict[str, str]) -> None:
    case, _ = await risk.freeze_wallet(
        await people.staff(Role.RISK),
        user_id=viewer.user_id,
        reason=told["freeze reason"],
        key=town.key(),
    )
    await risk.appeal_freeze(viewer, case_id=case.id, text=told["appeal"])


async def test_a_copy_has_all_of_its_owner_and_of_others_what_the_app_shows(
    superuser: asyncpg.Connection,
) -> None:
    viewer, told = await _busy_resident(superuser)
    other = await town.resident("欧阳若兰", balance=700)
    await keys.added(other, name="别人的钥匙")
    async with unit_of_work() as work:  # somebody looks into the matter: nobody may learn of it
        await audit.record(
            work, actor_id=5, action="READ_RISK_CASES", object=f"user:{viewer.user_id}"
        )

    found = await copy_of(viewer)
    text = json.dumps(found, ensure_ascii=False)

    assert [name for name, value in told.items() if value not in text] == []
    strangers = ["司徒远航", "欧阳若兰", "陈思远", services_people.phone_of(other)]
    strangers += [
        "别人的钥匙",
        str(other.user_id),
        "READ_RISK_CASES",
        "tok-1",
        people.PASSWORD,
        town.PIN,
    ]
    assert [value for value in strangers if value in text] == []
    assert "司**航" in text
    assert "荔枝书店" in text
    by_hand = await superuser.fetchval(
        "select count(*) from ledger.posting where account_id = $1", viewer.account_id
    )
    assert len(found["transactions"]) == by_hand >= 6
    moved = [one["amount"] for one in found["transactions"] if one["amount"] != "0.00"]
    assert moved[:1] == ["40.00"]
    assert [one["state"] for one in found["payments"]] == ["SUCCEEDED"]
    assert {one["purpose"] for one in found["consents"]} == {"TERMS", "PRIVACY", "PERSONALISATION"}
    assert found["records"] == []
    assert [one["network"] for one in found["sessions"]] == ["192.0.*.*"]
    assert [one["platform"] for one in found["devices"]] == ["ANDROID"]
    assert {one["method"] for one in found["proofs"]} == {"PASSKEY"}
    kept = await superuser.fetchrow(
        "select public_key, credential_id, user_handle from passkey where user_id = $1",
        viewer.user_id,
    )
    assert [value for value in kept or () if value.hex() in text] == []
    assert set(found) - {"README.txt"} == {part.name for part in parts.PARTS}
    for part in parts.PARTS:
        assert part.title_zh in found["README.txt"]
        assert part.title_en in found["README.txt"]


async def test_a_copy_has_what_was_handed_in_later_and_what_was_mailed(
    superuser: asyncpg.Connection,
) -> None:
    viewer, other = await people.resident(superuser), await people.resident(superuser)
    number = people.id_number()
    asked = [
        await contact.set_contact_email(
            one, email=f"{one.user_id}@example.com", address=ADDRESS, language="en"
        )
        for one in (viewer, other)
    ]
    await identity_check(superuser, viewer, name="欧阳锋", id_number=number)
    await identity_check(superuser, other, name="黄药师", id_number=people.id_number())

    mailed = (asked[0].verification_id, CodePurpose.CONTACT_EMAIL.value)
    found = await _parts_of(viewer, "codes", "identity-checks")

    sent = [(one["id"], one["purpose"]) for one in found["codes"]]
    assert {purpose for _, purpose in sent} == {"REGISTER", "CONTACT_EMAIL"}
    assert [one for one in sent if one[1] == mailed[1]] == [mailed]
    [check] = found["identity-checks"]
    assert (check["name"], check["id_number"]) == ("欧阳锋", number)
    assert (check["state"], check["review_text"]) == ("PENDING_REVIEW", None)
    with_reviewer = {"reviewed_by", "version"}
    assert not with_reviewer & check.keys()


async def _parts_of(viewer: Viewer, *names: str) -> dict[str, list[dict[str, Any]]]:
    """Some parts of a copy, as they are written into it."""
    async with snapshot() as read:
        owner = await parts.owner(read, viewer.user_id)
        assert owner is not None
        return {
            part.name: (await part.read(read, owner, None, 50)).rows
            for part in parts.PARTS
            if part.name in names
        }


async def test_every_table_about_people_is_in_a_copy_or_left_out_for_a_reason() -> None:
    personal = {p.table for p in retention.PLACES if p.rule is not retention.Rule.NONE}
    exported = {table for part in parts.PARTS for table in part.tables}

    assert personal - exported - parts.NOT_EXPORTED.keys() == set(), "say so in services/exports"
    assert exported & parts.NOT_EXPORTED.keys() == set()


async def test_a_long_history_is_written_page_by_page_and_goes_on_wherever_it_stopped(
    superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "PAGE_ROWS", 7)
    monkeypatch.setattr(jobs_of_exports, "PAGES_AT_ONCE_MAX", 3)
    viewer = await town.resident(balance=50_000, allowance=(20_000, 10))
    _, shop = await town.shop()
    for _ in range(9):
        await town.pay(viewer, shop, 100)
    await jobs.work_off()
    ordered = await order(viewer)
    seen = []
    for _ in range(100):
        [row] = await superuser.fetch(
            "select id from ledger.outbox where args ->> 'export_id' is not null"
        )
        await jobs.workers.jobs.run([row["id"]])
        [now] = await exports.data_exports(viewer)
        seen.append(now.progress_percent)
        if now.state is ExportState.READY:
            break
        assert now.url is None
    await jobs.work_off()
    archive = await fetched(viewer)
    assert archive is not None
    files = zips.opened(archive, ordered.password)

    pieces = [json.loads(text) for name, text in files.items() if name.startswith("transactions")]
    assert [len(rows) for rows in pieces] == [7, 5]
    numbers = [row["number"] for rows in pieces for row in rows]
    assert numbers == list(range(1, 13))
    assert seen == sorted(seen)
    assert len(set(seen)) > 4
    assert seen[-1] == 100


async def test_two_jobs_at_one_copy_write_each_page_once(superuser: asyncpg.Connection) -> None:
    viewer = await town.resident(balance=5_000)
    ordered = await order(viewer)
    args = {"export_id": str(ordered.export.id)}
    await asyncio.gather(*(jobs_of_exports.export_data(args) for _ in range(4)))

    archive = await fetched(viewer)
    assert archive is not None
    files = zips.opened(archive, ordered.password)
    assert len(files) == len(parts.PARTS) + 1
    told = "select count(*) from notice where user_id = $1 and kind = 'DATA_EXPORT_READY'"
    assert await superuser.fetchval(told, viewer.user_id) == 1


async def test_one_copy_at_a_time_and_three_a_day(superuser: asyncpg.Connection) -> None:
    viewer = await town.resident()
    answers = await asyncio.gather(*(order(viewer) for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(one, orders.Ordered) for one in answers) == 1
    refused = (refusals.ExportUnderWay, refusals.RateLimited, refusals.Overloaded)
    assert sum(isinstance(one, refused) for one in answers) == 7
    for _ in range(rules.PER_DAY_MAX - 1):
        await jobs.work_off()
        await order(viewer)
    await jobs.work_off()
    with pytest.raises(refusals.RateLimited):
        await order(viewer)
    assert len(await exports.data_exports(viewer)) == rules.PER_DAY_MAX
    await people.pass_time(superuser, 86_400)
    await order(viewer)


async def test_without_a_fresh_proof_there_is_no_copy(superuser: asyncpg.Connection) -> None:
    viewer, bare = await town.resident(), await town.resident(pin=False)
    for proof in (Pin(town.PIN), Password(people.PASSWORD, ADDRESS)):
        with pytest.raises(refusals.ProofTooWeak) as refused:
            await exports.export_my_data(viewer, proof=proof)
        assert refused.value.sufficient == [Method.PIN_AND_CODE, Method.PASSKEY]
    device, _ = await keys.added(viewer)
    await jobs.work_off()
    for another in (Action.CLOSE_ACCOUNT, Action.CHANGE_PASSWORD):
        with pytest.raises(refusals.ChallengeInvalid):
            await exports.export_my_data(viewer, proof=await keys.stepping(viewer, device, another))
    with pytest.raises(refusals.WrongCredentials):
        await exports.export_my_data(bare, proof=Password("Futian-guess-12", ADDRESS))
    with pytest.raises(refusals.NotSignedIn):
        await exports.export_my_data(ANONYMOUS, proof=Password(people.PASSWORD, ADDRESS))

    assert await superuser.fetchval("select count(*) from data_export") == 0
    assert (
        await superuser.fetchval("select count(*) from ledger.outbox where args ? 'export_id'") == 0
    )


async def test_the_archives_password_is_nowhere_once_it_is_written_and_sealed_before(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await town.resident()
    ordered = await order(viewer)
    everything = "select string_agg(d::text, '') from data_export d"
    assert ordered.password not in await superuser.fetchval(everything)
    assert ordered.password.encode().hex() not in await superuser.fetchval(everything)
    assert ordered.password not in repr(ordered)
    await jobs.work_off()

    assert await superuser.fetchval("select password from data_export") == b""


async def test_a_link_works_for_a_day_and_for_nothing_else(superuser: asyncpg.Connection) -> None:
    viewer, other = await town.resident(), await town.resident("李雷")
    await order(viewer)
    assert await fetched(viewer) is None, "not before it is ready"
    await jobs.work_off()
    [ready] = await exports.data_exports(viewer)
    assert ready.url is not None
    token = ready.url.rpartition("/")[2]
    assert token not in await superuser.fetchval(
        "select string_agg(d::text, '') from data_export d"
    )
    assert await exports.data_exports(other) == []
    for wrong in ("", token[:-1], token[:-1] + "é", "0" * 64, str(ready.id)):
        assert await exports.download(ANONYMOUS, wrong) is None
    assert await fetched(viewer) is not None
    await people.pass_time(superuser, 86_401)
    assert await exports.download(ANONYMOUS, token) is None
    await jobs_of_exports.expire_exports()

    [gone] = await exports.data_exports(viewer)
    assert (gone.state, gone.url) == (ExportState.EXPIRED, None)
    assert await superuser.fetchval("select count(*) from data_export_piece") == 0


async def test_a_copy_that_is_never_finished_is_given_up_and_another_may_be_asked_for(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await town.resident()
    ordered = await order(viewer)
    async with unit_of_work() as work:
        assert await writing.write_page(work, ordered.export.id)
    await people.pass_time(superuser, 86_400)
    with pytest.raises(refusals.ExportUnderWay):
        await order(viewer)
    await jobs_of_exports.expire_exports()
    async with unit_of_work() as work:
        assert not await writing.write_page(work, ordered.export.id)
    await order(viewer)

    states = [one.state for one in await exports.data_exports(viewer)]
    assert states == [ExportState.WAITING, ExportState.FAILED]


async def test_an_archive_that_is_deleted_while_it_is_fetched_says_so(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await town.resident()
    await order(viewer)
    await jobs.work_off()
    [ready] = await exports.data_exports(viewer)
    archive = await exports.download(ANONYMOUS, (ready.url or "").rpartition("/")[2])
    assert archive is not None
    chunks = archive.chunks()
    assert await anext(chunks)
    await superuser.execute("delete from data_export_piece")
    with pytest.raises(orders.Expired):
        await anext(chunks)


async def test_an_applicant_gets_a_copy_too_and_one_who_leaves_takes_none_along(
    superuser: asyncpg.Connection,
) -> None:
    applicant = (await people.registered(superuser, people.phone(), name="Иван Петров")).viewer
    await people.reviewed(applicant.user_id)
    found = await copy_of(applicant)
    assert found["profile"][0]["name"] == "Иван Петров"
    assert found["transactions"] == found["wallet"] == []

    await closings.close_my_account(applicant, proof=Password(people.PASSWORD, ADDRESS))
    ordered = await order(applicant)
    await superuser.execute("update users set status = 'CLOSED'")
    async with unit_of_work() as work:
        assert not await writing.write_page(work, ordered.export.id)


async def test_keys_of_pages_grow_in_the_order_they_are_read(
    superuser: asyncpg.Connection,
) -> None:
    """With the smallest page, every part still gives each row once."""
    viewer, _ = await _busy_resident(superuser)
    async with snapshot() as read:
        owner = await parts.owner(read, viewer.user_id)
        assert owner is not None
        for part in parts.PARTS:
            whole = await part.read(read, owner, None, 10_000)
            assert whole.place is None, part.name
            rows, place = [], None
            while True:
                page: pages.Page = await part.read(read, owner, place, 1)
                rows += page.rows
                place = page.place
                if place is None:
                    break
            assert rows == whole.rows, part.name
