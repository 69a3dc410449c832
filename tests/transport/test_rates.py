"""Too fast is 429 with when to come again, for requests and on sockets, and nothing has run."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
import websockets
from redis.asyncio import Redis
from websockets.asyncio.client import ClientConnection, connect

from infra import embedded, metrics, throttle
from infra.buckets import Rate
from tests.transport import serving
from transport import app, rates

WIDE = Rate(1, 1000)
PROXY = (ipaddress.ip_network("127.0.0.1/32"),)
PAY = {"input": {"key": "k", "to": "t", "nested": {"amount": 1}}}
ALL_WIDE = rates.Rates(address=WIDE, user=WIDE, costly=WIDE)


def say(came: Any, seconds: int) -> str:
    return f"Come again in {seconds} seconds, {came.headers.get('accept-language', '')}."


class Site:
    """A server with limits; its process counts alone unless it is given a Valkey."""

    def __init__(self, port: int, world: serving.World, served: rates.Throttle) -> None:
        self.world = world
        self.throttle = served
        self.url = f"127.0.0.1:{port}"
        self.client = httpx.Client(base_url=f"http://{self.url}", trust_env=False)

    def ask(
        self,
        query: str = "{ hello }",
        *,
        address: str = "203.0.113.9",
        token: str = "",
        variables: Any = None,
        **headers: str,
    ) -> httpx.Response:
        given = {"x-forwarded-for": address, **headers}
        if token:
            given["authorization"] = token
        body = {"query": query, "variables": variables}
        return self.client.post("/graphql", json=body, headers=given)

    def statuses(self, times: int, query: str = "{ hello }", **given: Any) -> list[int]:
        return [self.ask(query, **given).status_code for _ in range(times)]


@contextmanager
def site(redis_url: str = "", **changed: Rate) -> Iterator[Site]:
    # Alone, a process allows a quarter: so four times as much is a test's own figure.
    share = 1 if redis_url else throttle.LOCAL_SHARE
    wanted = {name: Rate(1, rate.burst * share) for name, rate in changed.items()}
    counting = throttle.Throttle(round_trip_seconds=20)
    gate = rates.Gate(
        counting, replace(ALL_WIDE, **wanted), costly=frozenset({"pay", "broken"}), say=say
    )

    @contextmanager
    def nothing() -> Iterator[None]:
        yield

    class Lifespan:
        def __init__(self, _app: Any) -> None:
            return None

        async def __aenter__(self) -> None:
            if redis_url:
                counting.open(redis_url)

        async def __aexit__(self, *_: object) -> None:
            await counting.close()

    world = serving.World()
    application = serving.build(
        world, gate=gate, lifespan=Lifespan, door=app.Door(trusted_networks=PROXY)
    )
    with serving.served(application) as port:
        found = Site(port, world, counting)
        with found.client:
            yield found


def test_a_request_too_many_is_429_says_when_and_has_not_run() -> None:
    with site(address=Rate(1, 3)) as here:
        assert here.statuses(3) == [200, 200, 200]
        contexts = here.world.contexts
        refused = here.ask(**{"accept-language": "zh-CN"})
        assert refused.status_code == 429
        seconds = int(refused.headers["retry-after"])
        assert 1 <= seconds <= 60
        [error] = refused.json()["errors"]
        assert error["extensions"]["code"] == "RATE_LIMITED"
        assert error["extensions"]["retryAfterSeconds"] == seconds
        assert error["extensions"]["requestId"] == refused.headers["x-request-id"]
        assert error["message"] == f"Come again in {seconds} seconds, zh-CN."
        assert "data" not in refused.json()
        # The first may have been looked at; from then on nothing is even read for it.
        after = here.world.contexts
        assert after <= contexts + 1
        assert here.statuses(5) == [429] * 5
        assert here.world.contexts == after


def test_addresses_are_counted_apart_as_trusted_proxies_tell_them() -> None:
    with site(address=Rate(1, 2)) as here:
        assert here.statuses(3) == [200, 200, 429]
        assert here.statuses(3, address="203.0.113.10") == [200, 200, 429]
        # What a client invents ahead of its own address changes nothing.
        assert here.statuses(2, address="198.51.100.1, 203.0.113.9") == [429, 429]


def test_a_household_of_ipv6_is_one_address() -> None:
    with site(address=Rate(1, 2)) as here:
        met = [here.ask(address=f"2001:db8:0:1::{number:x}").status_code for number in range(1, 5)]
        assert met == [200, 200, 429, 429]
        assert here.ask(address="2001:db8:0:2::1").status_code == 200


def test_users_are_counted_wherever_they_are() -> None:
    with site(user=Rate(1, 3)) as here:
        met = [
            here.ask(token="alice", address=f"203.0.113.{number}").status_code
            for number in range(5)
        ]
        assert met == [200, 200, 200, 429, 429]
        assert here.statuses(2, token="bob") == [200, 200]
        assert here.statuses(2) == [200, 200]


def test_credentials_of_nobody_are_counted_by_address_only() -> None:
    with site(user=Rate(1, 1), address=Rate(1, 3)) as here:
        assert here.statuses(5, token="ended") == [200, 200, 200, 429, 429]


def test_costly_fields_have_a_tighter_limit_and_refuse_before_they_run() -> None:
    with site(costly=Rate(1, 2)) as here:
        paying = {"query": serving.PAY, "variables": PAY}
        assert here.statuses(3, **paying) == [200, 200, 429]
        assert here.statuses(2) == [200, 200]
        assert here.statuses(3, **paying, token="alice") == [200, 200, 429]
        assert here.statuses(1, **paying, token="bob") == [200]


@pytest.mark.parametrize(
    "query",
    [
        "{ a: broken b: broken c: broken }",
        "query Q { ...F } fragment F on Query { a: broken ... { b: broken ...G } }"
        " fragment G on Query { c: broken }",
    ],
)
def test_each_alias_of_a_costly_field_counts(query: str) -> None:
    with site(costly=Rate(1, 2)) as here:
        # More than there can ever be takes all there is.
        assert here.ask(query).status_code == 200
        assert here.ask("{ broken }").status_code == 429
        assert here.ask().status_code == 200


def test_a_refused_document_counts_several_times() -> None:
    with site(address=Rate(1, 11)) as here:
        met = here.statuses(4, "{ nothing }")
        assert met == [200, 200, 429, 429]  # 5 + 5, and one is left
        assert here.statuses(2) == [200, 429]


@pytest.mark.parametrize(
    ("method", "given", "status"),
    [
        ("POST", {"content": b"{", "headers": {"content-type": "application/json"}}, 400),
        ("POST", {"json": {"query": ""}}, 400),
        ("POST", {"content": b"query=a"}, 415),
        ("POST", {"json": {"query": "x" * 200_000}}, 413),
        ("GET", {"params": {"query": "{ hello }"}}, 405),
        ("PUT", {"json": {"query": "{ hello }"}}, 405),
    ],
)
def test_what_http_refuses_counts_like_what_runs(
    method: str, given: dict[str, Any], status: int
) -> None:
    with site(address=Rate(1, 2)) as here:
        met = [here.client.request(method, "/graphql", **given).status_code for _ in range(3)]
        assert met == [status, status, 429]
        assert here.world.contexts == 0


def test_what_is_not_graphql_is_not_counted() -> None:
    with site(address=Rate(1, 1)) as here:
        assert here.statuses(2) == [200, 429]
        answers = [here.client.get(path).status_code for path in ("/healthz", "/metrics")]
        assert answers == [200, 200]


def test_refusals_are_measured_by_whose_bucket_it_was() -> None:
    def count(bucket: str) -> float:
        found = metrics.REGISTRY.get_sample_value("wallet_rate_limited_total", {"bucket": bucket})
        return found or 0.0

    before = {bucket: count(bucket) for bucket in ("address", "user", "costly")}
    with site(address=Rate(1, 7), user=Rate(1, 1), costly=Rate(1, 1)) as here:
        here.statuses(2, serving.PAY, variables=PAY)
        here.statuses(3, token="carol")
        here.statuses(6)
    grown = {bucket: count(bucket) - before[bucket] for bucket in before}
    assert grown == {"address": 1, "user": 2, "costly": 1}


async def test_many_at_once_through_one_valkey_get_what_the_bucket_holds(
    servers: embedded.Servers,
) -> None:
    async with Redis.from_url(servers.redis_url) as redis:
        await redis.flushdb()
    wanted = {"redis_url": servers.redis_url, "address": Rate(1, 40)}
    with site(**wanted) as one, site(**wanted) as two:
        async with asyncio.timeout(20):
            while not (one.throttle.shared and two.throttle.shared):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        async with httpx.AsyncClient(trust_env=False) as client:
            asked = [
                client.post(
                    f"http://{here.url}/graphql",
                    json={"query": "{ hello }"},
                    headers={"x-forwarded-for": "203.0.113.77"},
                )
                for here in (one, two) * 40
            ]
            met = [answer.status_code for answer in await asyncio.gather(*asked)]
        assert (met.count(200), met.count(429)) == (40, 40)
        async with Redis.from_url(servers.redis_url) as redis:
            keys = await redis.keys("*")
            assert len(keys) == 1
            assert b"203.0.113" not in b"".join(keys)
            assert 0 < await redis.pttl(keys[0]) <= 40 * 60_000


# --- sockets ----------------------------------------------------------------------------------


@pytest.fixture
async def links() -> AsyncIterator[list[ClientConnection]]:
    opened: list[ClientConnection] = []
    yield opened
    for link in opened:
        await link.close()


async def socket_of(here: Site, links: list[ClientConnection], token: str = "") -> ClientConnection:
    link = await connect(
        f"ws://{here.url}/graphql",
        subprotocols=["graphql-transport-ws"],  # type: ignore[list-item]
        additional_headers={"x-forwarded-for": "203.0.113.9"},
    )
    links.append(link)
    payload = {"authorization": token} if token else {}
    await link.send(json.dumps({"type": "connection_init", "payload": payload}))
    assert json.loads(await link.recv())["type"] == "connection_ack"
    return link


async def outcome(link: ClientConnection, query: str, number: int) -> dict[str, Any]:
    """The first message about an operation."""
    frame = {"id": str(number), "type": "subscribe", "payload": {"query": query}}
    await link.send(json.dumps(frame))
    first = json.loads(await link.recv())
    last = first
    while last["type"] not in ("complete", "error"):
        last = json.loads(await link.recv())
    return first


async def test_operations_on_a_socket_count_and_the_socket_stays(links: list[Any]) -> None:
    with site(user=Rate(1, 2)) as here:
        link = await socket_of(here, links, "dora")
        query = "subscription { ticks(count: 1) { number } }"
        assert [(await outcome(link, query, n))["type"] for n in range(2)] == ["next", "next"]
        refused = await outcome(link, query, 3)
        assert refused["type"] == "error"
        [error] = refused["payload"]
        assert error["extensions"]["code"] == "RATE_LIMITED"
        assert 1 <= error["extensions"]["retryAfterSeconds"] <= 60
        assert here.world.open_streams == 0
        # Another session of the same user has nothing left either, over HTTP.
        assert here.statuses(1, token="dora") == [429]
        await link.send(json.dumps({"type": "ping"}))
        assert json.loads(await link.recv()) == {"type": "pong"}


async def test_costly_and_refused_operations_count_on_sockets_too(links: list[Any]) -> None:
    with site(costly=Rate(1, 1), address=Rate(1, 14)) as here:
        link = await socket_of(here, links)
        met = [await outcome(link, "{ broken }", number) for number in range(2)]
        assert [one["type"] for one in met] == ["next", "error"]
        met = [await outcome(link, "{ nothing }", number) for number in range(10, 13)]
        codes = [one["payload"][0]["extensions"]["code"] for one in met]
        assert codes == ["GRAPHQL_VALIDATION_FAILED"] * 2 + ["RATE_LIMITED"]


async def test_a_handshake_too_many_is_429(links: list[Any]) -> None:
    with site(address=Rate(1, 2)) as here:
        for _ in range(2):
            await socket_of(here, links)
        with pytest.raises(websockets.InvalidStatus) as refused:
            await socket_of(here, links)
        assert refused.value.response.status_code == 429
        assert 1 <= int(refused.value.response.headers["retry-after"]) <= 60
        assert here.world.contexts == 2
