"""People who leave: asking to, and how it stands."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import asyncpg

from domain import closings as rules
from domain.identity import Viewer
from domain.proofs import Action, Given, Password
from infra import encryption
from infra.bank import LinkedCard
from resolvers import closings
from services import wallets as services_wallets
from services.identity import closings as verbs
from services.unit_of_work import unit_of_work
from tests import passkeys as keys

ADDRESS = "192.0.2.77"
WEEK = int(rules.COOL_OFF.total_seconds())


async def ask(viewer: Viewer, proof: Given | Password | None = None) -> verbs.Closing:
    given = proof or await keys.own_proof(viewer, Action.CLOSE_ACCOUNT)
    return await closings.close_my_account(viewer, proof=given)


async def card(viewer: Viewer, number: str = "6225880000004321") -> Any:
    async with unit_of_work() as work:
        return await services_wallets.keep_card(
            work,
            user_id=viewer.user_id,
            holder_name="王小明",
            number_index=services_wallets.card_index(number),
            linked=LinkedCard(card_token="tok-1", bank_name="鹏城银行", last4=number[-4:]),
        )


async def identity_check(
    superuser: asyncpg.Connection, viewer: Viewer, *, name: str, id_number: str
) -> UUID:
    """Name and ID number that wait for their review; handed in by hand: a worker's login can't."""
    check_id = uuid4()
    await superuser.execute(
        "insert into identity_check(id, user_id, state, name, id_number)"
        " values ($1, $2, 'PENDING_REVIEW', $3, $4)",
        check_id,
        viewer.user_id,
        encryption.encrypt("identity_check.name", check_id, name),
        encryption.encrypt("identity_check.id_number", check_id, id_number),
    )
    return check_id


async def closing_states(superuser: asyncpg.Connection, viewer: Viewer) -> list[str]:
    rows = await superuser.fetch(
        "select state from closing where user_id = $1 order by requested_at", viewer.user_id
    )
    return [row["state"] for row in rows]
