"""Refusals that any noun may have."""

from domain.spoken import Refusal, Spoken


class Denied(Spoken):
    """The base of the two answers that end a whole field instead of becoming data."""

    watched = True


class NotSignedIn(Denied):
    """The field needs a signed-in caller, and there is none."""

    code = "UNAUTHENTICATED"
    en = "Please sign in."
    zh = "请先登录。"


class NotPermitted(Denied):
    """The caller is known and may not do this."""

    code = "FORBIDDEN"
    en = "You are not allowed to do this."
    zh = "您没有权限进行此操作。"


class ElevationRequired(Denied):
    """The caller may do this, but only for a while after proving anew who they are."""

    en = "Please confirm who you are first (`elevate`)."
    zh = "请先重新验证身份，再进行此操作。"


class SecondFactorRequired(Denied):
    """The caller is staff, signed in without passkey or authenticator: until one is set up,
    nothing else is open; where one is set up already, by another sign-in only."""

    en = "Please set up an authenticator app or a passkey first, or sign in with yours."
    zh = "请先绑定身份验证器或通行密钥；已绑定的，请使用其重新登录。"


class InvalidInput(Refusal):
    """An input value is malformed or out of range; `path` names it. Doesn't use up the key."""

    en = "This value is not valid."
    zh = "输入内容有误。"

    def __init__(
        self, *, path: tuple[str, ...] | None = None, en: str | None = None, zh: str | None = None
    ) -> None:
        """A more exact text may be given, always in both languages."""
        if (en is None) != (zh is None):
            raise TypeError("an InvalidInput text is given in both languages or in none")
        super().__init__(path=path)
        if en is not None and zh is not None:
            # The text is final; braces in it are not placeholders.
            self.en = en.replace("{", "{{").replace("}", "}}")
            self.zh = zh.replace("{", "{{").replace("}", "}}")


class Overloaded(Refusal):
    """Too much is waiting, or the answer was lost. Repeat the call with the same key: with another
    key it might happen twice."""

    retryable = True
    en = "The service is busy. Please try again in a moment."
    zh = "系统繁忙，请稍后再试。"


class RateLimited(Refusal):
    """Too many tries in a short time; allowed again after `retryAfterSeconds`."""

    watched = True
    retryable = True
    en = "Too many attempts. Please try again in {retry_after_seconds} seconds."
    zh = "操作过于频繁，请在{retry_after_seconds}秒后再试。"
    retry_after_seconds: int


class IdempotencyKeyReused(Refusal):
    """The idempotency key was used before with different input."""

    en = "This request key was already used for something else."
    zh = "该请求编号已被用于其他操作。"


class ReviewerIsParty(Refusal):
    """The reviewer is a party to the matter; somebody else has to decide."""

    watched = True
    en = "You are a party to this and cannot decide it."
    zh = "您是当事方，不能审核此事项。"


class NoticeMandatory(Refusal):
    """Notices in the app, and those about security, can't be switched off."""

    en = "This kind of notice cannot be switched off."
    zh = "这类通知不能关闭。"


class NotFound(Refusal):
    """There is no such thing, or it isn't the caller's: the answer is the same."""

    en = "Not found."
    zh = "未找到。"


class StaleVersion(Refusal):
    """Somebody changed it in the meantime; read it again."""

    en = "This has changed in the meantime. Please reload."
    zh = "内容已被更新，请刷新后重试。"
