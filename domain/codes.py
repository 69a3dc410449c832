"""Verification codes: who may ask for which, to whom they go, and what the message says."""

from __future__ import annotations

from domain.identity import CodePurpose

OPEN = frozenset({CodePurpose.REGISTER, CodePurpose.RESET_PASSWORD, CodePurpose.REPLACE_PHONE})
"""What anybody has sent, to any phone. Counted apart from the rest: a stranger who uses up the
texts of a phone (or of the city) must not keep its owner from signing in or paying."""

OWN = frozenset({CodePurpose.STEP_UP})
"""What a signed-in caller may ask for, for the own phone only."""

BOUND = frozenset(CodePurpose) - {CodePurpose.REGISTER} - OWN
"""What is sent within a request of its own (a login, a payment, a reset), bound to it."""

BY_MAIL = frozenset({CodePurpose.CONTACT_EMAIL})
"""What goes to a mail address instead of a phone. Counted apart: mails use up nobody's texts."""

TO_KNOWN_PHONES = (
    frozenset(CodePurpose)
    - {CodePurpose.REGISTER, CodePurpose.CHANGE_PHONE, CodePurpose.REPLACE_PHONE}
    - BY_MAIL
)
"""What is worth sending only if the phone is somebody's; the job that sends finds out."""

ASKERS = {
    "OPEN": OPEN,
    "KNOWN": frozenset(CodePurpose) - OPEN - BY_MAIL,
    "MAIL": BY_MAIL,
}
"""Purposes whose codes are counted together, by the name of their count over all recipients."""

OF_NEW_PHONE = "new phone "
"""How the subject begins of a code for a number that is to become somebody's. If it is somebody's
already, nothing is sent to it."""

_ENDS = {
    CodePurpose.REGISTER: ("注册", "to register"),
    CodePurpose.LOGIN: ("登录", "to sign in"),
    CodePurpose.PAYMENT: ("确认付款", "to confirm a payment"),
    CodePurpose.RESET_PASSWORD: ("重置密码", "to reset your password"),
    CodePurpose.CHANGE_PHONE: ("更换手机号", "to change your phone number"),
    CodePurpose.REPLACE_PHONE: ("将账户换绑到本机号码", "to move an account to this phone number"),
    CodePurpose.STEP_UP: ("确认安全操作", "to confirm a security setting"),
    CodePurpose.CONTACT_EMAIL: ("确认联系邮箱", "to confirm your contact e-mail address"),
}
_ZH = "【鹏城钱包】您的验证码是{code}，用于{end}，5分钟内有效。请勿告诉任何人，包括工作人员。"
_EN = "[Pengcheng Wallet] Your code {end} is {code}, valid for 5 minutes. Tell it to nobody."


_MAIL_ZH = ("鹏城钱包：确认联系邮箱", "如非本人操作，请忽略此邮件。")
_MAIL_EN = (
    "Pengcheng Wallet: confirm your e-mail address",
    "If you did not ask for it, ignore this mail.",
)


def asker(purpose: CodePurpose) -> str:
    """The name in ASKERS of what a purpose is counted with."""
    return next(name for name, purposes in ASKERS.items() if purpose in purposes)


def mail(purpose: CodePurpose, code: str, *, language: str) -> tuple[str, str]:
    """Subject and text of a mail with a code. The subject, which screens show, hasn't the code."""
    subject, end = _MAIL_ZH if language.lower().startswith("zh") else _MAIL_EN
    return subject, f"{text(purpose, code, language=language)}\n\n{end}"


def text(purpose: CodePurpose, code: str, *, language: str) -> str:
    """The message: it names what the code does, so that whoever is talked into telling it sees."""
    zh, en = _ENDS[purpose]
    if language.lower().startswith("zh"):
        return _ZH.format(code=code, end=zh)
    return _EN.format(code=code, end=en)
