"""The bank's back office: settles pulls when their time comes and calls back until it is heard."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time

import httpx

from sandbox import bank_store, behaviour, cards, mischief, signing

CALLBACK_TIMEOUT_SECONDS = 5.0
FIRST_RETRY_SECONDS = 0.2
IDLE_SECONDS = 1.0
UNDER_WAY_MAX = 64
FAR_FUTURE = 1e12


class Desk:
    """One loop over the store; deliveries are tasks, so a receiver that hangs holds up nothing."""

    def __init__(
        self,
        store: bank_store.Store,
        settings: behaviour.Behaviour[mischief.BankBehaviour],
        *,
        callback_secret: str,
    ) -> None:
        self._store = store
        self._settings = settings
        self._secret = callback_secret
        self._news = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()
        self._client = httpx.AsyncClient(timeout=CALLBACK_TIMEOUT_SECONDS, trust_env=False)

    def wake(self) -> None:
        """Something may be due earlier than the loop expects."""
        self._news.set()

    async def run(self) -> None:
        """Work until cancelled; what is under way then is owed again at the next start."""
        self._store.forget_claims()
        try:
            while True:
                self._news.clear()
                try:
                    self._do_what_is_due()
                except sqlite3.Error as error:
                    print(f"sandbox bank: {error}", file=sys.stderr, flush=True)
                await self._rest()
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)
            await self._client.aclose()

    def settle(self, reference: str, *, outcome: str) -> None:
        """End a pull as its card demands."""
        failing = outcome in cards.FAILING
        self._store.settle(reference, failure_code=outcome if failing else None)
        self.wake()

    async def deliver_now(self, pull_id: str) -> None:
        """Call back about this pull, once and however late it should have been, and wait for it."""
        owed = self._store.due_callbacks(FAR_FUTURE, limit=UNDER_WAY_MAX, pull_id=pull_id)
        await asyncio.gather(*(self._start(row) for row in owed), return_exceptions=True)

    def _do_what_is_due(self) -> None:
        now = time.time()
        for reference, outcome in self._store.due_pulls(now):
            self.settle(reference, outcome=outcome)
        if not self._settings.now.reorder_callbacks_next:
            self._store.release_reordered()
        room = UNDER_WAY_MAX - len(self._under_way)
        for row in self._store.due_callbacks(time.time(), limit=room):
            self._start(row)

    async def _rest(self) -> None:
        due_at = self._store.next_due_at()
        full = len(self._under_way) >= UNDER_WAY_MAX
        seconds = IDLE_SECONDS if due_at is None or full else due_at - time.time()
        try:
            async with asyncio.timeout(min(max(seconds, 0.01), IDLE_SECONDS)):
                await self._news.wait()
        except TimeoutError:
            return

    def _start(self, row: sqlite3.Row) -> asyncio.Task[None]:
        self._store.claim(row["number"])
        task = asyncio.create_task(self._deliver(row))
        self._under_way.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self.wake()

    async def _deliver(self, row: sqlite3.Row) -> None:
        if await self._heard(row["url"], row["body"]):
            self._store.delivered(row["number"])
            return
        growing = FIRST_RETRY_SECONDS * 2 ** min(row["attempts"], 20)
        longest = self._settings.now.retry_max_ms / 1000
        self._store.try_later(row["number"], seconds=min(growing, longest))

    async def _heard(self, url: str, body: bytes) -> bool:
        try:
            request = self._client.build_request("POST", url, content=body)
            path = request.url.raw_path.decode("ascii")
            request.headers["Content-Type"] = "application/json"
            request.headers.update(
                signing.sign(
                    body, method="POST", path=path, secret=self._secret, unix_seconds=time.time()
                )
            )
            async with asyncio.timeout(CALLBACK_TIMEOUT_SECONDS):
                response = await self._client.send(request)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError):
            return False
        return response.is_success
