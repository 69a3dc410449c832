"""A transaction is a journal entry as one wallet sees it: its kind and its direction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.ledger import Operation


class Kind(StrEnum):
    """What happened, in the user's words."""

    TOP_UP = "TOP_UP"
    TRANSFER = "TRANSFER"
    PAYMENT = "PAYMENT"
    REFUND = "REFUND"


class Direction(StrEnum):
    IN = "IN"
    OUT = "OUT"


OPERATIONS: dict[Kind, tuple[Operation, ...]] = {
    Kind.TOP_UP: (Operation.TOP_UP,),
    Kind.TRANSFER: (Operation.TRANSFER,),
    Kind.PAYMENT: (Operation.CREATE_PAYMENT, Operation.CONFIRM_PAYMENT),
    Kind.REFUND: (Operation.APPROVE_REFUND,),
}
KINDS = {operation: kind for kind, found in OPERATIONS.items() for operation in found}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What narrows a history; None or empty means no bound.

    ``since`` is inclusive, ``until`` exclusive; amounts are minor units without a sign.
    """

    kinds: tuple[Kind, ...] = ()
    direction: Direction | None = None
    since: datetime | None = None
    until: datetime | None = None
    amount_min_minor: int | None = None
    amount_max_minor: int | None = None

    def operations(self) -> list[int] | None:
        """The ledger's operations of the wanted kinds; None for all."""
        if not self.kinds:
            return None
        return sorted({found.value for kind in self.kinds for found in OPERATIONS[kind]})
