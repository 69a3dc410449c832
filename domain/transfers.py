"""Sending money to another resident: how much of the other's name one may see before."""

from __future__ import annotations

MEMO_LENGTH_MAX = 100
PREVIEWS_HOURLY_MAX = 20
TRANSFERS_HOURLY_MAX = 60  # a transfer tells as much about a phone number as a preview does


def masked_name(name: str) -> str:
    """Enough to recognise somebody one knows, too little to learn who somebody is.

    張三豐 → 張*豐, 张三 → 张*, John Smith → J*** S****. Words are told apart by blanks and dots; a
    word in an alphabet keeps its first letter, a name in characters its first and last.
    """
    words = name.replace("·", " ").replace("•", " ").split()[:5]
    if not words:
        return "*"
    if len(words) == 1 and not words[0].isascii():
        return _ends_of(words[0])
    return " ".join(word[0] + "*" * max(len(word) - 1, 1) for word in words)


def _ends_of(name: str) -> str:
    if len(name) <= 2:
        return name[0] + "*"
    return name[0] + "*" * (len(name) - 2) + name[-1]
