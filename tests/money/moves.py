"""A small city and what its people may ask of the money core, from plain numbers.

The same builders serve the state machine (numbers by Hypothesis) and the random histories (numbers
by a seed).
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import asyncpg

from domain import ledger
from domain.ledger import AccountRole, Instruction, Operation, Receipt
from services.ledger import posting
from tests import factories as make
from tests.money.oracle import Account, Model, Payment, Policy

FINANCE, SECOND_FINANCE, NOBODY_ID = 900_001, 900_002, 10**12
_owners = itertools.count(1_000)
AMOUNTS = (1, 99, 500, 1_000, 2_500, 9_999, 20_000, 20_001, 120_000, 300_000)


@dataclass
class World:
    """Residents and merchants of one history; ``sent`` are the instructions that were answered."""

    connection: asyncpg.Connection
    model: Model = field(default_factory=Model)
    residents: list[int] = field(default_factory=list)
    merchants: list[int] = field(default_factory=list)
    sent: list[Instruction] = field(default_factory=list)
    policy_id: int = 0
    name: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    _keys: itertools.count[int] = field(default_factory=itertools.count)

    def key(self) -> str:
        return f"{self.name}-{next(self._keys)}"

    def owner(self, account_id: int) -> int:
        owner = self.model.accounts[account_id].owner
        assert owner is not None
        return owner

    async def settle(self, *, residents: int = 3, merchants: int = 2) -> World:
        """Open the accounts and sign a policy; the city's accounts count from here."""
        for role, number, ids in (
            (AccountRole.RESIDENT, residents, self.residents),
            (AccountRole.MERCHANT, merchants, self.merchants),
        ):
            for _ in range(number):
                owner = next(_owners)
                account = await make.open_account(self.connection, owner, role.value)
                self.model.accounts[account] = Account(owner, role)
                ids.append(account)
        for account, role in (
            (ledger.BANK_CLEARING_ID, AccountRole.BANK_CLEARING),
            (ledger.REFUND_ADVANCES_ID, AccountRole.REFUND_ADVANCES),
        ):
            row = await self.connection.fetchrow(
                "select posted, seq from ledger.account where id = $1", account
            )
            assert row is not None
            self.model.accounts[account] = Account(
                None, role, overdraw=True, posted=row["posted"], seq=row["seq"]
            )
        self.policy_id = await self.connection.fetchval(
            "insert into ledger.refund_policy(amount_max_minor, payment_age_max_seconds,"
            " refunds_max_per_30_days, signed_by) values (2500, 7200, 3, $1) returning id",
            FINANCE,
        )
        self.model.policies[self.policy_id] = Policy(FINANCE, 2500, timedelta(hours=2), 3)
        return self

    async def prove(self, asked: Instruction) -> Instruction:
        """The instruction with a fresh proof, that the model knows too."""
        proven = await make.proven(self.connection, asked)
        assert proven.proof_id is not None
        self.model.proofs[proven.proof_id] = await self.connection.fetchval(
            "select expires_at from ledger.proof where id = $1", proven.proof_id
        )
        return proven

    async def send(self, instructions: list[Instruction]) -> list[Receipt]:
        """Send one batch and hold the answers against the model's."""
        receipts = await posting.send(self.connection, instructions)
        answers = self.model.batch(instructions, receipts)
        for asked, receipt, answer in zip(instructions, receipts, answers, strict=True):
            told = (receipt.outcome, receipt.state, receipt.replayed)
            assert told == (answer.outcome, answer.state, answer.replayed), asked
            if answer.replayed and answer.entry is not None:
                assert receipt.entry_id == answer.entry
        self.sent += instructions
        return receipts


Build = Callable[[World, int, int, int], Instruction | None]


def pick(items: list[int], number: int) -> int:
    return items[number % len(items)]


def top_up(world: World, a: int, b: int, amount: int) -> Instruction | None:
    return make.top_up(pick(world.residents, a), amount, key=world.key())


def pay(world: World, a: int, b: int, amount: int) -> Instruction | None:
    payer, payee = pick(world.residents, a), pick(world.merchants, b)
    actor = world.owner(payer) if b % 11 else world.owner(pick(world.residents, a + 1))
    return make.create_payment(actor, payer, payee, amount, key=world.key())


def transfer(world: World, a: int, b: int, amount: int) -> Instruction | None:
    payer, payee = pick(world.residents, a), pick(world.residents, a + 1 + b % 2)
    to = NOBODY_ID if b % 13 == 12 else payee
    return _ask(world, world.owner(payer), Operation.TRANSFER, ledger.move(payer, to, amount))


def allow(world: World, a: int, b: int, amount: int) -> Instruction | None:
    account = pick(world.residents, a)
    return _ask(
        world, world.owner(account), Operation.SET_ALLOWANCE, ledger.touch(account),
        detail={"amount_max": amount, "daily_count_max": b % 12},
    )  # fmt: skip


def freeze(world: World, a: int, b: int, amount: int) -> Instruction | None:
    account = pick(world.residents + world.merchants, a)
    detail = {"rule": "TEST"} | ({"level": "FULL"} if b % 5 == 0 else {})
    return _ask(world, (0, FINANCE)[b % 2], Operation.FREEZE, ledger.touch(account), detail=detail)


def freeze_own(world: World, a: int, b: int, amount: int) -> Instruction | None:
    account = pick(world.residents + world.merchants, a)
    detail: dict[str, object] = {"level": ("DEBIT_BLOCK", "FULL")[b % 2]}
    return _ask(
        world, world.owner(account), Operation.FREEZE_OWN, ledger.touch(account), detail=detail
    )


def unfreeze_own(world: World, a: int, b: int, amount: int) -> Instruction | None:
    account = pick(world.residents + world.merchants, a)
    return _ask(world, world.owner(account), Operation.UNFREEZE_OWN, ledger.touch(account))


def be_careful(world: World, a: int, b: int, amount: int) -> Instruction | None:
    account = pick(world.residents, a)
    detail: dict[str, object] = {"seconds": 60 * (b + 1), "day_max": amount}
    return _ask(world, 0, Operation.SET_CAUTION, ledger.touch(account), detail=detail)


def close_account(world: World, a: int, b: int, amount: int) -> Instruction | None:
    """The emptiest of the wallets, now and then: a city whose people are all gone says little."""
    account = min(world.residents, key=lambda one: (world.model.accounts[one].posted, one))
    if b % 3 or sum(world.model.accounts[one].status == 4 for one in world.residents) > 1:
        return None
    return _ask(world, 0, Operation.CLOSE_WALLET, ledger.touch(account))


def unfreeze(world: World, a: int, b: int, amount: int) -> Instruction | None:
    account = pick(world.residents + world.merchants, a)
    actor = FINANCE if b % 3 else world.owner(account)
    return _ask(world, actor, Operation.UNFREEZE, ledger.touch(account))


def _payment(world: World, a: int) -> tuple[uuid.UUID, Payment] | None:
    found = list(world.model.payments.items())
    return found[-1 - a % min(len(found), 6)] if found else None


def confirm(world: World, a: int, b: int, amount: int) -> Instruction | None:
    if (found := _payment(world, a)) is None:
        return None
    subject, payment = found
    legs = ledger.move(payment.payer, payment.payee, payment.amount)
    actor = world.owner(payment.payer)
    return _ask(world, actor, Operation.CONFIRM_PAYMENT, legs, subject=subject)


def cancel(world: World, a: int, b: int, amount: int) -> Instruction | None:
    if (found := _payment(world, a)) is None:
        return None
    subject, payment = found
    legs = ledger.touch(payment.payer)
    actor = world.owner(payment.payer)
    return _ask(world, actor, Operation.CANCEL_PAYMENT, legs, subject=subject)


def expire(world: World, a: int, b: int, amount: int) -> Instruction | None:
    if (found := _payment(world, a)) is None:
        return None
    subject, payment = found
    legs = ledger.touch(payment.payer)
    return _ask(world, 0, Operation.EXPIRE_PAYMENT, legs, subject=subject)


def ask_refund(world: World, a: int, b: int, amount: int) -> Instruction | None:
    if (found := _payment(world, a)) is None:
        return None
    subject, payment = found
    return _ask(
        world, world.owner(payment.payer), Operation.REQUEST_REFUND, ledger.touch(payment.payer),
        subject=subject, detail={"amount": amount if b % 4 == 0 else payment.amount},
    )  # fmt: skip


def _refund(world: World, a: int) -> tuple[uuid.UUID, uuid.UUID, Payment, int] | None:
    refunds = list(world.model.refunds.items())
    if not refunds:
        return None
    related, refund = refunds[-1 - a % min(len(refunds), 4)]
    return related, refund.payment, world.model.payments[refund.payment], refund.amount


def approve(world: World, a: int, b: int, amount: int) -> Instruction | None:
    if (found := _refund(world, a)) is None:
        return None
    related, subject, payment, refunded = found
    actor = (FINANCE, 0, SECOND_FINANCE, world.owner(payment.payee), 0)[b % 5]
    source = ledger.REFUND_ADVANCES_ID if b % 7 == 0 else payment.payee
    return _ask(
        world, actor, Operation.APPROVE_REFUND, ledger.move(source, payment.payer, refunded),
        subject=subject, related=related,
        detail={"policy_id": world.policy_id} if actor == 0 else None,
    )  # fmt: skip


def reject(world: World, a: int, b: int, amount: int) -> Instruction | None:
    if (found := _refund(world, a)) is None:
        return None
    related, subject, payment, _ = found
    actor = (FINANCE, SECOND_FINANCE, world.owner(payment.payer))[b % 3]
    legs = ledger.touch(payment.payer)
    return _ask(world, actor, Operation.REJECT_REFUND, legs, subject=subject, related=related)


def repeat(world: World, a: int, b: int, amount: int) -> Instruction | None:
    """An earlier call again; now and then with another input under the same key."""
    if not world.sent:
        return None
    earlier = world.sent[-1 - a % min(len(world.sent), 40)]
    if b % 3:
        return earlier
    return make.instruction_with(earlier, input_hash=b"another input ..")


def _ask(
    world: World,
    actor: int,
    operation: Operation,
    legs: tuple[ledger.Leg, ...],
    *,
    subject: uuid.UUID | None = None,
    related: uuid.UUID | None = None,
    detail: dict[str, object] | None = None,
) -> Instruction:
    return ledger.instruct(
        actor_id=actor,
        operation=operation,
        key=world.key(),
        legs=legs,
        subject_id=subject,
        related_id=related,
        detail=detail,
    )


KINDS: dict[str, Build] = {
    f.__name__: f
    for f in (
        top_up, pay, transfer, allow, confirm, cancel, expire, ask_refund, approve, reject, freeze,
        unfreeze, freeze_own, unfreeze_own, be_careful, close_account,
        repeat,
    )
}  # fmt: skip
