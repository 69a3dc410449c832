"""Another part: a new phone is proved by code, the old one is told, revoked, and out at once."""

from __future__ import annotations

from tests.demo import documents
from tests.demo.client import Ended
from tests.demo.device import DeviceKey
from tests.demo.stage import Cut, Person, Stage, Unexpected


async def new_phone(stage: Stage, person: Person) -> Person:
    """The same person on a second device: password and code; the first one hears of it."""
    other = Person(
        stage, name=person.name, phone=person.phone, password=person.password, pin=person.pin
    )
    challenge = await other.challenged()
    stage.step(f"{person.name} signs in on a new phone; the password alone opens no wallet")
    stage.expect("what would prove it", challenge["methods"][-1], "CODE")
    await other.sign_in_on(DeviceKey(), name="新手机")
    stage.step("the code from the SMS does, and the phone is known from now on")
    notice = await person.notice("NEW_DEVICE")
    stage.step(f"the old phone is told at once: {notice['title']}")
    stage.detail(notice["text"])
    return other


async def lost_answer(stage: Stage, person: Person) -> None:
    """A refresh whose answer got lost: the same device asks again, and gets the same one."""
    token = person.refresh_token
    first = await person.refresh()
    person.refresh_token = token
    again = await person.refresh()
    stage.expect("the same session", again, first)
    stage.step("a refresh is repeated by its device: the same tokens come again")


async def revoke(stage: Stage, old: Person, new: Person) -> None:
    """From the new phone: the old one's socket closes, and nothing of it works any more."""
    result = await new.client.mutate(documents.REVOKE_DEVICE, deviceId=old.device.id)
    stage.expect("sessions ended", stage.success(result)["sessionsEnded"], 1)
    await _signed_out(old)
    stage.step(f"{new.name} revokes the old phone: its connection ends at once")
    stage.refusal(await old.refresh(), "SESSION_INVALID")
    challenge = await old.challenged()
    refused = await old.client.mutate(
        documents.COMPLETE_LOGIN,
        challengeId=challenge["id"],
        proof=old.device.login_proof(challenge),
    )
    message = stage.refusal(refused, "DEVICE_PROOF_INVALID")
    stage.step(f"and its key opens nothing: {message}")
    known = (await new.client.run(documents.DEVICES))["viewer"]
    left = [edge["node"]["name"] for edge in known["devices"]["edges"]]
    stage.expect("the devices that are left", left, ["新手机"])


async def _signed_out(person: Person) -> None:
    try:
        while True:
            await person.notices.next()
    except (Cut, Ended):
        return
    except Unexpected as wrong:
        raise Unexpected(f"the old phone should have been cut off: {wrong}") from None
