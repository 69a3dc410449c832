"""The rule of a token bucket, and a bounded number of buckets in this process's own memory.

A bucket is one number: the moment, in microseconds, at which it will be full again. A token taken
moves it later by what one token takes to come back; a bucket that is full has no number at all.
`infra.throttle` keeps the same rule in Valkey.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

MINUTE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class Rate:
    """So many at once (``burst``, 1 or more), and so many a minute in the long run."""

    per_minute: int
    burst: int

    @property
    def interval_us(self) -> int:
        """How long one token takes to come back, rounded up: never more than allowed."""
        return -(-MINUTE_US // self.per_minute)

    def stricter(self, share: int) -> Rate:
        """One part in ``share`` of it, at least one token."""
        return Rate(max(1, self.per_minute // share), max(1, self.burst // share))


@dataclass(frozen=True, slots=True)
class Demand:
    """So many tokens of one bucket. More than it holds can never be had, so they count as all."""

    key: str
    rate: Rate
    cost: int = 1

    @property
    def price_us(self) -> int:
        return min(self.cost, self.rate.burst) * self.rate.interval_us

    @property
    def capacity_us(self) -> int:
        return self.rate.burst * self.rate.interval_us


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether all demands were met. If not, none was, and ``demand`` must wait ``wait_us``."""

    wait_us: int = 0
    demand: Demand | None = None

    @property
    def allowed(self) -> bool:
        return self.demand is None


ALLOWED = Verdict()


class Buckets:
    """At most ``size_max`` buckets; the one that was not asked for longest is forgotten first."""

    def __init__(self, *, size_max: int) -> None:
        self._size_max = size_max
        self._full_at_us: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at_us)

    def take(self, demands: Sequence[Demand], *, now_us: int) -> Verdict:
        """Take all, or nothing."""
        later = [
            max(self._full_at_us.get(one.key, now_us), now_us) + one.price_us for one in demands
        ]
        for one, full_at_us in zip(demands, later, strict=True):
            wait_us = full_at_us - now_us - one.capacity_us
            if wait_us > 0:
                return Verdict(wait_us, one)
        for one, full_at_us in zip(demands, later, strict=True):
            self._full_at_us[one.key] = full_at_us
            self._full_at_us.move_to_end(one.key)
        while len(self._full_at_us) > self._size_max:
            self._full_at_us.popitem(last=False)
        return ALLOWED

    def clear(self) -> None:
        self._full_at_us.clear()
