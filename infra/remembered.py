"""A small memory of what seldom changes, so that the hot path need not read it each time."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Remembered(Generic[Key, Value]):
    """Values for ``seconds`` each, at most ``size_max`` of them; the longest known goes first."""

    def __init__(
        self, *, seconds: float, size_max: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._size_max = size_max
        self._clock = clock
        self._known: OrderedDict[Key, tuple[float, Value]] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        found = self._known.get(key)
        if found is None or found[0] < self._clock():
            return None
        return found[1]

    def put(self, key: Key, value: Value) -> None:
        self._known.pop(key, None)
        self._known[key] = (self._clock() + self._seconds, value)
        while len(self._known) > self._size_max:
            self._known.popitem(last=False)
