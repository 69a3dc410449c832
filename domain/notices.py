"""Notices: what kinds there are, and where each is told.

`domain.notice_texts` has their texts; `domain.notice_words` says what a text may carry, and fills
it when it is read or sent.
"""

from __future__ import annotations

from enum import StrEnum

from domain.ledger import Operation


class NoticeKind(StrEnum):
    """What a user is told about; `domain.notice_texts` has the words of each."""

    REGISTRATION_APPROVED = "REGISTRATION_APPROVED"
    REGISTRATION_REFERRED = "REGISTRATION_REFERRED"
    REGISTRATION_REJECTED = "REGISTRATION_REJECTED"
    IDENTITY_APPROVED = "IDENTITY_APPROVED"
    IDENTITY_REFERRED = "IDENTITY_REFERRED"
    IDENTITY_REJECTED = "IDENTITY_REJECTED"
    PASSWORD_CHANGED = "PASSWORD_CHANGED"  # noqa: S105 - no password
    PASSWORD_RESET = "PASSWORD_RESET"  # noqa: S105 - no password
    PASSWORD_REMINDER = "PASSWORD_REMINDER"  # noqa: S105 - no password
    PIN_SET = "PIN_SET"
    PIN_CHANGED = "PIN_CHANGED"
    CONTACT_EMAIL_CHANGED = "CONTACT_EMAIL_CHANGED"
    PHONE_CHANGED = "PHONE_CHANGED"
    RECOVERY_REQUESTED = "RECOVERY_REQUESTED"
    RECOVERY_APPROVED = "RECOVERY_APPROVED"
    RECOVERY_REJECTED = "RECOVERY_REJECTED"
    NUMBER_RELEASE_REQUESTED = "NUMBER_RELEASE_REQUESTED"
    NUMBER_RELEASE_APPROVED = "NUMBER_RELEASE_APPROVED"
    NUMBER_RELEASE_REJECTED = "NUMBER_RELEASE_REJECTED"
    NUMBER_RELEASED = "NUMBER_RELEASED"
    PAYMENT_SUCCEEDED = "PAYMENT_SUCCEEDED"
    PAYMENT_RECEIVED = "PAYMENT_RECEIVED"
    TRANSFER_SENT = "TRANSFER_SENT"
    TRANSFER_RECEIVED = "TRANSFER_RECEIVED"
    TOP_UP_SUCCEEDED = "TOP_UP_SUCCEEDED"
    TOP_UP_FAILED = "TOP_UP_FAILED"
    REFUND_REQUESTED = "REFUND_REQUESTED"
    REFUND_APPROVED = "REFUND_APPROVED"
    REFUND_REJECTED = "REFUND_REJECTED"
    REFUND_CREDITED = "REFUND_CREDITED"
    REFUND_DEBITED = "REFUND_DEBITED"
    WALLET_FROZEN = "WALLET_FROZEN"
    WALLET_UNFROZEN = "WALLET_UNFROZEN"
    WALLET_FROZEN_BY_OWNER = "WALLET_FROZEN_BY_OWNER"
    WALLET_UNFROZEN_BY_OWNER = "WALLET_UNFROZEN_BY_OWNER"
    NEW_DEVICE = "NEW_DEVICE"
    DEVICE_REVOKED = "DEVICE_REVOKED"
    SESSION_MISUSED = "SESSION_MISUSED"
    SIGNED_OUT_BY_STAFF = "SIGNED_OUT_BY_STAFF"
    PASSKEY_ADDED = "PASSKEY_ADDED"
    PASSKEY_REMOVED = "PASSKEY_REMOVED"
    PASSKEY_REFUSED = "PASSKEY_REFUSED"
    DATA_EXPORT_READY = "DATA_EXPORT_READY"
    CLOSING_REQUESTED = "CLOSING_REQUESTED"
    CLOSING_CANCELLED = "CLOSING_CANCELLED"
    CLOSING_STOPPED = "CLOSING_STOPPED"
    STAFF_ROLE_CHANGED = "STAFF_ROLE_CHANGED"
    AUTHENTICATOR_ADDED = "AUTHENTICATOR_ADDED"
    AUTHENTICATOR_REMOVED = "AUTHENTICATOR_REMOVED"


class NoticeGroup(StrEnum):
    """What a user decides about as one."""

    PAYMENTS = "PAYMENTS"
    REFUNDS = "REFUNDS"
    SECURITY = "SECURITY"
    ACCOUNT = "ACCOUNT"
    SERVICE = "SERVICE"


class NoticeChannel(StrEnum):
    """A way to tell somebody. APP is the list in the app; the others leave the house."""

    APP = "APP"
    SMS = "SMS"
    PUSH = "PUSH"


class PushPlatform(StrEnum):
    """Whose push service a token is of."""

    IOS = "IOS"
    ANDROID = "ANDROID"
    HARMONY = "HARMONY"


SECURITY_KINDS: frozenset[NoticeKind] = frozenset(
    {
        NoticeKind.WALLET_FROZEN,
        NoticeKind.WALLET_UNFROZEN,
        NoticeKind.WALLET_FROZEN_BY_OWNER,
        NoticeKind.WALLET_UNFROZEN_BY_OWNER,
        NoticeKind.NEW_DEVICE,
        NoticeKind.DEVICE_REVOKED,
        NoticeKind.SESSION_MISUSED,
        NoticeKind.SIGNED_OUT_BY_STAFF,
        NoticeKind.PASSKEY_ADDED,
        NoticeKind.PASSKEY_REMOVED,
        NoticeKind.PASSKEY_REFUSED,
        NoticeKind.PASSWORD_CHANGED,
        NoticeKind.PASSWORD_RESET,
        NoticeKind.PIN_SET,
        NoticeKind.PIN_CHANGED,
        NoticeKind.CONTACT_EMAIL_CHANGED,
        NoticeKind.PHONE_CHANGED,
        NoticeKind.DATA_EXPORT_READY,
        NoticeKind.CLOSING_REQUESTED,
        NoticeKind.CLOSING_CANCELLED,
        NoticeKind.CLOSING_STOPPED,
        NoticeKind.RECOVERY_REQUESTED,
        NoticeKind.RECOVERY_APPROVED,
        NoticeKind.RECOVERY_REJECTED,
        NoticeKind.NUMBER_RELEASE_REQUESTED,
        NoticeKind.NUMBER_RELEASE_APPROVED,
        NoticeKind.NUMBER_RELEASE_REJECTED,
        NoticeKind.NUMBER_RELEASED,
        NoticeKind.STAFF_ROLE_CHANGED,
        NoticeKind.AUTHENTICATOR_ADDED,
        NoticeKind.AUTHENTICATOR_REMOVED,
    }
)
"""Freezes, whatever changes who can act for a user, and what a thief would do with an account that
is open: always also by SMS, whatever they prefer."""

ENDS_SESSIONS: frozenset[NoticeKind] = frozenset(
    {NoticeKind.PASSWORD_CHANGED, NoticeKind.PASSWORD_RESET, NoticeKind.PHONE_CHANGED}
)
"""Told to the devices, too, that are signed out by what it tells: one of them is the owner's."""

GROUPS: dict[NoticeGroup, frozenset[NoticeKind]] = {
    NoticeGroup.PAYMENTS: frozenset(
        {
            NoticeKind.PAYMENT_SUCCEEDED,
            NoticeKind.PAYMENT_RECEIVED,
            NoticeKind.TRANSFER_SENT,
            NoticeKind.TRANSFER_RECEIVED,
            NoticeKind.TOP_UP_SUCCEEDED,
            NoticeKind.TOP_UP_FAILED,
        }
    ),
    NoticeGroup.REFUNDS: frozenset(
        {
            NoticeKind.REFUND_REQUESTED,
            NoticeKind.REFUND_APPROVED,
            NoticeKind.REFUND_REJECTED,
            NoticeKind.REFUND_CREDITED,
            NoticeKind.REFUND_DEBITED,
        }
    ),
    NoticeGroup.SECURITY: SECURITY_KINDS,
    NoticeGroup.ACCOUNT: frozenset(
        kind for kind in NoticeKind if kind.startswith(("REGISTRATION_", "IDENTITY_"))
    ),
    NoticeGroup.SERVICE: frozenset({NoticeKind.PASSWORD_REMINDER}),
}
"""Each kind is in exactly one group."""

GROUP_OF: dict[NoticeKind, NoticeGroup] = {
    kind: group for group, kinds in GROUPS.items() for kind in kinds
}

DEFAULT_CHANNELS: dict[NoticeGroup, frozenset[NoticeChannel]] = {
    NoticeGroup.PAYMENTS: frozenset({NoticeChannel.APP, NoticeChannel.PUSH}),
    NoticeGroup.REFUNDS: frozenset({NoticeChannel.APP, NoticeChannel.PUSH}),
    NoticeGroup.SECURITY: frozenset(NoticeChannel),
    # Whoever waits for a review has no reason to keep the app open.
    NoticeGroup.ACCOUNT: frozenset(NoticeChannel),
    NoticeGroup.SERVICE: frozenset({NoticeChannel.APP, NoticeChannel.PUSH}),
}
"""Where a user hears of a group who has decided nothing."""


def changeable(group: NoticeGroup, channel: NoticeChannel) -> bool:
    """Whether a user may switch a channel of a group on and off.

    What is told in the app is the record. SECURITY stays on everywhere: a thief who holds the phone
    would begin with muting it.
    """
    return group is not NoticeGroup.SECURITY and channel is not NoticeChannel.APP


_DEBIT, _EVENT, _CREDIT = -1, 0, 1
OF_POSTINGS: dict[tuple[Operation, int], NoticeKind] = {
    (Operation.CREATE_PAYMENT, _DEBIT): NoticeKind.PAYMENT_SUCCEEDED,
    (Operation.CREATE_PAYMENT, _CREDIT): NoticeKind.PAYMENT_RECEIVED,
    (Operation.CONFIRM_PAYMENT, _DEBIT): NoticeKind.PAYMENT_SUCCEEDED,
    (Operation.CONFIRM_PAYMENT, _CREDIT): NoticeKind.PAYMENT_RECEIVED,
    (Operation.TRANSFER, _DEBIT): NoticeKind.TRANSFER_SENT,
    (Operation.TRANSFER, _CREDIT): NoticeKind.TRANSFER_RECEIVED,
    (Operation.TOP_UP, _CREDIT): NoticeKind.TOP_UP_SUCCEEDED,
    (Operation.REQUEST_REFUND, _EVENT): NoticeKind.REFUND_REQUESTED,
    (Operation.REJECT_REFUND, _EVENT): NoticeKind.REFUND_REJECTED,
    (Operation.APPROVE_REFUND, _DEBIT): NoticeKind.REFUND_DEBITED,
    (Operation.APPROVE_REFUND, _CREDIT): NoticeKind.REFUND_CREDITED,
    (Operation.FREEZE_OWN, _EVENT): NoticeKind.WALLET_FROZEN_BY_OWNER,
    (Operation.UNFREEZE_OWN, _EVENT): NoticeKind.WALLET_UNFROZEN_BY_OWNER,
}
"""What the owner of an account is told about a posting of this operation and sign."""


def of_posting(operation: int, amount_minor: int) -> NoticeKind | None:
    """The notice that a posting brings its account's owner, or None."""
    sign = (amount_minor > 0) - (amount_minor < 0)
    return OF_POSTINGS.get((Operation(operation), sign))
