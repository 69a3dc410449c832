"""The operations of the demo, as an app would ship them."""

_REFUSED = "... on Error { code message path retryable }"
_PAYMENT = (
    "payment { id state amount { amount } merchant { name } expiresAt refundable { amount }"
    " steps { state at } }"
)
_TRANSACTION = (
    "id kind direction amount { amount } balanceAfter { amount } at memo"
    " counterparty { kind name } payment { id }"
)


def _mutation(name: str, success: str, extra: str = "") -> str:
    """A mutation by the schema's conventions: one input, a union of a success and refusals."""
    type_name = name[0].upper() + name[1:]
    return f"""
mutation {type_name}($input: {type_name}Input!) {{
  {name}(input: $input) {{
    __typename
    ... on {type_name}Success {{ {success} }}
    {_REFUSED}
    {extra}
  }}
}}"""


_SESSION = (
    "session { accessToken refreshToken expiresAt } device { id name }"
    " viewer { displayName status role }"
)
_WRONG_PIN = "... on WrongPinError { attemptsLeft }"

REQUEST_CODE = _mutation(
    "requestVerificationCode", "verification { id expiresAt resendAfterSeconds }"
)
REGISTER = _mutation("register", _SESSION)
LOGIN = _mutation("login", "challenge { id nonce methods expiresAt passkeyOptions }")
SEND_LOGIN_CODE = _mutation("sendLoginCode", "verification { id resendAfterSeconds }")
COMPLETE_LOGIN = _mutation("completeLogin", _SESSION)
REFRESH = _mutation("refreshSession", "session { accessToken refreshToken expiresAt }")
LOGOUT = _mutation("logout", "signedOut")
FREEZE_MINE = _mutation("freezeMyWallet", "wallet { status }")
REVOKE_DEVICE = _mutation("revokeDevice", "device { id name } sessionsEnded")
REVOKE_SESSION = _mutation("revokeSession", "sessionId")
LOGOUT_EVERYWHERE = _mutation("logoutEverywhere", "sessionsEnded")
DEVICES = """{ viewer {
  devices(first: 10) { edges { node { id name platform current } } }
  sessions(first: 10) { edges { node { id network current device { id } } } } } }"""
SET_PIN = _mutation("setPaymentPin", "viewer { hasPaymentPin }")
LINK_CARD = _mutation("linkBankCard", "bankCard { id bankName last4 }")
TOP_UP = _mutation("createTopUp", "topUp { id state amount { amount } }")
TRANSFER = _mutation("createTransfer", f"transaction {{ {_TRANSACTION} }}", _WRONG_PIN)
SET_ALLOWANCE = _mutation(
    "setPaymentAllowance",
    "wallet { allowance { enabled amountMax { amount } dailyCountMax } }",
    _WRONG_PIN,
)
CREATE_PAYMENT = _mutation("createPayment", _PAYMENT)
CONFIRM_PAYMENT = _mutation("confirmPayment", _PAYMENT, _WRONG_PIN)
CANCEL_PAYMENT = _mutation("cancelPayment", _PAYMENT)
REQUEST_REFUND = _mutation("requestRefund", "refund { id state amount { amount } }")
DECIDE_REFUND = _mutation("decideRefund", "refund { id state }")
SIGN_POLICY = _mutation("signRefundPolicy", "policy { id }")
END_POLICY = _mutation("endRefundPolicy", "policy { id endedAt }")
APPEAL = _mutation("appealFreeze", "freeze { state appealedAt }")
STEP_UP = _mutation("requestStepUpChallenge", "challenge { id options }")
ELEVATE = _mutation("elevate", "elevation { until }")
UNFREEZE = _mutation("unfreezeWallet", "riskCase { id state }")

STATUS_EVENTS = "subscription { viewerStatusEvents { status reviewReason } }"
TRANSACTION_EVENTS = f"""
subscription Transactions($after: EventCursor) {{
  transactionEvents(after: $after) {{
    __typename
    ... on TransactionEvent {{ cursor sequence transaction {{ {_TRANSACTION} }} }}
    ... on EventsGap {{ message }}
  }}
}}"""
NOTICE_EVENTS = """
subscription Notices($after: EventCursor) {
  notificationEvents(after: $after) {
    __typename
    ... on NotificationEvent { cursor sequence notice { id kind title text at } }
    ... on EventsGap { message }
  }
}"""
PAYMENT_EVENTS = f"""
subscription Payment($paymentId: ID!, $after: EventCursor) {{
  paymentEvents(paymentId: $paymentId, after: $after) {{
    __typename
    ... on PaymentEvent {{ cursor sequence {_PAYMENT} }}
    ... on EventsGap {{ message }}
    ... on Error {{ code message }}
  }}
}}"""

KYC_LEVEL = "{ viewer { kycLevel } }"
WALLET = "{ viewer { wallet { balance { amount } available { amount } status } } }"
TOP_UPS = "{ viewer { topUps(first: 1) { edges { node { id state failureCode } } } } }"
RECIPIENT = f"""
query Recipient($phone: String!) {{
  recipientPreview(phone: $phone) {{
    __typename
    ... on RecipientPreview {{ maskedName }}
    {_REFUSED}
  }}
}}"""
RESOLVE_QR = f"""
query Scan($payload: String!) {{
  resolveQr(payload: $payload) {{
    __typename
    ... on MerchantPay {{ merchant {{ id name category }} }}
    {_REFUSED}
  }}
}}"""
PAYMENT_METHODS = """
query Methods($amount: MoneyInput!) {
  viewer {
    paymentMethods(amount: $amount) {
      kind usable recommended reason reasonText bankCard { bankName last4 } topUp { amount }
    }
  }
}"""
HISTORY = f"""
query History($first: Int!, $after: String, $filter: TransactionFilter) {{
  viewer {{
    transactions(first: $first, after: $after, filter: $filter) {{
      edges {{ node {{ {_TRANSACTION} }} }}
      pageInfo {{ hasNextPage endCursor }}
    }}
  }}
}}"""
BALANCE_AT = """
query BalanceAt($at: DateTime!) { viewer { wallet { balanceAt(at: $at) { amount } } } }"""
NODE = "query Node($id: ID!) { node(id: $id) { __typename id } }"
REFUND_QUEUE = """
query Queue($after: String) {
  staff {
    refundQueue(first: 100, after: $after) {
      edges { node { id reason amount { amount } state payerName merchantName
        facts { paymentAgeHours refundsIn30Days merchantCovers recommendation } } }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""
POLICIES = "{ staff { refundPolicies(first: 100) { edges { node { id endedAt } } } } }"
FREEZE = "{ viewer { freeze { caseId reason ruleText frozenAt state } } }"
RISK_CASES = """
query Cases {
  staff {
    riskCases(first: 20, state: APPEALED) {
      edges {
        node { id displayName rule state appeal evidence { tookMilliseconds amount { amount } } }
      }
    }
  }
}"""
