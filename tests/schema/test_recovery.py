"""Forgotten passwords and PINs, as clients ask for them."""

from __future__ import annotations

from datetime import datetime, timedelta

import asyncpg
import pytest

from domain.identity import ANONYMOUS, CodePurpose, Role, Viewer
from schema import ids, schema
from schema.context import Context
from tests import people as make
from tests import recovery as lost
from tests.authenticator import ORIGIN

pytestmark = pytest.mark.usefixtures("counter")

REQUEST = """mutation($input: RequestPasswordResetInput!) {
  answer: requestPasswordReset(input: $input) { __typename
  ... on RequestPasswordResetSuccess { challenge { id resendAfterSeconds } }
  ... on Error { code path } } }"""
PASSKEY = """mutation($input: RequestPasswordResetPasskeyInput!) {
  answer: requestPasswordResetPasskey(input: $input) { __typename
  ... on RequestPasswordResetPasskeySuccess { challenge { id options } }
  ... on Error { code path } } }"""
COMPLETE = """mutation($input: CompletePasswordResetInput!) {
  answer: completePasswordReset(input: $input) { __typename
  ... on CompletePasswordResetSuccess { signInAgain } ... on Error { code message path } } }"""
SET_PIN = """mutation($input: SetPaymentPinInput!) {
  answer: setPaymentPin(input: $input) { __typename
  ... on SetPaymentPinSuccess { viewer { hasPaymentPin } } ... on Error { code path } } }"""


async def ask(document: str, viewer: Viewer = ANONYMOUS, **given: object) -> dict[str, object]:
    context = Context(viewer=viewer, address=lost.address(), language="en")
    result = await schema.execute(document, {"input": given}, context_value=context)
    assert result.errors is None, result.errors
    assert result.data is not None
    return result.data["answer"]


async def test_a_password_is_replaced_by_code_and_identity(superuser: asyncpg.Connection) -> None:
    owner = await lost.owner(superuser)
    asked = await ask(REQUEST, phone=owner.phone)
    challenge = asked["challenge"]
    code = await make.code_of(superuser, owner.phone, CodePurpose.RESET_PASSWORD)
    given = {
        "challengeId": challenge["id"],
        "code": code,
        "newPassword": lost.NEW,
        "secondProof": {"identity": {"name": lost.NAME, "idNumberLast6": owner.number[-6:]}},
    }
    assert await ask(COMPLETE, **given) == {
        "__typename": "CompletePasswordResetSuccess",
        "signInAgain": True,
    }
    again = await ask(COMPLETE, **given)
    assert (again["code"], again["path"]) == ("RESET_PROOF_INVALID", ["input"])
    assert await make.challenged(owner.phone, password=lost.NEW)


async def test_the_answers_of_known_and_unknown_phones_have_one_shape(
    superuser: asyncpg.Connection,
) -> None:
    owner = await lost.owner(superuser)
    shapes = []
    for phone in (owner.phone, make.phone()):
        asked = await ask(REQUEST, phone=phone)
        wanted = await ask(PASSKEY, challengeId=asked["challenge"]["id"], origin=ORIGIN)
        wrong = await ask(
            COMPLETE,
            challengeId=asked["challenge"]["id"],
            code="000000",
            newPassword=lost.NEW,
            secondProof={"passkey": {"challengeId": wanted["challenge"]["id"], "credential": "{}"}},
        )
        shapes.append(
            (
                len(asked["challenge"]["id"]),
                asked["challenge"]["resendAfterSeconds"],
                len(wanted["challenge"]["options"]),
                wrong,
            )
        )
    assert shapes[0] == shapes[1]


async def test_ids_of_others_name_no_challenge(superuser: asyncpg.Connection) -> None:
    answer = await ask(
        COMPLETE,
        challengeId="x",
        code="123456",
        newPassword=lost.NEW,
        secondProof={"passkey": {"challengeId": "nonsense", "credential": "{}"}},
    )
    assert answer["code"] == "RESET_PROOF_INVALID"
    answer = await ask(PASSKEY, challengeId="x", origin=ORIGIN)
    assert (answer["code"], answer["path"]) == ("RESET_PROOF_INVALID", ["input", "challengeId"])


async def test_a_pin_is_replaced_by_each_of_three_proofs(superuser: asyncpg.Connection) -> None:
    owner = await lost.owner(superuser)
    given = {"password": make.PASSWORD, "pin": make.PIN}
    assert (await ask(SET_PIN, owner.viewer, **given))["viewer"] == {"hasPaymentPin": True}
    viewer = await make.again(owner.viewer)
    identity = {"name": lost.NAME, "idNumberLast6": owner.number[-6:]}
    for proof, code in (
        (None, "PROOF_REQUIRED"),
        ({"currentPin": "999998"}, "WRONG_PIN"),
        ({"identity": identity | {"name": "李雷"}}, "IDENTITY_INVALID"),
        ({"passkey": {"challengeId": "x", "credential": "{}"}}, "CHALLENGE_INVALID"),
        ({"currentPin": make.PIN}, None),
        ({"identity": identity}, None),
    ):
        answer = await ask(SET_PIN, viewer, password=make.PASSWORD, pin=make.PIN, proof=proof)
        assert answer.get("code") == code, (proof, answer)


CHANGE = """mutation($input: RequestPhoneChangeInput!) {
  answer: requestPhoneChange(input: $input) { __typename
  ... on RequestPhoneChangeSuccess { phoneChange { id resendAfterSeconds } }
  ... on Error { code path } } }"""
CONFIRM = """mutation($input: ConfirmPhoneChangeInput!) {
  answer: confirmPhoneChange(input: $input) { __typename
  ... on ConfirmPhoneChangeSuccess { viewer { phone } } ... on Error { code path } } }"""
STEP_UP = """mutation($input: RequestStepUpChallengeInput!) {
  answer: requestStepUpChallenge(input: $input) { __typename
  ... on RequestStepUpChallengeSuccess { challenge { id options } }
  ... on Error { code path } } }"""


async def test_a_number_is_changed_by_two_codes(superuser: asyncpg.Connection) -> None:
    owner, new = await lost.owner(superuser), make.phone()
    device = await lost.with_device(owner)
    step_up = await ask(STEP_UP, owner.viewer, action="CHANGE_PHONE", subject=new)
    challenge = step_up["challenge"]
    proof = {"challengeId": challenge["id"], "credential": device.get(challenge["options"])}
    asked = await ask(
        CHANGE,
        owner.viewer,
        newPhone=new,
        password=make.PASSWORD,
        proof={"passkey": proof},
    )
    change_id = asked["phoneChange"]["id"]
    old_code, new_code = await lost.change_codes(superuser, owner, new)
    given = {"changeId": change_id, "oldCode": old_code, "newCode": new_code}
    done = await ask(CONFIRM, owner.viewer, **given)
    assert done["viewer"]["phone"].endswith(new[-4:])
    again = await ask(CONFIRM, owner.viewer, **given)
    assert (again["code"], again["path"]) == ("PHONE_CHANGE_INVALID", ["input"])
    nothing = await ask(CONFIRM, owner.viewer, **{**given, "changeId": "x"})
    assert nothing == again


REVIEW = """mutation($input: RequestRecoveryReviewInput!) {
  answer: requestRecoveryReview(input: $input) { __typename
  ... on RequestRecoveryReviewSuccess { review { id } } ... on Error { code path } } }"""
CASES = """query { staff { recoveryCases(first: 5) {
  edges { node { id displayName statement state approvals version } } } } }"""
RELEASE = """mutation($input: RequestNumberReleaseInput!) {
  answer: requestNumberRelease(input: $input) { __typename
  ... on RequestNumberReleaseSuccess { review { id usableFrom expiresAt } }
  ... on Error { code path } } }"""
RELEASES = """query { staff { recoveryCases(first: 5) {
  edges { node { kind userId phone newPhone statement identified lastSeenAt } } } } }"""
ME = "query { viewer { phone displayName notices(first: 1) { edges { node { kind } } } } }"
DECIDE = """mutation($input: DecideRecoveryInput!) {
  answer: decideRecovery(input: $input) { __typename
  ... on DecideRecoverySuccess { state version } ... on Error { code path } } }"""
OBJECT = """mutation($input: ObjectToRecoveryInput!) {
  answer: objectToRecovery(input: $input) { __typename
  ... on ObjectToRecoverySuccess { ended } ... on Error { code path } } }"""


async def test_a_new_holder_asks_for_a_number_and_its_old_owner_sees_it_go(
    superuser: asyncpg.Connection,
) -> None:
    owner = await lost.owner(superuser)
    verification_id, code = await lost.number_proven(superuser, owner.phone)
    given = {
        "phone": owner.phone,
        "verificationId": ids.encode("Verification", verification_id),
        "statement": lost.SAID,
    }
    wrong = await ask(RELEASE, **given, code="12345")
    assert (wrong["code"], wrong["path"]) == ("CODE_INVALID", ["input", "code"])
    review = (await ask(RELEASE, **given, code=code))["review"]
    days = datetime.fromisoformat(review["expiresAt"]) - datetime.fromisoformat(
        review["usableFrom"]
    )
    assert days == timedelta(days=11)
    member = await make.staff(Role.SUPPORT)
    found = await schema.execute(RELEASES, context_value=Context(viewer=member))
    assert found.errors is None
    assert found.data is not None
    [edge] = found.data["staff"]["recoveryCases"]["edges"]
    seen = edge["node"]
    assert (seen["kind"], seen["phone"], seen["newPhone"]) == ("RELEASE", owner.phone, None)
    assert seen["statement"] == lost.SAID
    assert seen["identified"] is True
    assert seen["lastSeenAt"]
    first, second = await make.staff(Role.SUPPORT), await make.staff(Role.COMPLIANCE)
    for version, one in enumerate((first, second), 1):
        decision = {"recoveryCaseId": review["id"], "approve": True, "reason": "号码已转让"}
        assert (await ask(DECIDE, one, **decision, expectedVersion=version))["version"]
    await make.pass_time(superuser, 3 * 86_400)
    await lost.registering(owner.phone, await lost.number_proven(superuser, owner.phone))
    here = await make.again(owner.viewer)
    mine = await schema.execute(ME, context_value=Context(viewer=here))
    assert mine.errors is None
    assert mine.data is not None
    viewer = mine.data["viewer"]
    assert (viewer["phone"], viewer["displayName"]) == (None, lost.NAME)
    assert viewer["notices"]["edges"][0]["node"]["kind"] == "NUMBER_RELEASED"


async def test_staff_stand_in_for_the_second_proof_unless_the_owner_objects(
    superuser: asyncpg.Connection,
) -> None:
    owner = await lost.owner(superuser)
    asked = await ask(REQUEST, phone=owner.phone)
    code = await make.code_of(superuser, owner.phone, CodePurpose.RESET_PASSWORD)
    challenge_id = asked["challenge"]["id"]
    given = {"challengeId": challenge_id, "code": code, "statement": "钱包被偷"}
    review = (await ask(REVIEW, **given))["review"]
    assert (await ask(REVIEW, **given))["code"] == "RESET_PROOF_INVALID"

    for version, role in enumerate((Role.SUPPORT, Role.COMPLIANCE), 1):
        member = await make.staff(role)
        found = await schema.execute(CASES, context_value=Context(viewer=member))
        assert found.errors is None
        assert found.data is not None
        [edge] = found.data["staff"]["recoveryCases"]["edges"]
        assert edge["node"] | {"state": "", "approvals": 0} == {
            "id": review["id"],
            "displayName": lost.NAME,
            "statement": "钱包被偷",
            "state": "",
            "approvals": 0,
            "version": version,
        }
        decision = {"recoveryCaseId": review["id"], "approve": True, "reason": "已回拨核实"}
        answer = await ask(DECIDE, member, **decision, expectedVersion=version)
        assert answer["version"] == version + 1
        nothing = {**decision, "recoveryCaseId": "x"}
        answer = await ask(DECIDE, member, **nothing, expectedVersion=1)
        assert (answer["code"], answer["path"]) == ("NOT_FOUND", ["input", "recoveryCaseId"])

    early = await ask(
        COMPLETE,
        challengeId=challenge_id,
        code=code,
        newPassword=lost.NEW,
        secondProof={"reviewedCase": review["id"]},
    )
    assert early["code"] == "RESET_PROOF_INVALID"
    for case_id, ended in (("x", 0), (review["id"], 1), (None, 0)):
        answer = await ask(OBJECT, owner.viewer, recoveryCaseId=case_id)
        assert answer["ended"] == ended


REPLACE = """mutation($input: RequestPhoneReplacementInput!) {
  answer: requestPhoneReplacement(input: $input) { __typename
  ... on RequestPhoneReplacementSuccess { challengeId resendAfterSeconds }
  ... on Error { code path } } }"""
CLAIM = """mutation($input: RequestPhoneReplacementReviewInput!) {
  answer: requestPhoneReplacementReview(input: $input) { __typename
  ... on RequestPhoneReplacementReviewSuccess { review { id } } ... on Error { code path } } }"""
MOVE = """mutation($input: CompletePhoneReplacementInput!) {
  answer: completePhoneReplacement(input: $input) { __typename
  ... on CompletePhoneReplacementSuccess { signInAgain } ... on Error { code path } } }"""
NEW_PHONES = """query { staff { recoveryCases(first: 5) {
  edges { node { id kind phone newPhone } } } } }"""


async def _waits(superuser: asyncpg.Connection, phone: str, new: str) -> dict[str, object]:
    """A challenge, and the code on its way to the new phone."""
    asked = await ask(REPLACE, phone=phone, newPhone=new)
    code = await make.code_of(superuser, new, CodePurpose.REPLACE_PHONE)
    return {"challengeId": asked["challengeId"], "code": code}


async def test_an_account_moves_without_its_phone_by_two_of_staff(
    superuser: asyncpg.Connection,
) -> None:
    owner, new = await lost.owner(superuser), make.phone()
    given = {
        **await _waits(superuser, owner.phone, new),
        "name": lost.NAME,
        "idNumberLast6": owner.number[-6:],
        "statement": "手机掉进海里了",
    }
    wrong = await ask(CLAIM, **{**given, "name": "李雷"})
    assert (wrong["code"], wrong["path"]) == ("PHONE_CHANGE_INVALID", ["input"])
    review_id = (await ask(CLAIM, **given))["review"]["id"]
    for version, role in enumerate((Role.SUPPORT, Role.COMPLIANCE), 1):
        member = await make.staff(role)
        found = await schema.execute(NEW_PHONES, context_value=Context(viewer=member))
        assert found.data is not None
        [edge] = found.data["staff"]["recoveryCases"]["edges"]
        seen = {"id": review_id, "kind": "PHONE", "phone": owner.phone, "newPhone": new}
        assert edge["node"] == seen
        decision = {"recoveryCaseId": review_id, "approve": True, "reason": "已回拨核实"}
        assert (await ask(DECIDE, member, **decision, expectedVersion=version))["state"]
    await make.pass_time(superuser, 12 * 3_600)
    ready = await _waits(superuser, owner.phone, new)
    nothing = await ask(MOVE, **ready, recoveryCaseId="x")
    assert (nothing["code"], nothing["path"]) == ("PHONE_CHANGE_INVALID", ["input"])
    done = await ask(MOVE, **ready, recoveryCaseId=review_id)
    assert done == {"__typename": "CompletePhoneReplacementSuccess", "signInAgain": True}
    assert await ask(MOVE, **ready, recoveryCaseId=review_id) == nothing
