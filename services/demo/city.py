"""Who lives in the demo city, and what they do in two weeks: pure data, the same for one seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from stdnum.cn import ric

from domain.identity import Role

PASSWORD = "pengcheng-demo-1"  # noqa: S105 - printed and documented, for development only
PIN = "246813"
SEED = 755
DAYS = 13
ALLOWANCE_MAX_MINOR = 20_000
ALLOWANCE_DAILY_COUNT = 10
_TOP_UP_DAYS = (0, 6, 11)
_AMOUNT_MAX_MINOR = 18_000  # a rule looks at whoever empties a wallet by 200.00 or more

RESIDENT_NAMES = (
    "陈志强", "李婉婷", "张伟", "黄嘉欣", "林建国", "王雪梅", "刘洋", "吴佩珊", "周子轩", "郑晓彤",
    "何俊杰", "梁美玲", "谢文博", "罗思琪", "欧阳海", "蔡依凡", "邓家豪", "彭丽华", "John Miller",
    "Maria Santos",
)  # fmt: skip
SHOPS = (
    ("莲花山茶餐厅", "RESTAURANT", "何国栋"),
    ("华强北便利店", "GROCERY", "曾秀兰"),
    ("深圳湾书店", "BOOKS", "温知行"),
    ("蛇口生鲜超市", "GROCERY", "钟海燕"),
    ("鹏城地铁文创", "TRANSIT", "赖明远"),
)
STAFF = (
    (Role.ADMIN, "方启明"),
    (Role.SUPPORT, "叶知秋"),
    (Role.FINANCE, "苏婉清"),
    (Role.FINANCE, "孔令辉"),
    (Role.RISK, "程立新"),
    (Role.COMPLIANCE, "范静怡"),
    (Role.AUDITOR, "石敬之"),
)
STAFF_LABEL = "demo"
APPLICANT = ("Emma Clarke", "+447400123456")  # a number from abroad: a person has to look at it
_NOTES = ("早餐", "午餐", "两本书", "水果", "纪念品", "下午茶", None, None, None)
_MEMOS = ("AA 午饭", "房租水电", "生日快乐", "谢谢帮忙", "车费", None)
_REFUND_REASONS = (
    "重复付款",
    "商品缺货",
    "买错了",
    "东西坏了",
    "朋友已经付过了",
    "活动取消",
    "多付了",
)
REJECTED_BECAUSE = "商户证实商品已交付，请与商户协商。"
REFUNDED_IN_DAYS = {4: True, 6: False, 8: True, 9: True, 10: False, 11: True, 12: None}
"""The days on which a refund is asked for, and what finance says next morning; None: nothing."""


def resident_phone(number: int) -> str:
    """Phone (E.164) of resident 0, 1, …"""
    return f"+861380013{8001 + number}"


def shop_phone(number: int) -> str:
    return f"+861390014{9001 + number}"


def staff_phone(number: int) -> str:
    return f"+861370015{7001 + number}"


def card_number(number: int) -> str:
    """The resident's bank card: an ordinary one at the sandbox bank, its Luhn digit being right."""
    digits = f"62258800{number:07d}"
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[::-1][::2])
    plain = sum(int(digit) for digit in digits[::-1][1::2])
    return f"{digits}{-(doubled + plain) % 10}"


def id_number(number: int) -> str | None:
    """The resident's ID number; None for those who came from abroad."""
    if RESIDENT_NAMES[number].isascii():
        return None
    digits = f"440305{1970 + number}0{1 + number % 9}1{number % 10}{101 + number:03d}"
    return digits + ric.calc_check_digit(digits + "0")


def has_allowance(resident: int) -> bool:
    """Every second resident pays small amounts without PIN."""
    return resident % 2 == 0


@dataclass(frozen=True, slots=True)
class TopUp:
    resident: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Payment:
    """``number`` names it, so that a refund can."""

    number: int
    resident: int
    shop: int
    amount_minor: int
    note: str | None


@dataclass(frozen=True, slots=True)
class Transfer:
    resident: int
    to: int
    amount_minor: int
    memo: str | None


@dataclass(frozen=True, slots=True)
class Refund:
    """A payment asked back."""

    payment: Payment
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What finance says of a refund."""

    refund: Refund
    approved: bool


Deed = TopUp | Payment | Transfer | Refund | Decision


@dataclass(frozen=True, slots=True)
class Moment:
    """Deeds at one time, counted from the midnight on which the history begins."""

    after: timedelta
    deeds: tuple[Deed, ...]


def two_weeks(seed: int = SEED) -> list[Moment]:
    """What happens, in order of time; nobody spends what they don't have."""
    return _Fate(seed).moments()


class _Fate:
    """Draws the history; follows the balances, in minor units, so that all of it can happen."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._balances = [0] * len(RESIDENT_NAMES)
        self._taken = [0] * len(SHOPS)
        self._habits = [
            self._random.sample(range(len(SHOPS)), k=3) for _ in range(len(RESIDENT_NAMES))
        ]
        self._payments: list[Payment] = []
        self._refunds: list[Refund] = []

    def moments(self) -> list[Moment]:
        return [moment for day in range(DAYS) for moment in self._day(day)]

    def _day(self, day: int) -> Iterator[Moment]:
        if day in _TOP_UP_DAYS:
            yield self._at(day, 8.0, [self._top_up(day, who) for who in self._some(day)])
        yield self._at(day, 8.1, self._spending())
        approved = REFUNDED_IN_DAYS.get(day - 1)
        if approved is not None:
            yield self._at(day, 9.4, [Decision(self._refunds[-1], approved)])
        for hour in (10.5, 12.3, 15.2, 18.4, 20.6):
            yield self._at(day, hour, self._spending())
        if day in REFUNDED_IN_DAYS:
            yield self._at(day, 22.0, [self._refund()])

    def _at(self, day: int, hour: float, deeds: list[Deed]) -> Moment:
        jitter = timedelta(seconds=self._random.randrange(240))
        return Moment(timedelta(days=day, hours=hour) + jitter, tuple(deeds))

    def _some(self, day: int) -> list[int]:
        everybody = range(len(self._balances))
        return list(everybody) if day == 0 else sorted(self._random.sample(everybody, k=12))

    def _top_up(self, day: int, resident: int) -> TopUp:
        amount_minor = self._random.choice((30_000, 50_000, 80_000) if day else (50_000, 80_000))
        self._balances[resident] += amount_minor
        return TopUp(resident, amount_minor)

    def _spending(self) -> list[Deed]:
        """Some residents, each once: a payer who pays once in an hour or two alarms nobody."""
        deeds = []
        for resident in self._random.sample(range(len(self._balances)), k=6):
            ceiling_minor = min(self._balances[resident] // 3, _AMOUNT_MAX_MINOR)
            if ceiling_minor < 500:
                continue
            amount_minor = min(int(self._random.lognormvariate(7.6, 0.7)), ceiling_minor)
            if self._random.random() < 0.2:
                deeds.append(self._transfer(resident, amount_minor))
            else:
                deeds.append(self._payment(resident, amount_minor))
        return deeds

    def _payment(self, resident: int, amount_minor: int) -> Payment:
        shop = self._random.choices(self._habits[resident], weights=(6, 3, 1))[0]
        note = self._random.choice(_NOTES)
        made = Payment(len(self._payments), resident, shop, amount_minor, note)
        self._payments.append(made)
        self._balances[resident] -= amount_minor
        self._taken[shop] += amount_minor
        return made

    def _transfer(self, resident: int, amount_minor: int) -> Transfer:
        others = [other for other in range(len(self._balances)) if other != resident]
        to = self._random.choice(others)
        self._balances[resident] -= amount_minor
        # Not added to the receiver's: of two deeds of one moment either may come first.
        return Transfer(resident, to, amount_minor, self._random.choice(_MEMOS))

    def _refund(self) -> Refund:
        asked = {refund.payment for refund in self._refunds}
        lately = [payment for payment in self._payments[-60:-10] if payment not in asked]
        covered = [
            payment for payment in lately if payment.amount_minor < self._taken[payment.shop]
        ]
        made = Refund(self._random.choice(covered), _REFUND_REASONS[len(self._refunds)])
        self._refunds.append(made)
        self._taken[made.payment.shop] -= made.payment.amount_minor
        return made
