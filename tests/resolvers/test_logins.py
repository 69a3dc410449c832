"""Signing in by two factors: the challenge, known devices, new devices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import ec

from domain import refusals
from domain.identity import (
    ANONYMOUS,
    LOGIN_CHALLENGE_LIFE_SECONDS,
    LOGIN_CHALLENGE_TRIES,
    LoginMethod,
    Status,
)
from resolvers import devices, logins, sessions
from services.identity.arrivals import SignedIn
from services.identity.second_factors import CodeProof, DeviceKeyProof
from tests import people as make
from tests import races
from tests.demo.device import DeviceKey

pytestmark = pytest.mark.usefixtures("app")
AT_ONCE = 40
EVERYTHING = (
    "select (select count(*) from session), (select count(*) from device),"
    " (select count(*) from login_challenge where used_at is not null)"
)


def count(answers: list[Any], kind: type) -> int:
    return sum(isinstance(answer, kind) for answer in answers)


@pytest.fixture
async def phone(superuser: asyncpg.Connection) -> str:
    number = make.phone()
    await make.resident(superuser, number, key=KEY)
    await make.pass_time(superuser, 61)
    return number


KEY = DeviceKey()


async def complete(
    challenge: logins.Challenged, proof: Any, device: Any = None, method: Any = None
) -> SignedIn:
    by = LoginMethod.CODE if isinstance(proof, CodeProof) else LoginMethod.DEVICE_KEY
    return await logins.complete_login(
        ANONYMOUS,
        secret=challenge.secret,
        method=method or by,
        proof=proof,
        device=device,
        address=make.ADDRESS,
    )


async def test_a_known_device_signs_in_with_its_key_and_no_code(
    superuser: asyncpg.Connection, phone: str
) -> None:
    challenge = await make.challenged(phone)
    assert challenge.methods == [LoginMethod.DEVICE_KEY, LoginMethod.CODE]
    signed_in = await make.complete(challenge, KEY)

    assert signed_in.viewer.status is Status.ACTIVE
    assert signed_in.viewer.device_id == signed_in.device.id
    assert tuple(await superuser.fetchrow(EVERYTHING)) == (2, 1, 1)
    assert await superuser.fetchval("select count(*) from verification_code") == 1, "to register"
    assert await superuser.fetchval("select count(*) from notice where kind = 'NEW_DEVICE'") == 0


async def test_a_new_device_needs_the_code_and_the_others_are_told(
    superuser: asyncpg.Connection, phone: str
) -> None:
    new, challenge = DeviceKey(), await make.challenged(phone)
    proof = await make.login_code(superuser, challenge, phone)
    signed_in = await make.complete_by_code(challenge, proof, new, name="  新\u3000手机 ")

    assert signed_in.device.name == "新 手机"
    told = await superuser.fetch("select params from notice where kind = 'NEW_DEVICE'")
    assert len(told) == 1
    assert "手机" not in told[0]["params"], "texts are ours, also for whoever enrolled it"
    assert (await make.signed_in_again(phone, new)).device.id == signed_in.device.id
    assert (await make.signed_in_again(phone, KEY)).device.id != signed_in.device.id


async def test_the_password_alone_signs_nobody_in(
    superuser: asyncpg.Connection, phone: str
) -> None:
    before = tuple(await superuser.fetchrow(EVERYTHING))
    challenge = await make.challenged(phone)
    for secret in (challenge.secret, challenge.nonce):
        viewer, state = await sessions.caller(f"Bearer {secret}")
        assert (viewer, state) == (ANONYMOUS, "ended")
    assert tuple(await superuser.fetchrow(EVERYTHING)) == before


@pytest.mark.parametrize(
    "forged", ["no key", "another key", "another challenge", "swapped", "as a refresh", "nobody's"]
)
async def test_a_wrong_signature_signs_nobody_in_and_costs_a_try(
    superuser: asyncpg.Connection, phone: str, forged: str
) -> None:
    challenge, other = await make.challenged(phone), await make.challenged(phone)
    right = make.device_proof(KEY, challenge)
    stranger = DeviceKey()
    stranger.id = KEY.id
    swapped = replace(challenge, secret=challenge.nonce, nonce=challenge.secret)
    proof = {
        "no key": replace(right, signature=""),
        "another key": make.device_proof(stranger, challenge),
        "another challenge": make.device_proof(KEY, other),
        "swapped": make.device_proof(KEY, swapped),
        "as a refresh": replace(right, signature=KEY.refresh_signature(challenge.secret)),
        "nobody's": replace(right, device_id=uuid4()),
    }[forged]
    before = tuple(await superuser.fetchrow(EVERYTHING))

    with pytest.raises(refusals.DeviceProofInvalid):
        await complete(challenge, proof)
    assert tuple(await superuser.fetchrow(EVERYTHING)) == before
    tries = await superuser.fetch("select tries_left from login_challenge order by tries_left")
    assert [row["tries_left"] for row in tries] == [
        LOGIN_CHALLENGE_TRIES - 1,
        LOGIN_CHALLENGE_TRIES,
    ]
    await complete(challenge, right)


async def test_a_device_id_counts_for_nothing_and_another_users_device_neither(
    superuser: asyncpg.Connection, phone: str
) -> None:
    others = DeviceKey()
    await make.registered(superuser, make.phone(), key=others)
    challenge = await make.challenged(phone)
    for key in (others, DeviceKey()):
        with pytest.raises(refusals.DeviceProofInvalid):
            await complete(challenge, make.device_proof(key, challenge))
    with pytest.raises(refusals.DeviceProofInvalid):
        await complete(challenge, DeviceKeyProof(None, "A" * 86))


async def test_five_wrong_proofs_kill_a_challenge_also_at_once(
    superuser: asyncpg.Connection, phone: str
) -> None:
    challenge = await make.challenged(phone)
    right = make.device_proof(KEY, challenge)
    wrong = replace(right, signature="A" * 86)
    answers = await races.at_once(20, lambda _: complete(challenge, wrong))

    assert count(answers, refusals.DeviceProofInvalid) == LOGIN_CHALLENGE_TRIES
    assert count(answers, refusals.LoginChallengeInvalid) == 20 - LOGIN_CHALLENGE_TRIES
    with pytest.raises(refusals.LoginChallengeInvalid):
        await complete(challenge, right)
    assert tuple(await superuser.fetchrow(EVERYTHING)) == (1, 1, 0)


async def test_of_many_right_proofs_of_one_challenge_one_signs_in(
    superuser: asyncpg.Connection,
) -> None:
    answers = await races.answers_to_one_challenge(superuser, count=AT_ONCE)
    assert answers == {"signed in": 1, "LOGIN_CHALLENGE_INVALID": AT_ONCE - 1}
    assert await superuser.fetchval("select count(*) from session") == 2, "and from registering"


async def test_of_many_new_devices_with_one_code_one_is_enrolled(
    superuser: asyncpg.Connection, phone: str
) -> None:
    challenges = [await make.challenged(phone) for _ in range(4)]
    proof = await make.login_code(superuser, challenges[0], phone)

    async def one(number: int) -> SignedIn:
        return await complete(
            challenges[number % 4], proof, make.described(DeviceKey(), f"phone {number}")
        )

    answers = await races.at_once(AT_ONCE, one)
    assert count(answers, SignedIn) == 1
    assert tuple(await superuser.fetchrow(EVERYTHING)) == (2, 2, 1)


async def test_a_challenge_gets_too_old(superuser: asyncpg.Connection, phone: str) -> None:
    challenge = await make.challenged(phone)
    await make.pass_time(superuser, LOGIN_CHALLENGE_LIFE_SECONDS + 1)
    with pytest.raises(refusals.LoginChallengeInvalid):
        await make.complete(challenge, KEY)
    with pytest.raises(refusals.LoginChallengeInvalid):
        await make.login_code(superuser, challenge, phone)
    assert await superuser.fetchval("select count(*) from session") == 1


@pytest.mark.parametrize("secret", ["", "x", "a" * 43, "ａ" * 43, "a" * 5000])
async def test_a_challenge_that_nobody_opened_is_refused(secret: str) -> None:
    nothing = logins.Challenged(secret, "", [], None)  # type: ignore[arg-type]
    with pytest.raises(refusals.LoginChallengeInvalid):
        await complete(nothing, CodeProof(uuid4(), "123456"), make.described(DeviceKey()))
    with pytest.raises(refusals.LoginChallengeInvalid):
        await logins.send_login_code(
            ANONYMOUS, secret=secret, address=make.ADDRESS, language="zh-CN"
        )


async def test_a_wrong_code_enrols_nothing(superuser: asyncpg.Connection, phone: str) -> None:
    challenge = await make.challenged(phone)
    proof = await make.login_code(superuser, challenge, phone)
    wrong = replace(proof, code=f"{(int(proof.code) + 1) % 1_000_000:06d}")
    with pytest.raises(refusals.CodeInvalid):
        await complete(challenge, wrong, make.described(DeviceKey()))
    assert tuple(await superuser.fetchrow(EVERYTHING)) == (1, 1, 0)
    await complete(challenge, proof, make.described(DeviceKey()))


@pytest.mark.parametrize(
    "key",
    ["", "A", "ä", "A" * 122, "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE" + "A" * 86, "P-384", "padded"],
)
async def test_a_key_that_is_none_costs_no_try(
    superuser: asyncpg.Connection, phone: str, key: str
) -> None:
    if key == "P-384":
        key = DeviceKey(ec.generate_private_key(ec.SECP384R1())).public
    elif key == "padded":
        key = KEY.public + "="
    challenge = await make.challenged(phone)
    given = replace(make.described(KEY), public_key=key)
    with pytest.raises(refusals.InvalidInput) as caught:
        await complete(challenge, CodeProof(uuid4(), "123456"), given)
    assert caught.value.path == ("input", "device", "publicKey")
    left = await superuser.fetchval("select tries_left from login_challenge")
    assert left == LOGIN_CHALLENGE_TRIES


@pytest.mark.parametrize("name", ["", " ", "a" * 41, "a" * 5000, "a\x00b", "\u202eabc"])
async def test_a_name_that_is_none_is_refused(phone: str, name: str) -> None:
    challenge = await make.challenged(phone)
    with pytest.raises(refusals.InvalidInput) as caught:
        await complete(challenge, CodeProof(uuid4(), "123456"), make.described(KEY, name))
    assert caught.value.path == ("input", "device", "name")


async def test_a_new_device_has_to_be_named(phone: str) -> None:
    challenge = await make.challenged(phone)
    with pytest.raises(refusals.InvalidInput) as caught:
        await complete(challenge, CodeProof(uuid4(), "123456"))
    assert caught.value.path == ("input", "device")


async def test_a_device_whose_answer_was_lost_is_the_same_device_next_time(
    superuser: asyncpg.Connection, phone: str
) -> None:
    new, ids = DeviceKey(), set()
    for _ in range(2):
        challenge = await make.challenged(phone)
        proof = await make.login_code(superuser, challenge, phone)
        ids.add((await make.complete_by_code(challenge, proof, new)).device.id)
        await make.pass_time(superuser, 61)
    assert len(ids) == 1
    assert await superuser.fetchval("select count(*) from notice where kind = 'NEW_DEVICE'") == 1


async def test_a_revoked_device_can_not_sign_in_and_its_key_never_comes_back(
    superuser: asyncpg.Connection, phone: str
) -> None:
    signed_in = await make.signed_in_again(phone, KEY)
    challenge = await make.challenged(phone)
    await devices.revoke_device(signed_in.viewer, device_id=signed_in.device.id)

    with pytest.raises(refusals.DeviceProofInvalid):
        await make.complete(challenge, KEY)
    assert (await make.challenged(phone)).methods == [LoginMethod.CODE]
    proof = await make.login_code(superuser, challenge, phone)
    with pytest.raises(refusals.InvalidInput):
        await complete(challenge, proof, make.described(KEY))
    signed_in = await complete(challenge, proof, make.described(DeviceKey()))
    assert signed_in.viewer.signed_in, "with a new key, and the code that was not used up"


async def test_a_closed_account_is_not_signed_in_by_an_open_challenge(
    superuser: asyncpg.Connection, phone: str
) -> None:
    challenge = await make.challenged(phone)
    await superuser.execute("update users set status = 'CLOSED'")
    with pytest.raises(refusals.LoginChallengeInvalid):
        await make.complete(challenge, KEY)
    assert await superuser.fetchval("select count(*) from session") == 1


async def test_a_place_is_known_by_both_factors_only(
    superuser: asyncpg.Connection, phone: str
) -> None:
    places = "select count(*) from login_throttle"
    await make.challenged(phone, address="198.51.100.3")
    assert await superuser.fetchval(places) == 2, "the phone's and the address's tries"
    await make.signed_in_again(phone, KEY, address="198.51.100.3")
    assert await superuser.fetchval(places) == 3


async def test_nothing_of_a_login_is_logged_or_shown(
    superuser: asyncpg.Connection, phone: str
) -> None:
    with structlog.testing.capture_logs() as logs:
        challenge = await make.challenged(phone)
        proof = await make.login_code(superuser, challenge, phone)
        given = make.described(DeviceKey(), "王小明的手机")
        signed_in = await complete(challenge, proof, given)
    spoken = repr((logs, challenge, proof, given, signed_in))
    for secret in (
        challenge.secret,
        challenge.nonce,
        proof.code,
        "王小明",
        phone[3:],
        signed_in.session.access_token,
        signed_in.session.refresh_token,
        make.ADDRESS,
    ):
        assert secret not in spoken
    kept = ""
    for table in ("login_challenge", "device", "session"):
        rows = await superuser.fetch(f"select * from {table}")
        kept += "".join(str(value) for row in rows for value in row.values())
    for secret in (challenge.secret, challenge.nonce, "王小明", "王小明".encode().hex()):
        assert secret not in kept
