"""Texts of notices: there for every kind, whole in both languages, whatever is known."""

from __future__ import annotations

import re
from itertools import combinations

import pytest

from domain import notice_texts, notice_words, notices
from domain.notices import NoticeChannel, NoticeGroup, NoticeKind
from tests import notices_page

FACTS = {"amount": "¥12.50", "name": "张*丰", "reason": "证据不足"}


@pytest.mark.parametrize("kind", NoticeKind)
def test_every_kind_has_a_title_and_a_text_in_both_languages(kind: NoticeKind) -> None:
    zh_title, zh_text = notice_words.render(kind, FACTS, "zh-CN")
    en_title, en_text = notice_words.render(kind, FACTS, "en")

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
            title, text = notice_words.render(kind, {name: FACTS[name] for name in names}, language)
            assert "{" not in title + text
            assert "None" not in text
            assert "  " not in text


def test_what_staff_wrote_is_never_taken_for_a_template() -> None:
    facts = {"amount": "¥1.00", "reason": "{name} {0} %s"}

    _, text = notice_words.render(NoticeKind.REFUND_REJECTED, facts, "en")

    assert "{name} {0} %s" in text


def test_a_reason_is_a_sentence_in_either_language() -> None:
    zh = notice_words.render(NoticeKind.REFUND_REJECTED, FACTS, "zh-CN")[1]
    en = notice_words.render(NoticeKind.REFUND_REJECTED, FACTS | {"reason": "No proof"}, "en")[1]

    assert zh.endswith("原因：证据不足。")
    assert en.endswith("Reason: No proof.")


TEMPLATES = [
    (kind, text)
    for kind in NoticeKind
    for text in (*notice_texts.TEXTS[kind], *notice_texts.SHORT_TEXTS.get(kind, ()))
]


@pytest.mark.parametrize("kind", NoticeKind)
def test_every_kind_is_in_exactly_one_group(kind: NoticeKind) -> None:
    assert sum(kind in kinds for kinds in notices.GROUPS.values()) == 1


def test_what_is_about_security_always_goes_by_sms_and_cannot_be_muted() -> None:
    assert notices.GROUPS[NoticeGroup.SECURITY] == notices.SECURITY_KINDS
    assert NoticeChannel.SMS in notices.DEFAULT_CHANNELS[NoticeGroup.SECURITY]
    for channel in NoticeChannel:
        assert not notices.changeable(NoticeGroup.SECURITY, channel)
    for group in NoticeGroup:
        assert NoticeChannel.APP in notices.DEFAULT_CHANNELS[group]
        assert not notices.changeable(group, NoticeChannel.APP)


def test_templates_carry_amounts_masked_names_and_reasons_only() -> None:
    """No place for a balance, or for the number of a phone, a card or an identity card."""
    assert notice_words.PLACEHOLDERS.keys() == {"amount", "name", "device", "reason"}, (
        "say why it is harmless"
    )
    for kind, text in TEMPLATES:
        assert notice_words.placeholders(text) <= notice_words.PLACEHOLDERS.keys(), kind
        assert not re.search(r"\d{4}", text), kind
        assert "{" not in re.sub(r"\{[a-z]+\}", "", text), "no attribute, index or format"


@pytest.mark.parametrize("kind", NoticeKind)
@pytest.mark.parametrize("language", ["zh-CN", "en"])
def test_every_kind_has_an_example_and_it_holds_no_long_number(
    kind: NoticeKind, language: str
) -> None:
    facts = notice_words.example_facts(language)
    title, text = notice_words.render(kind, facts, language)
    sms = notice_words.render_sms(kind, facts, language)

    for shown in (title, text, sms, *notice_words.render_short(kind, facts, language)):
        assert shown
        assert "{" not in shown
        assert not re.search(r"\d{5}", shown)
    assert sms.startswith("【鹏城钱包】" if language == "zh-CN" else "[Pengcheng Wallet] ")
    assert len(sms) <= 210, "three parts of a Chinese text message"


@pytest.mark.parametrize("kind", NoticeKind)
def test_what_staff_wrote_does_not_leave_the_app(kind: NoticeKind) -> None:
    for language in ("zh-CN", "en"):
        facts = {**FACTS, "reason": "写给本人的话"}
        assert "写给本人的话" not in notice_words.render_sms(kind, facts, language)
        assert "写给本人的话" not in "".join(notice_words.render_short(kind, facts, language))


@pytest.mark.parametrize(
    "number",
    [
        "11010519491231002X",
        "6222 0200 1234 5678",
        "13800138000",
        "138-0013-8000",
        "+86 13800138000",
    ],
)
def test_long_numbers_that_staff_wrote_are_struck_out(number: str) -> None:
    reason = f"证件{number}不符，2026-11-20 12:30，金额12.50"
    for kind in (NoticeKind.REFUND_REJECTED, NoticeKind.REGISTRATION_REJECTED):
        text = notice_words.render(kind, {"reason": reason}, "zh-CN")[1]
        assert text.endswith("原因：证件***不符，2026-11-20 12:30，金额12.50。")


def test_the_page_about_notices_says_what_the_code_says() -> None:
    text = notices_page.PAGE.read_text(encoding="utf-8")
    assert text == notices_page.page(text), "run: .venv/bin/python -m tests.notices_page"
