"""Where notices are told, as a client speaks it."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from domain.identity import Viewer
from schema import schema
from schema.context import Context
from tests import movement as town

pytestmark = pytest.mark.usefixtures("counter")

PREFERENCES = "{ viewer { noticePreferences { group app sms push changeable } } }"
SET = """mutation($input: SetNoticePreferenceInput!) { setNoticePreference(input: $input) {
  __typename
  ... on SetNoticePreferenceSuccess { noticePreferences { group sms push } }
  ... on Error { code message path retryable } } }"""
REGISTER = """mutation($input: RegisterPushTokenInput!) { registerPushToken(input: $input) {
  __typename ... on RegisterPushTokenSuccess { registered } ... on Error { code path } } }"""
REMOVE = """mutation($input: RemovePushTokenInput!) { removePushToken(input: $input) {
  __typename ... on RemovePushTokenSuccess { removed } } }"""


async def ask(caller: Viewer, document: str, language: str = "en", **given: Any) -> Any:
    context = Context(viewer=caller, language=language)
    variables = {"input": given} if given else None
    result = await schema.execute(document, variables, context_value=context)
    assert result.errors is None, result.errors
    assert result.data is not None
    [answer] = result.data.values()
    return answer


async def test_a_caller_sees_all_groups_and_switches_one() -> None:
    caller = await town.resident()
    before = (await ask(caller, PREFERENCES))["noticePreferences"]
    answer = await ask(caller, SET, group="REFUNDS", channel="SMS", enabled=True)

    after = (await ask(caller, PREFERENCES))["noticePreferences"]
    assert [one["group"] for one in before] == [
        "PAYMENTS", "REFUNDS", "SECURITY", "ACCOUNT", "SERVICE",
    ]  # fmt: skip
    assert [one["group"] for one in before if not one["changeable"]] == ["SECURITY"]
    assert all(one["app"] for one in before)
    assert {one["group"]: one["sms"] for one in after} == {
        **{one["group"]: one["sms"] for one in before},
        "REFUNDS": True,
    }
    assert [one["sms"] for one in answer["noticePreferences"]] == [one["sms"] for one in after]


async def test_what_cannot_be_muted_is_refused_in_the_callers_language() -> None:
    caller = await town.resident()
    locked = {"group": "SECURITY", "channel": "SMS", "enabled": False}

    english = await ask(caller, SET, **locked)
    chinese = await ask(caller, SET, "zh-CN", **locked)

    assert english == {
        "__typename": "NoticeMandatoryError",
        "code": "NOTICE_MANDATORY",
        "message": "This kind of notice cannot be switched off.",
        "path": ["input", "enabled"],
        "retryable": False,
    }
    assert chinese["message"] == "这类通知不能关闭。"


async def test_an_app_comes_and_goes(superuser: asyncpg.Connection) -> None:
    caller, count = await town.resident(), "select count(*) from push_token"

    assert (await ask(caller, REGISTER, token="令牌", platform="IOS"))["code"] == "INVALID_INPUT"
    assert await superuser.fetchval(count) == 0
    assert (await ask(caller, REGISTER, token="a-new-token", platform="HARMONY"))["registered"]
    assert await superuser.fetchval(count) == 1
    assert (await ask(caller, REMOVE, token="a-new-token"))["removed"]
    assert (await ask(caller, REMOVE, token="a-new-token"))["removed"]
    assert await superuser.fetchval(count) == 0
