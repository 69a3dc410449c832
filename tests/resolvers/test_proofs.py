"""Proofs of payments and of other sensitive deeds: PIN, PIN and code, passkey."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from domain import refusals
from domain.identity import Viewer
from domain.proofs import Action, Given, Method, Passkey, Pin, PinAndCode
from resolvers import passkeys, payments, proof_challenges, proofs, transfers, wallets
from resolvers.proof_challenges import Allowance, Payment, Transfer
from services import people as persons
from tests import movement as town
from tests import passkeys as keys
from tests import people as make
from tests import proof_races as races
from tests.passkeys import ADDRESS
from tests.races import at_once

pytestmark = pytest.mark.usefixtures("counter")
STRONG = [Method.PIN_AND_CODE, Method.PASSKEY]
LARGE = 100_000


async def shopping(amount_minor: int = LARGE) -> tuple[Viewer, Any, Any]:
    """A payer with money, an opened payment, and the shop."""
    payer = await town.resident(balance=400_000)
    _, shop = await town.shop()
    return payer, await town.pay(payer, shop, amount_minor), shop


async def confirm(viewer: Viewer, payment_id: UUID, proof: Given, key: str) -> Any:
    return await payments.confirm_payment(viewer, payment_id=payment_id, proof=proof, key=key)


async def left(superuser: asyncpg.Connection, viewer: Viewer) -> tuple[Any, ...]:
    """What a refused proof must not change."""
    row = await superuser.fetchrow(
        "select pin_tries_left, (select count(*) from ledger.proof),"
        " (select count(*) from ledger.instruction where actor_id = u.id),"
        " (select count(*) from step_up), (select posted from ledger.account where owner_id = u.id)"
        " from users u where id = $1",
        viewer.user_id,
    )
    assert row is not None
    return tuple(row)


# --- the policy ---------------------------------------------------------------------------------


async def test_a_pin_is_enough_for_small_amounts_only(superuser: asyncpg.Connection) -> None:
    payer, small, shop = await shopping(49_999)
    await confirm(payer, small.id, Pin(town.PIN), "small")
    large = await town.pay(payer, shop, LARGE)
    before = await left(superuser, payer)

    for pin in (town.PIN, "135790"):  # nobody learns by it whether the PIN is right
        with pytest.raises(refusals.ProofTooWeak) as caught:
            await confirm(payer, large.id, Pin(pin), "large")
        assert caught.value.facts() == {"sufficient": STRONG}
    assert await left(superuser, payer) == before

    device, _ = await keys.added(payer)
    proof = await keys.proof_of(payer, device, Payment(large.id), "large")
    await confirm(payer, large.id, proof, "large")
    assert await town.balance(shop.account_id) == 49_999 + LARGE


async def test_a_challenge_says_what_is_enough(superuser: asyncpg.Connection) -> None:
    payer, large, shop = await shopping()
    small = await town.pay(payer, shop, 100)
    asked = await keys.asked_for(payer, Payment(large.id), "k")
    assert (asked.methods, asked.options) == (STRONG, None)
    await keys.added(payer)
    asked = await keys.asked_for(payer, Payment(small.id), "k")
    assert asked.methods == [Method.PIN, *STRONG]
    assert asked.options is not None


async def test_the_policy_is_data_with_a_beginning_and_an_end(
    superuser: asyncpg.Connection,
) -> None:
    payer, opened, _ = await shopping(100)
    await superuser.execute(
        "insert into proof_policy(deed, sufficient, reason, valid_from, valid_until) values"
        " ('CONFIRM_PAYMENT', '[\"PASSKEY\"]', 'a week of caution',"
        " ledger.now() + interval '1 minute', ledger.now() + interval '2 minutes')"
    )

    async def methods() -> list[Method]:
        return (await keys.asked_for(payer, Payment(opened.id), "k")).methods

    assert await methods() == [Method.PIN, *STRONG]
    await make.pass_time(superuser, 61)
    assert await methods() == [Method.PASSKEY]
    with pytest.raises(refusals.ProofTooWeak):
        await confirm(payer, opened.id, Pin(town.PIN), "k")
    await make.pass_time(superuser, 61)
    assert await methods() == [Method.PIN, *STRONG]
    await confirm(payer, opened.id, Pin(town.PIN), "k")


# --- passkeys -----------------------------------------------------------------------------------


async def test_a_passkey_pays_sends_and_sets_the_allowance() -> None:
    payer, payee = await town.resident(balance=400_000), await town.resident()
    device, _ = await keys.added(payer)
    number = persons.phone_of(payee)

    deed = Transfer(number, LARGE, "房租")
    proof = await keys.proof_of(payer, device, deed, "send")
    await transfers.create_transfer(
        payer, phone=number, amount_minor=LARGE, memo="房租", proof=proof, key="send"
    )
    proof = await keys.proof_of(payer, device, Allowance(500, 3), "allow")
    wallet = await wallets.set_payment_allowance(
        payer, amount_max_minor=500, daily_count_max=3, proof=proof, key="allow"
    )

    assert await town.balance(payee.account_id) == LARGE
    assert (wallet.free_max_minor, wallet.free_daily_count_max) == (500, 3)


async def test_a_proof_of_one_transfer_is_worth_nothing_for_another(
    superuser: asyncpg.Connection,
) -> None:
    payer, payee, other = [await town.resident(balance=400_000) for _ in range(3)]
    device, _ = await keys.added(payer)
    to, instead = persons.phone_of(payee), persons.phone_of(other)
    proof = await keys.proof_of(payer, device, Transfer(to, 10_000, "房租"), "send")
    before = await left(superuser, payer)

    async def send(viewer: Viewer = payer, **changes: Any) -> Any:
        asked = {"phone": to, "amount_minor": 10_000, "memo": "房租", "key": "send"} | changes
        return await transfers.create_transfer(viewer, **asked, proof=proof)

    for changes in (
        {"phone": instead},
        {"amount_minor": 10_001},
        {"memo": "房子"},
        {"key": "another"},
        {"viewer": other},
    ):
        with pytest.raises(refusals.ChallengeInvalid):
            await send(**changes)
    assert await left(superuser, payer) == before
    await send()
    assert await town.balance(payee.account_id) == 410_000


async def test_a_proof_of_one_payment_is_worth_nothing_for_another(
    superuser: asyncpg.Connection,
) -> None:
    payer, first, shop = await shopping()
    second = await town.pay(payer, shop, LARGE)  # the same shop, the same amount
    device, _ = await keys.added(payer)
    proof = await keys.proof_of(payer, device, Payment(first.id), "k")
    asked = await keys.asked_for(payer, Payment(second.id), "k")
    assert asked.options is not None

    for wrong in (proof, Passkey(asked.id, proof.credential)):
        with pytest.raises(refusals.ChallengeInvalid):
            await confirm(payer, second.id, wrong, "k")
    assert await town.balance(shop.account_id) == 0
    await confirm(payer, first.id, proof, "k")


async def test_challenges_are_no_good_for_what_they_were_not_made_for() -> None:
    payer, opened, _ = await shopping()
    device, _ = await keys.added(payer)
    login, registration = await keys.login_asked(), await keys.begun(payer)
    step_up = await proof_challenges.request_step_up_challenge(
        payer, action=Action.EXPORT_DATA, subject=""
    )
    own = await keys.asked_for(payer, Payment(opened.id), "k")
    assert step_up.options is not None
    assert own.options is not None

    for asked in (login, registration, step_up):
        with pytest.raises(refusals.ChallengeInvalid):
            await confirm(payer, opened.id, Passkey(asked.id, device.get(asked.options)), "k")
    with pytest.raises(refusals.ChallengeInvalid):
        await keys.entered(own.id, device.get(own.options))
    with pytest.raises(refusals.ChallengeInvalid):
        await proofs.step_up(
            payer, Passkey(own.id, device.get(own.options)), action=Action.EXPORT_DATA
        )
    with pytest.raises(refusals.ChallengeInvalid):
        await confirm(payer, opened.id, Passkey(uuid4(), device.get(own.options)), "k")


@pytest.mark.parametrize(
    "forged",
    [
        {"origin": "https://pengcheng-wallet.example"},
        {"cross_origin": True},
        {"rp_id": "pengcheng-wallet.example"},
        {"verified": False},
        {"present": False},
        {"user_handle": b"u" * 32},
        {"signature": b"\x30\x06\x02\x01\x01\x02\x01\x01"},
        {"kind": "webauthn.create"},
    ],
    ids=str,
)
async def test_a_wrong_answer_moves_nothing(
    superuser: asyncpg.Connection, forged: dict[str, Any]
) -> None:
    payer, opened, _ = await shopping()
    device, _ = await keys.added(payer)
    before = await left(superuser, payer)
    proof = await keys.proof_of(payer, device, Payment(opened.id), "k", **forged)
    with pytest.raises(refusals.PasskeyInvalid):
        await confirm(payer, opened.id, proof, "k")
    assert await left(superuser, payer) == before


async def test_anothers_passkey_proves_nothing(superuser: asyncpg.Connection) -> None:
    payer, opened, _ = await shopping()
    thief = await town.resident()
    await keys.added(payer)
    device, _ = await keys.added(thief)
    before = await left(superuser, payer)
    proof = await keys.proof_of(payer, device, Payment(opened.id), "k")
    with pytest.raises(refusals.PasskeyInvalid):
        await confirm(payer, opened.id, proof, "k")
    assert await left(superuser, payer) == before


async def test_a_removed_passkey_proves_nothing() -> None:
    payer, opened, _ = await shopping()
    device, row = await keys.added(payer)
    proof = await keys.proof_of(payer, device, Payment(opened.id), "k")
    remaining = await passkeys.remove_passkey(
        payer,
        passkey_id=row.id,
        password=make.PASSWORD,
        accept_remaining=True,
        address=ADDRESS,
    )
    assert remaining == [Method.PIN, Method.PIN_AND_CODE]
    with pytest.raises(refusals.PasskeyInvalid):
        await confirm(payer, opened.id, proof, "k")


async def test_a_stale_counter_moves_nothing_uses_the_challenge_and_tells_the_owner(
    superuser: asyncpg.Connection,
) -> None:
    payer, opened, _ = await shopping()
    device, _ = await keys.added(payer)
    before = await left(superuser, payer)
    asked = await keys.asked_for(payer, Payment(opened.id), "k")
    assert asked.options is not None
    with pytest.raises(refusals.PasskeyInvalid):
        await confirm(payer, opened.id, Passkey(asked.id, device.get(asked.options, count=1)), "k")
    with pytest.raises(refusals.ChallengeInvalid):
        await confirm(payer, opened.id, Passkey(asked.id, device.get(asked.options)), "k")
    assert await left(superuser, payer) == before
    assert (
        await superuser.fetchval(
            "select count(*) from notice where user_id = $1 and kind = 'PASSKEY_REFUSED'",
            payer.user_id,
        )
        == 1
    )


async def test_the_same_call_again_is_answered_as_before_however_late(
    superuser: asyncpg.Connection,
) -> None:
    payer, opened, shop = await shopping()
    device, _ = await keys.added(payer)
    proof = await keys.proof_of(payer, device, Payment(opened.id), "k")
    first = await confirm(payer, opened.id, proof, "k")
    for _ in range(2):
        assert await confirm(payer, opened.id, proof, "k") == first
        await make.pass_time(superuser, 600)
    assert await superuser.fetchval("select count(*) from ledger.proof") == 1
    # Another answer to the same challenge is no repetition.
    asked = await keys.asked_for(payer, Payment(opened.id), "k")
    assert asked.options is not None
    again = Passkey(proof.challenge_id, device.get(asked.options))
    with pytest.raises(refusals.ChallengeInvalid):
        await confirm(payer, opened.id, again, "k")
    assert await town.balance(shop.account_id) == LARGE


async def test_a_proof_whose_money_never_moved_dies(superuser: asyncpg.Connection) -> None:
    payer, opened, _ = await shopping()
    device, _ = await keys.added(payer)
    proof = await keys.proof_of(payer, device, Payment(opened.id), "k")
    instruction = await payments.confirmation(payer, payment_id=opened.id, key="k")
    await proofs.proven(payer, instruction, proof)  # and the process dies
    await make.pass_time(superuser, 121)
    with pytest.raises(refusals.ChallengeInvalid):
        await confirm(payer, opened.id, proof, "k")
    anew = await keys.proof_of(payer, device, Payment(opened.id), "k")
    await confirm(payer, opened.id, anew, "k")


async def test_a_challenge_waits_five_minutes(superuser: asyncpg.Connection) -> None:
    payer, opened, _ = await shopping()
    device, _ = await keys.added(payer)
    proof = await keys.proof_of(payer, device, Payment(opened.id), "k")
    await make.pass_time(superuser, 301)
    with pytest.raises(refusals.ChallengeInvalid):
        await confirm(payer, opened.id, proof, "k")


# --- PIN and code -------------------------------------------------------------------------------


async def test_pin_and_code_pay_what_the_code_was_sent_for(
    superuser: asyncpg.Connection,
) -> None:
    payer, first, shop = await shopping()
    second = await town.pay(payer, shop, LARGE)
    asked = await keys.asked_for(payer, Payment(first.id), "k")
    proof = await keys.code_for(superuser, payer, asked.id)
    before = await left(superuser, payer)
    with pytest.raises(refusals.ChallengeInvalid):
        await confirm(payer, second.id, proof, "k")
    assert await left(superuser, payer) == before

    paid = await confirm(payer, first.id, proof, "k")
    assert await confirm(payer, first.id, proof, "k") == paid
    assert await town.balance(shop.account_id) == LARGE
    assert await superuser.fetchval("select method from ledger.proof") == "PIN_AND_CODE"


async def test_a_wrong_code_and_a_wrong_pin_are_told_apart_and_move_nothing(
    superuser: asyncpg.Connection,
) -> None:
    payer, opened, shop = await shopping()
    asked = await keys.asked_for(payer, Payment(opened.id), "k")
    proof = await keys.code_for(superuser, payer, asked.id)
    wrong_code = "000000" if proof.code != "000000" else "111111"

    wrong = PinAndCode(town.PIN, proof.verification_id, wrong_code)
    with pytest.raises(refusals.CodeInvalid) as told:
        await confirm(payer, opened.id, wrong, "k")
    assert told.value.path == ("input", "proof", "pinAndCode", "code")
    assert (await left(superuser, payer))[0] == 5, "no try of the PIN was spent"
    wrong = PinAndCode("135790", proof.verification_id, proof.code)
    with pytest.raises(refusals.WrongPin) as pin:
        await confirm(payer, opened.id, wrong, "k")
    assert pin.value.path == ("input", "proof", "pinAndCode", "pin")
    for malformed in (
        PinAndCode("12345", proof.verification_id, proof.code),
        PinAndCode(town.PIN, proof.verification_id, "12a456"),
        PinAndCode(town.PIN, uuid4(), proof.code),
    ):
        with pytest.raises(refusals.Refusal):
            await confirm(payer, opened.id, malformed, "k")
    assert await town.balance(shop.account_id) == 0
    await confirm(payer, opened.id, proof, "k")


async def test_five_wrong_codes_end_a_code(superuser: asyncpg.Connection) -> None:
    payer, opened, shop = await shopping()
    asked = await keys.asked_for(payer, Payment(opened.id), "k")
    proof = await keys.code_for(superuser, payer, asked.id)
    for number in range(5):
        guess = f"{(int(proof.code) + 1 + number) % 1_000_000:06d}"
        wrong = PinAndCode(town.PIN, proof.verification_id, guess)
        with pytest.raises(refusals.CodeInvalid):
            await confirm(payer, opened.id, wrong, "k")
    with pytest.raises(refusals.CodeExpired):
        await confirm(payer, opened.id, proof, "k")
    assert await town.balance(shop.account_id) == 0


async def test_a_new_code_makes_the_one_before_it_worthless(
    superuser: asyncpg.Connection,
) -> None:
    payer, opened, _ = await shopping()
    asked = await keys.asked_for(payer, Payment(opened.id), "k")
    old = await keys.code_for(superuser, payer, asked.id)
    with pytest.raises(refusals.RateLimited):
        await keys.code_for(superuser, payer, asked.id)
    await make.pass_time(superuser, 61)
    new = await keys.code_for(superuser, payer, asked.id)
    with pytest.raises(refusals.ChallengeInvalid):
        await confirm(payer, opened.id, old, "k")
    await confirm(payer, opened.id, new, "k")


async def test_a_code_is_sent_for_ones_own_open_challenge_only(
    superuser: asyncpg.Connection,
) -> None:
    payer, opened, _ = await shopping()
    other = await town.resident()
    asked = await keys.asked_for(payer, Payment(opened.id), "k")
    registration = await keys.begun(payer)
    for viewer, challenge_id in ((other, asked.id), (payer, uuid4()), (payer, registration.id)):
        with pytest.raises(refusals.ChallengeInvalid):
            await keys.code_for(superuser, viewer, challenge_id)
    await make.pass_time(superuser, 301)
    with pytest.raises(refusals.ChallengeInvalid):
        await keys.code_for(superuser, payer, asked.id)
    assert await superuser.fetchval("select count(*) from verification_code") == 0


# --- many at once: `make prove` does the same with a thousand -------------------------------------


@pytest.mark.parametrize("count", [30])
async def test_one_answer_many_times_at_once_moves_money_once(
    superuser: asyncpg.Connection, count: int
) -> None:
    answers, made, got = await races.payments_by_one_passkey_answer(superuser, count=count)
    assert (answers, made, got) == ({"done": count}, 1, LARGE)


@pytest.mark.parametrize("count", [30])
async def test_one_answer_under_many_keys_is_good_for_one_call(
    superuser: asyncpg.Connection, count: int
) -> None:
    answers, made, got = await races.payments_by_one_passkey_answer_under_many_keys(
        superuser, count=count
    )
    assert (answers, made, got) == ({"done": 1, "CHALLENGE_INVALID": count - 1}, 1, LARGE)


@pytest.mark.parametrize("count", [12])
async def test_one_code_under_many_keys_is_good_for_one_call(
    superuser: asyncpg.Connection, count: int
) -> None:
    answers, made, got = await races.payments_by_one_pin_and_code(superuser, count=count)
    assert (answers, made, got) == ({"done": 1, "CHALLENGE_INVALID": count - 1}, 1, LARGE)


@pytest.mark.parametrize("count", [30])
async def test_one_answer_signs_in_once(count: int) -> None:
    assert await races.logins_by_one_passkey_answer(count=count) == {
        "done": 1,
        "CHALLENGE_INVALID": count - 1,
    }


@pytest.mark.parametrize("count", [30])
async def test_one_step_up_allows_one_deed(count: int) -> None:
    answers = await races.uses_of_one_step_up(count=count)
    assert answers == {"done": 1, "PROOF_REQUIRED": count - 1}


async def test_a_code_sent_twice_at_once_moves_money_once(
    superuser: asyncpg.Connection,
) -> None:
    payer, opened, shop = await shopping()
    asked = await keys.asked_for(payer, Payment(opened.id), "k")
    proof = await keys.code_for(superuser, payer, asked.id)
    answers = await at_once(8, lambda _: confirm(payer, opened.id, proof, "k"))
    assert any(not isinstance(answer, BaseException) for answer in answers)
    assert await superuser.fetchval("select count(*) from ledger.proof") == 1
    assert await town.balance(shop.account_id) == LARGE
    assert (await left(superuser, payer))[0] == 5, "the PIN was right each time"
