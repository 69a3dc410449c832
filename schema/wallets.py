"""The caller's wallet, its cards, and the no-PIN allowance."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime
from functools import partial

import strawberry

from domain import money
from domain import refusals as no
from domain.ledger import AccountStatus, FreezeLevel
from resolvers import wallets
from resolvers.viewer import Viewer as Caller
from schema import enums, fields, ids, nodes, pagination, proofs
from schema.context import Info
from schema.scalars import Money, MoneyInput
from services.wallets import Card
from services.wallets import Wallet as Row


class WalletStatus(enum.Enum):
    """What the account's status means to its owner."""

    OPEN = "OPEN"
    FROZEN = "FROZEN"
    CLOSED = "CLOSED"


enums.described(
    WalletStatus,
    "WalletStatus",
    "Whether money can move.",
    OPEN="Money can come and go.",
    FROZEN="Money can't leave.",
    CLOSED="Closed for good.",
)
enums.described(
    FreezeLevel,
    "FreezeLevel",
    "What a freeze stops.",
    DEBIT_BLOCK="Nothing leaves the wallet; money still arrives.",
    FULL="Nothing leaves, and nobody can pay in; what a bank has taken already still arrives.",
)
FREEZE_LEVELS = {
    AccountStatus.DEBITS_BLOCKED: FreezeLevel.DEBIT_BLOCK,
    AccountStatus.FROZEN: FreezeLevel.FULL,
}
STATUSES = {AccountStatus.OPEN: WalletStatus.OPEN, AccountStatus.CLOSED: WalletStatus.CLOSED}


@strawberry.type(description="Payments without PIN: scan payments only.")
class PaymentAllowance:
    """Off until its owner switches it on with a PIN."""

    enabled: bool = strawberry.field(description="Whether it is switched on.")
    amount_max: Money = strawberry.field(description="The most that one such payment may be.")
    daily_count_max: int = strawberry.field(description="How many such payments a day.")
    used_today: int = strawberry.field(description="How many there were today, by the city's day.")


@strawberry.type(description="The caller's money.")
class Wallet:
    """As `services.wallets.Wallet`."""

    id: strawberry.ID = strawberry.field(description="Its global id.")
    balance: Money = strawberry.field(description="All that is in it, held or not.")
    available: Money = strawberry.field(description="What can be spent now.")
    held: Money = strawberry.field(description="What is reserved.")
    daily_limit: Money = strawberry.field(description="The most that may leave it in a day.")
    daily_limit_left: Money = strawberry.field(description="What of that is left today.")
    status: WalletStatus = strawberry.field(description="Whether money can move.")
    frozen_by_owner: bool = strawberry.field(
        description="Whether its owner froze it, and so can lift that by proof."
    )
    freeze_level: FreezeLevel | None = strawberry.field(
        description="What the freeze stops; null unless frozen."
    )
    careful_until: datetime | None = strawberry.field(
        description="Until when the daily limit is lower, because credentials have changed."
    )
    allowance: PaymentAllowance = strawberry.field(description="Payments without PIN.")

    @classmethod
    def of(cls, row: Row) -> Wallet:
        return cls(
            id=strawberry.ID(ids.encode("Wallet", row.account_id)),
            balance=Money.of(row.posted_minor),
            available=Money.of(row.available_minor),
            held=Money.of(row.held_minor),
            daily_limit=Money.of(row.daily_limit_minor),
            daily_limit_left=Money.of(row.daily_limit_left_minor),
            frozen_by_owner=row.frozen_by_owner,
            freeze_level=FREEZE_LEVELS.get(AccountStatus(row.status)),
            careful_until=row.careful_until,
            status=STATUSES.get(AccountStatus(row.status), WalletStatus.FROZEN),
            allowance=PaymentAllowance(
                enabled=row.free_max_minor > 0 and row.free_daily_count_max > 0,
                amount_max=Money.of(row.free_max_minor),
                daily_count_max=row.free_daily_count_max,
                used_today=row.free_used_today,
            ),
        )

    @fields.query_field(
        calls=wallets.balance_at,
        description="The balance as it was at a past instant.",
        arguments={"at": "The instant."},
    )
    async def balance_at(self, info: Info, at: datetime) -> Money:
        return Money.of(await wallets.balance_at(info.context.viewer, at))


@strawberry.type(description="A bank card that tops the wallet up.")
class BankCard(nodes.Node):
    """As `services.wallets.Card`."""

    bank_name: str = strawberry.field(description="Whose card it is.")
    last4: str = strawberry.field(description="The last four digits of its number.")
    linked_at: datetime = strawberry.field(description="When it was linked.")

    @classmethod
    def of(cls, row: Card) -> BankCard:
        return cls(
            id=strawberry.ID(ids.encode("BankCard", row.id)),
            bank_name=row.bank_name,
            last4=row.last4,
            linked_at=row.linked_at,
        )


@strawberry.input(description="A card in the caller's own name.")
class LinkBankCardInput:
    """The number goes to the bank and is not kept."""

    number: str = strawberry.field(description="The card's number; blanks are ignored.")


@strawberry.type(description="The card is linked.")
class LinkBankCardSuccess:
    """New or known before."""

    bank_card: BankCard = strawberry.field(description="The card.")


@strawberry.input(description="Payments without PIN; two zeros switch them off.")
class SetPaymentAllowanceInput:
    """Within what the city permits."""

    amount_max: MoneyInput = strawberry.field(description="The most that one payment may be.")
    daily_count_max: int = strawberry.field(description="How many payments a day.")
    proof: proofs.PaymentProofInput = strawberry.field(description="That it is the caller.")
    idempotency_key: str = strawberry.field(description="1 to 128 characters, new per request.")


@strawberry.type(description="The allowance is as asked.")
class SetPaymentAllowanceSuccess:
    """Holds from the next payment on."""

    wallet: Wallet = strawberry.field(description="The wallet with its new allowance.")


@strawberry.input(description="How to freeze one's own wallet.")
class FreezeMyWalletInput:
    """See `resolvers.wallets.freeze_my_wallet`."""

    level: FreezeLevel = strawberry.field(description="What to stop.")
    idempotency_key: str = strawberry.field(description="1 to 128 characters, new per request.")


@strawberry.type(description="The wallet is frozen.")
class FreezeMyWalletSuccess:
    """Also if it was frozen before."""

    wallet: Wallet = strawberry.field(description="The wallet, frozen.")


@strawberry.input(description="The end of one's own freeze.")
class UnfreezeMyWalletInput:
    """See `resolvers.wallets.unfreeze_my_wallet`."""

    proof: proofs.PaymentProofInput = strawberry.field(description="That it is the caller.")
    idempotency_key: str = strawberry.field(description="1 to 128 characters, new per request.")


@strawberry.type(description="The wallet works again.")
class UnfreezeMyWalletSuccess:
    """Also if it wasn't frozen."""

    wallet: Wallet = strawberry.field(description="The wallet.")


@strawberry.type
class WalletViewer:
    """The part of Viewer about the wallet."""

    @fields.query_field(
        calls=wallets.wallet,
        description="The caller's wallet; null before approval and for staff.",
    )
    async def wallet(self, info: Info) -> Wallet | None:
        row = await wallets.wallet(info.context.viewer)
        return Wallet.of(row) if row is not None else None

    @fields.query_field(calls=wallets.bank_cards, description="The linked cards, oldest first.")
    async def bank_cards(
        self,
        info: Info,
        first: pagination.First = None,
        last: pagination.Last = None,
        after: pagination.After = None,
        before: pagination.Before = None,
    ) -> pagination.Connection[BankCard]:
        viewer = info.context.viewer
        return await pagination.connection(
            pagination.window(
                f"bankCards:{viewer.user_id}", first=first, last=last, after=after, before=before
            ),
            partial(wallets.bank_cards, viewer),
            place=nodes.time_and_uuid,
            key=lambda row: (row.linked_at, str(row.id)),
            node=BankCard.of,
        )


@strawberry.type
class WalletMutation:
    """The part of Mutation about the wallet."""

    @fields.mutation(
        calls=wallets.link_bank_card,
        costly=True,
        description="Link a bank card in the caller's own name; again gives the same card.",
        refuses=(no.CardRefused, no.BankUnavailable, no.AccountNotActive, no.NoPhoneNumber),
    )
    async def link_bank_card(self, info: Info, input: LinkBankCardInput) -> LinkBankCardSuccess:
        row = await wallets.link_bank_card(info.context.viewer, number=input.number)
        return LinkBankCardSuccess(bank_card=BankCard.of(row))

    @fields.mutation(
        calls=wallets.freeze_my_wallet,
        description="Freeze one's own wallet at once: a lost phone, a suspicion. Lifting it needs "
        "proof.",
        refuses=(no.IdempotencyKeyReused, no.NotFound),
    )
    async def freeze_my_wallet(
        self, info: Info, input: FreezeMyWalletInput
    ) -> FreezeMyWalletSuccess:
        row = await wallets.freeze_my_wallet(
            info.context.viewer, level=input.level, key=input.idempotency_key
        )
        return FreezeMyWalletSuccess(wallet=Wallet.of(row))

    @fields.mutation(
        calls=wallets.unfreeze_my_wallet,
        description="Let one's own wallet work again after `freezeMyWallet`, with a strong proof.",
        refuses=(
            no.IdempotencyKeyReused,
            no.AccountNotActive,
            no.AccountFrozen,
            no.NotFound,
            *proofs.REFUSALS,
        ),
    )
    async def unfreeze_my_wallet(
        self, info: Info, input: UnfreezeMyWalletInput
    ) -> UnfreezeMyWalletSuccess:
        row = await wallets.unfreeze_my_wallet(
            info.context.viewer, proof=input.proof.given(), key=input.idempotency_key
        )
        return UnfreezeMyWalletSuccess(wallet=Wallet.of(row))

    @fields.mutation(
        calls=wallets.set_payment_allowance,
        description="Switch payments without PIN on or off, with a proof.",
        refuses=(no.IdempotencyKeyReused, no.AccountNotActive, no.NotFound, *proofs.REFUSALS),
    )
    async def set_payment_allowance(
        self, info: Info, input: SetPaymentAllowanceInput
    ) -> SetPaymentAllowanceSuccess:
        row = await wallets.set_payment_allowance(
            info.context.viewer,
            amount_max_minor=not_negative(input.amount_max, "input", "amountMax"),
            daily_count_max=input.daily_count_max,
            proof=input.proof.given(),
            key=input.idempotency_key,
        )
        return SetPaymentAllowanceSuccess(wallet=Wallet.of(row))


def not_negative(amount: MoneyInput, *path: str) -> int:
    """Minor units. Zero is an amount here: it switches off."""
    if amount.amount == money.from_minor(0, money.CNY):
        return 0
    return amount.to_minor(*path)


async def _load(viewer: Caller, keys: list[str]) -> Mapping[str, BankCard]:
    rows = await wallets.cards_by_ids(viewer, nodes.uuids(keys))
    return {str(key): BankCard.of(row) for key, row in rows.items()}


nodes.loads("BankCard", _load)
