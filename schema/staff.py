"""The root of all that staff see; each noun brings its part, with its own rule."""

from __future__ import annotations

import strawberry

from schema import fields
from schema.audit import AuditStaff
from schema.identity_checks import IdentityCheckStaff
from schema.key_rotations import KeyRotationStaff
from schema.recoveries import RecoveryStaff
from schema.refund_desk import RefundStaff
from schema.registrations import IdentityStaff
from schema.residents import ResidentStaff
from schema.risk import RiskStaff
from schema.staffing import StaffingStaff


@fields.root
@strawberry.type(description="What staff see. Every field has a rule of its own.")
class Staff(
    IdentityStaff,
    IdentityCheckStaff,
    RecoveryStaff,
    RefundStaff,
    RiskStaff,
    ResidentStaff,
    StaffingStaff,
    AuditStaff,
    KeyRotationStaff,
):
    """Null at its root for everybody else."""
