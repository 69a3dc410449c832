"""Last part: a burst of payments, the freeze, the appeal, and the wallet works again."""

from __future__ import annotations

import time

from tests.demo import documents, paying
from tests.demo.joining import allow_small_payments
from tests.demo.stage import Person, Stage, Unexpected, key

FROZEN_WITHIN_SECONDS = 60.0
_BURST = 13
_WITHOUT_PIN = 10


async def burst(stage: Stage, person: Person, merchant_id: str) -> None:
    """Far more payments in a minute than anybody makes: ten without PIN, the rest by PIN."""
    stage.success(await allow_small_payments(person, pin=person.pin))
    for number in range(_BURST):
        result = await paying.create(person, merchant_id, "2.00", the_key=key())
        payment = stage.success(result)["payment"]
        if number >= _WITHOUT_PIN:
            confirmed = await person.client.mutate(
                documents.CONFIRM_PAYMENT,
                paymentId=payment["id"],
                proof={"pin": person.pin},
                idempotencyKey=key(),
            )
            payment = stage.success(confirmed)["payment"]
        stage.expect("a payment of the burst", payment["state"], "SUCCEEDED")
    stage.step(f"{person.name}'s phone was stolen? {_BURST} payments of 2.00 within seconds")


async def frozen(stage: Stage, person: Person, merchant_id: str) -> str:
    """The scan freezes the wallet and says why; nothing leaves it any more. The case's id."""
    stage.detail("waiting for the anomaly scan …")
    started = time.perf_counter()
    notice = await person.notice("WALLET_FROZEN", timeout_seconds=FROZEN_WITHIN_SECONDS)
    stage.step(
        f"the wallet is frozen {time.perf_counter() - started:.0f} s later: {notice['title']}"
    )
    stage.detail(notice["text"])
    data = await person.client.run(documents.FREEZE)
    freeze = data["viewer"]["freeze"]
    if freeze is None:
        raise Unexpected("the wallet should be frozen, and say why")
    stage.expect("the rule", freeze["reason"], "PAYMENT_BURST")
    result = await paying.create(person, merchant_id, "2.00", the_key=key())
    message = stage.refusal(result, "ACCOUNT_FROZEN")
    stage.step(f"the next payment is refused: {message}")
    return freeze["caseId"]


async def appeal(stage: Stage, person: Person, case_id: str, risk: Person) -> None:
    """The owner answers, the risk desk looks and lifts the freeze, the owner is told."""
    text = "是我本人，在帮同事买饮料。"
    result = await person.client.mutate(documents.APPEAL, caseId=case_id, text=text)
    stage.expect("the case", stage.success(result)["freeze"]["state"], "APPEALED")
    stage.step(f"{person.name} appeals: “{text}”")
    data = await risk.client.run(documents.RISK_CASES)
    [case] = [
        edge["node"]
        for edge in data["staff"]["riskCases"]["edges"]
        if edge["node"]["id"] == case_id
    ]
    stage.expect("the appeal as the risk desk reads it", case["appeal"], text)
    stage.step(
        f"{risk.name} (risk) sees {case['displayName']}: {case['rule']},"
        f" {case['evidence']['tookMilliseconds'] / 1000:.1f} s"
    )
    await risk.elevate("处理冻结申诉")
    lifted = await risk.client.mutate(
        documents.UNFREEZE, caseId=case_id, reason="已电话核实为本人操作", idempotencyKey=key()
    )
    stage.expect("the case", stage.success(lifted)["riskCase"]["state"], "LIFTED")
    notice = await person.notice("WALLET_UNFROZEN")
    stage.step(f"the freeze is lifted: {notice['title']}")
    stage.detail(notice["text"])


async def pays_again(stage: Stage, person: Person, merchant_id: str) -> None:
    """By PIN, since the ten payments without it are used up."""
    opened = stage.success(await paying.create(person, merchant_id, "3.00", the_key=key()))
    confirmed = await person.client.mutate(
        documents.CONFIRM_PAYMENT,
        paymentId=opened["payment"]["id"],
        proof={"pin": person.pin},
        idempotencyKey=key(),
    )
    stage.expect("the payment", stage.success(confirmed)["payment"]["state"], "SUCCEEDED")
    stage.step(f"{person.name} pays 3.00 again")
