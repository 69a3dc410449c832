"""A change of role acts at once: on the open socket, on the next request, in every process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from infra import running
from tests.demo import __main__ as demo
from tests.demo import documents
from tests.demo.client import Ended, Feed, GraphQLError
from tests.demo.stage import Person, Stage

MEMBERS = "{ staff { members(first: 100) { edges { node { id displayName role } } } } }"
QUEUE = "{ staff { refundQueue(first: 1) { edges { node { id } } } } }"
ROLE = "{ viewer { role elevation { until reason } } }"
APPOINT = """mutation($input: AppointStaffInput!) { appointStaff(input: $input) { __typename
  ... on AppointStaffSuccess { roleChange { state } } ... on Error { code message } } }"""
DISMISS = """mutation($input: DismissStaffInput!) { dismissStaff(input: $input) { __typename
  ... on DismissStaffSuccess { roleChange { state } } ... on Error { code message } } }"""


@pytest.fixture
async def exits() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


async def staff(stage: Stage, exits: AsyncExitStack, role: str, number: int = 0) -> Person:
    person = Person.of_city(stage, stage.world.login(role, number))
    exits.push_async_callback(person.close)
    await person.sign_in()
    return person


async def _until_ended(feed: Feed) -> None:
    """What came before the end (a notice of it, maybe) is let pass. Raises TimeoutError."""
    try:
        while True:
            await feed.next()
    except Ended:
        return


async def test_whoever_is_dismissed_loses_the_open_socket_and_the_next_request(
    stack: running.Running, exits: AsyncExitStack
) -> None:
    stage = Stage(demo.world_of(stack.env), lambda _: None)
    admin, finance = await staff(stage, exits, "ADMIN"), await staff(stage, exits, "FINANCE", 1)
    await finance.client.run(QUEUE)
    async with finance.client.live() as live:
        feed = await live.subscribe(documents.NOTICE_EVENTS)

        rows = (await admin.client.run(MEMBERS))["staff"]["members"]["edges"]
        [member] = [one["node"] for one in rows if one["node"]["displayName"] == finance.name]
        with pytest.raises(GraphQLError) as refused:
            await admin.client.mutate(DISMISS, staffId=member["id"], reason="离职")
        assert refused.value.errors[0]["extensions"]["code"] == "ELEVATION_REQUIRED"
        await admin.elevate("人员变动")
        assert (await admin.client.run(ROLE))["viewer"]["elevation"]["reason"] == "人员变动"
        result = await admin.client.mutate(DISMISS, staffId=member["id"], reason="离职")
        stage.expect("the change", stage.success(result)["roleChange"]["state"], "DONE")

        await _until_ended(feed)
    assert (await finance.client.run(QUEUE))["staff"] is None
    with pytest.raises(GraphQLError) as ended:
        await finance.client.run(ROLE)
    assert ended.value.errors[0]["extensions"]["code"] == "UNAUTHENTICATED"

    await finance.sign_in()
    assert (await finance.client.run(ROLE))["viewer"]["role"] == "RESIDENT"
    assert (await finance.client.run(QUEUE))["staff"] is None
    result = await admin.client.mutate(
        APPOINT, phone=finance.phone, role="FINANCE", reason="重新入职"
    )
    stage.success(result)
    await finance.sign_in()
    await finance.client.run(QUEUE)
