"""Every expected *no* of the product, as one exception class each.

A service raises a refusal; the GraphQL face turns it into the error type of the same name, in the
caller's language. The class is the whole definition: its name gives the code, its docstring says
when it happens (clients read it in the schema), ``en`` and ``zh`` are the texts, and its annotated
attributes are extra facts the client gets (``attempts_left``), which may also be named in the
texts. Texts never contain what the caller sent.

``retryable`` means that the same call with the same key may succeed later, ``watched`` that it goes
into the security log wherever it is raised.
"""

from domain import closings
from domain.proofs import Method
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


class InsufficientFunds(Refusal):
    """The available balance doesn't cover the amount."""

    en = "Your available balance is not enough."
    zh = "可用余额不足。"


class AccountFrozen(Refusal):
    """The wallet is frozen: money can't leave it until it is unfrozen."""

    en = "This wallet is frozen. You can appeal in the app."
    zh = "钱包已被冻结，您可在应用内申诉。"


class DailyLimitExceeded(Refusal):
    """The amount would exceed the wallet's limit for today."""

    en = "This exceeds your limit for today."
    zh = "超出今日限额。"


class PayeeUnavailable(Refusal):
    """The one to be paid can't receive money at present."""

    en = "The recipient cannot receive money at the moment."
    zh = "收款方暂时无法收款。"


class PaymentNotPayable(Refusal):
    """The payment is no longer waiting for confirmation."""

    en = "This payment can no longer be confirmed."
    zh = "该付款已无法确认。"


class PaymentExpired(Refusal):
    """The payment wasn't confirmed in time."""

    en = "This payment has expired. Please start again."
    zh = "付款已过期，请重新发起。"


class ProofRequired(Refusal):
    """The caller has to prove identity for this; a proof is good once and for two minutes."""

    watched = True
    en = "Please confirm that it is you."
    zh = "请验证身份以确认操作。"


class ProofTooWeak(Refusal):
    """This way to prove identity isn't enough here; `sufficient` lists what is. Nothing was
    compared, and no try was spent."""

    watched = True
    en = "This needs a stronger confirmation: a passkey, or your payment PIN and a code."
    zh = "此操作需要更强的验证：通行密钥，或支付密码加短信验证码。"
    sufficient: list[Method]


class ChallengeInvalid(Refusal):
    """The challenge is unknown, too old, was used, or was made for something else; ask for a new
    one."""

    watched = True
    en = "This confirmation is no longer valid. Please start it again."
    zh = "验证已失效，请重新验证。"


class PasskeyInvalid(Refusal):
    """The passkey isn't known here, or its answer isn't right."""

    watched = True
    en = "This passkey could not be verified."
    zh = "通行密钥验证失败。"


class LastPasskey(Refusal):
    """It is the last passkey: without it, `remaining` is all that proves the caller's identity.
    Repeat with `acceptRemaining`."""

    en = "This is your last passkey. Afterwards you confirm with your PIN and codes by SMS only."
    zh = "这是您最后一个通行密钥。删除后只能使用支付密码和短信验证码。"
    remaining: list[Method]


class WrongPin(Refusal):
    """The payment PIN is wrong; `attemptsLeft` tries remain before it is locked."""

    watched = True
    en = "Wrong payment PIN. Attempts left: {attempts_left}."
    zh = "支付密码错误，还可尝试{attempts_left}次。"
    attempts_left: int


class PinLocked(Refusal):
    """The payment PIN is locked after too many wrong tries."""

    watched = True
    en = "Your payment PIN is locked after too many wrong attempts."
    zh = "支付密码输错次数过多，已被锁定。"


class PinNotSet(Refusal):
    """The caller has no payment PIN yet."""

    en = "Please set a payment PIN first."
    zh = "请先设置支付密码。"


class RefundNotPossible(Refusal):
    """The payment can't be refunded, or nothing of it is left to refund."""

    en = "This payment cannot be refunded."
    zh = "该笔付款无法退款。"


class RefundAlreadyDecided(Refusal):
    """Somebody decided this refund before."""

    en = "This refund has already been decided."
    zh = "该退款已审核完毕。"


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


class WrongCredentials(Refusal):
    """The phone number and password don't belong together, or the number is unknown."""

    watched = True
    en = "Wrong phone number or password."
    zh = "手机号或密码错误。"


class LoginChallengeInvalid(Refusal):
    """The login challenge is unknown, too old, used, or was tried too often; start again."""

    watched = True
    en = "This sign-in has expired. Please start again."
    zh = "本次登录已失效，请重新登录。"


class DeviceProofInvalid(Refusal):
    """The device is unknown or revoked, or the signature isn't its own over this challenge."""

    watched = True
    en = "This device could not be confirmed. Please use another way."
    zh = "无法确认此设备，请使用其他方式验证。"


class CodeInvalid(Refusal):
    """The verification code is wrong or was used before."""

    watched = True
    en = "The verification code is not correct."
    zh = "验证码错误。"


class CodeExpired(Refusal):
    """The verification code is too old, or was tried too often; ask for a new one."""

    watched = True
    en = "The verification code has expired. Please request a new one."
    zh = "验证码已失效，请重新获取。"


class PhoneTaken(Refusal):
    """The phone number, proved by its code, already belongs to a wallet."""

    en = "This phone number is already registered."
    zh = "该手机号已注册。"


class AccountNotActive(Refusal):
    """The registration isn't approved (yet), or the wallet is closed."""

    en = "Your registration has not been approved yet."
    zh = "您的注册尚未通过审核。"


class PasswordUnacceptable(Refusal):
    """The password is too short, too common, or resembles the caller's data."""

    en = "Please choose a stronger password."
    zh = "密码强度不足，请更换。"


class PasswordUnchanged(Refusal):
    """The new password is the old one."""

    en = "The new password must differ from the old one."
    zh = "新密码不能与原密码相同。"


class ResetProofInvalid(Refusal):
    """The request, its code or the second proof isn't right, or was tried too often; which of them
    is not told, nor whether anybody has the phone number."""

    watched = True
    en = "This could not be confirmed. Please check what you entered, or start again."
    zh = "验证未通过，请核对输入的信息或重新开始。"


class PhoneChangeInvalid(Refusal):
    """A code is wrong or too old, the change was used or tried too often, or the new number can't
    be had; which of them is not told."""

    watched = True
    en = "The number could not be changed. Please check both codes, or start again."
    zh = "未能更换手机号，请核对两个验证码或重新开始。"


class IdentityInvalid(Refusal):
    """Name and ID number aren't those that the city has reviewed for the caller."""

    watched = True
    en = "Name and ID number do not match our records."
    zh = "姓名与证件号码不符。"


class UnderAge(Refusal):
    """The applicant is younger than 16."""

    en = "Wallets are for people of 16 and older."
    zh = "年满16周岁方可开通钱包。"


class TooManyAccounts(Refusal):
    """The applicant's ID number has as many active wallets as a person may have."""

    en = "This ID number has as many wallets as a person may have."
    zh = "该证件号码名下的钱包数量已达上限。"


class IdentityKnown(Refusal):
    """The caller's name and ID number have been checked already."""

    en = "Your identity has been checked already."
    zh = "您的身份信息已通过认证。"


class IdentityUnderReview(Refusal):
    """What the caller handed in before is still being reviewed."""

    en = "Your identity is being reviewed. You will be told when that is done."
    zh = "您的身份信息正在审核，结果将另行通知。"


class RegistrationNotRejected(Refusal):
    """Only a rejected application can be corrected and handed in again."""

    en = "There is no rejected application to correct."
    zh = "没有需要更正的申请。"


class SessionInvalid(Refusal):
    """The refresh token is unknown, expired or revoked; sign in again."""

    watched = True
    en = "Your session has ended. Please sign in again."
    zh = "登录已失效，请重新登录。"


class CardRefused(Refusal):
    """The bank refused the card."""

    en = "The bank did not accept this card."
    zh = "银行未受理该银行卡。"


class BankUnavailable(Refusal):
    """The bank can't be reached; repeat the call with the same key."""

    retryable = True
    en = "The bank cannot be reached. Please try again later."
    zh = "暂时无法连接银行，请稍后再试。"


class QrUnreadable(Refusal):
    """The text isn't a code of this wallet, or it was damaged."""

    en = "This QR code cannot be read."
    zh = "无法识别该二维码。"


class MerchantNotFound(Refusal):
    """No active merchant belongs to this code."""

    en = "This merchant was not found."
    zh = "未找到该商户。"


class RecipientNotFound(Refusal):
    """No wallet that can receive transfers belongs to this phone number."""

    en = "No wallet was found for this phone number."
    zh = "该手机号未找到可收款的钱包。"


class SelfTransfer(Refusal):
    """Payer and recipient are the same wallet."""

    en = "You cannot send money to yourself."
    zh = "不能给自己转账。"


class StaleVersion(Refusal):
    """Somebody changed it in the meantime; read it again."""

    en = "This has changed in the meantime. Please reload."
    zh = "内容已被更新，请刷新后重试。"


class ConsentRequired(Refusal):
    """The account can't be without this consent: give it, or close the account."""

    en = "You need to agree to the terms of service and the privacy policy."
    zh = "须同意用户服务协议和隐私政策。"


class ExportUnderWay(Refusal):
    """A copy of the caller's data is being made already; only one is made at a time."""

    en = "A copy of your data is being made already. We tell you when it is ready."
    zh = "您的数据副本正在生成，完成后会通知您。"


class ClosingNotPossible(Refusal):
    """Something stands in the way of closing the account; `obstacles` names all of it."""

    en = "Your account cannot be closed yet: {obstacles}."
    zh = "账户暂时不能注销：{obstacles}。"
    obstacles: list[closings.Obstacle]

    def message(self, language: str) -> str:
        chinese = language.lower().startswith("zh")
        words = closings.in_words(self.params["obstacles"], chinese=chinese)
        return (self.zh if chinese else self.en).format(obstacles=words)


def every() -> tuple[type[Refusal], ...]:
    """All refusal classes, in the order of their definition."""
    return tuple(Refusal.__subclasses__())


def by_code(code: str) -> type[Refusal]:
    """The class of a code; KeyError if there is none."""
    return {refusal.code: refusal for refusal in every()}[code]
