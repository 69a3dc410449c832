"""The real worker is killed when the phone has rung and PostgreSQL doesn't know it yet."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from infra import running
from services.demo import city
from tests.demo import __main__ as demo
from tests.demo import documents, paying
from tests.demo.stage import key
from tests.e2e.survivors import Town, until

REGISTER_TOKEN = documents._mutation("registerPushToken", "registered")
_CLAIMED = """
select o.id from ledger.outbox o join notice n on n.id::text = o.args ->> 'notice_id'
  join users u on u.id = n.user_id
 where o.job = 'send_notice' and o.attempts > 0 and n.kind = 'REGISTRATION_APPROVED'"""


async def _shown(url: str, to: str) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as gateway:
        found = await gateway.get("/messages", params={"to": to})
    return [one for one in found.json()["messages"] if one.get("template") != "VERIFICATION_CODE"]


async def _behave(url: str, **settings: int) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as gateway:
        (await gateway.post("/behaviour", json=settings)).raise_for_status()


async def _nothing_waits(town: Town) -> None:
    async with town.superuser() as connection:

        async def empty() -> bool:
            town.stack.tend()
            return not await connection.fetchval("select exists (select from ledger.outbox)")

        await until(empty, "all jobs are done")


@pytest.fixture
def town(stack: running.Running) -> Town:
    return Town(stack, demo.world_of(stack.env))


async def test_a_worker_killed_between_sending_and_its_commit_rings_the_phone_once(
    town: Town,
) -> None:
    stack = town.stack
    person, proof = await town.applicant()
    await _behave(stack.sms_url, delay_ms=2_000)
    await town.register(person, proof)

    async with town.superuser() as connection:

        async def claimed() -> bool:
            return bool(await connection.fetch(_CLAIMED))

        await until(claimed, "a worker is about to send the notice")
        async with connection.transaction():
            [row] = await connection.fetch(f"{_CLAIMED} for update of o")

            async def blocked() -> bool:
                return await town.waiting(login="wallet_worker") > 0

            await until(blocked, "the worker wants to say that it is done")
            before = await _shown(stack.sms_url, person.phone)
            stack.kill("worker")
        left = await connection.fetchval(
            "select count(*) from ledger.outbox where id = $1", row["id"]
        )
    assert [one["template"] for one in before] == ["REGISTRATION_APPROVED"]
    assert left == 1, "it was not committed"

    await _behave(stack.sms_url, delay_ms=0)
    stack.restart("worker")
    await town.end_leases()
    await _nothing_waits(town)
    assert await _shown(stack.sms_url, person.phone) == before
    await town.reviewed(person)


async def test_the_running_stack_pushes_to_a_registered_app(town: Town) -> None:
    number = next(n for n in range(20) if city.has_allowance(n))
    payer = town.person(city.resident_phone(number))
    await payer.sign_in()
    token = f"app-{key()}"
    answer = await payer.client.mutate(REGISTER_TOKEN, token=token, platform="HARMONY")
    assert town.stage.success(answer)["registered"]
    town.merchant_id = await paying.scan(town.stage, payer, town.stage.world.merchants[0])

    await town.settled([await town.pay(payer=payer)])

    pushed = await _shown(town.stack.push_url, token)
    assert [one["platform"] for one in pushed] == ["HARMONY"]
    assert "¥0.10" in pushed[0]["text"]
    await payer.close()
