"""Verification codes: who may ask for which, to whom they go, and what the text message says."""

from __future__ import annotations

from domain.identity import CodePurpose

OPEN = frozenset({CodePurpose.REGISTER, CodePurpose.RESET_PASSWORD})
"""What anybody has sent, to any phone. Counted apart from the rest: a stranger who uses up the
texts of a phone (or of the city) must not keep its owner from signing in or paying."""

OWN = frozenset({CodePurpose.STEP_UP})
"""What a signed-in caller may ask for, for the own phone only."""

BOUND = frozenset(CodePurpose) - {CodePurpose.REGISTER} - OWN
"""What is sent within a request of its own (a login, a payment, a reset), bound to it."""

TO_KNOWN_PHONES = frozenset(CodePurpose) - {CodePurpose.REGISTER, CodePurpose.CHANGE_PHONE}
"""What is worth sending only if the phone is somebody's; the job that sends finds out."""

_ENDS = {
    CodePurpose.REGISTER: ("注册", "to register"),
    CodePurpose.LOGIN: ("登录", "to sign in"),
    CodePurpose.PAYMENT: ("确认付款", "to confirm a payment"),
    CodePurpose.RESET_PASSWORD: ("重置密码", "to reset your password"),
    CodePurpose.CHANGE_PHONE: ("更换手机号", "to change your phone number"),
    CodePurpose.STEP_UP: ("确认安全操作", "to confirm a security setting"),
}
_ZH = "【鹏城钱包】您的验证码是{code}，用于{end}，5分钟内有效。请勿告诉任何人，包括工作人员。"
_EN = "[Pengcheng Wallet] Your code {end} is {code}, valid for 5 minutes. Tell it to nobody."


def text(purpose: CodePurpose, code: str, *, language: str) -> str:
    """The message: it names what the code does, so that whoever is talked into telling it sees."""
    zh, en = _ENDS[purpose]
    if language.lower().startswith("zh"):
        return _ZH.format(code=code, end=zh)
    return _EN.format(code=code, end=en)
