"""Sending money to another resident, and seeing whom before."""

from __future__ import annotations

from datetime import timedelta

from domain import inputs, ledger, refusals, registration
from domain import transfers as rules
from domain.ledger import Instruction
from domain.proofs import Given
from resolvers.proofs import proven
from resolvers.viewer import Viewer, access
from resolvers.wallets import RESIDENT, account_of
from services import people, transfers
from services.ledger import desk, reading
from services.ledger.reading import Posting
from services.transfers import Recipient
from services.unit_of_work import snapshot, unit_of_work

_HOUR = timedelta(hours=1)


@access(RESIDENT)
async def recipient_preview(viewer: Viewer, *, phone: str) -> Recipient:
    """Whom a transfer would reach. The answer is the same for unknown and inactive numbers.

    Raises InvalidInput, SelfTransfer, RecipientNotFound, RateLimited (20 look-ups an hour).
    """
    return await _recipient(
        viewer, phone, ("phone",), purpose="preview", hourly_max=rules.PREVIEWS_HOURLY_MAX
    )


@access(RESIDENT)
async def create_transfer(
    viewer: Viewer, *, phone: str, amount_minor: int, memo: str | None, proof: Given, key: str
) -> Posting:
    """Send money; the caller's side of what was posted.

    Raises what `order` and `resolvers.proofs.prove` do, and what the ledger refuses by.
    """
    instruction = await order(
        viewer, phone=phone, amount_minor=amount_minor, memo=memo, key=key, path=("input",)
    )
    receipt = await desk.post(await proven(viewer, instruction, proof))
    ledger.check(receipt)
    assert receipt.entry_id is not None
    async with snapshot() as read:
        posted = await reading.posting_of(
            read, account_of(viewer), at=receipt.at, entry_id=receipt.entry_id
        )
    assert posted is not None
    return posted


@access(RESIDENT)
async def order(
    viewer: Viewer,
    *,
    phone: str,
    amount_minor: int,
    memo: str | None,
    key: str,
    path: tuple[str, ...],
) -> Instruction:
    """What `create_transfer` would post. Raises what `recipient_preview` does (60 an hour)."""
    inputs.check_key(key)
    inputs.check_amount(amount_minor, *path, "amount", "amount")
    kept_memo = inputs.short_text(memo, *path, "memo", length_max=rules.MEMO_LENGTH_MAX)
    recipient = await _recipient(
        viewer,
        phone,
        (*path, "phone"),
        purpose="transfer",
        hourly_max=rules.TRANSFERS_HOURLY_MAX,
    )
    return transfers.instruct(
        actor_id=viewer.user_id,
        payer_account_id=account_of(viewer),
        payee_account_id=recipient.account_id,
        amount_minor=amount_minor,
        memo=kept_memo,
        key=key,
    )


async def _recipient(
    viewer: Viewer, phone: str, path: tuple[str, ...], *, purpose: str, hourly_max: int
) -> Recipient:
    e164 = registration.phone(phone)
    if e164 is None:
        raise refusals.InvalidInput(
            path=path, en="Enter a mobile phone number.", zh="请输入正确的手机号。"
        )
    if e164 == people.phone_of(viewer):
        raise refusals.SelfTransfer(path=path)
    async with unit_of_work() as work:
        count = await transfers.count_lookup(work, user_id=viewer.user_id, purpose=purpose)
        allowed = count <= hourly_max
        found = await transfers.find_recipient(work, e164) if allowed else None
        hour_ends = work.now.replace(minute=0, second=0, microsecond=0) + _HOUR
        wait_seconds = max(int((hour_ends - work.now).total_seconds()), 1)
    # Refused only now: the count has to be committed, or every look-up would be the first.
    if not allowed:
        raise refusals.RateLimited(retry_after_seconds=wait_seconds)
    if found is None:
        raise refusals.RecipientNotFound(path=path)
    return found
