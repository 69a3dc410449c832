"""Proofs of sensitive deeds that move no money, and of the end of one's own freeze."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import pytest

from domain import refusals
from domain.identity import Viewer
from domain.ledger import FreezeLevel
from domain.proofs import BY_PASSWORD, Action, Given, Method, Passkey, Password, Pin
from resolvers import passkeys, payments, proof_challenges, proofs, wallets
from resolvers.proof_challenges import Unfreeze
from services.identity import proofs as verbs
from services.unit_of_work import unit_of_work
from tests import movement as town
from tests import passkeys as keys
from tests import people as make
from tests.races import at_once

pytestmark = pytest.mark.usefixtures("counter")
STRONG = [Method.PIN_AND_CODE, Method.PASSKEY]


async def stepped(
    viewer: Viewer, proof: Given, action: Action = Action.EXPORT_DATA, subject: str = ""
) -> UUID:
    return await proofs.step_up(viewer, proof, action=action, subject=subject)


async def use(
    viewer: Viewer, proof_id: UUID, action: Action = Action.EXPORT_DATA, subject: str = ""
) -> str:
    """As whoever does the deed would."""
    try:
        async with unit_of_work() as work:
            await verbs.use_step_up(
                work, proof_id, user_id=viewer.user_id, action=action, subject=subject
            )
    except refusals.Refusal as refusal:
        return refusal.code
    return "used"


async def test_a_step_up_is_good_once_for_its_deed_its_subject_and_its_owner(
    superuser: asyncpg.Connection,
) -> None:
    viewer, other = await town.resident(), await town.resident()
    device, _ = await keys.added(viewer)
    asked = await proof_challenges.request_step_up_challenge(
        viewer, action=Action.EXPORT_DATA, subject="a"
    )
    assert (asked.methods, asked.options is None) == (STRONG, False)
    assert asked.options is not None
    answer = Passkey(asked.id, device.get(asked.options))

    with pytest.raises(refusals.ProofTooWeak):
        await stepped(viewer, Pin(town.PIN))
    for wrong in ((Action.EXPORT_DATA, "b"), (Action.CLOSE_ACCOUNT, "a")):
        with pytest.raises(refusals.ChallengeInvalid):
            await stepped(viewer, answer, *wrong)
    proof_id = await stepped(viewer, answer, subject="a")
    assert await stepped(viewer, answer, subject="a") == proof_id, "the answer was lost, say"

    assert await use(viewer, proof_id, subject="b") == "PROOF_REQUIRED"
    assert await use(viewer, proof_id, Action.CLOSE_ACCOUNT, "a") == "PROOF_REQUIRED"
    assert await use(other, proof_id, subject="a") == "PROOF_REQUIRED"
    answers = await at_once(20, lambda _: use(viewer, proof_id, subject="a"))
    assert sorted(answers) == ["PROOF_REQUIRED"] * 19 + ["used"]
    with pytest.raises(refusals.ChallengeInvalid):
        await stepped(viewer, answer, subject="a")


async def test_a_step_up_by_pin_and_code_dies_after_two_minutes(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await town.resident()
    asked = await proof_challenges.request_step_up_challenge(
        viewer, action=Action.EXPORT_DATA, subject=""
    )
    proof = await keys.code_for(superuser, viewer, asked.id)
    proof_id = await stepped(viewer, proof)
    await make.pass_time(superuser, 121)
    assert await use(viewer, proof_id) == "PROOF_REQUIRED"
    with pytest.raises(refusals.ChallengeInvalid):
        await stepped(viewer, proof)


async def test_the_password_does_only_for_own_matters_of_those_who_have_nothing_else(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await town.resident(pin=False)
    right = Password(make.PASSWORD, keys.ADDRESS)
    asked = await proof_challenges.request_step_up_challenge(
        viewer, action=Action.EXPORT_DATA, subject=""
    )
    assert asked.methods == [Method.PASSWORD]
    for other in (Action.CHANGE_PASSWORD, Action.CHANGE_PHONE):
        with pytest.raises(refusals.ProofTooWeak) as refused:
            await proofs.step_up(viewer, right, action=other)
        assert refused.value.sufficient == STRONG
    proof_id = await proofs.step_up(viewer, right, action=Action.EXPORT_DATA)
    assert await use(viewer, proof_id, Action.CLOSE_ACCOUNT) == "PROOF_REQUIRED"
    assert await use(viewer, proof_id) == "used"

    _, passkey = await keys.added(viewer)
    with pytest.raises(refusals.ProofTooWeak):
        await proofs.step_up(viewer, right, action=Action.EXPORT_DATA)
    await passkeys.remove_passkey(
        viewer,
        passkey_id=passkey.id,
        password=make.PASSWORD,
        accept_remaining=True,
        address=keys.ADDRESS,
    )
    with pytest.raises(refusals.ProofTooWeak):
        await proofs.step_up(viewer, right, action=Action.EXPORT_DATA)
    assert await superuser.fetchval("select count(*) from step_up") == 1


async def test_guesses_of_the_password_are_slowed_down_and_none_is_compared_in_vain(
    superuser: asyncpg.Connection,
) -> None:
    bare, viewer = await town.resident(pin=False), await town.resident()
    wrong = Password("Futian-guess-12", keys.ADDRESS)
    tries = "select coalesce(max(failures), 0) from login_throttle"
    with pytest.raises(refusals.ProofTooWeak):
        await proofs.step_up(viewer, wrong, action=Action.EXPORT_DATA)
    assert await superuser.fetchval(tries) == 0
    for _ in range(5):
        with pytest.raises(refusals.WrongCredentials) as refused:
            await proofs.step_up(bare, wrong, action=Action.EXPORT_DATA)
        assert refused.value.path == ("input", "proof", "password")
    with pytest.raises(refusals.RateLimited):
        await proofs.step_up(bare, wrong, action=Action.EXPORT_DATA)
    assert await superuser.fetchval("select count(*) from step_up") == 0


async def test_postgresql_takes_a_password_for_nothing_but_own_matters(
    api: asyncpg.Connection,
) -> None:
    insert = (
        "insert into step_up(user_id, action, subject_hash, method, expires_at)"
        " values (1, $1, '', 'PASSWORD', ledger.now())"
    )
    for action in Action:
        if action in BY_PASSWORD:
            await api.execute(insert, action)
        else:
            with pytest.raises(asyncpg.CheckViolationError):
                await api.execute(insert, action)
    with pytest.raises(asyncpg.CheckViolationError):
        await api.execute(
            "insert into ledger.proof(actor_id, operation, key, input_hash, method, expires_at)"
            " values (1, 20, 'k', '', 'PASSWORD', ledger.now())"
        )


async def test_a_step_up_moves_no_money(superuser: asyncpg.Connection) -> None:
    payer = await town.resident(balance=400_000)
    _, shop = await town.shop()
    opened = await town.pay(payer, shop, 100_000)
    device, _ = await keys.added(payer)
    asked = await proof_challenges.request_step_up_challenge(
        payer, action=Action.CLOSE_ACCOUNT, subject=str(opened.id)
    )
    assert asked.options is not None
    await stepped(
        payer,
        Passkey(asked.id, device.get(asked.options)),
        Action.CLOSE_ACCOUNT,
        str(opened.id),
    )
    with pytest.raises(refusals.ChallengeInvalid):
        await payments.confirm_payment(
            payer,
            payment_id=opened.id,
            proof=Passkey(asked.id, device.get(asked.options)),
            key="k",
        )
    assert await town.balance(shop.account_id) == 0


# --- the own freeze -----------------------------------------------------------------------------


async def test_the_own_freeze_is_lifted_by_a_strong_proof_only(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await town.resident(balance=1_000)
    device, _ = await keys.added(viewer)
    await wallets.freeze_my_wallet(viewer, level=FreezeLevel.FULL, key="freeze")
    with pytest.raises(refusals.ProofTooWeak):
        await wallets.unfreeze_my_wallet(viewer, proof=Pin(town.PIN), key="lift")
    proof = await keys.proof_of(viewer, device, Unfreeze(), "lift")

    opened = await wallets.unfreeze_my_wallet(viewer, proof=proof, key="lift")
    again = await keys.proof_of(viewer, device, Unfreeze(), "more")
    assert (await wallets.unfreeze_my_wallet(viewer, proof=again, key="more")) == opened
    assert opened.status == 1


async def test_the_citys_freeze_is_not_lifted_by_the_owner(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await town.resident(balance=1_000)
    device, _ = await keys.added(viewer)
    await superuser.execute("update ledger.account set status = 2 where id = $1", viewer.account_id)
    proof = await keys.proof_of(viewer, device, Unfreeze(), "lift")
    with pytest.raises(refusals.AccountFrozen):
        await wallets.unfreeze_my_wallet(viewer, proof=proof, key="lift")
