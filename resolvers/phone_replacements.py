"""A lost phone, and the transactions it takes to move its account to another number.

The tries are spent, and committed, before anything is used; what a right answer earns is one
transaction.
"""

from __future__ import annotations

from uuid import UUID

from domain import inputs, refusals
from domain import registration as rules
from domain.recovery import Identity
from resolvers import identity, phone_changes, recoveries
from resolvers.viewer import ANYONE, Viewer, access
from services.identity import phone_replacements
from services.identity.phone_replacements import Opened, Tried
from services.identity.recoveries import Case
from services.unit_of_work import unit_of_work


@access(ANYONE)
async def request_phone_replacement(
    viewer: Viewer, *, phone: str, new_phone: str, address: str, language: str
) -> Opened:
    """Have a code sent to the new number, if nobody has it. Nobody can tell by the answer.

    Nor whether anybody has the old one. Raises InvalidInput, RateLimited.
    """
    old, new = identity.phone_of_input(phone), phone_changes.new_phone_of_input(new_phone)
    phone_changes.ensure_another(old, new)
    async with unit_of_work() as work:
        return await phone_replacements.open_for(
            work, old_phone=old, new_phone=new, address=address, language=language
        )


@access(ANYONE)
async def request_phone_replacement_review(
    viewer: Viewer, *, secret: str, code: str, claimed: Identity, statement: str, address: str
) -> Case:
    """Ask two of staff to move an account whose name and ID number the caller knows.

    Raises InvalidInput, PhoneChangeInvalid (whatever else is wrong), RateLimited.
    """
    kept = inputs.needed_text(
        statement, "input", "statement", length_max=recoveries.STATEMENT_LENGTH_MAX
    )
    tried = await _tried(secret, code=code, claimed=claimed, address=address)
    async with unit_of_work() as work:
        return await phone_replacements.ask(work, tried, statement=kept)


@access(ANYONE)
async def complete_phone_replacement(
    viewer: Viewer, *, secret: str, code: str, case_id: UUID | None, address: str
) -> None:
    """Move the account by the code and a case that two of staff approved; it signs nobody in.

    Raises PhoneChangeInvalid (whatever is wrong), RateLimited.
    """
    tried = await _tried(secret, code=code, claimed=None, address=address)
    if case_id is None:
        raise refusals.PhoneChangeInvalid(path=("input",))
    async with unit_of_work() as work:
        await phone_replacements.complete(work, tried, case_id=case_id)


async def _tried(secret: str, *, code: str, claimed: Identity | None, address: str) -> Tried:
    """A spent try, right or wrong. Raises PhoneChangeInvalid if there was none, RateLimited."""
    if not rules.is_pin(code):
        raise refusals.PhoneChangeInvalid(path=("input",))
    async with unit_of_work() as work:
        tried = await phone_replacements.spend_try(
            work, secret, code=code, identity=claimed, address=address
        )
    if tried is None:
        raise refusals.PhoneChangeInvalid(path=("input",))
    if tried.refusal is not None:
        raise tried.refusal
    return tried
