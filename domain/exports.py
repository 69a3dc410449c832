"""Copies of one's own data: their states and bounds."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

LINK_LIFE = timedelta(hours=24)
GIVE_UP_AFTER = timedelta(hours=24)
PER_DAY_MAX = 3
LISTED_MAX = 10
PAGE_ROWS = 500
PASSWORD_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # noqa: S105 - nothing that looks alike
PASSWORD_GROUPS, PASSWORD_GROUP_LENGTH = 6, 5
TOLD_ACTIONS = ("REVIEW_REGISTRATION", "REVIEW_IDENTITY", "MAKE_FIRST_ADMIN", "CLOSE_ACCOUNT")
"""What of the audit log a person may read about themselves: what they were told of anyway. Whoever
looks into somebody must not be betrayed by an export."""


class ExportState(StrEnum):
    """WAITING → RUNNING → READY → EXPIRED; FAILED if it could not be finished in a day."""

    WAITING = "WAITING"
    RUNNING = "RUNNING"
    READY = "READY"
    EXPIRED = "EXPIRED"
    FAILED = "FAILED"


def progress_percent(state: ExportState, *, part: int, parts: int) -> int:
    """How much of it is done, by parts, in whole percent."""
    if state in (ExportState.READY, ExportState.EXPIRED):
        return 100
    return min(part * 100 // max(parts, 1), 99)
