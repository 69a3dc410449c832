"""Refusals of payments, transfers, top-ups and refunds."""

from domain.spoken import Refusal


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


class RefundNotPossible(Refusal):
    """The payment can't be refunded, or nothing of it is left to refund."""

    en = "This payment cannot be refunded."
    zh = "该笔付款无法退款。"


class RefundAlreadyDecided(Refusal):
    """Somebody decided this refund before."""

    en = "This refund has already been decided."
    zh = "该退款已审核完毕。"


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
