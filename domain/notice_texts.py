"""The texts of notices, in Chinese and English, as templates for `domain.notice_words`."""

from __future__ import annotations

from domain.notices import NoticeKind

# Chinese title and text, English title and text. {device} is a kind of device: never the name that
# whoever enrolled it has chosen, which would put a stranger's words into our texts.
TEXTS: dict[NoticeKind, tuple[str, str, str, str]] = {
    NoticeKind.REGISTRATION_APPROVED: (
        "注册成功",
        "您的注册申请已通过，钱包可以使用了。",
        "Registration approved",
        "Your registration has been approved. Your wallet is ready.",
    ),
    NoticeKind.REGISTRATION_REFERRED: (
        "注册审核中",
        "您的注册申请正在人工审核。{reason}",
        "Registration under review",
        "Your registration is being reviewed by our staff.{reason}",
    ),
    NoticeKind.REGISTRATION_REJECTED: (
        "注册未通过",
        "您的注册申请未通过审核。{reason}",
        "Registration not approved",
        "Your registration has not been approved.{reason}",
    ),
    NoticeKind.IDENTITY_APPROVED: (
        "身份认证成功",
        "您的身份信息已通过认证。",
        "Identity confirmed",
        "Your name and ID number have been confirmed.",
    ),
    NoticeKind.IDENTITY_REFERRED: (
        "身份认证审核中",
        "您的身份信息正在人工审核，钱包可照常使用。{reason}",
        "Identity under review",
        "Your identity is being reviewed by our staff. Your wallet works as before.{reason}",
    ),
    NoticeKind.IDENTITY_REJECTED: (
        "身份认证未通过",
        "您的身份信息未通过认证，可更正后重新提交。{reason}",
        "Identity not confirmed",
        "Your identity has not been confirmed. Correct it and hand it in again.{reason}",
    ),
    NoticeKind.PASSWORD_CHANGED: (
        "登录密码已修改",
        "您的登录密码已修改，其他设备已退出登录。如非本人操作，请立即冻结钱包并联系客服。",
        "Password changed",
        "Your login password was changed, and other devices were signed out. If it wasn't you, "
        "freeze your wallet at once and call us.",
    ),
    NoticeKind.PASSWORD_RESET: (
        "登录密码已重置",
        "您的登录密码已通过“忘记密码”重置，所有设备已退出登录，24小时内转出金额受限。如非本人操作，请立即联系客服。",
        "Password reset",
        "Your login password was reset by “forgotten password”. All devices were signed out, and "
        "little can leave your wallet for 24 hours. If it wasn't you, call our hotline at once.",
    ),
    NoticeKind.PIN_SET: (
        "支付密码已设置",
        "您的账户已设置支付密码，可用于付款。如非本人操作，请立即冻结钱包并更改登录密码。",
        "Payment PIN set",
        "Your account has a payment PIN now, by which payments are confirmed. If it wasn't you, "
        "freeze your wallet and change your password at once.",
    ),
    NoticeKind.PIN_CHANGED: (
        "支付密码已更换",
        "您的支付密码已更换。如非本人操作，请立即冻结钱包并更改登录密码。",
        "Payment PIN changed",
        "Your payment PIN was replaced. If it wasn't you, freeze your wallet and change your "
        "password at once.",
    ),
    NoticeKind.PHONE_CHANGED: (
        "手机号已更换",
        "您的账户已更换手机号，其他设备已退出登录，24小时内转出金额受限。如非本人操作，请立即联系客服。",
        "Phone number changed",
        "Your account has another phone number now. Other devices were signed out, and little can "
        "leave your wallet for 24 hours. If it wasn't you, call our hotline at once.",
    ),
    NoticeKind.RECOVERY_REQUESTED: (
        "有人申请找回您的账户",
        "有人申请由工作人员协助找回您的账户或换绑手机号，工作人员将审核。如非本人操作，请立即在应用中提出异议。",
        "Somebody asks to recover your account",
        "Somebody has asked our staff for help to get into your account, or to move it to another "
        "phone number. If it wasn't you, object in the app at once.",
    ),
    NoticeKind.RECOVERY_APPROVED: (
        "账户找回申请已通过",
        "找回账户的申请已由两名工作人员通过。如非本人操作，请立即在应用中提出异议。",
        "Account recovery approved",
        "Two members of our staff have approved the request to recover your account. If it wasn't "
        "yours, object in the app at once.",
    ),
    NoticeKind.RECOVERY_REJECTED: (
        "账户找回申请未通过",
        "找回账户的申请未通过审核。如有疑问，请联系客服。",
        "Account recovery not approved",
        "The request to recover your account was not approved. Call our hotline with questions.",
    ),
    NoticeKind.NUMBER_RELEASE_REQUESTED: (
        "有人申请释放您的手机号",
        "您手机号的新持有人申请将该号码从您的账户中移除，工作人员将审核，三天后生效。如您仍在使用该号码，请立即在应用中提出异议；否则请换绑新号码。",
        "Somebody else has your phone number",
        "Whoever holds your number now asks that your account let go of it. Staff will decide; it "
        "takes three days. If you still use it, object in the app; if not, set a new number.",
    ),
    NoticeKind.NUMBER_RELEASE_APPROVED: (
        "释放手机号的申请已通过",
        "将该手机号从原账户中移除的申请已由两名工作人员通过，自申请三天后新持有人可以注册。如您仍在使用该号码，请立即在应用中提出异议。",
        "Release of your number approved",
        "Two members of our staff have approved that your account let go of its number, three days "
        "after the request. If you still use it, object in the app at once.",
    ),
    NoticeKind.NUMBER_RELEASE_REJECTED: (
        "释放手机号的申请未通过",
        "将该手机号从原账户中移除的申请未通过审核。如有疑问，请联系客服。",
        "Release of your number not approved",
        "The request to take this number from its account was not approved. Call our hotline with "
        "questions.",
    ),
    NoticeKind.NUMBER_RELEASED: (
        "手机号已从您的账户中移除",
        "您原来的手机号已由新持有人使用，不再属于您的账户。您的余额和记录不变；请尽快换绑新手机号。",
        "Your account has no phone number now",
        "Your former number belongs to somebody else now. Your balance and history are as they "
        "were. Please set a new number soon.",
    ),
    NoticeKind.PASSWORD_REMINDER: (
        "登录密码提醒",
        "您的登录密码已使用一年。如果您在别处也用了它，或可能有人知道，请更换；否则无需修改。",
        "About your password",
        "You have had your login password for a year. Change it if you use it elsewhere too, or "
        "somebody may know it; otherwise there is no need to.",
    ),
    NoticeKind.CONTACT_EMAIL_CHANGED: (
        "联系邮箱已变更",
        "您账户的联系邮箱已变更或移除。如非本人操作，请立即修改登录密码并联系客服。",
        "Contact e-mail changed",
        "The contact e-mail address of your account was changed or removed. If it wasn't you, "
        "change your password at once and call us.",
    ),
    NoticeKind.PAYMENT_SUCCEEDED: (
        "付款成功",
        "您已向{name}付款{amount}。",
        "Payment successful",
        "You paid {amount} to {name}.",
    ),
    NoticeKind.PAYMENT_RECEIVED: (
        "收款到账",
        "收到{name}付款{amount}。",
        "Payment received",
        "You received a payment of {amount} from {name}.",
    ),
    NoticeKind.TRANSFER_SENT: (
        "转账成功",
        "您已向{name}转账{amount}。",
        "Transfer sent",
        "You sent {amount} to {name}.",
    ),
    NoticeKind.TRANSFER_RECEIVED: (
        "转账到账",
        "{name}向您转账{amount}。",
        "Transfer received",
        "You received {amount} from {name}.",
    ),
    NoticeKind.TOP_UP_SUCCEEDED: (
        "充值成功",
        "充值{amount}已到账。",
        "Top-up successful",
        "Your top-up of {amount} has arrived.",
    ),
    NoticeKind.TOP_UP_FAILED: (
        "充值失败",
        "充值{amount}未成功，钱包余额没有变化。",
        "Top-up failed",
        "Your top-up of {amount} did not go through. Your balance has not changed.",
    ),
    NoticeKind.REFUND_REQUESTED: (
        "退款申请已提交",
        "您的{amount}退款申请已提交，将在1至3个工作日内审核。",
        "Refund requested",
        "Your refund request for {amount} was received. It is reviewed within 1 to 3 working days.",
    ),
    NoticeKind.REFUND_APPROVED: (
        "退款已通过",
        "您的{amount}退款申请已通过。{reason}",
        "Refund approved",
        "Your refund request for {amount} has been approved.{reason}",
    ),
    NoticeKind.REFUND_REJECTED: (
        "退款未通过",
        "您的{amount}退款申请未通过。{reason}",
        "Refund not approved",
        "Your refund request for {amount} has not been approved.{reason}",
    ),
    NoticeKind.REFUND_CREDITED: (
        "退款到账",
        "{amount}退款已退回您的钱包。",
        "Refund received",
        "Your refund of {amount} has been returned to your wallet.",
    ),
    NoticeKind.REFUND_DEBITED: (
        "退款支出",
        "已向{name}退款{amount}。",
        "Refund paid out",
        "{amount} was refunded to {name}.",
    ),
    NoticeKind.WALLET_FROZEN: (
        "钱包已冻结",
        "为保护您的资金，钱包已被冻结，暂时不能付款或转账。{reason}如有异议，可在应用的"
        "“安全”页面提交申诉，工作人员会尽快处理。",
        "Wallet frozen",
        "To protect your money, your wallet has been frozen: it cannot pay or send money for "
        "now.{reason} If you disagree, appeal on the “Security” page of the app; our staff will "
        "look at it soon.",
    ),
    NoticeKind.WALLET_UNFROZEN: (
        "钱包已解冻",
        "您的钱包已恢复正常使用。{reason}",
        "Wallet unfrozen",
        "Your wallet works again.{reason}",
    ),
    NoticeKind.WALLET_FROZEN_BY_OWNER: (
        "您已冻结钱包",
        "您的钱包已按您的要求冻结，资金不会转出。如非本人操作，请立即联系客服。",
        "You froze your wallet",
        "Your wallet has been frozen as you asked: no money leaves it. If this was not you, call "
        "our hotline at once.",
    ),
    NoticeKind.WALLET_UNFROZEN_BY_OWNER: (
        "您已解冻钱包",
        "您的钱包已恢复正常使用。如非本人操作，请立即再次冻结并联系客服。",
        "You unfroze your wallet",
        "Your wallet works again. If this was not you, freeze it again and call our hotline.",
    ),
    NoticeKind.NEW_DEVICE: (
        "新设备登录",
        "您的账户已在新设备（{device}）上登录。如非本人操作，请立即移除该设备并修改登录密码。",
        "New device",
        "Your account was signed in to on a new device ({device}). If this wasn't you, remove the "
        "device and change your password now.",
    ),
    NoticeKind.DEVICE_REVOKED: (
        "设备已移除",
        "一台设备（{device}）已从您的账户移除并退出登录。",
        "Device removed",
        "A device ({device}) was removed from your account and signed out.",
    ),
    NoticeKind.SESSION_MISUSED: (
        "登录异常",
        "您的一次登录凭证被重复使用，可能已被他人获取，我们已将其注销。请重新登录，并检查您的设备列表。",
        "A session was ended",
        "A sign-in of yours was used twice, so somebody may have copied it. We ended it. Please "
        "sign in again and look at the list of your devices.",
    ),
    NoticeKind.SIGNED_OUT_BY_STAFF: (
        "您已被退出登录",
        "为保障您的账户安全，工作人员已将您的账户在所有设备上退出登录。请重新登录；如有疑问，请联系客服。",
        "You were signed out",
        "For your safety our staff signed you out everywhere. Please sign in again; if in doubt, "
        "call our hotline.",
    ),
    NoticeKind.PASSKEY_ADDED: (
        "已添加通行密钥",
        "您的账户添加了一个新的通行密钥。如非本人操作，请立即冻结钱包并更改密码。",
        "Passkey added",
        "A new passkey was added to your account. If it wasn't you, freeze your wallet and change "
        "your password at once.",
    ),
    NoticeKind.PASSKEY_REMOVED: (
        "已删除通行密钥",
        "您账户的一个通行密钥已被删除。如非本人操作，请立即冻结钱包并更改密码。",
        "Passkey removed",
        "A passkey was removed from your account. If it wasn't you, freeze your wallet and change "
        "your password at once.",
    ),
    NoticeKind.PASSKEY_REFUSED: (
        "通行密钥被拒绝",
        "您的一个通行密钥未通过校验，可能已被复制。请删除该通行密钥后重新添加。",
        "Passkey refused",
        "One of your passkeys was refused: it may have been copied. Remove it and add it again.",
    ),
    NoticeKind.DATA_EXPORT_READY: (
        "数据副本已生成",
        "您申请的个人数据副本已生成，请在24小时内下载。如非本人操作，请立即修改密码并联系客服。",
        "Your data is ready",
        "The copy of your data that you asked for is ready for 24 hours. If this was not you, "
        "change your password at once and call our hotline.",
    ),
    NoticeKind.CLOSING_REQUESTED: (
        "账户将在7天后注销",
        "您已申请注销账户。7天内重新登录即可取消；之后账户将注销，且无法恢复。",
        "Your account will be closed in 7 days",
        "You asked to close your account. Sign in anew within 7 days to cancel that; afterwards "
        "it is closed for good.",
    ),
    NoticeKind.CLOSING_CANCELLED: (
        "已取消注销",
        "账户注销已取消，您可以照常使用钱包。",
        "Closing cancelled",
        "Your account stays open. You can use your wallet as before.",
    ),
    NoticeKind.CLOSING_STOPPED: (
        "账户未能注销",
        "账户中仍有资金或未完结的事项，因此未能注销。处理完毕后可重新申请。",
        "Your account was not closed",
        "There is money or unfinished business in your account, so it was not closed. You can ask "
        "again once that is settled.",
    ),
    NoticeKind.STAFF_ROLE_CHANGED: (
        "工作身份已变更",
        "您在鹏城钱包的工作身份已由管理员变更，请重新登录。",
        "Your role was changed",
        "An administrator changed your role at Pengcheng Wallet. Please sign in again.",
    ),
    NoticeKind.AUTHENTICATOR_ADDED: (
        "已绑定身份验证器",
        "您的工作账户已绑定身份验证器。如非本人操作，请立即联系管理员。",
        "Authenticator set up",
        "An authenticator app was set up for your staff account. If this was not you, tell an "
        "administrator at once.",
    ),
    NoticeKind.AUTHENTICATOR_REMOVED: (
        "身份验证器已解除",
        "管理员已解除您的身份验证器，请在下次登录后重新绑定。",
        "Authenticator removed",
        "An administrator removed your authenticator app. Set up a new one after signing in.",
    ),
}


_SEE_APP = ("详情请在应用中查看。", " See the app for details.")
SHORT_TEXTS: dict[NoticeKind, tuple[str, str]] = {
    NoticeKind.REGISTRATION_REFERRED: (
        "您的注册申请正在人工审核。" + _SEE_APP[0],
        "Your registration is being reviewed by our staff." + _SEE_APP[1],
    ),
    NoticeKind.REGISTRATION_REJECTED: (
        "您的注册申请未通过审核。" + _SEE_APP[0],
        "Your registration has not been approved." + _SEE_APP[1],
    ),
    NoticeKind.IDENTITY_REFERRED: (
        "您的身份信息正在人工审核。" + _SEE_APP[0],
        "Your identity is being reviewed by our staff." + _SEE_APP[1],
    ),
    NoticeKind.IDENTITY_REJECTED: (
        "您的身份信息未通过认证。" + _SEE_APP[0],
        "Your identity has not been confirmed." + _SEE_APP[1],
    ),
    NoticeKind.REFUND_APPROVED: (
        "您的{amount}退款申请已通过。",
        "Your refund request for {amount} has been approved.",
    ),
    NoticeKind.REFUND_REJECTED: (
        "您的{amount}退款申请未通过。" + _SEE_APP[0],
        "Your refund request for {amount} has not been approved." + _SEE_APP[1],
    ),
    NoticeKind.WALLET_FROZEN: (
        "为保护您的资金，钱包已被冻结，暂时不能付款或转账。如有异议，请在应用的“安全”页面申诉。",
        "To protect your money, your wallet has been frozen: it cannot pay or send money for now. "
        "If you disagree, appeal on the “Security” page of the app.",
    ),
    NoticeKind.WALLET_UNFROZEN: (
        "您的钱包已恢复正常使用。",
        "Your wallet works again.",
    ),
}
"""Chinese and English texts for SMS and push, where they differ from those in the app.

A locked screen and a text message are read by others: what staff wrote stays in the app.
"""
