"""Copies of one's data and closing one's account, as clients speak of them."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from domain.identity import CodePurpose, Viewer
from domain.proofs import Pin
from resolvers import transfers
from schema import schema
from schema.context import Context
from services import people as persons
from tests import movement as town
from tests import people as make
from tests.schema.test_proofs import NO, SEND_CODE, STEP_UP, ask

pytestmark = pytest.mark.usefixtures("counter")
EXPORT = f"""mutation($input: ExportMyDataInput!) {{ exportMyData(input: $input) {{ {NO}
  ... on ProofTooWeakError {{ sufficient }}
  ... on ExportMyDataSuccess {{ archivePassword dataExport {{ id state url }} }} }} }}"""
CLOSE = f"""mutation($input: CloseMyAccountInput!) {{ closeMyAccount(input: $input) {{ {NO}
  ... on ProofTooWeakError {{ sufficient }} ... on ClosingNotPossibleError {{ obstacles }}
  ... on CloseMyAccountSuccess {{ closing {{ id state }} }} }} }}"""
STAY = f"""mutation($input: CancelClosingInput!) {{ cancelClosing(input: $input) {{ {NO}
  ... on CancelClosingSuccess {{ closing {{ state }} }} }} }}"""
MINE = "{ viewer { closing { id state } dataExports { state progressPercent url } } }"


async def by_code(superuser: asyncpg.Connection, viewer: Viewer, action: str) -> dict[str, Any]:
    """What a client with a PIN proves such a thing by."""
    asked = await ask(viewer, STEP_UP, input={"action": action})
    assert asked["challenge"]["methods"] == ["PIN_AND_CODE", "PASSKEY"]
    sent = await ask(viewer, SEND_CODE, input={"challengeId": asked["challenge"]["id"]})
    code = await make.code_of(superuser, persons.phone_of(viewer), CodePurpose.STEP_UP)
    given = {"pin": town.PIN, "verificationId": sent["verification"]["id"], "code": code}
    return {"proof": {"pinAndCode": given}}


async def test_a_client_proves_each_of_both_by_a_challenge_of_its_own(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await town.resident()
    proof = await by_code(superuser, viewer, "EXPORT_DATA")
    refused = await ask(viewer, CLOSE, input=proof)
    assert (refused["__typename"], refused["code"]) == (
        "ChallengeInvalidError",
        "CHALLENGE_INVALID",
    )

    made = await ask(viewer, EXPORT, input=proof)
    assert made["dataExport"]["state"] == "WAITING"
    assert len(made["archivePassword"]) == 35
    await make.pass_time(superuser, 61)
    proof = await by_code(superuser, viewer, "CLOSE_ACCOUNT")
    closing = (await ask(viewer, CLOSE, input=proof))["closing"]
    mine = await ask(viewer, MINE)
    assert mine["closing"] == closing == {"id": closing["id"], "state": "COOLING"}
    assert mine["dataExports"] == [{"state": "WAITING", "progressPercent": 0, "url": None}]
    stayed = await ask(viewer, STAY, input={"closingId": closing["id"]})
    assert stayed["closing"]["state"] == "CANCELLED"


async def test_an_applicant_proves_it_by_the_password_and_who_has_a_pin_may_not(
    superuser: asyncpg.Connection,
) -> None:
    applicant = (await make.registered(superuser, make.phone())).viewer
    proof = {"proof": {"password": make.PASSWORD}}
    asked = await ask(applicant, STEP_UP, input={"action": "CLOSE_ACCOUNT"})
    assert (asked["challenge"]["methods"], asked["challenge"]["options"]) == (["PASSWORD"], None)
    wrong = await ask(applicant, CLOSE, input={"proof": {"password": ""}})
    assert (wrong["code"], wrong["path"]) == (
        "WRONG_CREDENTIALS",
        ["input", "proof", "password"],
    )
    assert (await ask(applicant, EXPORT, input=proof))["__typename"] == "ExportMyDataSuccess"
    assert (await ask(applicant, CLOSE, input=proof))["closing"]["state"] == "COOLING"

    viewer = await town.resident()
    for document in (EXPORT, CLOSE):
        refused = await ask(viewer, document, input=proof)
        assert refused["code"] == "PROOF_TOO_WEAK"
        assert refused["sufficient"] == ["PIN_AND_CODE", "PASSKEY"]
    assert await superuser.fetchval("select count(*) from closing") == 1
    assert await superuser.fetchval("select count(*) from data_export") == 1


async def test_a_refused_closing_leaves_the_proof_good_for_the_same_again(
    superuser: asyncpg.Connection,
) -> None:
    viewer = await town.resident(balance=500)
    proof = await by_code(superuser, viewer, "CLOSE_ACCOUNT")
    refused = await ask(viewer, CLOSE, input=proof)
    assert refused["obstacles"] == ["MONEY_LEFT"]
    friend = await town.resident()
    moved = await transfers.create_transfer(
        viewer,
        phone=persons.phone_of(friend),
        amount_minor=500,
        memo=None,
        proof=Pin(town.PIN),
        key=town.key(),
    )
    assert moved is not None
    assert (await ask(viewer, CLOSE, input=proof))["closing"]["state"] == "COOLING"
    assert (await ask(viewer, CLOSE, input=proof))["code"] == "CHALLENGE_INVALID"


async def test_exactly_one_proof_is_given() -> None:
    viewer = await town.resident(pin=False)
    for proof in ({}, {"pin": town.PIN, "password": make.PASSWORD}, {"password": None}):
        result = await schema.execute(
            CLOSE,
            {"input": {"proof": proof}},
            context_value=Context(viewer=viewer, address="192.0.2.30", language="en"),
        )
        assert result.errors, proof
