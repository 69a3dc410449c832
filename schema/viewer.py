"""The root of all that belongs to the caller; each noun brings its part."""

from __future__ import annotations

import strawberry

from schema import fields
from schema.closings import ClosingViewer
from schema.consents import ConsentViewer
from schema.devices import DeviceViewer
from schema.elevations import ElevationViewer
from schema.exports import ExportViewer
from schema.identity import IdentityViewer
from schema.identity_checks import IdentityCheckViewer
from schema.merchants import MerchantViewer
from schema.notices import NoticeViewer
from schema.passkeys import PasskeyViewer
from schema.payment_methods import PaymentViewer
from schema.refunds import RefundViewer
from schema.registrations import RegistrationViewer
from schema.risk import RiskViewer
from schema.sessions import SessionViewer
from schema.topups import TopUpViewer
from schema.totp import TotpViewer
from schema.transactions import TransactionViewer
from schema.wallets import WalletViewer


@fields.root
@strawberry.type(description="The caller, and all that is the caller's.")
class Viewer(
    IdentityViewer,
    PasskeyViewer,
    RegistrationViewer,
    IdentityCheckViewer,
    WalletViewer,
    TransactionViewer,
    PaymentViewer,
    TopUpViewer,
    MerchantViewer,
    RefundViewer,
    NoticeViewer,
    RiskViewer,
    SessionViewer,
    DeviceViewer,
    ConsentViewer,
    ExportViewer,
    ClosingViewer,
    ElevationViewer,
    TotpViewer,
):
    """Made with ``caller``; a query can't name anybody else."""
