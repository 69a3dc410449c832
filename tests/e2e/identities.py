"""Somebody who registers by phone only, proves a mail address, and says later who they are."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import httpx

from tests.demo import documents, joining
from tests.demo.client import Client
from tests.demo.stage import Person, Stage, code_from_sms, new_phone

STATUS = "{ viewer { status } }"
SET_EMAIL = """mutation ($input: SetContactEmailInput!) {
  setContactEmail(input: $input) { __typename ... on Error { code }
    ... on SetContactEmailSuccess { verification { id } } } }"""
CONFIRM_EMAIL = """mutation ($input: ConfirmContactEmailInput!) {
  confirmContactEmail(input: $input) { __typename ... on Error { code }
    ... on ConfirmContactEmailSuccess { viewer { personalDetails { email emailVerified } } } } }"""
SUBMIT = """mutation ($input: SubmitIdentityInput!) {
  submitIdentity(input: $input) { __typename ... on Error { code }
    ... on SubmitIdentitySuccess { viewer { identityCheck { state } } } } }"""
QUEUE = "{ staff { identityQueue(last: 20) { edges { node { id displayName version } } } } }"
REVIEW = """mutation ($input: ReviewIdentityInput!) {
  reviewIdentity(input: $input) { __typename ... on Error { code } } }"""
LEVEL = "{ viewer { kycLevel } }"


async def register_by_phone(stage: Stage, name: str) -> Person:
    """An approved resident of whom the city knows a phone number."""
    person = Person(stage, name=name, phone=new_phone(), password=joining.PASSWORD, pin=joining.PIN)
    client = person.client
    asked = await client.mutate(documents.REQUEST_CODE, phone=person.phone, purpose="REGISTER")
    code, _ = await code_from_sms(stage.world, person.phone)
    person.arrived(
        await client.mutate(
            documents.REGISTER,
            name=name,
            phone=person.phone,
            verificationId=stage.success(asked)["verification"]["id"],
            code=code,
            password=person.password,
            device=person.device.input(),
            consents=joining.CONSENTS,
        )
    )
    await _until(client, STATUS, lambda data: data["viewer"]["status"] == "ACTIVE")
    return person


async def prove_email(stage: Stage, person: Person, email: str, *, mail_url: str) -> str:
    """By the code that the mail gateway has delivered; the code."""
    asked = stage.success(await person.client.mutate(SET_EMAIL, email=email))
    code = await _code_from_mail(mail_url, email)
    confirmed = stage.success(
        await person.client.mutate(
            CONFIRM_EMAIL, email=email, verificationId=asked["verification"]["id"], code=code
        )
    )
    details = confirmed["viewer"]["personalDetails"]
    stage.expect("the address", details, {"email": email, "emailVerified": True})
    return code


async def hand_in(stage: Stage, person: Person, name: str, id_number: str) -> None:
    """Name and ID number, to be reviewed."""
    stage.success(await person.client.mutate(SUBMIT, name=name, idNumber=id_number))


async def referred(support: Person, name: str) -> dict[str, Any]:
    """The case, once the rules have referred it to staff."""

    def case(data: dict[str, Any]) -> dict[str, Any] | None:
        nodes = [edge["node"] for edge in data["staff"]["identityQueue"]["edges"]]
        return next((node for node in nodes if node["displayName"] == name), None)

    return await _until(support.client, QUEUE, case)


async def decide(
    stage: Stage, support: Person, case: dict[str, Any], decision: str, reason: str
) -> None:
    decided = await support.client.mutate(
        REVIEW,
        identityCheckId=case["id"],
        decision=decision,
        reason=reason,
        expectedVersion=case["version"],
    )
    stage.success(decided)


async def known(person: Person, level: str) -> None:
    """Until the city knows somebody that well."""
    await _until(person.client, LEVEL, lambda data: data["viewer"]["kycLevel"] == level)


async def _until(client: Client, document: str, wanted: Callable[[Any], Any]) -> Any:
    async with asyncio.timeout(20):
        while not (found := wanted(await client.run(document))):  # noqa: ASYNC110 - asked again
            await asyncio.sleep(0.1)
    return found


async def _code_from_mail(mail_url: str, email: str) -> str:
    async with (
        httpx.AsyncClient(base_url=mail_url, trust_env=False) as gateway,
        asyncio.timeout(20),
    ):
        while True:
            found = await gateway.get("/messages", params={"to": email})
            for message in found.json()["messages"]:
                code = re.search(r"\d{6}", message["text"])
                if code:
                    return code[0]
            await asyncio.sleep(0.1)
