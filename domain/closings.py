"""Closing one's account: what stands in the way, and how long one may change one's mind."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum

COOL_OFF = timedelta(days=7)


class ClosingState(StrEnum):
    """COOLING → CLOSING → CLOSED; or CANCELLED by its owner, or STOPPED by what came up."""

    COOLING = "COOLING"
    CLOSING = "CLOSING"
    CLOSED = "CLOSED"
    CANCELLED = "CANCELLED"
    STOPPED = "STOPPED"


class Obstacle(StrEnum):
    """Why an account can't be closed now."""

    MONEY_LEFT = "MONEY_LEFT"
    MONEY_HELD = "MONEY_HELD"
    REFUND_OPEN = "REFUND_OPEN"
    PAYMENT_OPEN = "PAYMENT_OPEN"
    TOP_UP_PENDING = "TOP_UP_PENDING"
    WALLET_FROZEN = "WALLET_FROZEN"
    CASE_OPEN = "CASE_OPEN"


_WORDS: dict[Obstacle, tuple[str, str]] = {
    Obstacle.MONEY_LEFT: ("钱包仍有余额", "there is money in the wallet"),
    Obstacle.MONEY_HELD: ("有资金被占用", "money is held"),
    Obstacle.REFUND_OPEN: ("有退款正在审核", "a refund is under review"),
    Obstacle.PAYMENT_OPEN: ("有付款等待确认", "a payment waits for confirmation"),
    Obstacle.TOP_UP_PENDING: ("有充值尚未到账", "a top-up is under way"),
    Obstacle.WALLET_FROZEN: ("钱包已被冻结", "the wallet is frozen"),
    Obstacle.CASE_OPEN: ("冻结案件尚未结束", "the case of a freeze is open"),
}


def in_words(obstacles: Sequence[Obstacle], *, chinese: bool) -> str:
    """All of them as one phrase."""
    words = [_WORDS[one][0 if chinese else 1] for one in obstacles]
    return ("；" if chinese else "; ").join(words)
