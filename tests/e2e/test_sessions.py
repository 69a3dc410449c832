"""A session that ends at one API process is over at every other, also for what is open there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest

from infra import running
from schema import ids
from tests.demo import __main__ as demo
from tests.demo import documents
from tests.demo.client import Client, GraphQLError, Live
from tests.demo.device import DeviceKey
from tests.demo.stage import Person, Stage, key
from tests.e2e.survivors import close_code, until

# Sooner than the sweep of a socket, which looks every five seconds.
AT_ONCE_SECONDS = 4
END_SESSIONS = """mutation($input: EndSessionsInput!) {
  endSessions(input: $input) { __typename
    ... on EndSessionsSuccess { ended } ... on Error { code message } } }"""
SESSION_ENDED, COME_BACK = 4403, 1012


@pytest.fixture(scope="module")
async def other_url(stack: running.Running) -> AsyncIterator[str]:
    """A second API process on the same database and Valkey."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    arguments = [*running.API, "--port", str(port), "--workers", "1"]
    stack.children.start("second api", arguments, stack.env)
    url = f"http://127.0.0.1:{port}"
    await until(lambda: _serves(url), "the second API is ready")
    yield url
    stack.children.end("second api")


async def _serves(url: str) -> bool:
    async with httpx.AsyncClient(trust_env=False) as http:
        try:
            return (await http.get(f"{url}/readyz")).status_code == 200
        except httpx.HTTPError:
            return False


@pytest.fixture
async def stage(stack: running.Running) -> Stage:
    return Stage(demo.world_of(stack.env), lambda _: None)


@pytest.fixture
async def exits() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


async def signed_in(stage: Stage, exits: AsyncExitStack, number: int) -> Person:
    person = Person.of_city(stage, stage.world.login("RESIDENT", number))
    exits.push_async_callback(person.close)
    await person.sign_in()
    return person


async def away(person: Person, exits: AsyncExitStack, other_url: str) -> tuple[Client, Live]:
    """The person's app as the other process serves it: a client, and a socket that follows."""
    client = await exits.enter_async_context(Client(other_url, token=person.client.token))
    assert urlsplit(other_url).port != urlsplit(person.stage.world.api_url).port
    live = await exits.enter_async_context(client.live())
    await live.subscribe(documents.NOTICE_EVENTS)
    return client, live


async def ended_with(live: Live) -> int | None:
    return await asyncio.wait_for(close_code(live), AT_ONCE_SECONDS)


async def refused(client: Client) -> bool:
    """Whether the very next request is that of nobody."""
    try:
        await client.run("{ viewer { id } }")
    except GraphQLError as error:
        return error.errors[0]["extensions"]["code"] == "UNAUTHENTICATED"
    return False


async def current_session(person: Person) -> str:
    shown = (await person.client.run(documents.DEVICES))["viewer"]["sessions"]["edges"]
    [id] = [edge["node"]["id"] for edge in shown if edge["node"]["current"]]
    return id


@pytest.mark.parametrize("how", ["logout", "revokeSession", "logoutEverywhere", "revokeDevice"])
async def test_what_ends_a_session_ends_its_next_request_and_its_sockets_in_another_process(
    stage: Stage, exits: AsyncExitStack, other_url: str, how: str
) -> None:
    person, stranger = await signed_in(stage, exits, 1), await signed_in(stage, exits, 2)
    witness = await signed_in(stage, exits, 1)  # the same owner, elsewhere
    if how == "revokeDevice":
        await person.sign_in_on(DeviceKey(), name="平板")  # the city's own device is needed again
    client, live = await away(person, exits, other_url)
    _, stays = await away(stranger, exits, other_url)
    owner = witness.client
    if how == "logout":
        result = await owner.mutate(documents.LOGOUT, refreshToken=person.refresh_token)
    elif how == "revokeSession":
        named = await current_session(person)
        result = await owner.mutate(documents.REVOKE_SESSION, sessionId=named)
    elif how == "logoutEverywhere":
        result = await owner.mutate(documents.LOGOUT_EVERYWHERE, exceptThis=True)
    else:
        result = await owner.mutate(documents.REVOKE_DEVICE, deviceId=person.device.id)
    stage.success(result)

    assert await refused(client)
    assert await ended_with(live) == SESSION_ENDED
    assert stays._socket.close_code is None
    assert not await refused(owner), "the session that asked goes on"
    assert (await person.refresh())["code"] == "SESSION_INVALID"


async def test_staff_end_every_session_of_somebody_in_every_process(
    stage: Stage, exits: AsyncExitStack, other_url: str
) -> None:
    person, stranger = await signed_in(stage, exits, 1), await signed_in(stage, exits, 2)
    client, live = await away(person, exits, other_url)
    _, stays = await away(stranger, exits, other_url)
    mine = (await person.client.run("{ viewer { id } }"))["viewer"]["id"]
    risk = Person.of_city(stage, stage.world.login("RISK"))
    exits.push_async_callback(risk.close)
    await risk.sign_in()
    await risk.elevate("来电称手机被盗")
    user_id = ids.encode("User", ids.decode(mine, "Viewer"))
    ended = await risk.client.mutate(END_SESSIONS, userId=user_id, reason="手机被盗")
    assert stage.success(ended)["ended"] >= 1

    assert await refused(client)
    assert await refused(person.client)
    assert await ended_with(live) == SESSION_ENDED
    assert stays._socket.close_code is None
    assert (await person.refresh())["code"] == "SESSION_INVALID"


async def test_a_freeze_has_the_sockets_in_another_process_come_back_as_frozen(
    stack: running.Running, stage: Stage, exits: AsyncExitStack, other_url: str
) -> None:
    person, stranger = await signed_in(stage, exits, 3), await signed_in(stage, exits, 2)
    client, live = await away(person, exits, other_url)
    _, stays = await away(stranger, exits, other_url)
    frozen = await person.client.mutate(
        documents.FREEZE_MINE, level="DEBIT_BLOCK", idempotencyKey=key()
    )
    assert stage.success(frozen)["wallet"]["status"] != "OPEN"

    assert await ended_with(live) == COME_BACK
    assert stays._socket.close_code is None
    async with client.live() as again:
        await again.subscribe(documents.NOTICE_EVENTS)
        wallet = await client.run(documents.WALLET)
        assert wallet["viewer"]["wallet"]["status"] != "OPEN"
        assert again._socket.close_code is None


async def test_a_closed_account_is_nobody_in_every_process(
    stack: running.Running, stage: Stage, exits: AsyncExitStack, other_url: str
) -> None:
    person = await signed_in(stage, exits, 0)
    client, live = await away(person, exits, other_url)
    connection = await asyncpg.connect(stack.superuser_url)
    change = "update users set status = $1 where id = (select user_id from device where id = $2)"
    try:
        device_id = await connection.fetchval(
            "select device_id from session where access_hash ="
            " encode(sha256(convert_to($1, 'utf8')), 'hex')",
            person.client.token,
        )
        await connection.execute(change, "CLOSED", device_id)
        assert await refused(client)
        # Written here by hand, so that no hint was sent: the sweep finds it.
        assert await asyncio.wait_for(close_code(live), 10) == SESSION_ENDED
    finally:
        await connection.execute(change, "ACTIVE", device_id)
        await connection.close()
