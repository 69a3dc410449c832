"""What is kept of people: every table has its rule, and of whoever left nothing else is there."""

from __future__ import annotations

import re
import subprocess
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from domain import retention
from domain.consents import Purpose
from domain.identity import Status, Viewer
from domain.proofs import Action, Pin
from infra import embedded, encryption
from resolvers import consents, contact, exports, pins, transfers
from resolvers.registrations import Told
from services import people as services_people
from services.identity import retention as erasing
from services.unit_of_work import snapshot
from tests import jobs, people, recovery
from tests import movement as town
from tests import passkeys as keys
from tests.demo.device import DeviceKey
from tests.leaving import ADDRESS, WEEK, ask, card, closing_states, identity_check
from tests.money import checking
from tests.money.crashes import ROOT
from workers import closings as jobs_of_closing
from workers import identity as nightly

TABLES = """
select case n.nspname when 'public' then c.relname else 'ledger.' || c.relname end as name
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where n.nspname in ('public', 'ledger') and c.relkind in ('r', 'p') and not c.relispartition
   and c.relname <> 'clock_offset'"""


async def test_every_table_and_every_sealed_column_has_its_retention_rule(
    superuser: asyncpg.Connection,
) -> None:
    tables = {row["name"] for row in await superuser.fetch(TABLES)}
    places = {place.table for place in retention.PLACES}
    assert tables - places == set(), "say in domain/retention.py how long these are kept, and why"
    assert places - tables == set()

    rules_kept = {row["code"] for row in await superuser.fetch("select code from retention_rule")}
    assert rules_kept == {rule.value for rule in retention.Rule}
    done = {p.table for p in retention.PLACES if p.at_closing is not retention.Deed.KEEP}
    assert done == erasing.AT_CLOSING.keys() | erasing.CASCADES.keys()
    for place in retention.PLACES:
        for column in place.columns:
            assert await superuser.fetchval(
                "select exists (select from pg_attribute where attrelid = $1::regclass"
                " and attname = $2)",
                place.table,
                column,
            ), place


async def test_the_documented_rules_are_those_that_are_kept(superuser: asyncpg.Connection) -> None:
    page = (ROOT / "docs" / "privacy.md").read_text("utf-8")
    shown = {
        found[1]: (found[2], found[3])
        for found in re.finditer(r"^\| `([A-Z]+)` \| (\S+) \|.*\| ([^|]+) \|$", page, re.MULTILINE)
    }
    rows = await superuser.fetch(
        "select code, coalesce(kept_days::text, '–') as days, ground_en from retention_rule"
    )
    assert shown == {row["code"]: (row["days"], row["ground_en"]) for row in rows}


def _dump(url: str) -> str:
    command: list[Any] = [embedded.pg_bin() / "pg_dump", "--data-only", "--dbname", url]
    return subprocess.run(command, check=True, capture_output=True).stdout.decode()


@pytest.mark.usefixtures("workers_town")
async def test_of_a_closed_account_nothing_erasable_is_left_in_a_dump(
    database, superuser: asyncpg.Connection
) -> None:
    """Sealed data can't be grepped, so what was sealed is looked for by its very bytes."""
    number = people.phone()
    told = Told(people.id_number(), "wang@example.com", "深圳市福田区福中路1号")
    viewer = await people.resident(superuser, number, told=told)
    friend = await town.resident(balance=2_000)
    await card(viewer)
    await pins.set_payment_pin(viewer, password=people.PASSWORD, pin="820461", address=ADDRESS)
    viewer = await people.again(viewer)
    await transfers.create_transfer(
        friend, phone=number, amount_minor=50, memo="谢谢", proof=Pin(town.PIN), key=town.key()
    )
    await transfers.create_transfer(
        viewer,
        phone=services_people.phone_of(friend),
        amount_minor=50,
        memo="不客气",
        proof=Pin("820461"),
        key=town.key(),
    )
    await exports.export_my_data(viewer, proof=await keys.own_proof(viewer, Action.EXPORT_DATA))
    await jobs.work_off()
    known = await _erasable(superuser, viewer)
    before = _dump(database.superuser_url)
    assert [name for name, value in known.items() if value not in before] == []
    assert len(known) > 25

    await ask(viewer)
    await people.pass_time(superuser, WEEK + 60)
    await jobs_of_closing.close_accounts()
    await jobs.work_off()

    assert await closing_states(superuser, viewer) == ["CLOSED"]
    after = _dump(database.superuser_url)
    assert [name for name, value in known.items() if value in after] == []
    assert (await checking.verified(superuser)).faults == []
    async with snapshot() as read:
        found = await services_people.find(read, [viewer.user_id])
    assert (found[viewer.user_id].name, found[viewer.user_id].status) == ("", Status.CLOSED)


@pytest.mark.usefixtures("workers_town")
async def test_what_waits_for_an_answer_or_a_decision_goes_with_the_account(
    database, superuser: asyncpg.Connection
) -> None:
    number, key = people.phone(), DeviceKey()
    viewer, stays = await people.resident(superuser, number, key=key), await town.resident()
    await _prove_email(superuser, viewer, "wang@example.com")
    waiting = [await _mailed(one, f"{one.user_id}@example.com") for one in (viewer, stays)]
    owner = recovery.Owner(viewer, number, "", key)
    device = await recovery.with_device(owner)
    await recovery.change_asked(owner, device, people.phone())
    await recovery.replacement_begun(superuser, number, people.phone())
    await recovery.replacement_begun(superuser, people.phone(), number)
    await people.pass_time(superuser, 61)
    await recovery.asked(number)
    check_id = await identity_check(superuser, viewer, name="欧阳锋", id_number=people.id_number())
    known = await _waiting(superuser, viewer)
    before = _dump(database.superuser_url)
    assert [name for name, value in known.items() if value not in before] == []

    await ask(viewer, await keys.stepping(viewer, device, Action.CLOSE_ACCOUNT))
    await people.pass_time(superuser, WEEK + 60)
    await jobs_of_closing.close_accounts()

    assert await closing_states(superuser, viewer) == ["CLOSED"]
    after = _dump(database.superuser_url)
    assert [name for name, value in known.items() if value in after] == []
    for table in ("password_reset", "phone_change", "phone_replacement"):
        assert await superuser.fetchval(f"select count(*) from {table}") == 0
    left = await superuser.fetch("select id from verification_code where subject like 'user %'")
    assert [row["id"] for row in left] == [waiting[1]], "that of somebody else"
    row = await superuser.fetchrow("select state, name, reason from identity_check")
    assert tuple(row or ()) == ("REJECTED", None, None)
    await nightly.review_identity({"check_id": str(check_id)})  # comes late, and finds nothing
    await people.pass_time(superuser, 1_900 * 86_400)
    await nightly.forget_identity()
    assert await superuser.fetchval("select count(*) from identity_check") == 0


async def _mailed(viewer: Viewer, email: str) -> UUID:
    asked = await contact.set_contact_email(viewer, email=email, address=ADDRESS, language="en")
    return asked.verification_id


async def _prove_email(superuser: asyncpg.Connection, viewer: Viewer, email: str) -> None:
    mailed = await _mailed(viewer, email)
    sealed = await superuser.fetchval("select code from verification_code where id = $1", mailed)
    _, code = encryption.decrypt("verification_code.code", mailed, sealed).split(" ")
    await contact.confirm_contact_email(viewer, email=email, verification_id=mailed, code=code)
    await people.pass_time(superuser, 61)


async def _waiting(superuser: asyncpg.Connection, viewer: Viewer) -> dict[str, str]:
    """What stands in a dump for what waits, and for the address that was proved."""
    row = await superuser.fetchrow(
        "select u.email, encode(c.name, 'hex') as name, encode(c.id_number, 'hex') as id_number,"
        " encode(p.new_phone, 'hex') as new_phone, r.secret_hash, r.phone_index,"
        " (select string_agg(encode(v.code, 'hex'), ' ' order by created_at desc)"
        "  from verification_code v where v.subject = 'user ' || u.id) as mailed"
        " from users u join identity_check c on c.user_id = u.id"
        " join phone_change p on p.user_id = u.id"
        " join password_reset r on r.phone_index = u.phone_index where u.id = $1",
        viewer.user_id,
    )
    assert row is not None
    known = {name: str(value) for name, value in row.items() if name not in ("email", "mailed")}
    codes = {f"code {n}": code for n, code in enumerate(row["mailed"].split(" "))}
    return known | codes | {"email": row["email"].hex()}


async def _erasable(superuser: asyncpg.Connection, viewer: Viewer) -> dict[str, str]:
    """Texts of a dump that stand for the person: sealed values, indexes, hashes, ids of rows."""
    row = await superuser.fetchrow("select * from users where id = $1", viewer.user_id)
    assert row is not None
    sealed = ("phone", "name", "id_number", "email", "postal_address")
    known = {name: row[name].hex() for name in sealed}
    hashes = ("phone_index", "password_hash", "pin_hash", "id_number_index")
    known |= {name: row[name] for name in hashes}
    for table, columns in (
        ("session", ("id", "access_hash", "family_hash", "network")),
        ("device", ("id", "name", "public_key")),
        ("passkey", ("name", "credential_id", "credential_hash", "public_key", "user_handle")),
        ("bank_card", ("token", "number_index")),
        ("notice", ("source",)),
        ("data_export", ("token_hash",)),
    ):
        found = await superuser.fetch(
            f"select * from {table} where user_id = $1 order by id", viewer.user_id
        )
        for number, one in enumerate(found):
            for column in columns:
                value = one[column]
                text = value.hex() if isinstance(value, bytes) else str(value)
                known[f"{table} {number} {column}"] = text
    # The session is named by what it did, which is kept: by its id alone it leads nowhere.
    return {k: v for k, v in known.items() if not (k.startswith("session") and k.endswith(" id"))}


@pytest.mark.usefixtures("workers_town")
async def test_who_it_was_is_out_of_the_apis_reach_and_erased_in_five_years(
    superuser: asyncpg.Connection, api: asyncpg.Connection
) -> None:
    viewer = await people.resident(superuser)
    await consents.give_consent(viewer, purpose=Purpose.PERSONALISATION, version=1)
    await ask(viewer)
    await people.pass_time(superuser, WEEK + 60)
    await jobs_of_closing.close_accounts()

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await api.fetch("select sealed from retained_identity")
    count = "select count(*) from retained_identity where user_id = $1"
    kept = "select count(*) from consent where user_id = $1"
    assert await superuser.fetchval(count, viewer.user_id) == 1
    await people.pass_time(superuser, 1_000 * 86_400)
    await nightly.forget_identity()
    assert await superuser.fetchval(count, viewer.user_id) == 1
    assert await superuser.fetchval(kept, viewer.user_id) == 3
    await people.pass_time(superuser, 900 * 86_400)
    await nightly.forget_identity()
    assert await superuser.fetchval(count, viewer.user_id) == 0
    assert await superuser.fetchval(kept, viewer.user_id) == 0
