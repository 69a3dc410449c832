"""Replacing a payment PIN takes more than the password."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from domain import refusals
from domain.identity import Viewer
from domain.proofs import Action, Passkey, Pin
from domain.recovery import Identity
from resolvers import passkeys, pins, proof_challenges
from tests import passkeys as keys
from tests import people as make
from tests import recovery as lost
from tests.authenticator import Authenticator
from tests.demo.device import DeviceKey
from tests.races import at_once
from tests.recovery import Owner

pytestmark = pytest.mark.usefixtures("counter")
ADDRESS = "192.0.2.12"
OTHER = "731946"


async def put(viewer: Viewer, pin: str = OTHER, proof: pins.Given | None = None) -> Viewer:
    return await pins.set_payment_pin(
        viewer, password=make.PASSWORD, pin=pin, address=ADDRESS, proof=proof
    )


async def with_pin(superuser: asyncpg.Connection) -> Owner:
    owner = await lost.owner(superuser)
    return Owner(await put(owner.viewer, make.PIN), owner.phone, owner.number, owner.key)


async def is_pin(viewer: Viewer, pin: str) -> bool:
    try:
        await pins.shown_pin(viewer, Pin(pin), path=())
    except refusals.WrongPin:
        return False
    return True


async def refused(superuser: asyncpg.Connection, viewer: Viewer, proof: Any) -> refusals.Refusal:
    """The refusal, after which the old PIN stands and nobody was told anything."""
    question = "select pin_hash, version from users where id = $1"
    before = await superuser.fetchrow(question, viewer.user_id)
    with pytest.raises(refusals.Refusal) as caught:
        await put(viewer, proof=proof)
    assert await superuser.fetchrow(question, viewer.user_id) == before
    assert "PIN_CHANGED" not in await lost.kinds(superuser, viewer)
    return caught.value


async def step_up(viewer: Viewer, device: Authenticator) -> Passkey:
    asked = await proof_challenges.request_step_up_challenge(
        viewer, action=Action.RESET_PIN, subject=""
    )
    assert asked.options is not None
    return Passkey(asked.id, device.get(asked.options))


async def lock(viewer: Viewer) -> None:
    for _ in range(5):
        with pytest.raises((refusals.WrongPin, refusals.PinLocked)):
            await pins.shown_pin(viewer, Pin("999998"), path=())


async def test_a_first_pin_needs_the_password_only(superuser: asyncpg.Connection) -> None:
    owner = await lost.owner(superuser)
    assert (await put(owner.viewer)).pin_set
    assert await lost.careful(superuser, owner.viewer) is None
    assert await lost.kinds(superuser, owner.viewer) == ["PIN_SET"]
    assert {one.phone for one in await lost.sms_to_send(superuser)} == {owner.phone}


async def test_of_many_first_pins_at_once_one_is_set(superuser: asyncpg.Connection) -> None:
    owner = await lost.owner(superuser)
    answers = await at_once(5, lambda n: put(owner.viewer, f"73194{n}"))
    won = [number for number, answer in enumerate(answers) if isinstance(answer, Viewer)]
    assert len(won) == 1, answers
    codes = {getattr(answer, "code", "") for answer in answers}
    assert codes <= {"", "PROOF_REQUIRED", "RATE_LIMITED"}
    assert await is_pin(owner.viewer, f"73194{won[0]}")


async def test_whoever_knows_the_old_pin_replaces_it_and_is_told(
    superuser: asyncpg.Connection,
) -> None:
    viewer = (await with_pin(superuser)).viewer
    await put(viewer, proof=Pin(make.PIN))
    assert await is_pin(viewer, OTHER)
    assert (await lost.kinds(superuser, viewer))[-1] == "PIN_CHANGED"
    assert await lost.careful(superuser, viewer) is None


async def test_of_many_who_show_the_old_pin_at_once_one_replaces_it(
    superuser: asyncpg.Connection,
) -> None:
    viewer = (await with_pin(superuser)).viewer
    answers = await at_once(3, lambda n: put(viewer, f"73194{n}", Pin(make.PIN)))
    assert sum(isinstance(answer, Viewer) for answer in answers) == 1, answers
    assert (await lost.kinds(superuser, viewer)).count("PIN_CHANGED") == 1


async def test_the_password_alone_replaces_no_pin(superuser: asyncpg.Connection) -> None:
    viewer = (await with_pin(superuser)).viewer
    no = await refused(superuser, viewer, None)
    assert (no.code, no.path) == ("PROOF_REQUIRED", ("input", "proof"))
    no = await refused(superuser, viewer, Pin("999998"))
    assert (no.code, no.facts()) == ("WRONG_PIN", {"attempts_left": 4})


async def test_a_locked_pin_is_replaced_by_the_owners_id_and_little_may_leave_for_a_day(
    superuser: asyncpg.Connection,
) -> None:
    owner = await with_pin(superuser)
    await lock(owner.viewer)
    no = await refused(superuser, owner.viewer, Pin(make.PIN))
    assert no.code == "PIN_LOCKED"
    await put(owner.viewer, proof=owner.identity)
    assert await is_pin(owner.viewer, OTHER)
    assert (await lost.kinds(superuser, owner.viewer))[-1] == "PIN_CHANGED"
    assert await lost.careful(superuser, owner.viewer) == (24, 50_000)


async def test_a_forgotten_pin_is_replaced_by_a_passkey(superuser: asyncpg.Connection) -> None:
    owner = await with_pin(superuser)
    device, _ = await keys.added(owner.viewer)
    proof = await step_up(owner.viewer, device)
    await put(owner.viewer, proof=proof)
    assert await is_pin(owner.viewer, OTHER)
    assert await lost.careful(superuser, owner.viewer) == (24, 50_000)
    with pytest.raises(refusals.ChallengeInvalid):
        await put(owner.viewer, make.PIN, proof)


async def test_a_passkey_of_somebody_else_replaces_no_pin(superuser: asyncpg.Connection) -> None:
    owner, other = await with_pin(superuser), await make.resident(superuser)
    device, _ = await keys.added(other)
    await keys.added(owner.viewer)
    no = await refused(superuser, owner.viewer, await step_up(owner.viewer, device))
    assert no.code == "PASSKEY_INVALID"


async def test_an_id_is_guessed_five_times_a_day(superuser: asyncpg.Connection) -> None:
    owner = await with_pin(superuser)
    for number in range(5):
        no = await refused(superuser, owner.viewer, Identity(lost.NAME, f"00000{number}"))
        assert (no.code, no.path) == ("IDENTITY_INVALID", ("input", "proof", "identity"))
    no = await refused(superuser, owner.viewer, owner.identity)
    assert no.code == "RATE_LIMITED"


async def test_without_a_reviewed_id_the_name_proves_nothing(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await put(await make.resident(superuser, key=DeviceKey()), make.PIN)
    no = await refused(superuser, viewer, Identity("王小明", ""))
    assert no.code == "IDENTITY_INVALID"


async def test_little_may_leave_for_a_day_after_a_passkey_was_added(
    superuser: asyncpg.Connection,
) -> None:
    viewer = (await with_pin(superuser)).viewer
    asked = await keys.begun(viewer)
    await passkeys.register_passkey(
        viewer,
        challenge_id=asked.id,
        credential=Authenticator().create(asked.options),
        name="我的手机",
    )
    assert await lost.careful(superuser, viewer) == (24, 50_000)
