"""Refunds, frozen wallets and notices as a client speaks them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from domain.identity import Role, Viewer
from schema import ids, schema
from schema.context import Context
from tests import jobs, people
from tests import movement as town

pytestmark = pytest.mark.usefixtures("counter")
NO = " ... on Error { code path message retryable }"
REQUEST = f"""mutation($input: RequestRefundInput!) {{ requestRefund(input: $input) {{
  __typename {NO}
  ... on RequestRefundSuccess {{ refund {{ id state amount {{ amount }} reason byPolicy
    payment {{ id state refunds {{ id }} }} }} }} }} }}"""
DECIDE = f"""mutation($input: DecideRefundInput!) {{ decideRefund(input: $input) {{ __typename {NO}
  ... on DecideRefundSuccess {{ refund {{ id state decisionReason payerName merchantName
    facts {{ recommendation refundsIn30Days merchantCovers policyId }} }} }} }} }}"""
QUEUE = """query($first: Int, $after: String) { staff { refundQueue(first: $first, after: $after) {
  edges { cursor node { id reason payerName amount { amount } } } pageInfo { hasNextPage endCursor }
} } }"""
SIGN = f"""mutation($input: SignRefundPolicyInput!) {{ signRefundPolicy(input: $input) {{
  __typename {NO} ... on SignRefundPolicySuccess {{ policy {{ id amountMax {{ amount }}
  paymentAgeMaxHours refundsMaxPer30Days signedBy endedAt }} }} }} }}"""
END = f"""mutation($input: EndRefundPolicyInput!) {{ endRefundPolicy(input: $input) {{
  __typename {NO} ... on EndRefundPolicySuccess {{ policy {{ id endedAt }} }} }} }}"""
POLICIES = "{ staff { refundPolicies(first: 5) { edges { node { id endedAt } } } } }"
NOTICES = """query($first: Int, $after: String) { viewer { unreadNoticeCount
  notices(first: $first, after: $after) { pageInfo { hasNextPage endCursor } edges { node {
    id kind sequence title text readAt payment { id } refund { id state } } } } } }"""
MARK = f"""mutation($input: MarkNoticesReadInput!) {{ markNoticesRead(input: $input) {{
  __typename {NO} ... on MarkNoticesReadSuccess {{ unreadNoticeCount }} }} }}"""
FREEZE = f"""mutation($input: FreezeWalletInput!) {{ freezeWallet(input: $input) {{ __typename {NO}
  ... on FreezeWalletSuccess {{ riskCase {{ id userId rule state reason displayName
    evidence {{ postings amount {{ amount }} sharePercent }} }} }} }} }}"""
UNFREEZE = f"""mutation($input: UnfreezeWalletInput!) {{ unfreezeWallet(input: $input) {{
  __typename {NO} ... on UnfreezeWalletSuccess {{ riskCase {{ id state decisionReason }} }} }} }}"""
APPEAL = f"""mutation($input: AppealFreezeInput!) {{ appealFreeze(input: $input) {{ __typename {NO}
  ... on AppealFreezeSuccess {{ freeze {{ state appeal ruleText }} }} }} }}"""
OWN_FREEZE = "{ viewer { freeze { caseId reason ruleText frozenAt state appealedAt } } }"
CASES = """query($state: RiskCaseState) { staff { riskCases(first: 10, state: $state) {
  edges { node { id state appeal } } } } }"""
EVENTS = """subscription($after: EventCursor) { notificationEvents(after: $after) { __typename
  ... on NotificationEvent { cursor sequence notice { kind title } } } }"""


def context(viewer: Viewer, language: str = "zh-CN") -> Context:
    return Context(viewer=viewer, language=language, address="192.0.2.8")


async def ask(document: str, viewer: Viewer, language: str = "zh-CN", **variables: Any) -> Any:
    """The data of an operation that ends without top-level errors."""
    result = await schema.execute(document, variables, context_value=context(viewer, language))
    assert result.errors is None, result.errors
    return result.data


async def change(document: str, viewer: Viewer, **fields: Any) -> Any:
    """The result of a mutation, without its name."""
    [found] = (await ask(document, viewer, input=fields)).values()
    return found


async def paid():
    payer = await town.resident("欧阳明", balance=20_000, allowance=(20_000, 10))
    seller, shop = await town.shop()
    payment = await town.pay(payer, shop, 3_000)
    return payer, seller, ids.encode("Payment", payment.id)


async def request(payer: Viewer, payment_id: str) -> Any:
    return await change(
        REQUEST, payer, paymentId=payment_id, reason="没有收到货", idempotencyKey=town.key("ask")
    )


async def test_a_refund_goes_from_the_request_over_the_queue_to_the_notice() -> None:
    payer, _, payment_id = await paid()
    finance = await people.staff(Role.FINANCE)

    asked = (await request(payer, payment_id))["refund"]
    assert (asked["state"], asked["amount"]["amount"], asked["byPolicy"]) == (
        "REQUESTED",
        "30.00",
        False,
    )
    assert asked["payment"]["state"] == "REFUND_UNDER_REVIEW"
    assert asked["payment"]["refunds"] == [{"id": asked["id"]}]
    await jobs.work_off()

    queue = (await ask(QUEUE, finance, first=5))["staff"]["refundQueue"]
    [edge] = queue["edges"]
    assert edge["node"] == {
        "id": asked["id"],
        "reason": "没有收到货",
        "payerName": "欧*明",
        "amount": {"amount": "30.00"},
    }
    decided = await change(
        DECIDE,
        finance,
        refundId=asked["id"],
        decision="REJECT",
        reason="已签收",
        idempotencyKey="d",
    )
    assert decided["refund"]["state"] == "REJECTED"
    assert decided["refund"]["facts"] == {
        "recommendation": "FINANCE",
        "refundsIn30Days": 1,
        "merchantCovers": True,
        "policyId": None,
    }
    await jobs.work_off()
    late = await change(
        DECIDE, finance, refundId=asked["id"], decision="APPROVE", idempotencyKey="late"
    )
    assert (late["__typename"], late["message"]) == (
        "RefundAlreadyDecidedError",
        "该退款已审核完毕。",
    )

    told = (await ask(NOTICES, payer, first=1))["viewer"]
    assert told["unreadNoticeCount"] == 4
    [newest] = [edge["node"] for edge in told["notices"]["edges"]]
    assert newest["kind"] == "REFUND_REJECTED"
    assert newest["text"] == "您的¥30.00退款申请未通过。原因：已签收。"
    assert newest["refund"] == {"id": asked["id"], "state": "REJECTED"}
    assert newest["payment"] == {"id": payment_id}
    english = (await ask(NOTICES, payer, "en", first=1))["viewer"]["notices"]["edges"][0]["node"]
    assert english["title"] == "Refund not approved"


async def test_notices_are_paged_and_marked_and_another_ones_are_not_found() -> None:
    payer, seller, _ = await paid()
    await jobs.work_off()

    first = (await ask(NOTICES, payer, first=1))["viewer"]["notices"]
    after = first["pageInfo"]["endCursor"]
    second = (await ask(NOTICES, payer, first=1, after=after))["viewer"]["notices"]
    sequences = [page["edges"][0]["node"]["sequence"] for page in (first, second)]
    assert sequences == [2, 1]
    assert [page["pageInfo"]["hasNextPage"] for page in (first, second)] == [True, False]

    marked = await change(MARK, payer, upToSequence=1)
    assert marked["unreadNoticeCount"] == 1
    node = "query($id: ID!) { node(id: $id) { id __typename } }"
    notice_id = first["edges"][0]["node"]["id"]
    assert (await ask(node, payer, id=notice_id))["node"]["__typename"] == "Notice"
    assert (await ask(node, seller, id=notice_id))["node"] is None


async def test_finance_signs_and_ends_a_policy() -> None:
    finance = await people.staff(Role.FINANCE)
    signed = await change(
        SIGN,
        finance,
        amountMax={"amount": "100.00", "currencyCode": "CNY"},
        paymentAgeMaxHours=48,
        refundsMaxPer30Days=2,
    )
    policy = signed["policy"]
    assert policy["amountMax"] == {"amount": "100.00"}
    assert (policy["paymentAgeMaxHours"], policy["refundsMaxPer30Days"]) == (48, 2)
    assert policy["signedBy"] == ids.encode("User", finance.user_id)

    payer, _, payment_id = await paid()
    await request(payer, payment_id)
    await jobs.work_off()
    own = "{ viewer { refunds(first: 1) { edges { node { state byPolicy } } } } }"
    edges = (await ask(own, payer))["viewer"]["refunds"]["edges"]
    assert edges == [{"node": {"state": "APPROVED", "byPolicy": True}}]

    ended = await change(END, finance, policyId=policy["id"])
    assert ended["policy"]["endedAt"]
    listed = (await ask(POLICIES, finance))["staff"]["refundPolicies"]["edges"]
    assert [edge["node"]["id"] for edge in listed] == [policy["id"]]
    unknown = await change(END, finance, policyId="nonsense")
    assert unknown["__typename"] == "NotFoundError"
    bad = await change(
        SIGN,
        finance,
        amountMax={"amount": "1.00", "currencyCode": "CNY"},
        paymentAgeMaxHours=0,
        refundsMaxPer30Days=2,
    )
    assert (bad["__typename"], bad["path"]) == (
        "InvalidInputError",
        ["input", "paymentAgeMaxHours"],
    )


async def test_a_freeze_is_seen_appealed_and_lifted() -> None:
    owner = await town.resident("欧阳明")
    officer = await people.staff(Role.RISK)
    assert (await ask(OWN_FREEZE, owner))["viewer"]["freeze"] is None

    frozen = await change(
        FREEZE,
        officer,
        userId=ids.encode("User", owner.user_id),
        reason="可疑登录",
        idempotencyKey="f",
    )
    case = frozen["riskCase"]
    assert (case["rule"], case["state"], case["displayName"]) == ("MANUAL", "OPEN", "欧*明")
    assert case["evidence"] == {"postings": [], "amount": None, "sharePercent": None}
    seen = (await ask(OWN_FREEZE, owner))["viewer"]["freeze"]
    assert (seen["caseId"], seen["ruleText"], seen["appealedAt"]) == (case["id"], "可疑登录", None)

    appealed = await change(APPEAL, owner, caseId=case["id"], text="是我本人")
    assert appealed["freeze"]["state"] == "APPEALED"
    [edge] = (await ask(CASES, officer, state="APPEALED"))["staff"]["riskCases"]["edges"]
    assert edge["node"] == {"id": case["id"], "state": "APPEALED", "appeal": "是我本人"}

    lifted = await change(UNFREEZE, officer, caseId=case["id"], reason="已核实", idempotencyKey="u")
    assert lifted["riskCase"]["state"] == "LIFTED"
    again = await change(
        UNFREEZE, officer, caseId=case["id"], reason="已核实", idempotencyKey="other"
    )
    assert again["__typename"] == "StaleVersionError"
    stranger = await change(APPEAL, owner, caseId=case["id"], text="再申诉")
    assert stranger["__typename"] == "NotFoundError"


async def test_residents_see_nothing_of_staff_and_may_not_decide() -> None:
    payer, _, payment_id = await paid()
    asked = (await request(payer, payment_id))["refund"]

    assert (await ask(QUEUE, payer))["staff"] is None
    result = await schema.execute(
        DECIDE,
        {"input": {"refundId": asked["id"], "decision": "APPROVE", "idempotencyKey": "x"}},
        context_value=context(payer),
    )
    assert result.errors is not None
    assert await town.balance(payer.account_id) == 17_000


async def test_notices_are_followed_live_and_resumed() -> None:
    payer, _, payment_id = await paid()
    await jobs.work_off()
    stream: Any = await schema.subscribe(EVENTS, {}, context_value=context(payer))
    waiting = asyncio.ensure_future(anext(stream))
    async with asyncio.timeout(10):
        while not waiting.done():
            await request(payer, payment_id)
            await jobs.work_off()
            await asyncio.wait([waiting], timeout=0.2)
        event = (await waiting).data["notificationEvents"]
    await stream.aclose()

    assert (event["sequence"], event["notice"]["kind"]) == (3, "REFUND_REQUESTED")
    resumed: Any = await schema.subscribe(
        EVENTS, {"after": event["cursor"]}, context_value=context(payer)
    )
    finance = await people.staff(Role.FINANCE)
    [edge] = (await ask(QUEUE, finance))["staff"]["refundQueue"]["edges"]
    await change(
        DECIDE, finance, refundId=edge["node"]["id"], decision="APPROVE", idempotencyKey="d"
    )
    await jobs.work_off()
    async with asyncio.timeout(10):
        kinds = [
            (await anext(resumed)).data["notificationEvents"]["notice"]["kind"] for _ in range(2)
        ]
    await resumed.aclose()
    assert kinds == ["REFUND_APPROVED", "REFUND_CREDITED"]
