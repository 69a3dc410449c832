"""A caller's own wallet, its cards and its no-PIN allowance; and who counts as having a wallet."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from domain import inputs, ledger, refusals
from domain.identity import Role, Status
from domain.ledger import AccountStatus, FreezeLevel, Instruction, Outcome
from domain.proofs import Given
from infra import bank, hints
from resolvers.proofs import proven
from resolvers.viewer import SIGNED_IN, Rule, Viewer, access
from services import people, wallets
from services.ledger import desk, reading
from services.unit_of_work import snapshot, unit_of_work
from services.wallets import Card, Wallet

CARD_NUMBER_LENGTH_MAX = 19


def _resident(viewer: Viewer) -> None:
    if not viewer.user_id:
        raise refusals.NotSignedIn
    if viewer.status is not Status.ACTIVE:
        raise refusals.AccountNotActive
    if viewer.role is not Role.RESIDENT or viewer.account_id is None:
        raise refusals.NotPermitted


def _holder(viewer: Viewer) -> None:
    if not viewer.user_id:
        raise refusals.NotSignedIn
    if viewer.account_id is None:
        raise refusals.NotPermitted


RESIDENT = Rule("RESIDENT", _resident)
HOLDER = Rule("HOLDER", _holder)


def account_of(viewer: Viewer) -> int:
    """The caller's account in the ledger, behind the rule above."""
    assert viewer.account_id is not None
    return viewer.account_id


@access(SIGNED_IN)
async def wallet(viewer: Viewer) -> Wallet | None:
    """The caller's wallet now; None before approval and for staff."""
    if viewer.account_id is None:
        return None
    async with snapshot() as read:
        return await wallets.wallet(read, viewer.account_id)


@access(SIGNED_IN)
async def balance_at(viewer: Viewer, instant: datetime) -> int:
    """The caller's balance at a past instant, in minor units; the future is InvalidInput."""
    async with snapshot() as read:
        if await read.fetchval("select $1 > ledger.now()", instant):
            raise refusals.InvalidInput(
                path=("at",), en="This time is in the future.", zh="该时间尚未到来。"
            )
        return await reading.balance_at(read, account_of(viewer), instant)


@access(SIGNED_IN)
async def bank_cards(
    viewer: Viewer,
    *,
    limit: int,
    after: tuple[datetime, UUID] | None,
    before: tuple[datetime, UUID] | None,
    backwards: bool,
) -> list[Card]:
    """The caller's linked cards."""
    async with snapshot() as read:
        return await wallets.cards(
            read, viewer.user_id, limit=limit, after=after, before=before, backwards=backwards
        )


@access(SIGNED_IN)
async def cards_by_ids(viewer: Viewer, ids: list[UUID]) -> dict[UUID, Card]:
    """Those of the cards that are the caller's."""
    async with snapshot() as read:
        return await wallets.cards_by_ids(read, viewer.user_id, ids)


@access(RESIDENT)
async def link_bank_card(viewer: Viewer, *, number: str) -> Card:
    """Link a card in the caller's own name; asking again with the same number is harmless.

    The bank is asked with no transaction open. Raises InvalidInput, NoPhoneNumber, CardRefused,
    BankUnavailable.
    """
    digits = number.replace(" ", "").replace("-", "")
    if not (digits.isascii() and digits.isdigit() and 12 <= len(digits) <= CARD_NUMBER_LENGTH_MAX):
        raise refusals.InvalidInput(
            path=("input", "number"), en="This is not a card number.", zh="银行卡号有误。"
        )
    name, phone = people.name_of(viewer), people.reachable_phone(viewer)
    reference = wallets.link_reference(
        user_id=viewer.user_id, number=digits, holder_name=name, phone=phone
    )
    try:
        linked = await bank.current().link_card(
            number=digits, holder_name=name, phone=phone, reference=reference
        )
    except bank.BankRefused:
        raise refusals.CardRefused(path=("input", "number")) from None
    except bank.BankUnavailable:
        raise refusals.BankUnavailable from None
    try:
        async with unit_of_work() as work:
            return await wallets.keep_card(
                work,
                user_id=viewer.user_id,
                holder_name=name,
                number_index=wallets.card_index(digits),
                linked=linked,
            )
    except wallets.TooManyCards:
        raise refusals.InvalidInput(
            path=("input", "number"),
            en=f"A wallet has at most {wallets.CARDS_MAX} cards.",
            zh=f"最多绑定{wallets.CARDS_MAX}张银行卡。",
        ) from None


@access(HOLDER)
async def freeze_my_wallet(viewer: Viewer, *, level: FreezeLevel, key: str) -> Wallet:
    """Freeze one's own wallet: one call from any session, no proof, and no harm if done twice.

    A wallet that is frozen already stays frozen as it is. Raises InvalidInput,
    IdempotencyKeyReused, NotFound (closed), Overloaded.
    """
    inputs.check_key(key)
    account_id = account_of(viewer)
    receipt = await desk.post(
        wallets.freeze_own(actor_id=viewer.user_id, account_id=account_id, level=level, key=key)
    )
    if receipt.outcome not in (Outcome.WRONG_STATE, Outcome.ACCOUNT_FROZEN):
        ledger.check(receipt)
    # The caller's sockets, wherever they are, come back as those of a frozen wallet.
    hints.publish([f"user:{viewer.user_id}"])
    async with snapshot() as read:
        found = await wallets.wallet(read, account_id)
    if found.status == AccountStatus.CLOSED:
        raise refusals.NotFound
    return found


@access(HOLDER)
async def unfreeze_my_wallet(viewer: Viewer, *, proof: Given, key: str) -> Wallet:
    """Let one's own wallet work again that one froze oneself; no harm if it isn't frozen.

    Raises AccountFrozen for a freeze of the city's, and what `resolvers.proofs.prove` does.
    """
    instruction = await unfreezing(viewer, key=key)
    receipt = await desk.post(await proven(viewer, instruction, proof))
    if receipt.outcome is not Outcome.WRONG_STATE:
        ledger.check(receipt)
    async with snapshot() as read:
        found = await wallets.wallet(read, account_of(viewer))
    if found.status != AccountStatus.OPEN:
        raise refusals.AccountFrozen
    return found


@access(HOLDER)
async def unfreezing(viewer: Viewer, *, key: str) -> Instruction:
    """What `unfreeze_my_wallet` would post. Raises InvalidInput."""
    inputs.check_key(key)
    return wallets.unfreeze_own(actor_id=viewer.user_id, account_id=account_of(viewer), key=key)


@access(RESIDENT)
async def set_payment_allowance(
    viewer: Viewer, *, amount_max_minor: int, daily_count_max: int, proof: Given, key: str
) -> Wallet:
    """Switch payments without PIN on, up to what the city permits, or off by zeros."""
    instruction = await allowance(
        viewer,
        amount_max_minor=amount_max_minor,
        daily_count_max=daily_count_max,
        key=key,
        path=("input",),
    )
    ledger.check(await desk.post(await proven(viewer, instruction, proof)))
    async with snapshot() as read:
        return await wallets.wallet(read, account_of(viewer))


@access(RESIDENT)
async def allowance(
    viewer: Viewer,
    *,
    amount_max_minor: int,
    daily_count_max: int,
    key: str,
    path: tuple[str, ...],
) -> Instruction:
    """What `set_payment_allowance` would post. Raises InvalidInput."""
    inputs.check_key(key)
    async with snapshot() as read:
        city = await reading.city(read)
    caps = (
        ("amountMax", amount_max_minor, city.free_max_minor_cap),
        ("dailyCountMax", daily_count_max, city.free_daily_count_cap),
    )
    for name, value, cap in caps:
        if not 0 <= value <= cap:
            raise refusals.InvalidInput(
                path=(*path, name),
                en="This is more than the city permits.",
                zh="超出城市规定的上限。",
            )
    return wallets.set_allowance(
        actor_id=viewer.user_id,
        account_id=account_of(viewer),
        amount_max_minor=amount_max_minor,
        daily_count_max=daily_count_max,
        key=key,
    )
