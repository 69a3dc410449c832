"""One proof used many times at once: a test stages a few, `make prove` a thousand."""

from __future__ import annotations

from collections import Counter

import asyncpg
from pyotp.totp import TOTP

from domain import totp as totp_rules
from domain.identity import Role
from domain.proofs import Action, Given, Passkey
from resolvers import elevations, payments, proof_challenges, proofs
from resolvers.proof_challenges import Payment
from services.identity import proofs as verbs
from services.identity import totp
from services.unit_of_work import unit_of_work
from tests import movement as town
from tests import passkeys as keys
from tests import people as make
from tests.authenticator import Authenticator
from tests.races import counted

AMOUNT = 100_000


async def _paying(
    superuser: asyncpg.Connection, *, count: int, by_code: bool, own_keys: bool
) -> tuple[Counter[str], int, int]:
    """The answers, how many proofs there are, and what the shop got."""
    payer = await town.resident(balance=AMOUNT * 2)
    _, shop = await town.shop()
    opened = await town.pay(payer, shop, AMOUNT)
    proof: Given
    if by_code:
        asked = await keys.asked_for(payer, Payment(opened.id), "k-0")
        proof = await keys.code_for(superuser, payer, asked.id)
    else:
        device, _ = await keys.added(payer)
        proof = await keys.proof_of(payer, device, Payment(opened.id), "k-0")

    async def pay(number: int) -> object:
        key = f"k-{number if own_keys else 0}"
        return await payments.confirm_payment(payer, payment_id=opened.id, proof=proof, key=key)

    answers = await counted(count, pay)
    made = await superuser.fetchval(
        "select count(*) from ledger.proof where actor_id = $1", payer.user_id
    )
    return answers, made, await town.balance(shop.account_id)


async def payments_by_one_passkey_answer(
    superuser: asyncpg.Connection, *, count: int
) -> tuple[Counter[str], int, int]:
    """One call, sent ``count`` times: all are answered alike, and the money moves once."""
    return await _paying(superuser, count=count, by_code=False, own_keys=False)


async def payments_by_one_passkey_answer_under_many_keys(
    superuser: asyncpg.Connection, *, count: int
) -> tuple[Counter[str], int, int]:
    """``count`` different calls with the proof of the first: exactly one is done."""
    return await _paying(superuser, count=count, by_code=False, own_keys=True)


async def payments_by_one_pin_and_code(
    superuser: asyncpg.Connection, *, count: int
) -> tuple[Counter[str], int, int]:
    """``count`` different calls with the PIN and the code of the first: exactly one is done."""
    return await _paying(superuser, count=count, by_code=True, own_keys=True)


async def logins_by_one_passkey_answer(*, count: int) -> Counter[str]:
    """Exactly one signs in."""
    viewer = await town.resident()
    device, _ = await keys.added(viewer, Authenticator(counts=False))
    asked = await keys.login_asked()
    credential = device.get(asked.options)
    return await counted(
        count,
        lambda _: keys.entered(asked.id, credential),
    )


async def uses_of_one_totp_code(superuser: asyncpg.Connection, *, count: int) -> Counter[str]:
    """Exactly one elevates; five are told that it was used, and the rest to wait."""
    officer = await make.staff(Role.RISK, elevated=False)
    async with unit_of_work() as work:
        secret = (await totp.enrol(work, officer.user_id, label="")).secret
        step = totp_rules.step_at(work.now)
        await totp.confirm(work, officer.user_id, TOTP(secret).generate_otp(step - 1))
    code = TOTP(secret).generate_otp(step + 1)  # good for longer than the race takes

    async def elevate(_: int) -> None:
        await elevations.elevate(officer, reason="例行检查", given=code)

    answers = await counted(count, elevate)
    assert await superuser.fetchval("select count(*) from elevation") == answers["done"]
    return answers


async def uses_of_one_step_up(*, count: int) -> Counter[str]:
    """Exactly one deed is done, however often the proof is shown."""
    viewer = await town.resident()
    device, _ = await keys.added(viewer)
    asked = await proof_challenges.request_step_up_challenge(
        viewer, action=Action.EXPORT_DATA, subject=""
    )
    assert asked.options is not None
    answer = Passkey(asked.id, device.get(asked.options))
    proof_id = await proofs.step_up(viewer, answer, action=Action.EXPORT_DATA)

    async def use(_: int) -> None:
        async with unit_of_work() as work:
            await verbs.use_step_up(
                work, proof_id, user_id=viewer.user_id, action=Action.EXPORT_DATA
            )

    return await counted(count, use)
