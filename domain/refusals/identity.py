"""Refusals about who somebody is, what proves it, and their account."""

from domain import closings
from domain.proofs import Method
from domain.spoken import Refusal


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


class SecondFactorTooWeak(Refusal):
    """Staff who have a passkey or an authenticator sign in by it; nothing weaker will do."""

    watched = True
    en = "Please sign in with your passkey or authenticator app."
    zh = "请使用通行密钥或身份验证器登录。"


class LastSecondFactor(Refusal):
    """It is the last second factor of a member of staff: set up another one before."""

    en = "This is your last second factor. Set up another one first."
    zh = "这是您唯一的第二验证方式，请先绑定其他方式。"


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


class NoPhoneNumber(Refusal):
    """The account has let go of its number, whose new holder has it now; move the account to
    another one by `requestPhoneReplacement`."""

    en = "Your account has no phone number. Set a new one first."
    zh = "您的账户尚无手机号，请先换绑新号码。"


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
    """A code is wrong or too old, the change was used or tried too often, whose account it is was
    not shown, or the new number can't be had; which of them is not told."""

    watched = True
    en = "The number could not be changed. Please check what you entered, or start again."
    zh = "未能更换手机号，请核对输入的信息或重新开始。"


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


class WalletInUse(Refusal):
    """The person has a wallet with a history; staff need an account of their own for their work."""

    en = "This account has a wallet in use. Staff need an account of their own."
    zh = "该账户的钱包已有交易，工作人员须使用单独的账户。"


class SecondPersonNeeded(Refusal):
    """Whoever proposed it can't confirm it; somebody else has to."""

    watched = True
    en = "Somebody else has to confirm this."
    zh = "须由另一位管理员确认。"


class TotpInvalid(Refusal):
    """The authenticator's code is wrong, too old, or was used before."""

    watched = True
    en = "The authenticator code is not correct."
    zh = "动态验证码错误或已使用。"


class TotpNotSet(Refusal):
    """There is no authenticator, or it isn't confirmed yet."""

    en = "There is no authenticator to use."
    zh = "尚未绑定身份验证器。"


class TotpAlreadySet(Refusal):
    """There is an authenticator already; only an ADMIN can remove it."""

    en = "An authenticator is set up already."
    zh = "已绑定身份验证器。"
