"""Texts of notices: there for every kind, whole in both languages, whatever is known."""

from __future__ import annotations

from itertools import combinations

import pytest

from domain import notices
from domain.notices import NoticeKind

FACTS = {"amount": "¥12.50", "name": "张*丰", "reason": "证据不足"}


@pytest.mark.parametrize("kind", NoticeKind)
def test_every_kind_has_a_title_and_a_text_in_both_languages(kind: NoticeKind) -> None:
    zh_title, zh_text = notices.render(kind, FACTS, "zh-CN")
    en_title, en_text = notices.render(kind, FACTS, "en")

    assert len({zh_title, zh_text, en_title, en_text}) == 4
    assert zh_title
    assert zh_text.endswith(("。", "！"))
    assert en_title.isascii()
    assert en_text.rstrip().endswith((".", "。"))


@pytest.mark.parametrize("kind", NoticeKind)
@pytest.mark.parametrize("language", ["zh-CN", "en"])
def test_a_text_is_whole_whichever_facts_are_missing(kind: NoticeKind, language: str) -> None:
    for count in range(len(FACTS) + 1):
        for names in combinations(FACTS, count):
            title, text = notices.render(kind, {name: FACTS[name] for name in names}, language)
            assert "{" not in title + text
            assert "None" not in text
            assert "  " not in text


def test_what_staff_wrote_is_never_taken_for_a_template() -> None:
    facts = {"amount": "¥1.00", "reason": "{name} {0} %s"}

    _, text = notices.render(NoticeKind.REFUND_REJECTED, facts, "en")

    assert "{name} {0} %s" in text


def test_a_reason_is_a_sentence_in_either_language() -> None:
    zh = notices.render(NoticeKind.REFUND_REJECTED, FACTS, "zh-CN")[1]
    en = notices.render(NoticeKind.REFUND_REJECTED, FACTS | {"reason": "No proof"}, "en")[1]

    assert zh.endswith("原因：证据不足。")
    assert en.endswith("Reason: No proof.")
