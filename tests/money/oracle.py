"""The money core once more, in plain Python and one thing after another: what should have happened.

It is told the database's time and the new ids, decides by itself, and keeps all that the database
keeps. It reads nothing from it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from domain.ledger import NOT_KEPT, AccountRole, Instruction, Operation, Outcome, Receipt

ZONE = ZoneInfo("Asia/Shanghai")
OPEN_FOR = timedelta(seconds=900)
FREE_MAX_CAP, FREE_COUNT_CAP, DAY_MAX = 20_000, 10, 500_000
DEBITS = {Operation.TRANSFER, Operation.CREATE_PAYMENT, Operation.CONFIRM_PAYMENT}
OWNERS = DEBITS | {
    Operation.CANCEL_PAYMENT, Operation.REQUEST_REFUND, Operation.SET_ALLOWANCE,
    Operation.FREEZE_OWN, Operation.UNFREEZE_OWN,
}  # fmt: skip
PROVEN = {
    Operation.TRANSFER, Operation.CONFIRM_PAYMENT, Operation.SET_ALLOWANCE, Operation.UNFREEZE_OWN,
}  # fmt: skip
AWAITING, SUCCEEDED, CANCELLED, EXPIRED, REVIEWED, REFUNDED = range(1, 7)


@dataclass
class Account:
    owner: int | None
    role: AccountRole
    overdraw: bool = False
    posted: int = 0
    seq: int = 0
    status: int = 1
    own: bool = False
    careful_until: datetime | None = None
    careful_max: int = 0
    day: date | None = None
    out: int = 0
    free: int = 0
    free_max: int = 0
    free_count_max: int = 0


@dataclass
class Payment:
    payer: int
    payee: int
    amount: int
    state: int
    steps: list[int]
    created: datetime
    captured: int = 0
    reserved: int = 0
    refunded: int = 0


@dataclass
class Refund:
    payment: UUID
    amount: int
    requested: datetime
    open: bool = True


@dataclass(frozen=True)
class Policy:
    signer: int
    amount_max: int
    age_max: timedelta
    refunds_max: int


@dataclass
class Answer:
    """What the database has to say; ``entry`` None means a new one (or none, if not kept)."""

    outcome: Outcome
    state: int | None = None
    replayed: bool = False
    entry: UUID | None = None


Key = tuple[int, int, str]


@dataclass
class Model:
    accounts: dict[int, Account] = field(default_factory=dict)
    payments: dict[UUID, Payment] = field(default_factory=dict)
    refunds: dict[UUID, Refund] = field(default_factory=dict)
    policies: dict[int, Policy] = field(default_factory=dict)
    proofs: dict[UUID, datetime] = field(default_factory=dict)
    kept: dict[Key, tuple[bytes, Outcome, UUID]] = field(default_factory=dict)

    def batch(self, instructions: list[Instruction], receipts: list[Receipt]) -> list[Answer]:
        """The answers that one batch should have had; applies them."""
        before = dict(self.kept)
        seen: dict[Key, tuple[bytes, Answer, UUID | None]] = {}
        answers: list[Answer] = []
        for asked, receipt in zip(instructions, receipts, strict=True):
            key = (asked.actor_id, asked.operation.value, asked.key)
            if key in before:
                old_hash, outcome, entry = before[key]
                same = old_hash == asked.input_hash
                answer = Answer(outcome if same else Outcome.KEY_REUSED, None, True, entry)
            elif key in seen:
                old_hash, first, entry = seen[key]
                same = old_hash == asked.input_hash
                answer = Answer(
                    first.outcome if same else Outcome.KEY_REUSED, first.state, True, entry
                )
            else:
                answer = self._apply(asked, receipt)
                if answer.outcome not in NOT_KEPT and receipt.entry_id is not None:
                    seen[key] = (asked.input_hash, answer, receipt.entry_id)
                    self.kept[key] = (asked.input_hash, answer.outcome, receipt.entry_id)
            answers.append(answer)
        return answers

    def _apply(self, asked: Instruction, receipt: Receipt) -> Answer:
        outcome = self._guard(asked) or self._decide(asked, receipt.at)
        if outcome is not None:
            return Answer(outcome)
        return Answer(Outcome.POSTED, self._effect(asked, receipt))

    def _guard(self, asked: Instruction) -> Outcome | None:
        """Is it anybody's business? Only then is there anything to decide."""
        for leg in asked.legs:
            account = self.accounts.get(leg.account_id)
            if account is None:
                return Outcome.NOT_FOUND
            mine = account.owner == asked.actor_id
            if asked.operation in OWNERS and leg.amount_minor <= 0 and not mine:
                return Outcome.NOT_FOUND
        return None

    def _decide(self, asked: Instruction, at: datetime) -> Outcome | None:
        match asked.operation:
            case Operation.FREEZE | Operation.FREEZE_OWN:
                return self._decide_freeze(asked)
            case Operation.UNFREEZE | Operation.UNFREEZE_OWN:
                return self._decide_unfreeze(asked, at)
            case Operation.CLOSE_WALLET:
                return self._decide_closing(asked)
            case Operation.SET_CAUTION:
                return self._closed(asked)
            case Operation.SET_ALLOWANCE:
                return self._allowance(asked) or self._closed(asked) or self._unproven(asked, at)
            case Operation.CREATE_PAYMENT:
                return self._decide_create(asked, at)
            case Operation.TOP_UP:
                return self._closed(asked)
            case Operation.TRANSFER:
                return self._frozen(asked) or self._unproven(asked, at) or self._money(asked, at)
            case _:
                return self._decide_payment(asked, at)

    def _decide_freeze(self, asked: Instruction) -> Outcome | None:
        account = self.accounts[asked.legs[0].account_id]
        by_owner = asked.operation is Operation.FREEZE_OWN
        if account.status >= level(asked) and (by_owner or not account.own):
            return Outcome.WRONG_STATE
        lifted_by_others = by_owner and account.status > 1 and not account.own
        return Outcome.ACCOUNT_FROZEN if lifted_by_others else None

    def _decide_unfreeze(self, asked: Instruction, at: datetime) -> Outcome | None:
        account = self.accounts[asked.legs[0].account_id]
        if account.status in (1, 4):
            return Outcome.WRONG_STATE
        if asked.operation is Operation.UNFREEZE_OWN:
            return self._unproven(asked, at) if account.own else Outcome.ACCOUNT_FROZEN
        return Outcome.REVIEWER_IS_PARTY if account.owner == asked.actor_id else None

    def _decide_closing(self, asked: Instruction) -> Outcome | None:
        account_id = asked.legs[0].account_id
        account = self.accounts[account_id]
        if account.status == 4:
            return Outcome.WRONG_STATE
        if account.status != 1:
            return Outcome.ACCOUNT_FROZEN
        asks_back = any(
            refund.open and self.payments[refund.payment].payer == account_id
            for refund in self.refunds.values()
        )
        return Outcome.NOT_EMPTY if account.posted or asks_back else None

    def _closed(self, asked: Instruction) -> Outcome | None:
        """Nothing comes to a closed account, nothing leaves it, and nothing changes it."""
        for leg in asked.legs:
            if self.accounts[leg.account_id].status == 4:
                comes = leg.amount_minor > 0
                return Outcome.PAYEE_UNAVAILABLE if comes else Outcome.ACCOUNT_FROZEN
        return None

    def _decide_create(self, asked: Instruction, at: datetime) -> Outcome | None:
        payee = max(asked.legs, key=lambda leg: leg.amount_minor)
        closed = self.accounts[payee.account_id].status > 2
        refused = Outcome.PAYEE_UNAVAILABLE if closed else self._frozen(asked)
        if refused is None and self._is_free(asked, at):
            refused = self._money(asked, at)
        return refused

    def _decide_payment(self, asked: Instruction, at: datetime) -> Outcome | None:
        assert asked.subject_id is not None
        payment = self.payments.get(asked.subject_id)
        if payment is None:
            return Outcome.NOT_FOUND
        wants = {40: SUCCEEDED, 41: REVIEWED, 42: REVIEWED}.get(asked.operation, AWAITING)
        if payment.state != wants:
            return Outcome.WRONG_STATE
        overdue = at >= payment.created + OPEN_FOR
        match asked.operation:
            case Operation.CONFIRM_PAYMENT:
                if overdue:
                    return Outcome.EXPIRED
                frozen = self._frozen(asked)
                return frozen or self._unproven(asked, at) or self._money(asked, at)
            case Operation.EXPIRE_PAYMENT:
                return None if overdue else Outcome.NOT_PERMITTED
            case Operation.REQUEST_REFUND:
                left = payment.captured - payment.reserved - payment.refunded
                ok = 0 < detail(asked, "amount") <= left
                return self._closed(asked) if ok else Outcome.REFUND_EXCEEDS_PAYMENT
            case Operation.APPROVE_REFUND | Operation.REJECT_REFUND:
                return self._decide_refund(asked, payment, at)
        return None

    def _decide_refund(self, asked: Instruction, payment: Payment, at: datetime) -> Outcome | None:
        refund = self.refunds.get(asked.related_id) if asked.related_id else None
        if refund is None or refund.payment != asked.subject_id:
            return Outcome.NOT_FOUND
        if not refund.open:
            return Outcome.WRONG_STATE
        signer = asked.actor_id
        if signer == 0:
            policy = self.policies[detail(asked, "policy_id")]
            recent = [
                r for r in self.refunds.values()
                if self.payments[r.payment].payer == payment.payer
                and r.requested > at - timedelta(days=30)
            ]  # fmt: skip
            young = at - payment.created <= policy.age_max
            if refund.amount > policy.amount_max or not young or len(recent) > policy.refunds_max:
                return Outcome.OUTSIDE_POLICY
            signer = policy.signer
        if signer in (self.accounts[payment.payer].owner, self.accounts[payment.payee].owner):
            return Outcome.REVIEWER_IS_PARTY
        if asked.operation is Operation.REJECT_REFUND:
            return None
        return self._money(asked, at)

    def _unproven(self, asked: Instruction, at: datetime) -> Outcome | None:
        until = self.proofs.get(asked.proof_id) if asked.proof_id else None
        return None if until is not None and until > at else Outcome.PROOF_REQUIRED

    def _frozen(self, asked: Instruction) -> Outcome | None:
        for leg in asked.legs:
            status = self.accounts[leg.account_id].status
            if leg.amount_minor < 0 and status != 1:
                return Outcome.ACCOUNT_FROZEN
            if leg.amount_minor > 0 and status > 2:
                return Outcome.PAYEE_UNAVAILABLE
        return None

    def _allowance(self, asked: Instruction) -> Outcome | None:
        ok = 0 <= detail(asked, "amount_max") <= FREE_MAX_CAP
        ok = ok and 0 <= detail(asked, "daily_count_max") <= FREE_COUNT_CAP
        return None if ok else Outcome.NOT_PERMITTED

    def _is_free(self, asked: Instruction, at: datetime) -> bool:
        leg = next(leg for leg in asked.legs if leg.amount_minor < 0)
        payer = self.accounts[leg.account_id]
        used = payer.free if payer.day == city_day(at) else 0
        return -leg.amount_minor <= payer.free_max and used < payer.free_count_max

    def _money(self, asked: Instruction, at: datetime) -> Outcome | None:
        for leg in asked.legs:
            account = self.accounts[leg.account_id]
            if leg.amount_minor >= 0:
                continue
            out = account.out if account.day == city_day(at) else 0
            careful = account.careful_until is not None and account.careful_until > at
            day_max = min(DAY_MAX, account.careful_max) if careful else DAY_MAX
            if asked.operation in DEBITS and out - leg.amount_minor > day_max:
                return Outcome.DAILY_LIMIT_EXCEEDED
            if account.posted + leg.amount_minor < 0 and not account.overdraw:
                return Outcome.INSUFFICIENT_FUNDS
        return None

    def _effect(self, asked: Instruction, receipt: Receipt) -> int | None:
        """Do it; the payment's new state, if it has one."""
        assert receipt.entry_id is not None
        first = self.accounts[asked.legs[0].account_id]
        match asked.operation:
            case Operation.CREATE_PAYMENT:
                return self._create(asked, receipt)
            case Operation.FREEZE | Operation.FREEZE_OWN:
                first.status = max(first.status, level(asked))
                first.own = asked.operation is Operation.FREEZE_OWN
            case Operation.UNFREEZE | Operation.UNFREEZE_OWN:
                first.status, first.own = 1, False
            case Operation.CLOSE_WALLET:
                first.status = 4
            case Operation.SET_CAUTION:
                self._be_careful(first, asked, receipt.at)
            case Operation.SET_ALLOWANCE:
                first.free_max = detail(asked, "amount_max")
                first.free_count_max = detail(asked, "daily_count_max")
        self._move(asked, receipt.at)
        payment = self.payments.get(asked.subject_id) if asked.subject_id else None
        return None if payment is None else self._step(asked, payment, receipt)

    def _be_careful(self, account: Account, asked: Instruction, at: datetime) -> None:
        until = at + timedelta(seconds=detail(asked, "seconds"))
        lasts = account.careful_until is not None and account.careful_until > at
        day_max = detail(asked, "day_max")
        account.careful_max = min(account.careful_max, day_max) if lasts else day_max
        account.careful_until = max(account.careful_until or until, until)

    def _create(self, asked: Instruction, receipt: Receipt) -> int:
        assert receipt.entry_id is not None
        free = self._is_free(asked, receipt.at)
        state = SUCCEEDED if free else AWAITING
        payer, payee = sorted(asked.legs, key=lambda leg: leg.amount_minor)
        payment = Payment(
            payer.account_id, payee.account_id, payee.amount_minor, state, [state], receipt.at
        )
        self.payments[receipt.entry_id] = payment
        if free:
            self._move(asked, receipt.at)
            self.accounts[payer.account_id].free += 1
            payment.captured = payment.amount
        return state

    def _step(self, asked: Instruction, payment: Payment, receipt: Receipt) -> int:
        assert receipt.entry_id is not None
        assert asked.subject_id is not None
        refund = self.refunds.get(asked.related_id) if asked.related_id else None
        match asked.operation:
            case Operation.CONFIRM_PAYMENT:
                payment.captured, payment.state = payment.amount, SUCCEEDED
            case Operation.CANCEL_PAYMENT:
                payment.state = CANCELLED
            case Operation.EXPIRE_PAYMENT:
                payment.state = EXPIRED
            case Operation.REQUEST_REFUND:
                payment.state, payment.reserved = REVIEWED, detail(asked, "amount")
                self.refunds[receipt.entry_id] = Refund(
                    asked.subject_id, detail(asked, "amount"), receipt.at
                )
            case Operation.APPROVE_REFUND | Operation.REJECT_REFUND:
                assert refund is not None
                refund.open, payment.reserved = False, 0
                approved = asked.operation is Operation.APPROVE_REFUND
                payment.refunded += refund.amount if approved else 0
                payment.state = REFUNDED if approved else SUCCEEDED
        payment.steps.append(payment.state)
        return payment.state

    def _move(self, asked: Instruction, at: datetime) -> None:
        for leg in asked.legs:
            account = self.accounts[leg.account_id]
            account.posted += leg.amount_minor
            account.seq += 1
            if leg.amount_minor >= 0:
                continue
            if account.day != city_day(at):
                account.day, account.out, account.free = city_day(at), 0, 0
            if asked.operation in DEBITS:
                account.out -= leg.amount_minor


def city_day(at: datetime) -> date:
    return at.astimezone(ZONE).date()


def level(asked: Instruction) -> int:
    """The status that a freeze asks for."""
    return 3 if "FULL" in (asked.detail or "") else 2


def detail(asked: Instruction, name: str) -> int:
    """A number of the instruction's detail."""
    assert asked.detail is not None
    return json.loads(asked.detail)[name]
