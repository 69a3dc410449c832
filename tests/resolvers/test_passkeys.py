"""Passkeys: added, named, removed, and signing in by one; with an authenticator in software."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from domain import refusals
from domain.identity import ANONYMOUS, Role, Viewer
from domain.proofs import Method
from infra import encryption
from resolvers import passkeys
from services.identity.passkeys import PASSKEYS_MAX
from tests import passkeys as keys
from tests import people as make
from tests import races
from tests.authenticator import Authenticator
from tests.passkeys import ADDRESS

pytestmark = pytest.mark.usefixtures("app")


async def counted(superuser: asyncpg.Connection) -> tuple[int, int, int]:
    """Passkeys, sessions, notices."""
    row = await superuser.fetchrow(
        "select (select count(*) from passkey where removed_at is null),"
        " (select count(*) from session), (select count(*) from notice)"
    )
    assert row is not None
    return tuple(row)


async def kinds(superuser: asyncpg.Connection, viewer: Viewer) -> list[str]:
    rows = await superuser.fetch(
        "select kind from notice where user_id = $1 order by seq", viewer.user_id
    )
    return [row["kind"] for row in rows if row["kind"].startswith("PASSKEY")]


async def test_a_passkey_is_added_listed_renamed_and_its_owner_is_told(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await make.resident(superuser)
    _, row = await keys.added(viewer, name="  小米手机 ")

    renamed = await passkeys.rename_passkey(viewer, passkey_id=row.id, name="旧手机")

    assert (row.name, renamed.name) == ("小米手机", "旧手机")
    assert await passkeys.mine(viewer) == [renamed]
    assert await passkeys.by_ids(viewer, [row.id]) == {row.id: renamed}
    assert await kinds(superuser, viewer) == ["PASSKEY_ADDED"]
    kept = await superuser.fetchrow("select * from passkey")
    assert kept is not None
    assert "旧手机".encode() not in kept["name"]
    assert encryption.decrypt("passkey.name", row.id, kept["name"]) == "旧手机"
    assert str(viewer.user_id).encode() not in kept["user_handle"]


async def test_adding_a_passkey_needs_the_password(superuser: asyncpg.Connection) -> None:
    viewer = await make.resident(superuser)
    with pytest.raises(refusals.WrongCredentials):
        await keys.begun(viewer, password="not the password")
    assert await superuser.fetchval("select count(*) from proof_challenge") == 0


FORGED: dict[str, dict[str, Any]] = {
    "another origin": {"origin": "https://pengcheng-wallet.example"},
    "inside somebody else's page": {"cross_origin": True},
    "another domain": {"rp_id": "pengcheng-wallet.example"},
    "no user verification": {"verified": False},
    "no user": {"present": False},
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED.keys())
async def test_a_passkey_made_wrongly_is_not_kept(
    superuser: asyncpg.Connection, forged: dict[str, Any]
) -> None:
    viewer = await make.resident(superuser)
    asked = await keys.begun(viewer)
    before = await counted(superuser)
    with pytest.raises(refusals.PasskeyInvalid):
        await passkeys.register_passkey(
            viewer,
            challenge_id=asked.id,
            credential=Authenticator().create(asked.options, **forged),
            name="手机",
        )
    assert await counted(superuser) == before


@pytest.mark.parametrize(
    "credential", ["", "{}", "[]", "null", "x" * 20_000, '{"id": "AA", "rawId": 7}', "[" * 9_000]
)
async def test_nonsense_is_no_passkey(superuser: asyncpg.Connection, credential: str) -> None:
    viewer = await make.resident(superuser)
    asked, login = await keys.begun(viewer), await keys.login_asked()
    with pytest.raises(refusals.PasskeyInvalid):
        await passkeys.register_passkey(
            viewer, challenge_id=asked.id, credential=credential, name="手机"
        )
    with pytest.raises(refusals.PasskeyInvalid):
        await keys.entered(login.id, credential)


async def test_a_registration_is_good_once_for_its_asker_in_its_session(
    superuser: asyncpg.Connection,
) -> None:
    viewer, other = await make.resident(superuser), await make.resident(superuser)
    asked, others = await keys.begun(viewer), await keys.begun(other)
    device = Authenticator()
    credential = device.create(asked.options)

    async def register(who: Viewer, challenge_id: Any, made: str) -> Any:
        return await passkeys.register_passkey(
            who, challenge_id=challenge_id, credential=made, name="手机"
        )

    for who, challenge_id in ((other, asked.id), (other, others.id), (viewer, others.id)):
        with pytest.raises(refusals.ChallengeInvalid):
            await register(who, challenge_id, credential)
    elsewhere = await make.another_session(viewer)
    with pytest.raises(refusals.ChallengeInvalid):
        await register(elsewhere, asked.id, credential)
    assert (await counted(superuser))[0] == 0

    await register(viewer, asked.id, credential)
    with pytest.raises(refusals.ChallengeInvalid):
        await register(viewer, asked.id, credential)
    # The same key for somebody else would sign two people in.
    with pytest.raises(refusals.PasskeyInvalid):
        await register(other, others.id, device.create(others.options))
    assert (await counted(superuser))[0] == 1


async def test_a_registration_waits_five_minutes(superuser: asyncpg.Connection) -> None:
    viewer = await make.resident(superuser)
    asked = await keys.begun(viewer)
    await make.pass_time(superuser, 301)
    with pytest.raises(refusals.ChallengeInvalid):
        await passkeys.register_passkey(
            viewer,
            challenge_id=asked.id,
            credential=Authenticator().create(asked.options),
            name="手机",
        )


async def test_nobody_has_more_than_ten(superuser: asyncpg.Connection) -> None:
    viewer = await make.resident(superuser)
    waiting = [await keys.begun(viewer) for _ in range(PASSKEYS_MAX + 3)]
    made = [Authenticator().create(asked.options) for asked in waiting]
    answers = await races.at_once(
        len(waiting),
        lambda n: races.patiently(
            lambda: passkeys.register_passkey(
                viewer, challenge_id=waiting[n].id, credential=made[n], name="手机"
            )
        ),
    )
    refused = [one for one in answers if isinstance(one, refusals.InvalidInput)]
    assert len(refused) == 3
    assert len(await passkeys.mine(viewer)) == PASSKEYS_MAX


async def test_others_passkeys_are_not_found(superuser: asyncpg.Connection) -> None:
    viewer, thief = await make.resident(superuser), await make.resident(superuser)
    _, row = await keys.added(viewer)
    with pytest.raises(refusals.NotFound):
        await passkeys.rename_passkey(thief, passkey_id=row.id, name="我的")
    with pytest.raises(refusals.NotFound):
        await remove(thief, row.id, accept_remaining=True)
    assert await passkeys.by_ids(thief, [row.id]) == {}
    assert await passkeys.mine(viewer) == [row]


async def remove(viewer: Viewer, passkey_id: Any, **options: Any) -> list[Method]:
    return await passkeys.remove_passkey(
        viewer,
        passkey_id=passkey_id,
        password=options.get("password", make.PASSWORD),
        accept_remaining=options.get("accept_remaining", False),
        address=ADDRESS,
    )


async def test_removing_needs_the_password_and_the_last_one_says_what_remains(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await make.resident(superuser)
    _, first = await keys.added(viewer)
    device, second = await keys.added(viewer)

    with pytest.raises(refusals.WrongCredentials):
        await remove(viewer, first.id, password="not the password")
    assert await remove(viewer, first.id) == [Method.PASSKEY]
    with pytest.raises(refusals.LastPasskey) as caught:
        await remove(viewer, second.id)
    assert caught.value.facts() == {"remaining": []}
    await keys.signed_in(device)

    assert await remove(viewer, second.id, accept_remaining=True) == []
    assert await passkeys.mine(viewer) == []
    assert await kinds(superuser, viewer) == ["PASSKEY_ADDED"] * 2 + ["PASSKEY_REMOVED"] * 2
    with pytest.raises(refusals.PasskeyInvalid):
        await keys.signed_in(device)
    with pytest.raises(refusals.NotFound):
        await remove(viewer, second.id, accept_remaining=True)


async def test_of_two_passkeys_removed_at_once_one_stays(superuser: asyncpg.Connection) -> None:
    viewer = await make.resident(superuser)
    rows = [(await keys.added(viewer))[1] for _ in range(2)]
    answers = await asyncio.gather(
        *(remove(viewer, row.id) for row in rows), return_exceptions=True
    )
    assert [Method.PASSKEY] in answers
    assert any(isinstance(one, refusals.LastPasskey) for one in answers)
    assert len(await passkeys.mine(viewer)) == 1


# --- signing in ---------------------------------------------------------------------------------


@pytest.mark.parametrize("counts", [True, False], ids=["counting", "synced"])
async def test_a_passkey_signs_in_alone_again_and_again(
    superuser: asyncpg.Connection, counts: bool
) -> None:
    viewer = await make.resident(superuser)
    device, row = await keys.added(viewer, Authenticator(counts=counts))
    for _ in range(3):
        signed_in = await keys.signed_in(device)
        assert signed_in.viewer.user_id == viewer.user_id
    used = (await passkeys.mine(viewer))[0].last_used_at
    assert row.last_used_at is None
    assert used is not None


async def test_staff_sign_in_by_passkey_too(superuser: asyncpg.Connection) -> None:
    member = await make.staff(Role.FINANCE)
    device, _ = await keys.added(member)
    assert (await keys.signed_in(device)).viewer.role is Role.FINANCE


WRONG = FORGED | {
    "another's signature": {"signature": b"\x30\x06\x02\x01\x01\x02\x01\x01"},
    "another's handle": {"user_handle": b"u" * 32},
    "no handle": {"user_handle": b""},
    "a registration": {"kind": "webauthn.create"},
}


@pytest.mark.parametrize("forged", WRONG.values(), ids=WRONG.keys())
async def test_a_wrong_answer_signs_nobody_in_and_changes_nothing(
    superuser: asyncpg.Connection, forged: dict[str, Any]
) -> None:
    viewer = await make.resident(superuser)
    device, _ = await keys.added(viewer)
    asked = await keys.login_asked()
    before = await counted(superuser), await superuser.fetch("select * from passkey")
    with pytest.raises(refusals.PasskeyInvalid):
        await keys.entered(asked.id, device.get(asked.options, **forged))
    assert (await counted(superuser), await superuser.fetch("select * from passkey")) == before
    # The challenge is still good: whoever answers it rightly gets in.
    await keys.entered(asked.id, device.get(asked.options))


async def test_an_unknown_passkey_is_answered_like_a_wrong_signature(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await make.resident(superuser)
    device, _ = await keys.added(viewer)
    stranger = Authenticator(user_handle=device.user_handle)
    with pytest.raises(refusals.PasskeyInvalid) as unknown:
        await keys.signed_in(stranger)
    with pytest.raises(refusals.PasskeyInvalid) as wrong:
        await keys.signed_in(device, signature=b"\x30\x06\x02\x01\x01\x02\x01\x01")
    assert unknown.value.path == wrong.value.path
    assert unknown.value.message("en") == wrong.value.message("en")


async def test_an_answer_is_good_for_its_own_challenge_once_and_for_five_minutes(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await make.resident(superuser)
    device, _ = await keys.added(viewer, Authenticator(counts=False))
    asked, other = await keys.login_asked(), await keys.login_asked()
    credential = device.get(asked.options)

    async def login(challenge_id: Any) -> Any:
        return await keys.entered(challenge_id, credential)

    with pytest.raises(refusals.ChallengeInvalid):
        await login(other.id)
    await login(asked.id)
    with pytest.raises(refusals.ChallengeInvalid):
        await login(asked.id)
    late = await keys.login_asked()
    await make.pass_time(superuser, 301)
    with pytest.raises(refusals.ChallengeInvalid):
        await keys.entered(late.id, device.get(late.options))


async def test_the_same_answer_many_times_at_once_signs_in_once(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await make.resident(superuser)
    device, _ = await keys.added(viewer, Authenticator(counts=False))
    asked = await keys.login_asked()
    credential = device.get(asked.options)
    sessions = (await counted(superuser))[1]
    answers = await asyncio.gather(
        *(keys.entered(asked.id, credential) for _ in range(30)),
        return_exceptions=True,
    )
    lost = [one for one in answers if isinstance(one, refusals.ChallengeInvalid)]
    assert len(lost) == 29
    assert (await counted(superuser))[1] == sessions + 1


@pytest.mark.parametrize("count", [1, 2, 3, 0])
async def test_a_counter_that_does_not_grow_is_refused_and_its_owner_told(
    superuser: asyncpg.Connection, count: int
) -> None:
    viewer = await make.resident(superuser)
    device, _ = await keys.added(viewer)
    await keys.signed_in(device)
    await keys.signed_in(device)
    assert device.count == 3
    sessions = (await counted(superuser))[1]

    with pytest.raises(refusals.PasskeyInvalid):
        await keys.signed_in(device, count=count)

    assert (await counted(superuser))[1] == sessions
    assert await superuser.fetchval("select sign_count from passkey") == 3
    assert await kinds(superuser, viewer) == ["PASSKEY_ADDED", "PASSKEY_REFUSED"]


async def test_a_closed_account_is_not_opened_by_its_passkey(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await make.resident(superuser)
    device, _ = await keys.added(viewer)
    await superuser.execute("update users set status = 'CLOSED' where id = $1", viewer.user_id)
    with pytest.raises(refusals.AccountNotActive):
        await keys.signed_in(device)


async def test_a_page_that_is_not_ours_gets_no_challenge(superuser: asyncpg.Connection) -> None:
    with pytest.raises(refusals.InvalidInput):
        await passkeys.request_passkey_login(
            ANONYMOUS, origin="https://pengcheng-wallet.example", address=ADDRESS
        )
    assert await superuser.fetchval("select count(*) from proof_challenge") == 0


async def test_challenges_of_one_address_are_counted(
    superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.proof_challenges.OPEN_MAX_PER_ADDRESS", 5)
    answers = await asyncio.gather(*(keys.login_asked() for _ in range(12)), return_exceptions=True)
    assert sum(isinstance(one, refusals.RateLimited) for one in answers) == 7
    await keys.login_asked(address="192.0.2.99")
    await make.pass_time(superuser, 301)
    await keys.login_asked()


# --- what the database itself refuses -----------------------------------------------------------


async def test_a_stolen_login_exchanges_no_key_and_reuses_no_challenge(
    superuser: asyncpg.Connection, api: asyncpg.Connection
) -> None:
    viewer = await make.resident(superuser)
    device, _ = await keys.added(viewer)
    await keys.signed_in(device)
    for statement in (
        "update passkey set public_key = ''",
        "update passkey set user_id = 1",
        "delete from passkey",
        "update proof_challenge set terms_hash = ''",
        "update proof_policy set sufficient = '[\"PIN\"]'",
        "delete from proof_policy",
        "update step_up set user_id = 1",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await api.execute(statement)
    with pytest.raises(asyncpg.PostgresError, match="refused"):
        await api.execute("update proof_challenge set used_at = null, answer_hash = null")
    await superuser.execute("update passkey set removed_at = now()")
    with pytest.raises(asyncpg.PostgresError, match="refused"):
        await api.execute("update passkey set removed_at = null")
