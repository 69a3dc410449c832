"""What a copy of somebody's data consists of: the registry of parts, each read page by page.

A table with personal data is in a part, or in NOT_EXPORTED with the reason; a test looks at all
tables there are. Others appear as far as the app shows them: a merchant's name, a masked name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import asyncpg

from services.exports import people_parts, wallet_parts
from services.exports.pages import Owner, Read
from services.unit_of_work import Snapshot

NOT_EXPORTED: dict[str, str] = {
    "login_throttle": "counts tries at keyed hashes of phones and places; holds nothing readable",
    "notice_stream": "the number of the newest notice, which the notices show",
    "retained_identity": "exists only of accounts that are closed",
    "refund_review": "our own assessment of a refund; the refund itself is exported",
    "bank_event": "what the bank called back with; the top-ups are exported",
    "login_challenge": "hashes and a deadline of five minutes; the login itself is a session",
    "password_reset": "hashes and a deadline of five minutes; a reset is among the notices",
    "phone_change": "a deadline of five minutes; that the number was changed is among the notices",
    "phone_replacement": "a deadline of five minutes; what staff are asked is among the recoveries",
    "proof_challenge": "hashes and a deadline of five minutes; what was proven is exported",
    "ledger.proof": "used up within minutes; which payment was proven, the requests show",
    "audit_leaf": "hashes of the audit log",
    "audit_seal": "hashes of the audit log",
    "data_export_piece": "these are the copies themselves",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of data: a name for its files, titles for the index, and how a page is read.

    ``read(snapshot, owner, place, limit)`` gives rows behind a place, and the next place or None.
    """

    name: str
    title_zh: str
    title_en: str
    tables: tuple[str, ...]
    read: Read = field(repr=False)


PARTS: tuple[Part, ...] = (
    Part("profile", "个人资料", "Who you are", ("users",), people_parts.profile),
    Part(
        "recoveries",
        "人工找回申请",
        "Requests to get back in that staff decided",
        ("recovery_case",),
        people_parts.recoveries,
    ),
    Part("sessions", "登录记录", "Where you signed in", ("session",), people_parts.sessions),
    Part("devices", "登录设备", "Your devices", ("device",), people_parts.devices),
    Part("passkeys", "通行密钥", "Your passkeys", ("passkey",), people_parts.passkeys),
    Part(
        "authenticators",
        "身份验证器",
        "Your authenticator app",
        ("totp",),
        people_parts.authenticators,
    ),
    Part("roles", "工作身份", "Your roles as staff", ("role_change",), people_parts.roles),
    Part(
        "elevations",
        "临时提权记录",
        "Your elevations as staff",
        ("elevation",),
        people_parts.elevations,
    ),
    Part(
        "identity-checks",
        "身份审核",
        "Checks of who you are",
        ("identity_check",),
        people_parts.identity_checks,
    ),
    Part(
        "proofs",
        "身份验证记录",
        "What you proved anew of late",
        ("step_up",),
        people_parts.proofs,
    ),
    Part(
        "codes",
        "验证码发送记录",
        "Verification codes sent to you",
        ("verification_code",),
        people_parts.codes,
    ),
    Part("consents", "同意与撤回", "What you agreed to", ("consent",), people_parts.consents),
    Part(
        "closings", "注销申请", "Requests to close the account", ("closing",), people_parts.closings
    ),
    Part("exports", "数据副本申请", "Copies of your data", ("data_export",), people_parts.exports),
    Part(
        "records",
        "关于您的操作记录",
        "What staff did about you",
        ("audit_entry",),
        people_parts.records,
    ),
    Part("notices", "通知", "Notices", ("notice",), people_parts.notices_told),
    Part(
        "notice-settings",
        "通知设置",
        "Where you want to be told",
        ("notice_preference", "push_token"),
        people_parts.notice_settings,
    ),
    Part("freezes", "冻结与申诉", "Freezes and appeals", ("risk_case",), people_parts.freezes),
    Part("wallet", "钱包", "Your wallet", ("ledger.account",), wallet_parts.wallet),
    Part("cards", "银行卡", "Bank cards", ("bank_card",), wallet_parts.cards),
    Part("shop", "店铺", "Your shop", ("merchant",), wallet_parts.shop),
    Part(
        "lookups",
        "查询收款人次数",
        "How often you looked recipients up",
        ("recipient_lookup",),
        wallet_parts.lookups,
    ),
    Part("top-ups", "充值", "Top-ups", ("top_up",), wallet_parts.top_ups),
    Part(
        "transactions",
        "交易明细",
        "Transactions",
        ("ledger.posting",),
        wallet_parts.transactions,
    ),
    Part("payments", "付款", "Payments", ("ledger.payment",), wallet_parts.payments),
    Part("refunds", "退款", "Refunds", ("ledger.refund",), wallet_parts.refunds_asked),
    Part(
        "requests",
        "操作请求",
        "All that you asked the wallet to do",
        ("ledger.instruction",),
        wallet_parts.requests,
    ),
)
_OWNER = """
select u.id, u.role, u.language, u.phone_index, a.id as account_id from users u
  left join ledger.account a on a.owner_id = u.id where u.id = $1 and u.status <> 'CLOSED'"""


async def owner(read: Snapshot, user_id: int) -> Owner | None:
    """Whose data it is; None once the account is closed."""
    row: asyncpg.Record | None = await read.fetchrow(_OWNER, user_id)
    if row is None:
        return None
    return Owner(
        user_id=row["id"],
        language=row["language"],
        phone_index=row["phone_index"],
        account_id=row["account_id"],
    )


def index(files: list[dict[str, Any]]) -> str:
    """The text that explains the files, in both languages."""
    titles = {part.name: part for part in PARTS}
    lines = [
        "鹏城钱包：您的个人数据副本 / Pengcheng Wallet: a copy of your data",
        "",
        "每个文件是一份JSON列表。金额以元为单位，时间为UTC。其他人的姓名只显示一部分。",
        "Each file is a JSON list. Amounts are in yuan, times in UTC. Names of others are masked.",
        "",
    ]
    for one in files:
        part = titles[one["part"]]
        lines.append(f"{one['name']}  {part.title_zh} / {part.title_en}: {one['rows']}")
    return "\n".join([*lines, ""])
