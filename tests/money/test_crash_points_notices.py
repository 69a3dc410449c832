"""Crashes while notices are sent, and in what their users decide about them; and the same again."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from domain.identity import Viewer
from domain.notices import NoticeChannel, NoticeGroup, PushPlatform
from infra import push, sms
from resolvers import notices
from services import notices as services_notices
from services import people as services_people
from services.unit_of_work import unit_of_work
from tests import movement as town
from tests.infra import sandboxes
from tests.money.crashes import Case, Verbs, leaves
from workers import jobs

VERBS = Verbs()
_numbers = itertools.count(1)
_gateways: list[sandboxes.Server] = []


@pytest.fixture
async def gateways(tmp_path: Path) -> AsyncIterator[None]:
    with (
        sandboxes.running("sms", tmp_path / "sms") as texts,
        sandboxes.running("push", tmp_path / "push") as pushes,
    ):
        async with (
            sms.HttpSms(url=texts.url, secret=sandboxes.SECRET) as sms_adapter,
            push.HttpPush(url=pushes.url, secret=sandboxes.SECRET) as push_adapter,
        ):
            sms.use(sms_adapter)
            push.use(push_adapter)
            _gateways.extend((texts, pushes))
            yield
            _gateways.clear()
            sms.use(None)
            push.use(None)


async def _with_app() -> tuple[Viewer, str]:
    viewer, token = await town.resident(), f"token-of-app-{next(_numbers)}"
    await notices.register_push_token(viewer, token=token, platform=PushPlatform.IOS)
    return viewer, token


async def _told(superuser: asyncpg.Connection) -> tuple[Viewer, str, list[int]]:
    """Somebody with an app who was just told of a freeze; the outbox rows that send it."""
    viewer, token = await _with_app()
    async with unit_of_work() as work:
        await services_notices.tell(
            work, user_id=viewer.user_id, kind="WALLET_FROZEN", params={}, source="freeze"
        )
    rows = await superuser.fetch("select id from ledger.outbox where job = 'send_notice'")
    assert len(rows) == 2
    return viewer, token, [row["id"] for row in rows]


@VERBS.covering()
async def sending(superuser: asyncpg.Connection) -> Case:
    """A worker that dies behind the gateways' answers has each phone ring once."""
    texts, pushes = _gateways
    viewer, token, rows = await _told(superuser)
    phone = services_people.phone_of(viewer)

    async def effect() -> object:
        sent = texts.ask("GET", f"/messages?to=%2B{phone[1:]}").json()["messages"]
        pushed = pushes.ask("GET", f"/messages?to={token}").json()["messages"]
        question = "select count(*) from ledger.outbox where id = any($1)"
        return len(sent), len(pushed), await leaves(superuser, question, rows)()

    return Case(lambda: jobs.run(rows), effect)


@VERBS.covering("workers.notices.send_notices")
async def sending_to_an_app_that_is_gone(superuser: asyncpg.Connection) -> Case:
    _, pushes = _gateways
    viewer, _, rows = await _told(superuser)

    async def run() -> None:
        pushes.behave(gone_next=1)
        await jobs.run(rows)

    async def effect() -> object:
        pushes.ask("DELETE", "/behaviour").raise_for_status()
        question = "select count(*) from push_token where user_id = $1"
        return await leaves(superuser, question, viewer.user_id)()

    return Case(run, effect)


@VERBS.covering("resolvers.notices.set_preference")
async def switching_a_channel(superuser: asyncpg.Connection) -> Case:
    viewer = await town.resident()

    async def run() -> None:
        await notices.set_preference(
            viewer, group=NoticeGroup.PAYMENTS, channel=NoticeChannel.SMS, enabled=True
        )

    question = "select notice_group, channel, enabled from notice_preference where user_id = $1"
    return Case(run, leaves(superuser, question, viewer.user_id))


@VERBS.covering("resolvers.notices.register_push_token")
async def registering_an_app(superuser: asyncpg.Connection) -> Case:
    viewer, token = await town.resident(), f"token-of-app-{next(_numbers)}"

    async def run() -> None:
        await notices.register_push_token(viewer, token=token, platform=PushPlatform.IOS)

    question = "select platform, session_id = $2 from push_token where user_id = $1"
    return Case(run, leaves(superuser, question, viewer.user_id, viewer.session_id))


@VERBS.covering("resolvers.notices.remove_push_token")
async def removing_an_app(superuser: asyncpg.Connection) -> Case:
    viewer, token = await _with_app()

    async def run() -> None:
        await notices.remove_push_token(viewer, token=token)

    question = "select count(*) from push_token where user_id = $1"
    return Case(run, leaves(superuser, question, viewer.user_id))


@pytest.mark.usefixtures("counter", "gateways")
async def test_notices_survive_a_crash_at_every_point(superuser) -> None:
    await VERBS.survive(superuser)
