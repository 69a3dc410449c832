"""People who go on paying and watching while parts of the stack are killed under them."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import websockets

from infra import running
from services.demo import city
from tests.demo import documents, joining, paying
from tests.demo.client import Client, Ended, Feed, GraphQLError, Live
from tests.demo.stage import Person, Stage, World, code_from_sms, key, new_phone

PATIENCE_SECONDS = 25.0
PAYERS = 10
_LOST = (httpx.HTTPError, GraphQLError, ValueError)  # ValueError: half an answer
_CUT = (Ended, GraphQLError, OSError, EOFError, websockets.WebSocketException)

_TOLD = """
select i.key, count(distinct i.id) as entries,
       count(n.*) filter (where n.kind = 'PAYMENT_SUCCEEDED') as payer_told,
       count(n.*) filter (where n.kind = 'PAYMENT_RECEIVED') as payee_told
  from ledger.instruction i
  left join notice n on n.params->>'entry_id' = i.id::text
 where i.key = any($1::text[]) and i.outcome = 0
 group by i.key"""
_OUTBOX = "select count(*) filter (where not dead), count(*) filter (where dead) from ledger.outbox"


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Ask until it is so; the patience only ends a test that has failed."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await condition():  # noqa: ASYNC110 - other processes set no event
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"it did not happen: {what}") from None


class Follower:
    """A client as it should be: follows a stream, and after every cut goes on behind its cursor."""

    def __init__(self, client: Client, document: str) -> None:
        self._client, self._document = client, document
        self._cursor: str | None = None
        self.events: list[dict[str, Any]] = []
        self.cuts = 0
        self._task = asyncio.create_task(self._run())

    @property
    def sequences(self) -> list[int]:
        return [event["sequence"] for event in self.events]

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                async with self._client.live() as live:
                    await self._take(await live.subscribe(self._document, after=self._cursor))
            except _CUT:
                self.cuts += 1
            await asyncio.sleep(0.1)

    async def _take(self, feed: Feed) -> None:
        while True:
            event = await feed.next(timeout_seconds=3600)
            self._cursor = event.data["cursor"]
            self.events.append(event.data)


class Town:
    """The demo city's residents with an allowance, one shop, and the running stack."""

    def __init__(self, stack: running.Running, world: World) -> None:
        self.stack = stack
        self.stage = Stage(world, lambda _: None)
        self.hits: Counter[str] = Counter()
        self.payers: list[Person] = []
        self._turn = itertools.count()
        self.merchant_id = ""

    async def open(self) -> None:
        """Everybody signs in; the shop follows its transactions and its notices."""
        numbers = [n for n in range(2 * PAYERS) if city.has_allowance(n)]
        self.payers = [self.person(city.resident_phone(n)) for n in numbers]
        self.shop = self.person(city.shop_phone(0))
        for person in (*self.payers, self.shop):
            await person.sign_in()
        self.merchant_id = await paying.scan(
            self.stage, self.payers[0], self.stage.world.merchants[0]
        )
        self.transactions = Follower(self.shop.client, documents.TRANSACTION_EVENTS)
        self.notices = Follower(self.shop.client, documents.NOTICE_EVENTS)
        while not (self.transactions.events and self.notices.events):
            # "From now on" begins when the subscription does: pay until it has.
            await self.settled([await self.pay()])
            await asyncio.sleep(0.5)

    def person(self, phone: str) -> Person:
        """Somebody of the demo city who has not signed in."""
        return Person(
            self.stage,
            name="",
            phone=phone,
            password=city.PASSWORD,
            pin=city.PIN,
            device=self.stage.world.device(phone),
        )

    async def close(self) -> None:
        await self.transactions.stop()
        await self.notices.stop()
        for person in (*self.payers, self.shop):
            await person.close()

    # --- paying ---------------------------------------------------------------------------

    async def pay(self, the_key: str | None = None, *, payer: Person | None = None) -> str:
        """Pay 0.10, by the same key again until there is an answer; the key."""
        payer = payer or self.next_payer()
        the_key = the_key or key()
        ids: set[str] = set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not ids:
                try:
                    result = await self.try_to_pay(payer, the_key)
                except _LOST:
                    self.hits["calls without an answer"] += 1
                    await asyncio.sleep(0.1)
                    continue
                if not result.get("retryable"):
                    ids.add(self.stage.success(result)["payment"]["id"])
        return the_key

    def next_payer(self) -> Person:
        return self.payers[next(self._turn) % PAYERS]

    async def try_to_pay(self, payer: Person, the_key: str) -> dict[str, Any]:
        return await paying.create(payer, self.merchant_id, "0.10", the_key=the_key)

    async def pay_often(self, count: int, keys: list[str]) -> None:
        """One payment after the other; ``keys`` grows as they are answered."""
        for _ in range(count):
            keys.append(await self.pay())

    # --- registering ----------------------------------------------------------------------

    async def applicant(self) -> tuple[Person, dict[str, str]]:
        """Somebody who has a code and has not used it yet; code and request as input."""
        person = Person(self.stage, name="周明远", phone=new_phone(), password="", pin="")
        asked = await person.client.mutate(
            documents.REQUEST_CODE, phone=person.phone, purpose="REGISTER"
        )
        verification = self.stage.success(asked)["verification"]
        code, _ = await code_from_sms(self.stage.world, person.phone)
        return person, {"verificationId": verification["id"], "code": code}

    async def register(self, person: Person, proof: dict[str, str]) -> None:
        person.arrived(
            await person.client.mutate(
                documents.REGISTER,
                name=person.name,
                phone=person.phone,
                **proof,
                password="Nanshan-harbour-7",
                device=person.device.input(),
                consents=joining.CONSENTS,
            )
        )

    async def reviewed(self, person: Person) -> None:
        """Wait until the application was decided."""

        async def active() -> bool:
            data = await person.client.run("{ viewer { status } }")
            self.stack.tend()
            return data["viewer"]["status"] == "ACTIVE"

        await until(active, "the review of a registration")
        await person.close()

    # --- looking at the whole -------------------------------------------------------------

    @asynccontextmanager
    async def superuser(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.stack.superuser_url)
        try:
            yield connection
        finally:
            await connection.close()

    @asynccontextmanager
    async def locked(self, table: str) -> AsyncIterator[None]:
        """Whoever wants to write to the table has to wait."""
        async with self.superuser() as connection, connection.transaction():
            await connection.execute(f"lock table {table} in exclusive mode")
            yield

    async def waiting(self, *, login: str) -> int:
        """How many of a login's backends wait for a lock."""
        async with self.superuser() as connection:
            return await connection.fetchval(
                "select count(*) from pg_stat_activity"
                " where usename = $1 and wait_event_type = 'Lock'",
                login,
            )

    async def end_leases(self) -> None:
        """Let the time pass for which claimed outbox rows are left alone."""
        async with self.superuser() as connection:
            await connection.execute("update ledger.outbox set due_at = ledger.now()")

    async def ready(self, status: int) -> None:
        """Wait for what ``/readyz`` says."""

        async def says() -> bool:
            async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
                try:
                    return (await http.get(f"{self.stack.api_url}/readyz")).status_code == status
                except httpx.HTTPError:
                    return False

        await until(says, f"/readyz says {status}")

    async def settled(self, keys: list[str]) -> None:
        """Wait until nothing is left to do; then each payment exists once and was told once."""
        async with self.superuser() as connection:

            async def told() -> bool:
                self.stack.tend()
                rows = await connection.fetch(_TOLD, keys)
                waits, _ = await connection.fetchrow(_OUTBOX)
                return len(rows) == len(keys) and not waits and all(map(all, rows))

            await until(told, f"{len(keys)} payments told")
            rows = await connection.fetch(_TOLD, keys)
            assert {tuple(row)[1:] for row in rows} == {(1, 1, 1)}
            assert (await connection.fetchrow(_OUTBOX))[1] == 0, "dead rows"

    async def seen(self, keys: list[str]) -> None:
        """The shop has seen each of the payments once, live, and a notice of each."""
        async with self.superuser() as connection:
            rows = await connection.fetch(
                "select distinct n.id, n.seq, p.seq as posting from ledger.instruction i"
                " join ledger.posting p on p.entry_id = i.id and p.amount > 0"
                " join notice n on n.params->>'entry_id' = i.id::text"
                "  and n.kind = 'PAYMENT_RECEIVED' where i.key = any($1::text[])",
                keys,
            )
        for follower, wanted in (
            (self.transactions, {row["posting"] for row in rows}),
            (self.notices, {row["seq"] for row in rows}),
        ):

            async def arrived(follower: Follower = follower, wanted: set[int] = wanted) -> bool:
                return wanted <= set(follower.sequences)

            assert len(wanted) == len(keys)
            await until(arrived, "all events at the shop")
            first = follower.sequences[0]
            whole = list(range(first, first + len(follower.events)))
            assert follower.sequences == whole, "an event is missing, doubled or out of order"


async def close_code(live: Live) -> int | None:
    """How the server ended a socket."""
    await live._socket.wait_closed()
    return live._socket.close_code
