"""A payment's states, and how the usual way to pay is found from what somebody did before."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from uuid import UUID

NOTE_LENGTH_MAX = 100
HABIT_WINDOW = timedelta(days=90)
TOP_UP_BEFORE_PAYMENT = timedelta(minutes=10)
HISTORY_MAX = 200


class State(IntEnum):
    """The numbers are those of the ledger's `payment.state`."""

    AWAITING_CONFIRMATION = 1
    SUCCEEDED = 2
    CANCELLED = 3
    EXPIRED = 4
    REFUND_UNDER_REVIEW = 5
    REFUNDED = 6


class MethodKind(StrEnum):
    BALANCE = "BALANCE"
    CARD = "CARD"


class Reason(StrEnum):
    """Why a way to pay stands where it stands."""

    USUAL = "USUAL"
    COVERS_AMOUNT = "COVERS_AMOUNT"
    TOPS_UP_FIRST = "TOPS_UP_FIRST"
    INSUFFICIENT_BALANCE = "INSUFFICIENT_BALANCE"
    WALLET_FROZEN = "WALLET_FROZEN"
    DEFAULT_ORDER = "DEFAULT_ORDER"


@dataclass(frozen=True, slots=True)
class Method:
    """One way to pay. ``card_id`` is None for the balance.

    ``top_up_minor`` is what has to be topped up from the card first; ``usual_share`` the part (0 to
    1) of the wallet's recent payments that were made this way.
    """

    kind: MethodKind
    card_id: UUID | None
    usable: bool
    reason: Reason
    top_up_minor: int
    usual_share: float
    recommended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """A payment that left the wallet, and the balance just before it."""

    at: datetime
    amount_minor: int
    balance_before_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUp:
    """Money that arrived from a card; ``at`` is when it was credited."""

    at: datetime
    card_id: UUID
    amount_minor: int


def habits(paid: Sequence[Paid], top_ups: Sequence[TopUp]) -> dict[UUID | None, int]:
    """How many payments were made each way: from the balance (None), or by a card just before.

    A payment is the card's if it could not have been made without the card's top-up. ``top_ups``
    come oldest first.
    """
    times = [one.at for one in top_ups]
    counts: dict[UUID | None, int] = {}
    for payment in paid:
        place = bisect_right(times, payment.at) - 1
        newest = top_ups[place] if place >= 0 else None
        way = newest.card_id if newest is not None and _needed(newest, payment) else None
        counts[way] = counts.get(way, 0) + 1
    return counts


def _needed(top_up: TopUp, payment: Paid) -> bool:
    without_minor = payment.balance_before_minor - top_up.amount_minor
    just_before = payment.at - top_up.at <= TOP_UP_BEFORE_PAYMENT
    return just_before and without_minor < payment.amount_minor


def methods(
    *,
    amount_minor: int,
    available_minor: int,
    frozen: bool,
    cards: Sequence[UUID],
    counts: dict[UUID | None, int] | None,
) -> list[Method]:
    """The balance and each card, the best first: usable, then used most, then balance before cards.

    Cards keep the order given. The first one is recommended if it is usable. ``counts`` is None
    for whoever wants no recommendation from habits: then the first says that it is the default.
    """
    by_habit, counts = counts is not None, counts or {}
    total = sum(counts.values())
    ways: list[UUID | None] = [None, *cards]
    usable = {
        way: not frozen and (way is not None or available_minor >= amount_minor) for way in ways
    }
    ways.sort(key=lambda way: (not usable[way], -counts.get(way, 0)))
    missing = max(amount_minor - available_minor, 0)
    return [
        Method(
            kind=MethodKind.BALANCE if way is None else MethodKind.CARD,
            card_id=way,
            usable=usable[way],
            reason=_reason(
                way,
                usable=usable[way],
                frozen=frozen,
                usual=place == 0 and way in counts,
                default=place == 0 and not by_habit,
            ),
            top_up_minor=0 if way is None else missing or amount_minor,
            usual_share=counts.get(way, 0) / total if total else 0.0,
            recommended=place == 0 and usable[way],
        )
        for place, way in enumerate(ways)
    ]


def _reason(way: UUID | None, *, usable: bool, frozen: bool, usual: bool, default: bool) -> Reason:
    if frozen:
        return Reason.WALLET_FROZEN
    if not usable:
        return Reason.INSUFFICIENT_BALANCE
    if usual:
        return Reason.USUAL
    if default:
        return Reason.DEFAULT_ORDER
    return Reason.COVERS_AMOUNT if way is None else Reason.TOPS_UP_FIRST


REASON_TEXTS: dict[Reason, tuple[str, str]] = {
    Reason.USUAL: ("您最近最常用的付款方式", "The way you have paid most often lately"),
    Reason.COVERS_AMOUNT: ("余额充足", "Your balance covers the amount"),
    Reason.TOPS_UP_FIRST: ("先从该卡充值，再付款", "Tops up from this card first, then pays"),
    Reason.INSUFFICIENT_BALANCE: ("余额不足", "Your balance doesn't cover the amount"),
    Reason.WALLET_FROZEN: ("钱包已被冻结", "The wallet is frozen"),
    Reason.DEFAULT_ORDER: (
        "默认顺序：您已关闭个性化推荐",
        "The default order: you switched personalised recommendations off",
    ),
}


def reason_text(reason: Reason, language: str) -> str:
    """The reason in words, Chinese or English."""
    zh, en = REASON_TEXTS[reason]
    return zh if language.lower().startswith("zh") else en
