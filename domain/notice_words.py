"""The words of a notice: what its template may name, and the text made of it, per channel."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass

from domain.notice_texts import SHORT_TEXTS, TEXTS
from domain.notices import NoticeKind


@dataclass(frozen=True, slots=True)
class Placeholder:
    """What a template may name: Chinese and English examples, and words for when it is unknown."""

    examples: tuple[str, str]
    unknown: tuple[str, str]


PLACEHOLDERS: dict[str, Placeholder] = {
    # One movement's amount, as printed money; never what is left afterwards.
    "amount": Placeholder(("¥12.50", "¥12.50"), ("一笔款项", "an amount")),
    # The other party as far as it may be shown: a shop, or a masked person.
    "name": Placeholder(("张*丰", "张*丰"), ("对方", "the other party")),
    # A kind of device, never what whoever enrolled it has called it.
    "device": Placeholder(("安卓手机", "Android phone"), ("未知设备", "of an unknown kind")),
    # A rule's sentence or what staff wrote, with long numbers struck out; in the app only.
    "reason": Placeholder(("资料不清晰", "The data could not be read"), ("", "")),
}
"""All that a text can carry. Balances, numbers of cards, papers and phones have no place here."""

_SIGNED = ("【鹏城钱包】", "[Pengcheng Wallet] ")
# Phones, cards and papers have eleven digits or more, however they are grouped; dates have fewer.
_LONG_NUMBER = re.compile(r"\+?\d(?:[ -]?\d){10,}[Xx]?")


def render(kind: NoticeKind, facts: Mapping[str, str], language: str) -> tuple[str, str]:
    """Title and text in a language, for the app. ``facts``: by PLACEHOLDERS, each if known."""
    chinese = _chinese(language)
    zh_title, zh_text, en_title, en_text = TEXTS[kind]
    words = _words(facts, chinese=chinese)
    return (zh_title, zh_text.format(**words)) if chinese else (en_title, en_text.format(**words))


def render_short(kind: NoticeKind, facts: Mapping[str, str], language: str) -> tuple[str, str]:
    """Title and text in a language, for a push message."""
    chinese = _chinese(language)
    if kind not in SHORT_TEXTS:
        return render(kind, facts, language)
    title = TEXTS[kind][0 if chinese else 2]
    return title, SHORT_TEXTS[kind][0 if chinese else 1].format(**_words(facts, chinese=chinese))


def render_sms(kind: NoticeKind, facts: Mapping[str, str], language: str) -> str:
    """The text message in a language: who writes, and the short text."""
    return _SIGNED[0 if _chinese(language) else 1] + render_short(kind, facts, language)[1]


def placeholders(text: str) -> set[str]:
    """The names that a template asks for."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def example_facts(language: str) -> dict[str, str]:
    """Facts of which every text can be made, to look at."""
    at = 0 if _chinese(language) else 1
    return {name: known.examples[at] for name, known in PLACEHOLDERS.items()}


def _chinese(language: str) -> bool:
    return language.lower().startswith("zh")


def _words(facts: Mapping[str, str], *, chinese: bool) -> dict[str, str]:
    at = 0 if chinese else 1
    words = {name: facts.get(name) or known.unknown[at] for name, known in PLACEHOLDERS.items()}
    return words | {"reason": _reason(facts.get("reason"), chinese=chinese)}


def _reason(reason: str | None, *, chinese: bool) -> str:
    if not reason:
        return ""
    shown = _LONG_NUMBER.sub("***", reason)
    ended = shown if shown[-1] in "。.!！?？" else shown + ("。" if chinese else ".")
    return f"原因：{ended}" if chinese else f" Reason: {ended}"
