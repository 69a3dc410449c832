"""Residents who ask two of staff for help back in, through the API and the text messages."""

from __future__ import annotations

from tests.demo.client import Client
from tests.demo.stage import Person, Stage, code_from_sms

REQUEST_RESET = """mutation($input: RequestPasswordResetInput!) {
  requestPasswordReset(input: $input) { __typename
    ... on RequestPasswordResetSuccess { challenge { id } } } }"""
REQUEST_REVIEW = """mutation($input: RequestRecoveryReviewInput!) {
  requestRecoveryReview(input: $input) { __typename } }"""
REPLACE = """mutation($input: RequestPhoneReplacementInput!) {
  requestPhoneReplacement(input: $input) { __typename
    ... on RequestPhoneReplacementSuccess { challengeId } } }"""
REPLACE_REVIEW = """mutation($input: RequestPhoneReplacementReviewInput!) {
  requestPhoneReplacementReview(input: $input) { __typename } }"""


async def ask_for_password(stage: Stage, person: Person, statement: str) -> str:
    """With the phone in hand, and no second proof; the code that it took."""
    async with Client(stage.world.api_url) as stranger:
        asked = stage.success(await stranger.mutate(REQUEST_RESET, phone=person.phone))
        code, _ = await code_from_sms(stage.world, person.phone, about="重置密码")
        reviewed = await stranger.mutate(
            REQUEST_REVIEW, challengeId=asked["challenge"]["id"], code=code, statement=statement
        )
        stage.success(reviewed)
    return code


async def ask_for_number(stage: Stage, person: Person, phone: str, statement: str) -> str:
    """With another phone in hand, by name and ID number; the code that it took."""
    async with Client(stage.world.api_url) as stranger:
        asked = stage.success(await stranger.mutate(REPLACE, phone=person.phone, newPhone=phone))
        code, _ = await code_from_sms(stage.world, phone)
        reviewed = await stranger.mutate(
            REPLACE_REVIEW,
            challengeId=asked["challengeId"],
            code=code,
            name=person.name,
            idNumberLast6=person.id_number[-6:],
            statement=statement,
        )
        stage.success(reviewed)
    return code
