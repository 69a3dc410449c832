"""Third part: refunds by a person and by a signed policy, and what strangers don't see."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from tests.demo import documents
from tests.demo.paying import Payment
from tests.demo.stage import Person, Stage, Unexpected, key, money, ms_since

_POLL_SECONDS = 0.1


async def end_policies(finance: Person) -> None:
    """Policies of earlier runs would decide what a person is to decide here."""
    data = await finance.client.run(documents.POLICIES)
    for edge in data["staff"]["refundPolicies"]["edges"]:
        if edge["node"]["endedAt"] is None:
            await finance.client.mutate(documents.END_POLICY, policyId=edge["node"]["id"])


async def request(stage: Stage, payer: Person, payment: Payment, reason: str) -> str:
    """Ask for a payment back; the refund's id."""
    result = await payer.client.mutate(
        documents.REQUEST_REFUND, paymentId=payment["id"], reason=reason, idempotencyKey=key()
    )
    refund = stage.success(result)["refund"]
    stage.expect("the refund", refund["state"], "REQUESTED")
    amount = payment["amount"]["amount"]
    stage.step(f"{payer.name} asks for {amount} back: “{reason}” → REQUESTED")
    await payer.notice("REFUND_REQUESTED")
    return refund["id"]


async def approve(
    stage: Stage, payer: Person, payment: Payment, desk: tuple[Person, Person]
) -> None:
    """Through finance's queue; credited live, told by a notice; decided once only."""
    finance, colleague = desk
    refund_id = await request(stage, payer, payment, "商品缺货")
    found = await _in_queue(finance, refund_id)
    facts = found["facts"]
    stage.step(
        f"in the queue of {finance.name} (finance): {found['payerName']}, {found['merchantName']},"
        f" {facts['refundsIn30Days']} refund(s) in 30 days, recommended: {facts['recommendation']}"
    )
    started = time.perf_counter()
    decided = await _decide(finance, refund_id, "APPROVE", None)
    stage.expect("the decision", stage.success(decided)["refund"]["state"], "APPROVED")
    event = await payer.transactions.until(_is_refund)
    came = event.data["transaction"]["amount"]
    stage.expect("what came back", came, payment["amount"])
    stage.step(
        f"{finance.name} approves; {payer.name} sees +{came['amount']}",
        live_ms=ms_since(started, event),
    )
    stage.detail((await payer.notice("REFUND_CREDITED"))["text"])
    late = await _decide(colleague, refund_id, "REJECT", "太晚了")
    message = stage.refusal(late, "REFUND_ALREADY_DECIDED")
    stage.step(f"{colleague.name} decides it a second time: {message}")


async def reject(stage: Stage, payer: Person, payment: Payment, finance: Person) -> None:
    """The payer is told why, and keeps what was bought."""
    refund_id = await request(stage, payer, payment, "不想要了")
    await _in_queue(finance, refund_id)
    reason = "商品已经使用，不符合退款条件"
    decided = await _decide(finance, refund_id, "REJECT", reason)
    stage.expect("the decision", stage.success(decided)["refund"]["state"], "REJECTED")
    notice = await payer.notice("REFUND_REJECTED")
    if reason not in notice["text"]:
        raise Unexpected(f"the notice should give the reason\n    came:     {notice['text']}")
    stage.step(f"{finance.name} rejects; the notice gives the reason")
    stage.detail(notice["text"])


async def by_policy(stage: Stage, payer: Person, payment: Payment, finance: Person) -> None:
    """What finance has signed decides clear cases by itself."""
    await finance.elevate("签署退款规则")
    signed = await finance.client.mutate(
        documents.SIGN_POLICY,
        amountMax=money("50.00"),
        paymentAgeMaxHours=24,
        refundsMaxPer30Days=10,
    )
    policy_id = stage.success(signed)["policy"]["id"]
    stage.step(f"{finance.name} signs a policy: up to 50.00, within a day of the payment")
    started = time.perf_counter()
    await request(stage, payer, payment, "重复付款")
    event = await payer.transactions.until(_is_refund)
    stage.expect("what came back", event.data["transaction"]["amount"], payment["amount"])
    stage.step(
        f"the policy approves by itself: +{payment['amount']['amount']}",
        live_ms=ms_since(started, event),
    )
    await payer.notice("REFUND_CREDITED")
    ended = await finance.client.mutate(documents.END_POLICY, policyId=policy_id)
    stage.success(ended)


async def stranger(stage: Stage, other: Person, payment: Payment) -> None:
    """Somebody else's payment is simply not found, whatever one tries."""
    data = await other.client.run(documents.NODE, id=payment["id"])
    stage.expect("a stranger's look at a payment", data["node"], None)
    result = await other.client.mutate(
        documents.CONFIRM_PAYMENT,
        paymentId=payment["id"],
        proof={"pin": other.pin},
        idempotencyKey=key(),
    )
    stage.refusal(result, "NOT_FOUND")
    result = await other.client.mutate(
        documents.REQUEST_REFUND, paymentId=payment["id"], reason="我的", idempotencyKey=key()
    )
    stage.refusal(result, "NOT_FOUND")
    stage.step(f"{other.name} tries that payment's id: null, NOT_FOUND, NOT_FOUND")


def _is_refund(data: Any) -> bool:
    return data["transaction"]["kind"] == "REFUND"


async def _decide(
    finance: Person, refund_id: str, decision: str, reason: str | None
) -> dict[str, Any]:
    return await finance.client.mutate(
        documents.DECIDE_REFUND,
        refundId=refund_id,
        decision=decision,
        reason=reason,
        idempotencyKey=key(),
    )


async def _in_queue(finance: Person, refund_id: str) -> dict[str, Any]:
    """The refund as finance's queue shows it, once the review has gathered the facts."""
    for _ in range(100):
        after = None
        while True:
            data = await finance.client.run(documents.REFUND_QUEUE, after=after)
            queue = data["staff"]["refundQueue"]
            for edge in queue["edges"]:
                if edge["node"]["id"] == refund_id and edge["node"]["facts"]:
                    return edge["node"]
            if not queue["pageInfo"]["hasNextPage"]:
                break
            after = queue["pageInfo"]["endCursor"]
        await asyncio.sleep(_POLL_SECONDS)
    raise Unexpected("the refund did not appear in finance's queue")
