"""Forgotten passwords: what it takes, what a right answer changes, what a wrong one tells."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from domain import refusals
from domain.identity import ANONYMOUS, CodePurpose
from domain.ledger import FreezeLevel
from domain.notices import PushPlatform
from domain.proofs import Passkey
from domain.recovery import Identity
from infra import hashing
from infra.database import PlainConnection
from resolvers import notices, password_resets, registrations, sessions, wallets
from services import notice_delivery
from services import notices as notice_verbs
from services.identity import sessions as session_verbs
from services.identity.password_resets import Opened
from services.unit_of_work import unit_of_work
from tests import movement as town
from tests import passkeys as keys
from tests import people as make
from tests import recovery as lost
from tests.demo.device import DeviceKey
from tests.races import at_once
from tests.recovery import Owner

pytestmark = pytest.mark.usefixtures("counter")


async def refused(
    superuser: asyncpg.Connection, owner: Owner, opened: Opened, code: str, proof: Any, **how: Any
) -> refusals.Refusal:
    """The refusal, after which the account is as it was."""
    before = await lost.standing(superuser, [owner.phone])
    with pytest.raises(refusals.Refusal) as caught:
        await lost.completed(opened, code, proof, **how)
    assert await lost.standing(superuser, [owner.phone]) == before
    return caught.value


# --- what a right answer does -----------------------------------------------------------------


async def test_code_and_identity_replace_the_password_and_end_all_sessions(
    superuser: asyncpg.Connection,
) -> None:
    owner = await lost.owner(superuser)
    other = await make.another_session(owner.viewer)
    waiting = await make.challenged(owner.phone)
    opened, code = await lost.begun(superuser, owner.phone)

    await lost.completed(opened, code, owner.identity)

    stored = await superuser.fetchval("select password_hash from users")
    assert (await hashing.check_password(lost.NEW, stored)).right
    for viewer in (owner.viewer, other):
        async with unit_of_work() as work:
            assert viewer.session_id is not None
            assert await session_verbs.viewer_by_session(work, viewer.session_id) is None
    with pytest.raises(refusals.LoginChallengeInvalid):
        await make.complete(waiting, owner.key)
    reasons = await superuser.fetch("select distinct revoked_reason from session")
    assert [row["revoked_reason"] for row in reasons] == ["PASSWORD_RESET"]
    assert (await lost.kinds(superuser, owner.viewer))[-1] == "PASSWORD_RESET"
    assert await lost.careful(superuser, owner.viewer) == (24, 50_000)
    audited = await superuser.fetchrow("select * from audit_entry")
    assert audited is not None
    assert (audited["actor_id"], audited["action"]) == (owner.viewer.user_id, "RESET_PASSWORD")


async def test_it_signs_nobody_in_and_known_devices_sign_in_by_the_new_password(
    superuser: asyncpg.Connection,
) -> None:
    owner = await lost.owner(superuser)
    opened, code = await lost.begun(superuser, owner.phone)
    await lost.completed(opened, code, owner.identity)
    alive = "select count(*) from session where revoked_at is null"
    assert await superuser.fetchval(alive) == 0
    with pytest.raises(refusals.WrongCredentials):
        await make.challenged(owner.phone)
    signed_in = await make.complete(
        await make.challenged(owner.phone, password=lost.NEW), owner.key
    )
    assert signed_in.viewer.user_id == owner.viewer.user_id


async def test_a_passkey_is_a_second_proof_for_whoever_has_no_id(
    superuser: asyncpg.Connection,
) -> None:
    phone = make.phone()
    viewer = await make.resident(superuser, phone)
    device, _ = await keys.added(viewer)
    opened, code = await lost.begun(superuser, phone)
    await lost.completed(opened, code, await lost.passkey_for(opened, device))
    assert (await make.challenged(phone, password=lost.NEW)).secret
    detail = await superuser.fetchval("select detail ->> 'second_proof' from audit_entry")
    assert detail == "PASSKEY"


async def test_the_name_counts_in_any_form_and_the_last_x_in_any_case(
    superuser: asyncpg.Connection,
) -> None:
    owner = await lost.owner(superuser)
    opened, code = await lost.begun(superuser, owner.phone)
    wide = "".join(chr(ord(letter) + 0xFEE0) for letter in owner.number[-6:].lower())
    await lost.completed(opened, code, Identity(f" {lost.NAME} ", wide))


async def test_every_device_that_it_signs_out_is_told_and_the_phone(
    superuser: asyncpg.Connection,
) -> None:
    owner = await lost.owner(superuser)
    other = await make.another_session(owner.viewer)
    ended = await make.another_session(owner.viewer)
    for number, viewer in enumerate((owner.viewer, other, ended)):
        await _with_app(viewer, f"app-of-somebody-{number}")
    await sessions.revoke_session(ended, session_id=ended.session_id)
    await superuser.execute("delete from ledger.outbox")
    opened, code = await lost.begun(superuser, owner.phone)
    await lost.completed(opened, code, owner.identity)

    sent = await _to_send(superuser)
    assert sorted(one.token for one in sent if hasattr(one, "token")) == [
        "app-of-somebody-0",
        "app-of-somebody-1",
    ]
    assert [one.phone for one in sent if hasattr(one, "phone")] == [owner.phone]

    await superuser.execute("delete from ledger.outbox")
    async with unit_of_work() as work:
        await lost_news(work, owner)
    assert not [one for one in await _to_send(superuser) if hasattr(one, "token")]


async def lost_news(work: Any, owner: Owner) -> None:
    """News of another kind, which devices that are signed out must not hear."""
    await notice_verbs.tell(
        work, user_id=owner.viewer.user_id, kind="WALLET_FROZEN", params={}, source="later"
    )


async def _with_app(viewer: Any, token: str) -> None:
    await notices.register_push_token(viewer, token=token, platform=PushPlatform.IOS)


async def _to_send(superuser: asyncpg.Connection) -> list[Any]:
    rows = await superuser.fetch("select args from ledger.outbox where job = 'send_notice'")
    async with unit_of_work() as work:
        return list(await notice_delivery.to_send(work, [row["args"] for row in rows]))


async def test_a_frozen_wallet_stays_frozen(superuser: asyncpg.Connection) -> None:
    owner = await lost.owner(superuser)
    await wallets.freeze_my_wallet(owner.viewer, level=FreezeLevel.FULL, key=town.key("freeze"))
    opened, code = await lost.begun(superuser, owner.phone)
    await lost.completed(opened, code, owner.identity)
    assert (
        await superuser.fetchval(
            "select status from ledger.account where id = $1", owner.viewer.account_id
        )
        == 3
    )


async def test_it_frees_the_owner_from_delays_of_those_who_guessed_the_old_password(
    superuser: asyncpg.Connection,
) -> None:
    owner = await lost.owner(superuser)
    for _ in range(6):
        with pytest.raises((refusals.WrongCredentials, refusals.RateLimited)):
            await make.challenged(owner.phone, password="guess", address="198.51.100.9")
    opened, code = await lost.begun(superuser, owner.phone)
    await lost.completed(opened, code, owner.identity)
    await make.challenged(owner.phone, password=lost.NEW, address="198.51.100.10")


# --- what a wrong one does --------------------------------------------------------------------


async def test_whatever_is_wrong_gets_one_answer_and_changes_nothing(
    superuser: asyncpg.Connection,
) -> None:
    owner = await lost.owner(superuser)
    device, _ = await keys.added(owner.viewer)
    stranger = await make.resident(superuser)
    foreign, _ = await keys.added(stranger)
    opened, code = await lost.begun(superuser, owner.phone)
    unknown, no_code = await lost.begun(superuser, make.phone())
    wrong_code = "000000" if code != "000000" else "000001"
    tries = [
        (opened, wrong_code, owner.identity),
        (opened, code, Identity("李雷", owner.number[-6:])),
        (opened, code, Identity(lost.NAME, "000000")),
        (unknown, no_code, owner.identity),
        (unknown, no_code, Identity("——", "000000")),
        (replace(opened, secret="nonsense"), code, owner.identity),
        (opened, "12345", owner.identity),
        (opened, code, Passkey(uuid4(), "{}")),
        (opened, code, await lost.passkey_for(opened, foreign)),
        (unknown, no_code, await lost.passkey_for(unknown, device)),
    ]
    answers = [await refused(superuser, owner, *given) for given in tries]
    assert {(answer.code, answer.path) for answer in answers} == {
        ("RESET_PROOF_INVALID", ("input",))
    }


async def test_a_right_passkey_with_a_wrong_code_stays_unused(
    superuser: asyncpg.Connection,
) -> None:
    owner = await lost.owner(superuser)
    device, _ = await keys.added(owner.viewer)
    opened, code = await lost.begun(superuser, owner.phone)
    proof = await lost.passkey_for(opened, device)
    wrong = "000000" if code != "000000" else "000001"
    await refused(superuser, owner, opened, wrong, proof)
    assert (
        await superuser.fetchval(
            "select used_at from proof_challenge where id = $1", proof.challenge_id
        )
        is None
    )
    await lost.completed(opened, code, proof)


async def test_an_answer_to_a_login_or_another_reset_is_no_second_proof(
    superuser: asyncpg.Connection,
) -> None:
    owner = await lost.owner(superuser)
    device, _ = await keys.added(owner.viewer)
    opened, code = await lost.begun(superuser, owner.phone)
    wanted = await keys.login_asked()
    await refused(superuser, owner, opened, code, Passkey(wanted.id, device.get(wanted.options)))
    other, _ = await lost.begun(superuser, make.phone())
    await refused(superuser, owner, opened, code, await lost.passkey_for(other, device))


async def test_a_copied_passkey_is_refused_and_its_owner_told(
    superuser: asyncpg.Connection,
) -> None:
    owner = await lost.owner(superuser)
    device, _ = await keys.added(owner.viewer)
    await keys.signed_in(device)
    opened, code = await lost.begun(superuser, owner.phone)
    with pytest.raises(refusals.ResetProofInvalid):
        await lost.completed(opened, code, await lost.passkey_for(opened, device, count=1))
    assert (await lost.kinds(superuser, owner.viewer))[-1] == "PASSKEY_REFUSED"
    with pytest.raises(refusals.WrongCredentials):
        await make.challenged(owner.phone, password=lost.NEW)


async def test_an_id_that_nobody_has_reviewed_proves_nothing(
    superuser: asyncpg.Connection,
) -> None:
    phone, number = make.phone(), make.id_number()
    told = registrations.Told(number)
    await make.registered(superuser, phone, name=lost.NAME, told=told)
    opened, code = await lost.begun(superuser, phone)
    with pytest.raises(refusals.ResetProofInvalid):
        await lost.completed(opened, code, Identity(lost.NAME, number[-6:]))


@pytest.mark.parametrize("status", ["CLOSED", "REJECTED"])
async def test_closed_and_rejected_accounts_get_the_answer_of_unknown_phones(
    superuser: asyncpg.Connection, status: str
) -> None:
    owner = await lost.owner(superuser)
    await superuser.execute("update users set status = $1", status)
    opened, code = await lost.begun(superuser, owner.phone)
    no = await refused(superuser, owner, opened, code, owner.identity)
    assert no.code == "RESET_PROOF_INVALID"


async def test_an_easy_password_spends_no_try_and_one_made_of_the_owners_data_no_proof(
    superuser: asyncpg.Connection,
) -> None:
    owner = await lost.owner(superuser)
    opened, code = await lost.begun(superuser, owner.phone)
    no = await refused(superuser, owner, opened, code, owner.identity, password="password123")
    assert (no.code, no.path) == ("PASSWORD_UNACCEPTABLE", ("input", "newPassword"))
    assert await superuser.fetchval("select tries_left from password_reset") == 5
    # What the owner's data is, nobody learns who hasn't proven to be the owner.
    own = f"{lost.NAME}-{owner.number[6:14]}-x"
    wrong = Identity("李雷", owner.number[-6:])
    no = await refused(superuser, owner, opened, code, wrong, password=own)
    assert no.code == "RESET_PROOF_INVALID"
    no = await refused(superuser, owner, opened, code, owner.identity, password=own)
    assert no.code == "PASSWORD_UNACCEPTABLE"
    await lost.completed(opened, code, owner.identity)


# --- how often --------------------------------------------------------------------------------


async def test_five_wrong_tries_end_a_reset(superuser: asyncpg.Connection) -> None:
    owner = await lost.owner(superuser)
    device, _ = await keys.added(owner.viewer)
    opened, code = await lost.begun(superuser, owner.phone)
    wrong = "000000" if code != "000000" else "000001"
    for _ in range(5):
        await refused(superuser, owner, opened, wrong, owner.identity)
    await refused(superuser, owner, opened, code, owner.identity)
    with pytest.raises(refusals.ResetProofInvalid):
        await lost.passkey_for(opened, device)


async def test_a_reset_dies_after_five_minutes(superuser: asyncpg.Connection) -> None:
    owner = await lost.owner(superuser)
    opened, code = await lost.begun(superuser, owner.phone)
    await make.pass_time(superuser, 301)
    await refused(superuser, owner, opened, code, owner.identity)


async def test_a_thief_of_the_sim_card_guesses_the_id_five_times_a_day(
    superuser: asyncpg.Connection,
) -> None:
    owner = await lost.owner(superuser)
    answers = []
    for _ in range(2):
        opened, code = await lost.begun(superuser, owner.phone)
        for number in range(3):
            given = Identity(lost.NAME, f"00000{number}")
            answers.append((await refused(superuser, owner, opened, code, given)).code)
        await make.pass_time(superuser, 61)
    assert answers == ["RESET_PROOF_INVALID"] * 5 + ["RATE_LIMITED"]
    opened, code = await lost.begun(superuser, owner.phone)
    no = await refused(superuser, owner, opened, code, owner.identity)
    assert no.code == "RATE_LIMITED"
    assert 86_000 < no.facts()["retry_after_seconds"] <= 86_400
    await make.pass_time(superuser, 86_400)
    opened, code = await lost.begun(superuser, owner.phone)
    await lost.completed(opened, code, owner.identity)


async def test_who_has_no_code_cannot_use_up_the_owners_tries(
    superuser: asyncpg.Connection,
) -> None:
    owner = await lost.owner(superuser)
    for _ in range(2):
        opened, code = await lost.begun(superuser, owner.phone)
        wrong = "000000" if code != "000000" else "000001"
        for _ in range(5):
            await refused(superuser, owner, opened, wrong, Identity("李雷", "000000"))
        await make.pass_time(superuser, 61)
    opened, code = await lost.begun(superuser, owner.phone)
    await lost.completed(opened, code, owner.identity)


async def test_an_address_that_keeps_guessing_is_slowed_down(
    superuser: asyncpg.Connection,
) -> None:
    opened = Opened("nonsense", await superuser.fetchval("select ledger.now()"), 60)
    nobody = Identity("李雷", "000000")
    answers = await at_once(40, lambda _: lost.completed(opened, "123456", nobody))
    codes = [getattr(answer, "code", None) for answer in answers]
    assert codes.count("RESET_PROOF_INVALID") == 30
    assert codes.count("RATE_LIMITED") == 10


async def test_codes_for_resets_are_asked_for_as_often_as_other_codes(
    superuser: asyncpg.Connection,
) -> None:
    owner = await lost.owner(superuser)
    for phone in (owner.phone, make.phone()):
        await lost.asked(phone)
        with pytest.raises(refusals.RateLimited):
            await lost.asked(phone)
    assert await superuser.fetchval("select count(*) from password_reset") == 2


async def test_of_many_resets_with_one_code_one_wins(superuser: asyncpg.Connection) -> None:
    owner = await lost.owner(superuser)
    opened, code = await lost.begun(superuser, owner.phone)
    answers = await at_once(
        5,
        lambda n: lost.completed(opened, code, owner.identity, password=f"{lost.NEW}-{n}"),
    )
    won = [number for number, answer in enumerate(answers) if answer is None]
    assert len(won) == 1, answers
    others = {getattr(answer, "code", answer) for answer in answers if answer is not None}
    assert others <= {"RESET_PROOF_INVALID", "RATE_LIMITED"}
    await make.challenged(owner.phone, password=f"{lost.NEW}-{won[0]}")
    assert (await lost.kinds(superuser, owner.viewer)).count("PASSWORD_RESET") == 1


async def test_a_reset_voids_the_others_that_wait(superuser: asyncpg.Connection) -> None:
    owner = await lost.owner(superuser)
    first, first_code = await lost.begun(superuser, owner.phone)
    await make.pass_time(superuser, 61)
    second, code = await lost.begun(superuser, owner.phone)
    await lost.completed(second, code, owner.identity)
    await refused(superuser, owner, first, first_code, owner.identity)


# --- what strangers see -----------------------------------------------------------------------


async def test_known_and_unknown_phones_cost_the_same_statements_and_hashes(
    superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await lost.owner(superuser)
    hashed: list[str] = []
    run = hashing.hash_password

    async def counted(text: str) -> str:
        hashed.append(text)
        return await run(text)

    monkeypatch.setattr(hashing, "hash_password", counted)
    said = []
    for phone in (owner.phone, make.phone()):
        opened, code = await lost.begun(superuser, phone)
        wrong = "000000" if code != "000000" else "000001"
        with _statements() as statements, pytest.raises(refusals.ResetProofInvalid):
            await lost.completed(opened, wrong, Identity("李雷", "000000"))
        said.append(list(statements))
    assert said[0] == said[1]
    assert len(hashed) == 2


@contextmanager
def _statements() -> Iterator[list[str]]:
    """The statements that the pool's connections are given, inside the block."""
    heard: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for name in ("fetch", "fetchrow", "fetchval", "execute"):
            patch.setattr(PlainConnection, name, _heard(getattr(PlainConnection, name), heard))
        yield heard


def _heard(call: Any, heard: list[str]) -> Any:
    async def calling(self: Any, query: str, *values: Any, **how: Any) -> Any:
        heard.append(query)
        return await call(self, query, *values, **how)

    return calling


async def test_a_busy_hasher_costs_no_try(
    superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await lost.owner(superuser)
    opened, code = await lost.begun(superuser, owner.phone)

    async def busy(text: str) -> str:
        raise hashing.HasherBusy

    with monkeypatch.context() as patch:
        patch.setattr(hashing, "hash_password", busy)
        for _ in range(8):
            no = await refused(superuser, owner, opened, code, owner.identity)
            assert no.code == "OVERLOADED"
    assert await superuser.fetchval("select tries_left from password_reset") == 5
    await lost.completed(opened, code, owner.identity)


async def test_a_passkey_may_be_asked_for_on_our_pages_only(
    superuser: asyncpg.Connection,
) -> None:
    opened = await lost.asked(make.phone())
    with pytest.raises(refusals.InvalidInput):
        await password_resets.request_password_reset_passkey(
            ANONYMOUS, secret=opened.secret, origin="https://elsewhere.example", address="::1"
        )


async def test_the_code_of_a_reset_works_for_nothing_else(superuser: asyncpg.Connection) -> None:
    owner = await lost.owner(superuser)
    await lost.asked(owner.phone)
    verification_id, code = await make.verification_of(
        superuser, owner.phone, CodePurpose.RESET_PASSWORD
    )
    waiting = await make.challenged(owner.phone)
    with pytest.raises(refusals.CodeInvalid):
        await make.complete_by_code(waiting, make.CodeProof(verification_id, code), DeviceKey())
