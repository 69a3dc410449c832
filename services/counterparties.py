"""Who stands on the other side of a transaction, as far as one may know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from domain.ledger import AccountRole
from domain.transfers import masked_name
from services import people
from services.unit_of_work import Snapshot


class CounterpartyKind(StrEnum):
    RESIDENT = "RESIDENT"
    MERCHANT = "MERCHANT"
    BANK = "BANK"
    CITY = "CITY"


@dataclass(frozen=True, slots=True)
class Counterparty:
    """``name``: a merchant's own, a resident's masked, None for the bank and the city."""

    kind: CounterpartyKind
    name: str | None
    merchant_id: UUID | None = None


_OTHERS = {AccountRole.BANK_CLEARING: CounterpartyKind.BANK}


async def of_accounts(read: Snapshot, account_ids: Sequence[int]) -> dict[int, Counterparty]:
    """The parties behind ledger accounts, in one query."""
    rows = await read.fetch(
        "select a.id, a.role, a.owner_id, u.name as sealed, m.name as shop, m.id as merchant_id"
        " from ledger.account a left join merchant m on m.account_id = a.id"
        " left join users u on u.id = a.owner_id and a.role = 1 where a.id = any($1::bigint[])",
        account_ids,
    )
    found: dict[int, Counterparty] = {}
    for row in rows:
        role = AccountRole(row["role"])
        if role is AccountRole.MERCHANT:
            party = Counterparty(CounterpartyKind.MERCHANT, row["shop"], row["merchant_id"])
        elif role is AccountRole.RESIDENT:
            sealed = row["sealed"]
            name = masked_name(people.open_name(row["owner_id"], sealed)) if sealed else None
            party = Counterparty(CounterpartyKind.RESIDENT, name)
        else:
            party = Counterparty(_OTHERS.get(role, CounterpartyKind.CITY), None)
        found[row["id"]] = party
    return found
