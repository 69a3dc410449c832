"""The push and mail adapters against their running gateways."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from infra import mail, push, settings
from tests.infra import sandboxes

TOKEN = "apns:5f2c9d8e"
ADDRESS = "wang@example.com"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[sandboxes.Server]:
    with sandboxes.running("push", tmp_path) as server:
        yield server


@pytest.fixture
async def adapter(gateway: sandboxes.Server) -> AsyncIterator[push.HttpPush]:
    async with push.HttpPush(url=gateway.url, secret=sandboxes.SECRET) as opened:
        yield opened


async def send(adapter: push.HttpPush, reference: str, **changes: str) -> None:
    message = {
        "token": TOKEN,
        "platform": "HARMONY",
        "title": "付款成功",
        "text": "¥1.00",
    } | changes
    await adapter.send(reference=reference, **message)


def shown(server: sandboxes.Server, to: str = TOKEN) -> list[str]:
    answer = server.ask("GET", f"/messages?to={to}").json()
    return [message["text"] for message in answer["messages"]]


async def test_a_push_message_is_shown_once_however_often_it_is_sent(gateway, adapter):
    for _ in range(3):
        await send(adapter, "same")
    await send(adapter, "other", token="elsewhere", text="x")

    assert shown(gateway) == ["¥1.00"]
    page = gateway.ask("GET", "/").text
    assert "HARMONY" in page
    assert "付款成功" in page


async def test_a_reference_can_not_carry_another_message(gateway, adapter):
    await send(adapter, "same")

    with pytest.raises(push.PushRefused, match="REFERENCE_REUSED"):
        await send(adapter, "same", text="other")
    assert shown(gateway) == ["¥1.00"]


async def test_an_outage_is_told_from_a_refusal_and_names_nothing_personal(gateway, adapter):
    gateway.behave(fail_next=1)
    with pytest.raises(push.PushUnavailable, match="503") as outage:
        await send(adapter, "r")
    with pytest.raises(push.PushRefused, match="INVALID") as refusal:
        await send(adapter, "r", platform="PAGER")
    gateway.kill()
    with pytest.raises(push.PushUnavailable) as silence:
        await send(adapter, "r")

    assert not isinstance(outage.value, push.PushRefused)
    for caught in (outage, refusal, silence):
        assert TOKEN not in repr(caught.value)
        assert caught.value.__cause__ is None


async def test_a_token_that_no_app_has_any_more_is_said_to_be_gone(gateway, adapter):
    gateway.behave(gone_next=1)
    with pytest.raises(push.TokenGone):
        await send(adapter, "r")
    assert shown(gateway) == []


async def test_a_wrong_secret_sends_nothing(gateway):
    named = settings.Settings(environment="development", push_url=gateway.url)
    async with push.from_settings(named) as stranger:
        with pytest.raises(push.PushUnavailable, match="401"):
            await send(stranger, "r")
    assert shown(gateway) == []


async def test_a_seed_spoils_the_same_references_and_none_is_lost_or_doubled(tmp_path):
    fates = []
    for name in ("one", "two"):
        with sandboxes.running("push", tmp_path / name, "--seed", "7") as server:
            async with push.HttpPush(url=server.url, secret=sandboxes.SECRET) as adapter:
                fates.append([await _tries(adapter, f"r{number}") for number in range(20)])
            assert len(shown(server)) == 20
    print(f"tries of each message: {fates[0]}")
    assert fates[0] == fates[1]
    assert max(fates[0]) > 1, "a seed may as well draw nothing"


async def _tries(adapter: push.HttpPush, reference: str) -> int:
    for count in range(1, 10):
        try:
            await send(adapter, reference)
        except push.PushUnavailable:
            continue
        return count
    raise AssertionError("never accepted")


async def test_a_mail_is_delivered_once_and_survives_a_kill_of_its_gateway(tmp_path):
    async def write(server: sandboxes.Server) -> None:
        async with mail.HttpMail(url=server.url, secret=sandboxes.SECRET) as adapter:
            await adapter.send(to=ADDRESS, subject="验证码", text="123456\n5分钟", reference="r")

    with sandboxes.running("mail", tmp_path) as first:
        await write(first)
        first.kill()
    with sandboxes.running("mail", tmp_path) as second:
        await write(second)
        found = second.ask("GET", f"/messages?to={ADDRESS}").json()["messages"]
    assert [(one["subject"], one["text"]) for one in found] == [("验证码", "123456\n5分钟")]


async def test_a_mail_can_not_smuggle_a_second_header_or_address(tmp_path):
    with sandboxes.running("mail", tmp_path) as server:
        async with mail.HttpMail(url=server.url, secret=sandboxes.SECRET) as adapter:
            for to, subject in (
                (ADDRESS, "x\r\nBcc: other@example.com"),
                (f"{ADDRESS}\nother@example.com", "x"),
                ("nobody", "x"),
            ):
                with pytest.raises(mail.MailRefused, match="INVALID") as caught:
                    await adapter.send(to=to, subject=subject, text="t", reference="r")
                assert "example" not in repr(caught.value)
            server.behave(fail_next=1)
            with pytest.raises(mail.MailUnavailable, match="503"):
                await adapter.send(to=ADDRESS, subject="s", text="t", reference="r")
        assert server.ask("GET", "/messages").json()["messages"] == []
