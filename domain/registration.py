"""What people type when they register: phones, names, passwords, PINs, and the first review.

The review's rules are data at the top of each section. They decide the clear cases; whatever is
neither clearly right nor clearly made up goes to a person.
"""

from __future__ import annotations

import re
import unicodedata
from calendar import monthrange
from dataclasses import dataclass
from itertools import pairwise

import phonenumbers

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
    """The region (``"CN"``) of a number that `phone` returned."""
    return phonenumbers.region_code_for_number(phonenumbers.parse(e164))


def masked_phone(e164: str) -> str:
    """``+86 138****1234``: enough for its owner to recognise."""
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
    if len(text) > NAME_LENGTH_MAX * _TYPED_MAX:
        return None
    name = " ".join(unicodedata.normalize("NFKC", text).split())
    if not name or len(name) > NAME_LENGTH_MAX:
        return None
    if any(unicodedata.category(letter)[0] == "C" for letter in name):
        return None
    return name


# --- passwords and PINs -------------------------------------------------------------------------

PASSWORD_LENGTH_MIN = 8
PASSWORD_LENGTH_MAX = 128
# fmt: off
_COMMON_PASSWORDS = frozenset({
    "password", "password1", "password123", "passw0rd", "p@ssw0rd", "p@ssword", "12345678",
    "123456789", "1234567890", "87654321", "987654321", "11223344", "12341234", "123123123",
    "147258369", "123qweasd", "1q2w3e4r", "1q2w3e4r5t", "1qaz2wsx", "1qazxsw2", "qwertyuiop",
    "qwerty123", "qwerty12", "asdfghjkl", "zxcvbnm123", "q1w2e3r4", "qazwsxedc", "iloveyou",
    "iloveyou1", "woaini1314", "woaini520", "5201314520", "woaiwojia", "abc12345", "abcd1234",
    "a1234567", "a12345678", "a123456789", "aa123456", "aa12345678", "qq123456", "admin123",
    "administrator", "welcome1", "welcome123", "letmein1", "letmein123", "sunshine", "princess",
    "football", "baseball", "superman", "trustno1", "changeme", "changeme123", "default123",
    "shenzhen", "shenzhen123", "pengcheng", "pengcheng123", "wallet123",
})
# fmt: on
_PIN = re.compile(r"[0-9]{6}", re.ASCII)


def password_acceptable(password: str, *, name: str, phone: str) -> bool:
    """8 to 128 characters, not common, no run, and nothing that everybody knows of its owner."""
    if len(password) > PASSWORD_LENGTH_MAX * _TYPED_MAX:
        return False
    plain = unicodedata.normalize("NFKC", password)
    if not PASSWORD_LENGTH_MIN <= len(plain) <= PASSWORD_LENGTH_MAX:
        return False
    lowered = plain.casefold()
    known = [phone.removeprefix("+"), phone.removeprefix("+86"), name.casefold()]
    return (
        lowered not in _COMMON_PASSWORDS
        and len(set(lowered)) >= 4
        and not _is_run(lowered)
        and not any(len(part) >= 2 and part in lowered for part in known)
    )


def pin_acceptable(pin: str, *, phone: str) -> bool:
    """Six digits; no run, no pattern of up to three repeated, no date, no part of the phone number.

    Any date, whoever's birthday it is: a tenth of all PINs, and the first that a thief tries.
    """
    if not _PIN.fullmatch(pin) or pin in phone:
        return False
    easy = len(set(pin)) <= 2 or _is_run(pin) or pin[:3] == pin[3:] or _is_date(pin)
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


def _is_run(text: str) -> bool:
    """Each character one above the other, or each one below; 9 and 0 are neighbours."""
    steps = {ord(b) - ord(a) for a, b in pairwise(text)}
    return steps in ({1}, {-1}) or steps == {1, -9} or steps == {-1, 9}


# --- the first review ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say of an application; ``reason`` is a key of REASONS, None for ACTIVE."""

    status: Status
    reason: str | None = None


REASONS = {
    "NAME_MADE_UP": ("The name is not a real name.", "姓名不真实。"),
    "NAME_UNUSUAL": ("A person will check the name.", "姓名需人工核实。"),
    "PHONE_ABROAD": ("A person will check the phone number.", "手机号码归属地需人工核实。"),
}


def review(*, name: str, phone: str) -> Verdict:
    """ACTIVE, REFERRED to staff, or REJECTED."""
    letters = re.sub(r"[\W_]+", "", name).casefold()
    if letters in _MADE_UP or not letters or letters.isdecimal() or _is_drumming(letters):
        return Verdict(Status.REJECTED, "NAME_MADE_UP")
    latin = len(letters) > 1 and len(name) <= 20 and _LATIN_NAME.fullmatch(name)
    if not (latin or _CJK_NAME.fullmatch(name)):
        return Verdict(Status.REFERRED, "NAME_UNUSUAL")
    if phone_region(phone) not in HOME_REGIONS:
        return Verdict(Status.REFERRED, "PHONE_ABROAD")
    return Verdict(Status.ACTIVE)


def _is_drumming(letters: str) -> bool:
    """One letter again and again; two equal characters can be a Chinese name (丁丁)."""
    return len(set(letters)) == 1 and len(letters) >= (2 if letters.isascii() else 3)


def reason_text(reason: str | None, language: str) -> str | None:
    """A review's reason for a person; what staff wrote is returned as it is."""
    if reason not in REASONS:
        return reason
    en, zh = REASONS[reason]
    return zh if language.lower().startswith("zh") else en
