"""Who may: every way in, tried by everybody, and what a refusal leaves behind: nothing."""

from __future__ import annotations

import uuid

import asyncpg

from domain.identity import Role, Status
from schema import fields, ids, matrix, schema
from tests import access
from tests.access import (
    DENIED,
    ELEVATED,
    EVERYBODY,
    MAY,
    NEW_STAFF,
    STAFF,
    TYPES,
    World,
    fingerprints,
    outcome,
)

world = access.world


def test_every_way_in_has_a_rule() -> None:
    assert fields.fields_without_rule(schema) == []


def test_every_way_in_is_written_down_here() -> None:
    roots = ("Query", "Mutation", "Subscription", "Viewer", "Staff")
    ways = {f"{root}.{name}" for root in roots for name in TYPES[root].fields}
    assert set(MAY) == ways


async def test_whom_a_rule_does_not_name_is_refused_and_changes_nothing(
    world: World, superuser: asyncpg.Connection
) -> None:
    before = await fingerprints(superuser)
    assert sum(rows for rows, _ in before.values()) > 50, "there is something to be changed"
    tried, wrong = 0, []
    for way_in, allowed in MAY.items():
        for name in sorted(EVERYBODY - allowed):
            tried += 1
            code = await outcome(way_in, world.callers[name], world)
            if code not in DENIED:
                wrong.append(f"{way_in} answered {code} to {name}")
        now = await fingerprints(superuser)
        wrong += [f"{way_in} changed {table}" for table in now if now[table] != before[table]]
        before = now
    assert wrong == []
    print(f"refused: {tried} tries at {len(MAY)} ways in")
    assert tried > 150


async def test_without_elevation_even_whom_the_rule_names_is_refused_and_changes_nothing(
    world: World, superuser: asyncpg.Connection
) -> None:
    before, wrong = await fingerprints(superuser), []
    for way_in in sorted(ELEVATED):
        for name in sorted(MAY[way_in]):
            code = await outcome(way_in, world.plain[name], world)
            if code != "ELEVATION_REQUIRED":
                wrong.append(f"{way_in} answered {code} to {name}")
    assert wrong == []
    assert await fingerprints(superuser) == before


def test_the_page_about_roles_is_what_the_code_has() -> None:
    assert matrix.PAGE.read_text(encoding="utf-8") == matrix.text(schema), "run `make schema`"
    ways = matrix.ways(schema)
    assert {way.name: {one for one, says in way.says.items() if says} for way in ways} == MAY
    assert {way.name for way in ways if matrix.ELEVATED in way.says.values()} == ELEVATED


async def test_nobody_learns_by_a_refusal_whether_a_thing_exists(world: World) -> None:
    nowhere = {
        "refundId": ids.encode("Refund", uuid.uuid4()),
        "caseId": ids.encode("RiskCase", uuid.uuid4()),
        "userId": ids.encode("User", 2**40),
    }
    empty = World(world.callers, world.plain, world.samples | nowhere)
    for way_in in ("Mutation.decideRefund", "Mutation.unfreezeWallet", "Mutation.freezeWallet"):
        known = await outcome(way_in, world.callers["resident"], world)
        unknown = await outcome(way_in, world.callers["resident"], empty)
        assert known == unknown == "FORBIDDEN"


async def test_whom_a_rule_names_is_let_in(world: World) -> None:
    wrong = []
    for way_in, allowed in MAY.items():
        for name in sorted(allowed):
            code = await outcome(way_in, world.callers[name], world)
            if code in DENIED or code.startswith("BUG"):
                wrong.append(f"{way_in} answered {code} to {name}")
    assert wrong == []


async def test_every_deed_that_only_staff_may_do_is_on_record(
    world: World, superuser: asyncpg.Connection
) -> None:
    deeds = {
        way
        for way, allowed in MAY.items()
        if way.startswith("Mutation.") and allowed <= STAFF | NEW_STAFF
    }
    done, unrecorded = set(), []
    count = "select count(*) from audit_entry where actor_id = $1 and session_id = $2 and role = $3"
    for way_in in sorted(deeds):
        for name in sorted(MAY[way_in]):
            caller = world.callers[name]
            who = (caller.user_id, caller.session_id, caller.role)
            before = await superuser.fetchval(count, *who)
            if await outcome(way_in, caller, world) == "DONE":
                done.add(way_in)
                if await superuser.fetchval(count, *who) == before:
                    unrecorded.append(f"{way_in} by {name}")
    assert unrecorded == []
    early = {"Mutation.reviewRegistration", "Mutation.reviewIdentity"}
    assert deeds - done == {
        *early,  # the samples are too early for a decision
        "Mutation.confirmTotp",  # by the secret that was shown only; see test_second_factors
    }


def test_a_staff_role_is_known_to_this_table() -> None:
    assert {role.name for role in Role} == STAFF | {"RESIDENT", "MERCHANT"}
    assert {status.name for status in Status} >= {"PENDING_REVIEW", "ACTIVE"}
