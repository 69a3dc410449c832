"""The GraphQL face: every noun's part, joined into the executable schema."""

from __future__ import annotations

import strawberry
from strawberry.schema.config import StrawberryConfig

from schema import errors, fields, scalars
from schema.closings import ClosingMutation
from schema.consents import ConsentMutation, ConsentQuery
from schema.contact import ContactMutation
from schema.elevations import ElevationMutation
from schema.exports import ExportMutation
from schema.identity import IdentityMutation, IdentityQuery, IdentitySubscription
from schema.identity_checks import IdentityCheckMutation, IdentityCheckStaffMutation
from schema.key_rotations import KeyRotationMutation
from schema.merchants import MerchantQuery
from schema.nodes import NodeQuery
from schema.notices import NoticeMutation, NoticeSubscription
from schema.passkeys import PasskeyMutation
from schema.password_resets import PasswordResetMutation
from schema.passwords import PasswordMutation
from schema.payments import PaymentMutation, PaymentSubscription
from schema.phone_changes import PhoneChangeMutation
from schema.phone_replacements import PhoneReplacementMutation
from schema.pins import PinMutation
from schema.proof_challenges import ProofChallengeMutation
from schema.recoveries import RecoveryMutation
from schema.refund_desk import RefundStaffMutation
from schema.refunds import RefundMutation
from schema.registrations import IdentityStaffMutation, IdentityStaffQuery, RegistrationMutation
from schema.residents import ResidentMutation
from schema.risk import RiskMutation
from schema.staffing import StaffingMutation
from schema.topups import TopUpMutation
from schema.totp import TotpMutation
from schema.transactions import TransactionSubscription
from schema.transfers import TransferMutation, TransferQuery
from schema.wallets import WalletMutation


@strawberry.type(description="What can be read.")
class Query(
    IdentityQuery, IdentityStaffQuery, MerchantQuery, TransferQuery, NodeQuery, ConsentQuery
):
    """Roots: ``viewer`` and ``staff``."""


@strawberry.type(description="What can be changed. Every result is a success or a named error.")
class Mutation(
    IdentityMutation,
    PinMutation,
    PhoneChangeMutation,
    PhoneReplacementMutation,
    PasswordMutation,
    PasswordResetMutation,
    RecoveryMutation,
    RegistrationMutation,
    ContactMutation,
    IdentityStaffMutation,
    IdentityCheckMutation,
    IdentityCheckStaffMutation,
    PasskeyMutation,
    ProofChallengeMutation,
    WalletMutation,
    TopUpMutation,
    TransferMutation,
    PaymentMutation,
    RefundMutation,
    RefundStaffMutation,
    RiskMutation,
    NoticeMutation,
    KeyRotationMutation,
    ConsentMutation,
    ExportMutation,
    ClosingMutation,
    ResidentMutation,
    StaffingMutation,
    ElevationMutation,
    TotpMutation,
):
    """Money-moving inputs have an ``idempotencyKey``."""


@strawberry.type(description="What can be followed live, and gone on with after a break.")
class Subscription(
    IdentitySubscription, PaymentSubscription, TransactionSubscription, NoticeSubscription
):
    """Every event has a cursor for ``after``."""


schema = fields.with_one_of(
    fields.without_null_defaults(
        strawberry.Schema(
            Query,
            Mutation,
            Subscription,
            types=list(errors.TYPES.values()),
            config=StrawberryConfig(scalar_map=scalars.SCALAR_MAP),
        )
    )
)
