"""How fast somebody may ask: by network address, by signed-in user, and tighter for costly fields.

What is counted: each request, also one that says nothing sensible, each handshake of a socket, each
operation on one. A document that is refused counts several times, because reading it is most of the
work and nobody needs to send many.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from infra import encryption, metrics
from infra.buckets import Demand, Rate, Verdict
from infra.remembered import Remembered
from infra.throttle import Throttle
from transport import arrival

REFUSED_DOCUMENT_COST = 5
_HOLDERS_MAX = 20_000
_HOLDER_SECONDS = 300.0
_ADDRESS, _USER, _COSTLY = "address", "user", "costly"

Find = Callable[[arrival.Arrival], Awaitable[Any]]
Text = Callable[[arrival.Arrival, int], str]


@dataclass(frozen=True, slots=True)
class Rates:
    """``costly`` is per user, and per address for who isn't signed in."""

    address: Rate
    user: Rate
    costly: Rate


class TooFast(Exception):
    """Refused for now; ``message`` is for people, in their language."""

    def __init__(self, retry_after_seconds: int, message: str) -> None:
        super().__init__(retry_after_seconds)
        self.retry_after_seconds, self.message = retry_after_seconds, message


class Unlimited:
    """No limits: what a `Gate` is to tests that are about something else."""

    def ensure_open(self, came: arrival.Arrival) -> None:
        return None

    async def caller(self, came: arrival.Arrival, fields: Sequence[str], find: Find) -> Any:
        return await find(came)

    async def operation(
        self, came: arrival.Arrival, fields: Sequence[str] = (), *, holder: str = ""
    ) -> None:
        return None

    async def refused(self, came: arrival.Arrival, *, cost: int) -> None:
        return None


class Gate(Unlimited):
    """The limits of one endpoint. ``costly`` names root fields, ``say`` makes the message."""

    def __init__(
        self, throttle: Throttle, rates: Rates, *, costly: frozenset[str], say: Text
    ) -> None:
        self._throttle = throttle
        self._rates = rates
        self._costly = costly
        self._say = say
        # So that a user's bucket is asked beside the read of the session, not after it. Whose
        # credentials they are is believed for this only.
        self._holders: Remembered[bytes, str] = Remembered(
            seconds=_HOLDER_SECONDS, size_max=_HOLDERS_MAX
        )

    def ensure_open(self, came: arrival.Arrival) -> None:
        """`TooFast` for who is known to have nothing left, before anything is read for them."""
        holder = self._holder(came)
        for key in (_key(_ADDRESS, came), f"{_USER}:{holder}" if holder else ""):
            left_seconds = self._throttle.barred_seconds(key)
            if left_seconds:
                raise self._refusal(came, key, left_seconds)

    async def caller(self, came: arrival.Arrival, fields: Sequence[str], find: Find) -> Any:
        """The caller that `find` finds, if a request with these root fields is allowed.

        Both are asked at once. Credentials that were not seen before take a second question, when
        it is known whose they are.
        """
        known = self._holder(came)
        new = bool(came.authorization) and not known
        demands = [self._of_address(came)]
        if not new:
            demands += self._of_caller(came, fields, known)
        asked = self._throttle.ask(*demands)
        caller = await find(came)
        self._ensure(came, await asked)
        if caller.holder != known:
            self._holders.put(_digest(came.authorization), caller.holder)
        if new and (demands := self._of_caller(came, fields, caller.holder)):
            self._ensure(came, await self._throttle.ask(*demands))
        return caller

    async def operation(
        self, came: arrival.Arrival, fields: Sequence[str] = (), *, holder: str = ""
    ) -> None:
        """Take what an operation on a socket takes, or its handshake. `TooFast` if there is none.

        ``holder`` is the signed-in user, "" for none.
        """
        demands = [self._of_address(came), *self._of_caller(came, fields, holder)]
        self._ensure(came, await self._throttle.ask(*demands))

    async def refused(self, came: arrival.Arrival, *, cost: int) -> None:
        """Take for what never runs, from its address: whose it is, was not looked at."""
        self._ensure(came, await self._throttle.ask(self._of_address(came, cost)))

    def _of_address(self, came: arrival.Arrival, cost: int = 1) -> Demand:
        return Demand(_key(_ADDRESS, came), self._rates.address, cost)

    def _of_caller(self, came: arrival.Arrival, fields: Sequence[str], holder: str) -> list[Demand]:
        demands: list[Demand] = []
        if holder:
            demands.append(Demand(f"{_USER}:{holder}", self._rates.user))
        costly = sum(name in self._costly for name in fields)
        if costly:
            key = f"{_COSTLY}:{holder}" if holder else _key(_COSTLY, came)
            demands.append(Demand(key, self._rates.costly, costly))
        return demands

    def _holder(self, came: arrival.Arrival) -> str:
        given = came.authorization
        return (self._holders.get(_digest(given)) or "") if given else ""

    def _ensure(self, came: arrival.Arrival, verdict: Verdict) -> None:
        if verdict.demand is not None:
            raise self._refusal(came, verdict.demand.key, verdict.wait_us / 1e6)

    def _refusal(self, came: arrival.Arrival, key: str, wait_seconds: float) -> TooFast:
        metrics.RATE_LIMITED.labels(key.partition(":")[0]).inc()
        seconds = max(1, math.ceil(wait_seconds))
        return TooFast(seconds, self._say(came, seconds))


def _key(kind: str, came: arrival.Arrival) -> str:
    """Addresses are personal data: Valkey gets no more than a keyed hash of them."""
    network = arrival.network(came.address)
    return f"{kind}:{encryption.blind_index('rate address', network)[:32]}"


def _digest(credentials: str) -> bytes:
    return hashlib.blake2b(credentials.encode("utf-8", "replace"), digest_size=16).digest()
