"""Who people are: roles, states, the caller, and the delays that slow guessing down.

The rules for what people type (phones, names, passwords, PINs) are in `domain.registration`.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    """What somebody is to the city; all but the first two are staff."""

    RESIDENT = "RESIDENT"
    MERCHANT = "MERCHANT"
    SUPPORT = "SUPPORT"
    FINANCE = "FINANCE"
    RISK = "RISK"
    COMPLIANCE = "COMPLIANCE"
    AUDITOR = "AUDITOR"
    ADMIN = "ADMIN"


STAFF = frozenset(Role) - {Role.RESIDENT, Role.MERCHANT}
REGISTRATION_REVIEWERS = (Role.SUPPORT, Role.COMPLIANCE, Role.ADMIN)


class Status(StrEnum):
    """Where a registration stands; a frozen wallet is a state of its account, not of its owner."""

    PENDING_REVIEW = "PENDING_REVIEW"
    REFERRED = "REFERRED"
    ACTIVE = "ACTIVE"
    REJECTED = "REJECTED"
    CLOSED = "CLOSED"


class KycLevel(StrEnum):
    """How well the city knows somebody; limits follow it."""

    PHONE = "PHONE"
    IDENTITY = "IDENTITY"
    BANK_CARD = "BANK_CARD"


class CheckState(StrEnum):
    """Where an identity check stands: what somebody hands in who registered by phone only."""

    PENDING_REVIEW = "PENDING_REVIEW"
    REFERRED = "REFERRED"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"


class CodePurpose(StrEnum):
    """What a verification code is good for; it works for nothing else."""

    REGISTER = "REGISTER"
    LOGIN = "LOGIN"
    PAYMENT = "PAYMENT"
    RESET_PASSWORD = "RESET_PASSWORD"  # noqa: S105 - no password
    CHANGE_PHONE = "CHANGE_PHONE"
    REPLACE_PHONE = "REPLACE_PHONE"
    STEP_UP = "STEP_UP"
    CONTACT_EMAIL = "CONTACT_EMAIL"


class LoginMethod(StrEnum):
    """What proves, besides the password, that it is the owner who signs in."""

    DEVICE_KEY = "DEVICE_KEY"
    CODE = "CODE"
    PASSKEY = "PASSKEY"
    TOTP = "TOTP"


class Language(StrEnum):
    """The languages of texts, as stored and as BCP 47 tags."""

    ZH_CN = "zh-CN"
    EN = "en"


class Decision(StrEnum):
    """What a member of staff says of a referred registration."""

    APPROVE = "APPROVE"
    REJECT = "REJECT"


@dataclass(frozen=True, slots=True)
class Viewer:
    """The caller of a request, as one read of the session found it.

    ``account_id`` is the wallet's account in the ledger, ``account_status`` its status there
    (1 open, 2 debits blocked, 3 frozen, 4 closed); both None before approval and for staff.
    ``review_reason`` is a rule's code. What is sealed opens with `services.people`.
    ``second_factor`` says whether the session was opened, or has been proved since, by a passkey
    or an authenticator. ``elevated_until`` is None unless a member of staff has proved anew who
    they are, and that lasts.
    """

    user_id: int = 0
    role: Role | None = None
    status: Status | None = None
    language: str = "zh-CN"
    session_id: UUID | None = None
    device_id: UUID | None = None
    account_id: int | None = None
    account_status: int | None = None
    pin_set: bool = False
    kyc_level: KycLevel = KycLevel.PHONE
    version: int = 0
    review_reason: str | None = None
    review_text_sealed: bytes | None = field(default=None, repr=False)
    second_factor: bool = False
    elevated_until: datetime | None = None
    phone_sealed: bytes = field(default=b"", repr=False)
    name_sealed: bytes = field(default=b"", repr=False)

    @property
    def signed_in(self) -> bool:
        return self.user_id != 0

    @property
    def staff(self) -> bool:
        return self.role in STAFF and self.status is Status.ACTIVE

    @property
    def must_enrol(self) -> bool:
        """A member of staff whose session has no second factor: nothing but setting one up."""
        return self.role in STAFF and not self.second_factor


ANONYMOUS = Viewer()


# Tries without any delay, then 1, 2, 4 … seconds; never a lock that only staff can open.
LOGIN_FREE_TRIES_PER_PHONE = 5
LOGIN_FREE_TRIES_PER_ADDRESS = 30
LOGIN_DELAY_MAX_SECONDS = 900
LOGIN_FORGET_SECONDS = 86_400

CODE_LIFE_SECONDS = 300
CODE_RESEND_SECONDS = 60
CODE_TRIES = 5
PIN_TRIES = 5
PROOF_LIFE_SECONDS = 120
LOGIN_CHALLENGE_LIFE_SECONDS = 300
LOGIN_CHALLENGE_TRIES = 5
# How long after a refresh its device may have lost the answer, and gets the same one again.
REFRESH_GRACE_SECONDS = 10


def login_delay_seconds(failures: int, *, free_tries: int) -> int:
    """How long nobody may try again after this many failures in a row."""
    if failures < free_tries:
        return 0
    return min(2 ** min(failures - free_tries, 20), LOGIN_DELAY_MAX_SECONDS)


def network(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 that a household gets of IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def network_hint(address: str) -> str:
    """Roughly where an address is, for its owner to recognise: ``203.0.*.*``, ``2001:db8::/32``."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, 32), strict=False))
    return ".".join([*str(parsed).split(".")[:2], "*", "*"])
