"""What a notice's words are made of, looked up when it is read: names, reasons, amounts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from domain import devices, money, registration, risk
from services import counterparties, people, refunds, risk_reasons
from services.unit_of_work import Snapshot


@dataclass(frozen=True, slots=True)
class Facts:
    """One notice's facts; ``reason_code`` is a rule's, ``reason`` what a person wrote."""

    amount: str | None = None
    name: str | None = field(default=None, repr=False)
    reason_code: str | None = None
    reason: str | None = field(default=None, repr=False)
    platform: str | None = None

    def words(self, language: str) -> dict[str, str]:
        """The facts as texts of a language; unknown ones are left out."""
        words = {
            "amount": self.amount,
            "name": self.name,
            "reason": self._reason(language),
            "device": devices.platform_text(self.platform, language),
        }
        return {name: word for name, word in words.items() if word}

    def _reason(self, language: str) -> str | None:
        if self.reason is not None:
            return self.reason
        if self.reason_code in risk.Rule.__members__:
            return risk.rule_text(risk.Rule(self.reason_code), language)
        return registration.reason_text(self.reason_code, language)


async def load(read: Snapshot, params: Sequence[Mapping[str, Any]]) -> list[Facts]:
    """The facts of notices by their params: at most six queries for any number."""
    accounts = [one["account_id"] for one in params if "account_id" in one]
    refund_ids = [UUID(one["refund_id"]) for one in params if "refund_id" in one]
    case_ids = [UUID(one["case_id"]) for one in params if "case_id" in one]
    parties = await counterparties.of_accounts(read, accounts) if accounts else {}
    decisions = await refunds.decision_reasons(read, refund_ids) if refund_ids else {}
    cases = await risk_reasons.reasons(read, case_ids) if case_ids else {}
    applicants = [one["review_of"] for one in params if "review_of" in one]
    reviews = await people.review_texts(read, applicants) if applicants else {}
    check_ids = [UUID(one["check_id"]) for one in params if "check_id" in one]
    checks = await people.check_texts(read, check_ids) if check_ids else {}
    found = []
    for one in params:
        party = parties.get(one.get("account_id", 0))
        case = cases.get(one.get("case_id", ""), (None, None))
        found.append(
            Facts(
                amount=_amount(one),
                name=party.name if party else None,
                reason_code=one.get("reason") or one.get("rule"),
                reason=decisions.get(one.get("refund_id", ""))
                or case[1 if one.get("lifted") else 0]
                or reviews.get(one.get("review_of", 0))
                or checks.get(one.get("check_id", "")),
                platform=one.get("platform"),
            )
        )
    return found


def _amount(params: Mapping[str, Any]) -> str | None:
    if params.get("amount_minor") is None:
        return None
    currency = money.currency(params.get("currency", "CNY"))
    return "¥" + money.from_minor(params["amount_minor"], currency)
