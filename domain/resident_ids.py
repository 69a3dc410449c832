"""Resident ID numbers of the mainland: eighteen characters with place, birth date and checksum."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import date

import stdnum.exceptions
from stdnum.cn import ric

AGE_MIN_YEARS = 16
AGE_ALONE_YEARS = 18
_AGE_MAX_YEARS = 130
_TYPED_MAX = 72
_NUMBER = re.compile(r"[0-9]{17}[0-9X]", re.ASCII)
# Provinces, and the places whose residents get numbers without one. Counties are not looked up:
# they come and go, and a number keeps the one of the day on which it was given out.
_PROVINCES = frozenset({
    *range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55),
    *range(61, 66), 71, 81, 82, 83,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class ResidentId:
    """A number whose checksum, province and date are right; that it is theirs, it can't say."""

    number: str = field(repr=False)
    born: date = field(repr=False)

    def age_years(self, today: date) -> int:
        """Whole years on a day of the city."""
        before_birthday = (today.month, today.day) < (self.born.month, self.born.day)
        return today.year - self.born.year - before_birthday

    def plausible(self, today: date) -> bool:
        """Whether somebody born then can be alive."""
        return self.born <= today and self.age_years(today) <= _AGE_MAX_YEARS


def parse(text: str) -> ResidentId | None:
    """The number with a capital X; full-width digits, spaces and a small x are understood."""
    if len(text) > _TYPED_MAX:
        return None
    plain = "".join(unicodedata.normalize("NFKC", text).split()).upper()
    if not _NUMBER.fullmatch(plain) or int(plain[:2]) not in _PROVINCES:
        return None
    if plain[-1] != ric.calc_check_digit(plain):
        return None
    try:
        return ResidentId(plain, ric.get_birth_date(plain))
    except stdnum.exceptions.ValidationError:
        return None


def masked(number: str) -> str:
    """``4****************X``: enough for its owner to recognise."""
    return f"{number[0]}{'*' * 16}{number[-1]}"
