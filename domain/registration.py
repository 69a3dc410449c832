"""What people type when they register: phones, names, addresses, PINs, and the first review.

The review's rules are data at the top of each section. They decide the clear cases; whatever is
neither clearly right nor clearly made up goes to a person.
"""

from __future__ import annotations

import re
import unicodedata
from calendar import monthrange
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import phonenumbers

from domain import passwords, resident_ids
from domain.identity import Status

# --- phones -------------------------------------------------------------------------------------

PHONE_LENGTH_MAX = 32
# NFKC takes time by the square of a pile of accents, so nothing long is ever normalised; this
# many characters as typed may become one.
_TYPED_MAX = 4
HOME_REGIONS = frozenset({"CN", "HK", "MO"})
_MOBILE = frozenset(
    {phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE}
)
_PHONE_LETTERS = re.compile(r"[0-9+()\-. ]+", re.ASCII)


def phone(text: str) -> str | None:
    """The mobile number in E.164, or None. Full-width digits and spaces are understood.

    A number without a country code is a mainland one. Landlines are None: no text reaches them.
    """
    if len(text) > PHONE_LENGTH_MAX * _TYPED_MAX:
        return None
    plain = unicodedata.normalize("NFKC", text).strip()
    if len(plain) > PHONE_LENGTH_MAX or not _PHONE_LETTERS.fullmatch(plain):
        return None
    try:
        parsed = phonenumbers.parse(plain, "CN")
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(parsed):
        return None
    if phonenumbers.number_type(parsed) not in _MOBILE:
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def phone_region(e164: str) -> str | None:
    """The region (``"CN"``) of a number that `phone` returned; None for an empty one."""
    return phonenumbers.region_code_for_number(phonenumbers.parse(e164)) if e164 else None


def masked_phone(e164: str) -> str:
    """``+86 138****1234``: enough for its owner to recognise. Empty for an empty one."""
    if not e164:
        return ""
    parsed = phonenumbers.parse(e164)
    national = str(parsed.national_number)
    kept = 3 if len(national) > 9 else 2
    return f"+{parsed.country_code} {national[:kept]}****{national[-4 if kept == 3 else -2 :]}"


# --- names --------------------------------------------------------------------------------------

NAME_LENGTH_MAX = 40
_CJK = r"\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003134f"
_CJK_NAME = re.compile(rf"[{_CJK}]{{2,20}}|[{_CJK}]{{1,15}}·[{_CJK}]{{1,15}}(?:·[{_CJK}]{{1,15}})?")
_LATIN = r"[A-Za-zÀ-ÖØ-öø-ɏ]"
_LATIN_NAME = re.compile(rf"{_LATIN}+(?:[ .'’\-]{{1,2}}{_LATIN}+)*\.?")
# fmt: off
_MADE_UP = frozenset({
    "测试", "测试用户", "匿名", "无名", "无名氏", "某某", "某某某", "先生", "女士", "用户",
    "姓名", "名字", "管理员", "没有", "不知道", "test", "tester", "testuser", "asdf", "asdfgh",
    "qwer", "qwerty", "admin", "administrator", "null", "none", "nobody", "anonymous", "fake",
    "name", "user", "abc", "abcd", "xxx", "na", "unknown", "foo", "bar",
})
# fmt: on


def clean_name(text: str) -> str | None:
    """The name as kept (NFKC, single spaces), or None if it is no text for a name at all."""
    return _one_line(text, NAME_LENGTH_MAX)


def _one_line(text: str, length_max: int) -> str | None:
    if len(text) > length_max * _TYPED_MAX:
        return None
    line = " ".join(unicodedata.normalize("NFKC", text).split())
    if not line or len(line) > length_max:
        return None
    if any(unicodedata.category(letter)[0] == "C" for letter in line):
        return None
    return line


# --- how to reach somebody ----------------------------------------------------------------------

EMAIL_LENGTH_MAX = 254
ADDRESS_LENGTH_MAX = 200
_EMAIL = re.compile(r"[^\s@<>()\[\],;:\\\"]{1,64}@((?:[^\s@.\-][^\s@.]*\.)+[^\s@.]{2,})")


def email(text: str) -> str | None:
    """The address as kept, its host in small letters, or None if no mail can reach it."""
    if len(text) > EMAIL_LENGTH_MAX:
        return None
    found = _EMAIL.fullmatch(text.strip())
    if found is None or not text.isprintable():
        return None
    local, _, host = found[0].rpartition("@")
    return f"{local}@{host.lower()}"


def postal_address(text: str) -> str | None:
    """The address as kept (NFKC, single spaces), or None if it is no text for one."""
    return _one_line(text, ADDRESS_LENGTH_MAX)


# --- PINs ---------------------------------------------------------------------------------------

_PIN = re.compile(r"[0-9]{6}", re.ASCII)


def pin_acceptable(pin: str, *, phone: str) -> bool:
    """Six digits; no run, no pattern of up to three repeated, no date, no part of the phone number.

    Any date, whoever's birthday it is: a tenth of all PINs, and the first that a thief tries.
    """
    if not _PIN.fullmatch(pin) or pin in phone:
        return False
    easy = len(set(pin)) <= 2 or passwords.is_run(pin) or pin[:3] == pin[3:] or _is_date(pin)
    return not easy


def _is_date(pin: str) -> bool:
    """Year, month and day in any of the orders that people write them in, or year and month."""
    a, b, c = int(pin[:2]), int(pin[2:4]), int(pin[4:])
    return (
        _is_day(month=b, day=c)
        or _is_day(month=b, day=a)
        or _is_day(month=a, day=b)
        or (pin[:2] in ("19", "20") and 1 <= c <= 12)
    )


def _is_day(*, month: int, day: int) -> bool:
    return 1 <= month <= 12 and 1 <= day <= monthrange(2000, month)[1]


def is_pin(text: str) -> bool:
    """Whether it could be a PIN or code at all: six ASCII digits."""
    return _PIN.fullmatch(text) is not None


# --- the first review ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say of an application; ``reason`` is a key of REASONS, None for ACTIVE."""

    status: Status
    reason: str | None = None


REASONS = {
    "NAME_MADE_UP": ("The name is not a real name.", "姓名不真实。"),
    "NAME_UNUSUAL": ("A person will check the name.", "姓名需人工核实。"),
    "NAME_CHANGED": (
        "A person will check the new name.",
        "姓名与注册时不同，需人工核实。",
    ),
    "NAME_DIFFERS": ("A person will check name and ID number.", "姓名与证件号码需人工核实。"),
    "PHONE_ABROAD": ("A person will check the phone number.", "手机号码归属地需人工核实。"),
    "UNDER_AGE": ("Wallets are for people of 16 and older.", "年满16周岁方可开通钱包。"),
    "MINOR": ("A person will check applications of people under 18.", "未满18周岁需人工核实。"),
    "TOO_MANY_ACCOUNTS": (
        "This ID number has as many wallets as a person may have.",
        "该证件号码名下的钱包数量已达上限。",
    ),
}
REJECTIONS_MAX = 3
COOL_DOWN_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Person:
    """Who an ID number says the applicant is: age, and the names on that person's other wallets."""

    age_years: int
    others: tuple[str, ...] = field(default=(), repr=False)


def review(
    *,
    name: str,
    phone: str,
    person: Person | None = None,
    accounts_max: int = 1,
    known_as: str | None = None,
) -> Verdict:
    """ACTIVE, REFERRED to staff, or REJECTED; ``person`` is None for whoever gave no ID number.

    ``known_as`` is the name of somebody who has a wallet already.
    """
    letters = re.sub(r"[\W_]+", "", name).casefold()
    if letters in _MADE_UP or not letters or letters.isdecimal() or _is_drumming(letters):
        return Verdict(Status.REJECTED, "NAME_MADE_UP")
    if person is not None and person.age_years < resident_ids.AGE_MIN_YEARS:
        return Verdict(Status.REJECTED, "UNDER_AGE")
    if person is not None and len(person.others) >= accounts_max:
        return Verdict(Status.REJECTED, "TOO_MANY_ACCOUNTS")
    latin = len(letters) > 1 and len(name) <= 20 and _LATIN_NAME.fullmatch(name)
    if not (latin or _CJK_NAME.fullmatch(name)):
        return Verdict(Status.REFERRED, "NAME_UNUSUAL")
    if phone_region(phone) not in HOME_REGIONS:
        return Verdict(Status.REFERRED, "PHONE_ABROAD")
    if person is not None and person.age_years < resident_ids.AGE_ALONE_YEARS:
        return Verdict(Status.REFERRED, "MINOR")
    if person is not None and any(other != name for other in person.others):
        return Verdict(Status.REFERRED, "NAME_DIFFERS")
    if known_as is not None and known_as != name:
        return Verdict(Status.REFERRED, "NAME_CHANGED")
    return Verdict(Status.ACTIVE)


def may_apply_again_at(rejections: int, rejected_at: datetime) -> datetime:
    """From when a rejected application may be corrected: at once, and a day after each third no."""
    cool_down = timedelta(seconds=COOL_DOWN_SECONDS)
    return rejected_at + cool_down if rejections >= REJECTIONS_MAX else rejected_at


def _is_drumming(letters: str) -> bool:
    """One letter again and again; two equal characters can be a Chinese name (丁丁)."""
    return len(set(letters)) == 1 and len(letters) >= (2 if letters.isascii() else 3)


def reason_text(reason: str | None, language: str) -> str | None:
    """A review's reason for a person; what staff wrote is returned as it is."""
    if reason not in REASONS:
        return reason
    en, zh = REASONS[reason]
    return zh if language.lower().startswith("zh") else en
