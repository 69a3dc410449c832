"""What somebody can do who stole a login of the app: each statement is refused by PostgreSQL."""

from __future__ import annotations

import asyncpg
import pytest

from domain import ledger
from domain.ledger import Operation, Outcome
from services.ledger import posting
from tests import factories as make
from tests.money import checking

HOSTILE = [
    # the tables
    "update ledger.account set posted = posted + 1",
    "update ledger.account set may_overdraw = true",
    "update ledger.account set status = 1",
    "insert into ledger.account(owner_id, role, currency, at, day_max, opened_at, posted)"
    " values (1, 1, 'CNY', now(), 1, now(), 1000000)",
    "delete from ledger.account",
    "truncate ledger.account cascade",
    "insert into ledger.posting select * from ledger.posting",
    "insert into ledger.{month} select * from ledger.posting",
    "update ledger.{month} set amount = 0",
    "update ledger.posting set amount = 0",
    "delete from ledger.posting",
    "truncate ledger.posting",
    "insert into ledger.instruction select * from ledger.instruction",
    "update ledger.instruction set outcome = 0",
    "update ledger.instruction_0 set outcome = 0",
    "delete from ledger.instruction",
    "update ledger.payment set captured = amount, state = 2",
    "insert into ledger.payment select * from ledger.payment",
    "update ledger.refund set state = 2, decider_id = 5, decided_at = now()",
    "insert into ledger.refund select * from ledger.refund",
    "delete from ledger.refund",
    "update ledger.operation set needs_proof = false, login = null",
    "insert into ledger.operation select 98, 'X', effect, null, actor_is, debit_roles, credit_roles"
    " from ledger.operation where id = 10",
    "update ledger.city set day_max_minor = 9000000000",
    "update ledger.account_role set name = 'X' where id = 1",
    "update ledger.refund_policy set amount_max_minor = 9000000000",
    "update ledger.refund_policy set signed_by = 1",
    "delete from ledger.refund_policy",
    "update ledger.proof set expires_at = 'infinity'",
    "merge into ledger.account a using (values (1)) v(x) on true when matched then update set"
    " posted = 1",
    "copy ledger.posting from stdin",
    "copy ledger.posting from '/etc/passwd'",
    "copy (select 1) to program 'true'",
    "select * from ledger.account for update",
    "select * from ledger.account for no key update",
    "lock table ledger.account in share mode",
    "lock table ledger.posting in access exclusive mode",
    "with x as (delete from ledger.posting returning *) select * from x",
    # functions and triggers
    "select ledger.ensure_partitions(0)",
    "select ledger.refuse_change()",
    "select ledger.check_zero_sum()",
    "select ledger.check_refund_change()",
    "select ledger.open_account_v1(1, 3::smallint, 'CNY')",
    "select ledger.open_account_v1(1, 6::smallint, 'CNY')",
    "select ledger.open_account_v1(null, 1::smallint, 'CNY')",
    "create or replace function ledger.now() returns timestamptz language sql return 'infinity'",
    "alter function ledger.now() set search_path = public",
    "drop function ledger.now()",
    "alter table ledger.account disable trigger all",
    "alter table ledger.account drop constraint account_floor",
    "alter table ledger.posting detach partition ledger.posting_default",
    "drop table ledger.posting",
    "drop schema ledger cascade",
    "alter table ledger.account owner to current_user",
    "create trigger t before insert on ledger.posting for each row execute function"
    " ledger.refuse_change()",
    "create rule r as on insert to ledger.posting do instead nothing",
    "create policy p on ledger.account",
    # shadowing names that the functions use
    "create schema pg_evil",
    "create schema evil",
    "create table public.account(id int)",
    "create temp table account(id int)",
    "create view public.v as select * from ledger.account",
    "create function public.clock_timestamp() returns timestamptz language sql return 'infinity'",
    "create function pg_temp.greatest(timestamptz, timestamptz) returns timestamptz language"
    " sql return $1",
    "create operator public.+ (leftarg = bigint, rightarg = bigint, function = int8pl)",
    "create cast (text as bigint) with inout as implicit",
    "create domain public.bigint as int",
    "create event trigger e on ddl_command_start execute function ledger.refuse_change()",
    "create extension dblink",
    # becoming somebody else
    "set role wallet_ledger",
    "set role wallet_owner",
    "set session authorization wallet_ledger",
    "set session_replication_role = replica",
    "alter role current_user superuser",
    "alter role wallet_ledger login password 'x'",
    "grant wallet_ledger to current_user",
    "create role evil",
    "alter default privileges for role wallet_ledger grant all on tables to public",
    "alter database {database} set search_path = evil",
    "reassign owned by wallet_ledger to current_user",
    "select pg_read_file('/etc/passwd')",
    "select lo_import('/etc/passwd')",
    "select pg_reload_conf()",
    # who closed accounts belonged to, what people agreed to, how long things are kept
    "update consent set given = true",
    "update consent_version set text_zh = ''",
    "insert into consent_purpose values ('X', false, '', '')",
    "update retention_rule set kept_days = 0",
    "select * from pg_authid",
    "update pg_class set relowner = 10",
    "set transaction_isolation = serializable; select * from ledger.post_v1('{{1}}', '{{10}}',"
    " '{{k}}',"
    " array['x'::bytea], '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{0}}', '{{}}', '{{}}')",
    "do $$ begin perform set_config('session_replication_role', 'replica', false); end $$",
    "do $$ begin execute 'update ledger.account set posted = 1'; end $$",
    "prepare p as update ledger.account set posted = 1; execute p",
]  # fmt: skip

ONLY_API = [
    "select ledger.ensure_partitions(12)",
    "delete from ledger.proof",
    "insert into audit_seal select 1, 1, 0, true, '', '', now()",
    "insert into audit_leaf select 1, gen_random_uuid(), ''",
    "update key_rotation set key = 1",
    "update risk_rule set enabled = false",
    "select user_id from retained_identity",
    "select sealed from retained_identity",
    "update retained_identity set sealed = ''",
    "insert into retained_identity(user_id, sealed) values (1, '')",
    "delete from consent",
    "delete from closing",
    "delete from notice",
    "update data_export_piece set content = ''",
]
APP = [
    "update audit_entry set action = 'x'",
    "delete from audit_entry",
    "truncate audit_entry",
    "update audit_seal set hash = ''",
    "delete from audit_seal",
    "truncate audit_seal",
    "update audit_leaf set hash = ''",
    "delete from audit_leaf",
    "truncate audit_leaf",
    "delete from key_rotation",
    "delete from users",
]


# No privilege, not a member, a function's own no. Anything else is a typing mistake in this file.
REFUSALS = {"42501", "0LP01", "WL001", "WL004", "WL005", "WL007"}


async def fingerprint(connection: asyncpg.Connection) -> dict[str, str]:
    """Every money table as it stands."""
    tables = await connection.fetch(
        "select c.oid::regclass::text as name from pg_class c where c.relkind in ('r', 'p')"
        " and c.relnamespace = 'ledger'::regnamespace"
    )
    return {
        row["name"]: await connection.fetchval(
            f"select md5(string_agg(t::text, '|' order by t::text)) from {row['name']} t"
        )
        for row in tables
    }


async def settle(worker: asyncpg.Connection) -> dict[str, int]:
    ann, shop = await make.open_account(worker, 71), await make.open_account(worker, 73, role=2)
    switch = await make.proven(worker, make.allowance(71, ann, 5_000, 5))
    await make.send(worker, make.top_up(ann, 50_000), switch)
    await make.send(worker, make.create_payment(71, ann, shop, 900))
    return {"ann": ann, "shop": shop}


@pytest.mark.parametrize("login", ["api", "worker"])
async def test_every_hostile_statement_is_refused(login, api, worker, superuser) -> None:
    connection = {"api": api, "worker": worker}[login]
    await settle(worker)
    before = await fingerprint(superuser)
    names = await superuser.fetchrow(
        "select current_database() as database, to_char(now(), '\"posting_\"YYYY_MM') as month"
    )
    statements = HOSTILE + APP + (ONLY_API if login == "api" else [])

    done = []
    for statement in statements:
        try:
            async with connection.transaction():
                await connection.execute(statement.format(**names))
        except asyncpg.PostgresError as error:
            if error.sqlstate in REFUSALS:
                continue
        done.append(statement)

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("alter system set fsync = off")
    assert done == []
    assert len(statements) >= 90
    assert await fingerprint(superuser) == before


FORGED = "select * from ledger.post_v1($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12)"


async def test_arrays_that_count_from_elsewhere_are_refused(api, worker, superuser) -> None:
    """Otherwise a payment could name other people than those whose money moved."""
    at = await settle(worker)
    victim = await make.open_account(worker, 99, role=2)
    before = await fingerprint(superuser)
    legs = f"[-1:2]={{{at['ann']},{at['shop']},{at['ann']},{victim}}}"
    columns = (
        "array[71,71]::bigint[], '{30,30}', '{a,b}', array['x','y']::bytea[], '{}', '{}', '{}',"
        " '{}', '{}'"
    )
    for sql in (
        f"select ledger.post_v1({columns}, '{{2,4}}', '{legs}', '{{-5,5,-5,5}}')",
        f"select ledger.post_v1({columns}, '{{2,4}}', '{{1,2,3,4}}', '[0:3]={{-5,5,-5,5}}')",
        f"select ledger.post_v1({columns}, '{{2,4}}', '{{{{1,2}},{{3,4}}}}', '{{-5,5,-5,5}}')",
        f"select ledger.post_v1({columns}, '{{2,null}}', '{{1,2,3,4}}', '{{-5,5,-5,5}}')",
        f"select ledger.post_v1({columns}, '{{2,4}}', '{{1,2,3,4}}', '{{-5,5}}')",
        f"select ledger.post_v1({columns}, null, null, null)",
    ):
        with pytest.raises(asyncpg.PostgresError, match=r"array|batch|null"):
            await api.execute(sql)
    assert await fingerprint(superuser) == before


def _forge(instruction: ledger.Instruction, **changes: object) -> ledger.Instruction:
    return make.instruction_with(instruction, key=make.key(), **changes)


async def test_a_poisoned_instruction_is_refused_and_its_neighbours_are_posted(worker) -> None:
    at = await settle(worker)
    good = [make.create_payment(71, at["ann"], at["shop"], 10) for _ in range(2)]
    pay, far = good[0], 9_223_372_036_854_775_807
    switch = make.allowance(71, at["ann"], 1, 1)
    poison = [
        _forge(pay, detail="{"),
        _forge(pay, detail='{"a": "\\u0000"}'),
        _forge(pay, legs=(ledger.Leg(at["ann"], -far), ledger.Leg(at["shop"], far))),
        _forge(pay, legs=(ledger.Leg(at["ann"], -far - 1), ledger.Leg(at["shop"], far))),
        _forge(pay, legs=(ledger.Leg(at["ann"], far), ledger.Leg(at["shop"], far))),
        _forge(pay, legs=(ledger.Leg(at["ann"], -5), ledger.Leg(at["shop"], 6))),
        _forge(pay, legs=(ledger.Leg(at["shop"], 5), ledger.Leg(at["ann"], -5))),
        _forge(pay, legs=(ledger.Leg(at["ann"], -5), ledger.Leg(at["ann"], 5))),
        _forge(pay, legs=()),
        _forge(pay, input_hash=None),
        _forge(pay, actor_id=None),
        make.instruction_with(pay, key=""),
        make.instruction_with(pay, key="x" * 129),
        _forge(switch, detail='{"amount_max": "1e999", "daily_count_max": 1}'),
        _forge(switch, detail="[1]"),
        _forge(switch, detail='{"amount_max": -1, "daily_count_max": 1}'),
    ]

    first, *answers, last = await make.send(worker, good[0], *poison, good[1])

    assert (first.outcome, last.outcome) == (Outcome.POSTED, Outcome.POSTED)
    assert {answer.outcome for answer in answers} == {Outcome.NOT_PERMITTED}
    assert (await checking.verified(worker)).faults == []


async def test_one_proof_proves_once_and_never_sinks_a_batch(worker) -> None:
    at = await settle(worker)
    ben = await make.open_account(worker, 72)
    send = ledger.instruct(
        actor_id=71, operation=Operation.TRANSFER, key="t", legs=ledger.move(at["ann"], ben, 5)
    )
    proven = await make.proven(worker, send)

    first, again = await make.send(worker, proven, make.instruction_with(proven, key="u"))
    [later] = await make.send(worker, make.instruction_with(proven, key="v"))
    [other_input] = await make.send(
        worker, make.instruction_with(proven, key="w", input_hash=b"0" * 16)
    )
    [changed] = await make.send(worker, make.instruction_with(proven, input_hash=b"0" * 16))

    assert first.outcome is Outcome.POSTED
    assert {r.outcome for r in (again, later, other_input)} == {Outcome.PROOF_REQUIRED}
    assert changed.outcome is Outcome.KEY_REUSED
    assert (await checking.verified(worker)).faults == []


async def test_the_api_login_settles_no_bank_money_and_expires_nothing(api, worker) -> None:
    at = await settle(worker)
    [opened] = await make.send(api, make.create_payment(71, at["ann"], at["shop"], 9_000))
    expire = ledger.instruct(
        actor_id=0, operation=Operation.EXPIRE_PAYMENT, key="e", legs=ledger.touch(at["ann"]),
        subject_id=opened.entry_id,
    )  # fmt: skip

    [minted] = await make.send(api, make.top_up(at["ann"], 1))
    [by_api] = await make.send(api, expire)
    [too_early] = await make.send(worker, expire)

    assert {r.outcome for r in (minted, by_api, too_early)} == {Outcome.NOT_PERMITTED}


async def test_roles_owners_and_parties_hold_against_forged_instructions(api, worker) -> None:
    """Who asks, the database can't know; what that actor may do with whose money, it does."""
    at = await settle(worker)
    ben = await make.open_account(worker, 72)
    move, city = ledger.move, ledger.BANK_CLEARING_ID
    cases = [
        (72, Operation.TRANSFER, move(at["ann"], ben, 5), Outcome.NOT_FOUND),
        (71, Operation.TRANSFER, move(at["ann"], city, 5), Outcome.NOT_PERMITTED),
        (71, Operation.TRANSFER, move(at["ann"], at["shop"], 5), Outcome.NOT_PERMITTED),
        (71, Operation.TRANSFER, ledger.touch(at["ann"]), Outcome.NOT_PERMITTED),
        (73, Operation.TRANSFER, move(at["shop"], ben, 5), Outcome.NOT_PERMITTED),
        (0, Operation.TRANSFER, move(at["ann"], ben, 5), Outcome.NOT_PERMITTED),
        (71, Operation.CREATE_PAYMENT, move(at["ann"], ben, 5), Outcome.NOT_PERMITTED),
        (0, Operation.UNFREEZE, ledger.touch(at["ann"]), Outcome.NOT_PERMITTED),
        (5, Operation.FREEZE, ledger.touch(city), Outcome.NOT_PERMITTED),
        (5, Operation.APPROVE_REFUND, move(at["shop"], at["ann"], 900), Outcome.NOT_FOUND),
        (71, Operation.TOP_UP, move(city, at["ann"], 5), Outcome.NOT_PERMITTED),
        (71, Operation.CLOSE_WALLET, ledger.touch(at["ann"]), Outcome.NOT_PERMITTED),
        (0, Operation.CLOSE_WALLET, ledger.touch(ben), Outcome.NOT_PERMITTED),
    ]
    answers = await make.send(
        api,
        *(
            ledger.instruct(actor_id=actor, operation=operation, key=make.key(), legs=legs)
            for actor, operation, legs, _ in cases
        ),
    )

    assert [answer.outcome for answer in answers] == [outcome for *_, outcome in cases]


async def test_one_batch_cannot_decide_a_payment_twice(worker) -> None:
    at = await settle(worker)
    [opened] = await make.send(worker, make.create_payment(71, at["ann"], at["shop"], 9_000))

    def about(operation: Operation, legs: tuple[ledger.Leg, ...]) -> ledger.Instruction:
        return ledger.instruct(
            actor_id=71, operation=operation, key=make.key(), legs=legs, subject_id=opened.entry_id
        )

    confirm = about(Operation.CONFIRM_PAYMENT, ledger.move(at["ann"], at["shop"], 9_000))
    twins = [await make.proven(worker, _forge(confirm)) for _ in range(2)]
    cancel = about(Operation.CANCEL_PAYMENT, ledger.touch(at["ann"]))
    receipts = await posting.send(worker, [twins[0], cancel, twins[1]])

    assert [receipt.outcome for receipt in receipts] == [
        Outcome.POSTED, Outcome.WRONG_STATE, Outcome.WRONG_STATE,
    ]  # fmt: skip
    assert (await checking.verified(worker)).faults == []


async def test_what_was_not_kept_burns_no_key_even_within_one_batch(worker) -> None:
    at = await settle(worker)
    pay = make.create_payment(71, at["ann"], at["shop"], 10, key="once")
    wrong = make.instruction_with(pay, legs=ledger.touch(at["shop"]), input_hash=b"wrong")

    refused, paid, again, other = await make.send(
        worker, wrong, pay, pay, make.instruction_with(pay, input_hash=b"other")
    )

    assert refused.outcome is Outcome.NOT_FOUND
    assert (paid.outcome, paid.replayed) == (Outcome.POSTED, False)
    assert (again.outcome, again.replayed, again.entry_id) == (Outcome.POSTED, True, paid.entry_id)
    assert other.outcome is Outcome.KEY_REUSED
