"""What every input has to be before it goes further; InvalidInput names the field at fault."""

from __future__ import annotations

import hashlib
import unicodedata

from domain.refusals import InvalidInput

KEY_LENGTH_MAX = 128
AMOUNT_MAX_MINOR = 10**12


def check_key(key: str) -> str:
    """An idempotency key: 1 to 128 printable characters."""
    if not 1 <= len(key) <= KEY_LENGTH_MAX or not key.isprintable():
        raise InvalidInput(
            path=("input", "idempotencyKey"),
            en="The request key must have 1 to 128 printable characters.",
            zh="请求编号须为1至128个可见字符。",
        )
    return key


def derived_key(key: str, step: str) -> str:
    """The key of a further step of the call with this key; no longer than a key may be."""
    return f"{step}:{hashlib.sha256(key.encode()).hexdigest()}"


def check_amount(amount_minor: int, *path: str) -> int:
    """A sane amount: far above every limit of the city, far below what numbers can hold."""
    if not 0 < amount_minor <= AMOUNT_MAX_MINOR:
        raise InvalidInput(path=path, en="The amount is out of range.", zh="金额超出范围。")
    return amount_minor


def short_text(text: str | None, *path: str, length_max: int) -> str | None:
    """A user's own words, trimmed; None when nothing is left. Newlines are its only controls."""
    trimmed = (text or "").strip()
    if len(trimmed) > length_max or any(_unreadable(character) for character in trimmed):
        raise InvalidInput(
            path=path,
            en=f"The text must be readable and have at most {length_max} characters.",
            zh=f"内容须为可读文字，且不超过{length_max}个字符。",
        )
    return trimmed or None


def needed_text(text: str, *path: str, length_max: int) -> str:
    """The same, and something has to be left."""
    kept = short_text(text, *path, length_max=length_max)
    if kept is None:
        raise InvalidInput(path=path, en="Please write something here.", zh="请填写此项。")
    return kept


def _unreadable(character: str) -> bool:
    return character != "\n" and unicodedata.category(character) in ("Cc", "Cs", "Cn")
