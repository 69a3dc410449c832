"""The root of all that belongs to the caller; each noun brings its part."""

from __future__ import annotations

import strawberry

from schema import fields
from schema.identity import IdentityViewer
from schema.merchants import MerchantViewer
from schema.notices import NoticeViewer
from schema.payment_methods import PaymentViewer
from schema.refunds import RefundViewer
from schema.risk import RiskViewer
from schema.topups import TopUpViewer
from schema.transactions import TransactionViewer
from schema.wallets import WalletViewer


@fields.root
@strawberry.type(description="The caller, and all that is the caller's.")
class Viewer(
    IdentityViewer,
    WalletViewer,
    TransactionViewer,
    PaymentViewer,
    TopUpViewer,
    MerchantViewer,
    RefundViewer,
    NoticeViewer,
    RiskViewer,
):
    """Made with ``caller``; a query can't name anybody else."""
