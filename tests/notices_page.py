"""``python -m tests.notices_page`` writes the tables of docs/how-to/notices.md from the code."""

from __future__ import annotations

from pathlib import Path

from domain import notice_words
from domain.notices import (
    DEFAULT_CHANNELS,
    GROUP_OF,
    NoticeChannel,
    NoticeGroup,
    NoticeKind,
    changeable,
)

PAGE = Path(__file__).resolve().parent.parent / "docs" / "how-to" / "notices.md"
BEGIN, END = "<!-- written by tests/notices_page.py -->", "<!-- end -->"


def _switch(group: NoticeGroup, channel: NoticeChannel) -> str:
    usual = "on" if channel in DEFAULT_CHANNELS[group] else "off"
    return usual if changeable(group, channel) else f"always {usual}"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def tables() -> str:
    """Groups with their channels, then kinds with their examples, as Markdown."""
    lines = [_row("group", "app", "SMS", "push"), _row(*["---"] * 4)]
    for group in NoticeGroup:
        lines.append(_row(f"`{group}`", *(_switch(group, channel) for channel in NoticeChannel)))
    lines += ["", _row("kind", "group", "in the app", "by SMS"), _row(*["---"] * 4)]
    for kind in NoticeKind:
        for language in ("zh-CN", "en"):
            facts = notice_words.example_facts(language)
            title, text = notice_words.render(kind, facts, language)
            names = (f"`{kind}`", f"`{GROUP_OF[kind]}`") if language == "zh-CN" else ("", "")
            sms = notice_words.render_sms(kind, facts, language)
            lines.append(_row(*names, f"**{title}** {text}", sms))
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with its tables as they ought to be."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
