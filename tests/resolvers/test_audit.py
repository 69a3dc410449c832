"""Who, as what, in which session, from where and why: on record for all that staff do and see."""

from __future__ import annotations

from typing import Any

import pytest

from domain import refusals
from domain.identity import Role
from domain.refunds import Decision
from resolvers import audit as face
from resolvers import refunds, registrations, risk
from schema import ids, schema
from schema.context import Context
from services import audit
from services.audit import Entry, Filter
from tests import jobs, people
from tests import movement as town

pytestmark = pytest.mark.usefixtures("counter")
ADDRESS, REQUEST = "192.0.2.44", "request-0042"
PAGE: dict[str, Any] = {"limit": 101, "after": None, "before": None, "backwards": False}


@pytest.fixture(autouse=True)
async def came() -> None:
    """As a request that transport has let in."""
    audit.came_from(address=ADDRESS, request_id=REQUEST)


async def log(viewer: Any = None, **wanted: Any) -> list[Entry]:
    audit.came_from(address=ADDRESS, request_id=REQUEST)
    auditor = viewer or await people.staff(Role.AUDITOR)
    return await face.audit_log(auditor, wanted=Filter(**wanted), **PAGE)


async def look_at_registrations(viewer: Any) -> None:
    audit.came_from(address=ADDRESS, request_id=REQUEST)
    await registrations.registration_queue(
        viewer, limit=9, after=None, before=None, backwards=False
    )


async def test_a_look_says_who_as_what_in_which_session_and_from_where(superuser) -> None:
    support = await people.staff(Role.SUPPORT)
    await look_at_registrations(support)

    [entry] = await log(actor_id=support.user_id)

    assert (entry.action, entry.object) == ("READ_REGISTRATION_QUEUE", "registrations")
    assert (entry.by.role, entry.by.session_id) == (Role.SUPPORT, str(support.session_id))
    assert entry.by.request_id == REQUEST
    assert entry.by.address_hash is not None
    kept = await superuser.fetchrow(
        "select * from audit_entry where actor_id = $1", support.user_id
    )
    assert ADDRESS not in str(dict(kept))


async def test_a_decision_that_a_job_records_has_the_deciders_session_and_reason(superuser) -> None:
    payer = await town.resident(balance=20_000, allowance=(20_000, 10))
    _, shop = await town.shop()
    finance = await people.staff(Role.FINANCE)
    for decision in (Decision.APPROVE, Decision.REJECT):
        paid = await town.pay(payer, shop, 3_000)
        asked = await refunds.request_refund(
            payer, payment_id=paid.id, reason="没有收到货", key=town.key("ask")
        )
        audit.came_from(address=ADDRESS, request_id=REQUEST)
        await refunds.decide_refund(
            finance, refund_id=asked.id, decision=decision, reason="已核实", key=town.key("decide")
        )
    audit.came_from(address="", request_id="")
    await jobs.work_off()

    entries = await log(action="DECIDE_REFUND")

    assert [entry.detail for entry in entries] == [{"decision": "REJECT"}, {"decision": "APPROVE"}]
    for entry in entries:
        assert (entry.by.role, entry.by.session_id) == (Role.FINANCE, str(finance.session_id))
        assert (entry.by.request_id, entry.reason) == (REQUEST, "已核实")
        assert entry.by.address_hash is not None
    rows = await superuser.fetch("select * from audit_entry")
    assert "已核实" not in str([dict(row) for row in rows])


async def test_a_repeated_decision_from_another_session_is_no_other_instruction() -> None:
    """What is noted for the log is no part of what the key stands for."""
    payer = await town.resident(balance=20_000, allowance=(20_000, 10))
    _, shop = await town.shop()
    paid = await town.pay(payer, shop, 3_000)
    asked = await refunds.request_refund(payer, payment_id=paid.id, reason="x", key=town.key("ask"))
    finance = await people.staff(Role.FINANCE)
    how: dict[str, Any] = {"decision": Decision.APPROVE, "reason": None, "key": town.key("decide")}
    first = await refunds.decide_refund(finance, refund_id=asked.id, **how)
    audit.came_from(address="192.0.2.45", request_id="request-0043")
    again = await refunds.decide_refund(finance, refund_id=asked.id, **how)
    assert first.refund.decided_at == again.refund.decided_at


async def test_freezing_and_unfreezing_are_recorded_with_their_reasons() -> None:
    victim, desk = await town.resident(), await people.staff(Role.RISK)
    audit.came_from(address=ADDRESS, request_id=REQUEST)
    case, _ = await risk.freeze_wallet(
        desk, user_id=victim.user_id, reason="手机被抢", key=town.key("freeze")
    )
    await risk.unfreeze_wallet(desk, case_id=case.id, reason="已回拨核实", key=town.key("lift"))

    entries = await log(object=f"risk_case:{case.id}")

    assert [(entry.action, entry.reason) for entry in entries] == [
        ("UNFREEZE_WALLET", "已回拨核实"),
        ("FREEZE_WALLET", "手机被抢"),
    ]
    assert {entry.by.session_id for entry in entries} == {str(desk.session_id)}


async def test_the_log_is_narrowed_by_each_thing_and_all_of_them() -> None:
    ann, ben = await people.staff(Role.SUPPORT), await people.staff(Role.COMPLIANCE)
    for viewer in (ann, ben, ann):
        await look_at_registrations(viewer)
    [first, second, third] = await log(action="READ_REGISTRATION_QUEUE")
    assert [one.actor_id for one in (first, second, third)] == [
        ann.user_id, ben.user_id, ann.user_id,
    ]  # fmt: skip

    assert len(await log(actor_id=ben.user_id)) == 1
    assert len(await log(object="registrations")) == 3
    assert len(await log(object="registrations", address=ADDRESS)) == 3
    assert await log(object="registrations", address="192.0.2.45") == []
    middle = {"since": second.created_at, "until": first.created_at}
    assert [one.id for one in await log(action=first.action, **middle)] == [second.id]
    assert await log(actor_id=ben.user_id, action="NONE_SUCH") == []


async def test_looking_at_the_log_is_recorded_without_what_was_typed_as_address(superuser) -> None:
    auditor = await people.staff(Role.AUDITOR)
    await log(auditor, address=ADDRESS)
    [look] = await log(actor_id=auditor.user_id)
    assert (look.action, look.object) == ("READ_AUDIT_LOG", "audit_log")
    assert look.detail["filter"].keys() == {"address"}
    rows = await superuser.fetch("select * from audit_entry")
    assert ADDRESS not in str([dict(row) for row in rows])


@pytest.mark.parametrize(
    "wanted",
    [{"action": "王小明"}, {"object": "phone +8613800001111"}, {"address": "王小明"}],
)
async def test_nothing_personal_can_be_left_in_the_log_by_asking_for_it(
    superuser, wanted: dict[str, str]
) -> None:
    auditor = await people.staff(Role.AUDITOR)
    with pytest.raises(refusals.InvalidInput) as caught:
        await log(auditor, **wanted)
    assert caught.value.path == ("filter", next(iter(wanted)))
    assert await superuser.fetchval("select count(*) from audit_entry") == 0


@pytest.mark.parametrize("role", [Role.SUPPORT, Role.FINANCE, Role.RISK, Role.COMPLIANCE])
async def test_others_of_staff_neither_see_the_log_nor_leave_a_look(superuser, role: Role) -> None:
    with pytest.raises(refusals.NotPermitted):
        await log(await people.staff(role))
    assert await superuser.fetchval("select count(*) from audit_entry") == 0


LOG = """query ($filter: AuditLogFilter, $after: String, $before: String, $first: Int, $last: Int) {
  staff { auditLog(filter: $filter, first: $first, last: $last, after: $after, before: $before) {
    edges { cursor node { id actor role sessionId addressHash requestId action object detail reason
                          createdAt seal } }
    pageInfo { hasNextPage hasPreviousPage } } } }"""


async def test_pages_fit_together_forwards_and_backwards() -> None:
    support, auditor = await people.staff(Role.SUPPORT), await people.staff(Role.AUDITOR)
    for _ in range(5):
        await look_at_registrations(support)
    narrow = {"actor": ids.encode("User", support.user_id)}

    async def page(**window: Any) -> dict[str, Any]:
        context = Context(viewer=auditor)
        variables = {"filter": narrow, **window}
        result = await schema.execute(LOG, variables, context_value=context)
        assert result.errors is None
        assert result.data is not None
        return result.data["staff"]["auditLog"]

    whole = [edge["node"]["id"] for edge in (await page(first=9))["edges"]]
    first = await page(first=2)
    second = await page(first=2, after=first["edges"][-1]["cursor"])
    third = await page(first=2, after=second["edges"][-1]["cursor"])
    assert [e["node"]["id"] for p in (first, second, third) for e in p["edges"]] == whole
    assert [p["pageInfo"]["hasNextPage"] for p in (first, second, third)] == [True, True, False]
    last = await page(last=2, before=third["edges"][0]["cursor"])
    assert [e["node"]["id"] for e in last["edges"]] == whole[2:4]
    [node] = [e["node"] for e in (await page(first=1))["edges"]]
    assert (node["role"], node["detail"], node["seal"]) == ("SUPPORT", '{"users":[]}', None)


STAFF_READS = {
    "members": Role.ADMIN,
    "roleChanges": Role.ADMIN,
    "registrationQueue": Role.SUPPORT,
    "recoveryCases": Role.SUPPORT,
    "identityQueue": Role.SUPPORT,
    "refundQueue": Role.FINANCE,
    "riskCases": Role.RISK,
    "auditLog": Role.ADMIN,
}
BY_REASON = {"resident", "residentInFull"}
"""Asked for with a reason, and refused without one: `test_residents` looks for their looks."""
IMPERSONAL = {"refundPolicies", "keyRotation"}
"""What staff see without anybody's data in it."""


async def test_every_staff_field_with_personal_data_leaves_a_look(superuser) -> None:
    fields = set(schema._schema.type_map["Staff"].fields)  # type: ignore[attr-defined]
    assert fields == STAFF_READS.keys() | BY_REASON | IMPERSONAL, (
        "is it personal? then it leaves a look"
    )
    for name, role in STAFF_READS.items():
        viewer = await people.staff(role)
        document = f"{{ staff {{ {name} {{ edges {{ cursor }} }} }} }}"
        result = await schema.execute(document, context_value=Context(viewer=viewer))
        assert result.errors is None
        row = await superuser.fetchrow(
            "select role, session_id from audit_entry where actor_id = $1", viewer.user_id
        )
        assert row is not None, name
        assert tuple(row) == (role, viewer.session_id), name
