"""What goes wrong with one pull: decided when it arrives and kept with it, so restarts keep it."""

from __future__ import annotations

import random
from typing import Annotated

import msgspec

from sandbox import behaviour


class BankBehaviour(behaviour.Basic, kw_only=True):
    """Settings of the bank. A ``…_next`` counts down with each new pull that it spoils."""

    settle_ms: behaviour.Milliseconds = 300
    slow_ms: behaviour.Milliseconds = 0
    duplicate_callbacks: Annotated[int, msgspec.Meta(ge=0, le=20)] = 0
    late_callback_ms: behaviour.Milliseconds = 0
    retry_max_ms: behaviour.Milliseconds = 5_000
    callback_before_answer_next: behaviour.Count = 0
    reorder_callbacks_next: behaviour.Count = 0
    contradict_callbacks_next: behaviour.Count = 0
    lose_callbacks_next: behaviour.Count = 0


class Mischief(msgspec.Struct, frozen=True, kw_only=True):
    """The fate of one pull."""

    duplicates: int = 0
    late_ms: int = 0
    before_answer: bool = False
    timeout: bool = False
    contradict: bool = False
    lose: bool = False
    reorder_position: int = 0


def decide(
    settings: behaviour.Behaviour[BankBehaviour], *, seed: int | None, reference: str
) -> Mischief:
    """What the settings ask for, and beside it what the seed draws for this reference."""
    drawn = Mischief() if seed is None else _draw(seed, reference)
    return Mischief(
        duplicates=max(settings.now.duplicate_callbacks, drawn.duplicates),
        late_ms=max(settings.now.late_callback_ms, drawn.late_ms),
        before_answer=bool(settings.spend("callback_before_answer_next")) or drawn.before_answer,
        timeout=bool(settings.spend("timeout_after_success_next")) or drawn.timeout,
        contradict=bool(settings.spend("contradict_callbacks_next")) or drawn.contradict,
        lose=bool(settings.spend("lose_callbacks_next")) or drawn.lose,
        reorder_position=settings.spend("reorder_callbacks_next"),
    )


def _draw(seed: int, reference: str) -> Mischief:
    """The same for a seed and reference, in whichever order the pulls arrive."""
    chance = random.Random(f"{seed}:{reference}")
    return Mischief(
        duplicates=chance.choice((0, 0, 0, 1, 1, 3)),
        late_ms=chance.choice((0, 0, 0, 200, 1_500)),
        before_answer=chance.random() < 0.10,
        timeout=chance.random() < 0.10,
        contradict=chance.random() < 0.08,
        lose=chance.random() < 0.08,
    )
