"""Which passwords are good enough: long, not common, and nothing that everybody knows of the owner.

No rule about kinds of characters, and no end after a time: both make people choose worse.
"""

from __future__ import annotations

import importlib.util
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

LENGTH_MIN = 8
LENGTH_MAX = 128
REMINDED_AFTER_DAYS = 365
# NFKC takes time by the square of a pile of accents, so nothing long is ever normalised; this
# many characters as typed may become one.
_TYPED_MAX = 4
_PHONE_DIGITS_MIN = 8
_NAME_PART_MIN = 4
# What may hang on to a common password without making it another: "monkey2026", "dragon!".
_TRIMMED_MAX = 4
# fmt: off
_COMMON_HERE = frozenset({
    "password", "password1", "password123", "passw0rd", "p@ssw0rd", "p@ssword", "12345678",
    "123456789", "1234567890", "87654321", "987654321", "11223344", "12341234", "123123123",
    "147258369", "123qweasd", "1q2w3e4r", "1q2w3e4r5t", "1qaz2wsx", "1qazxsw2", "qwertyuiop",
    "qwerty123", "qwerty12", "asdfghjkl", "zxcvbnm123", "q1w2e3r4", "qazwsxedc", "iloveyou",
    "iloveyou1", "woaini1314", "woaini520", "5201314520", "woaiwojia", "abc12345", "abcd1234",
    "a1234567", "a12345678", "a123456789", "aa123456", "aa12345678", "qq123456", "admin123",
    "administrator", "welcome1", "welcome123", "letmein1", "letmein123", "sunshine", "princess",
    "football", "baseball", "superman", "trustno1", "changeme", "changeme123", "default123",
    "shenzhen", "shenzhen123", "pengcheng", "pengcheng123", "wallet123", "woaini", "wodemima",
    "我爱你我爱你", "一二三四五六七八", "我的密码我的密码",
})
# fmt: on


@dataclass(frozen=True, slots=True)
class Owner:
    """What others may know of whoever chooses a password. ``phone`` in E.164."""

    name: str = field(repr=False)
    phone: str = field(repr=False)
    id_number: str | None = field(default=None, repr=False)


def normalised(password: str) -> str | None:
    """The password as it counts (NFKC), or None if it is too short or too long."""
    if len(password) > LENGTH_MAX * _TYPED_MAX:
        return None
    plain = unicodedata.normalize("NFKC", password)
    return plain if LENGTH_MIN <= len(plain) <= LENGTH_MAX else None


def acceptable(password: str, owner: Owner | None) -> bool:
    """8 to 128 characters of any script, not common, no run, nothing known of its owner.

    ``owner`` is None as long as nobody has proven to be one.
    """
    plain = normalised(password)
    if plain is None:
        return False
    lowered = plain.casefold()
    return (
        not _is_common(lowered)
        and len(set(lowered)) >= 4
        and not is_run(lowered)
        and not any(part in lowered for part in (_known_of(owner) if owner is not None else ()))
    )


def is_run(text: str) -> bool:
    """Each character one above the other, or each one below; 9 and 0 are neighbours."""
    steps = {ord(b) - ord(a) for a, b in pairwise(text)}
    return steps in ({1}, {-1}) or steps == {1, -9} or steps == {-1, 9}


def _is_common(lowered: str) -> bool:
    bare = lowered.rstrip("0123456789!@#$%^&*._- ")
    forms = {lowered, bare} if len(lowered) - len(bare) <= _TRIMMED_MAX else {lowered}
    return not forms.isdisjoint(_COMMON_HERE) or not forms.isdisjoint(_common_everywhere())


def _known_of(owner: Owner) -> set[str]:
    digits = owner.phone.removeprefix("+")
    name = owner.name.casefold()
    parts = {part for part in name.replace("·", " ").split() if len(part) >= _NAME_PART_MIN}
    known = {digits[-_PHONE_DIGITS_MIN:], *parts} - {""}
    if len(name) >= 2:
        known |= {name, name.replace(" ", "")}
    if owner.id_number is not None:
        known |= {owner.id_number.casefold(), owner.id_number[6:14]}
    return known


@lru_cache(maxsize=1)
def _common_everywhere() -> frozenset[str]:
    """zxcvbn's 30,000 commonest passwords, read at the first use.

    The list's module is loaded by itself: importing the package would also build dictionaries of
    films and surnames, and keep them.
    """
    package = importlib.util.find_spec("zxcvbn")
    assert package is not None
    assert package.submodule_search_locations
    path = Path(package.submodule_search_locations[0]) / "frequency_lists.py"
    spec = importlib.util.spec_from_file_location("zxcvbn_frequency_lists", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return frozenset(module.FREQUENCY_LISTS["passwords"])
