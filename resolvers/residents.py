"""Staff look residents up, and freeze the wallet of one who calls: for a reason, and on record."""

from __future__ import annotations

from datetime import timedelta

from domain import inputs, ledger, refusals, registration
from domain.identity import Role
from domain.ledger import AccountStatus, FreezeLevel, Outcome
from domain.staffing import CALLER_FREEZES_HOURLY_MAX, LOOK_UPS_HOURLY_MAX, REASON_LENGTH_MAX
from resolvers.viewer import Viewer, access, elevated, staff
from services import audit, residents, risk_cases, transfers, wallets
from services.ledger import desk
from services.residents import Resident
from services.unit_of_work import UnitOfWork, snapshot, unit_of_work

_HOUR = timedelta(hours=1)


@access(staff(Role.SUPPORT, Role.RISK, Role.COMPLIANCE))
async def resident(viewer: Viewer, *, phone: str, reason: str) -> Resident:
    """Whoever has this phone number, masked; that it was asked is on record before the answer.

    Raises InvalidInput, NotFound, RateLimited (60 an hour).
    """
    kept = inputs.needed_text(reason, "reason", length_max=REASON_LENGTH_MAX)
    e164 = _phone(phone, "phone")
    found = None
    async with unit_of_work() as work:
        wait_seconds = await _counted(work, viewer, "staff look-up", LOOK_UPS_HOURLY_MAX)
        if wait_seconds is None:
            found = await residents.find(work, actor_id=viewer.user_id, phone=e164, reason=kept)
    _ensure(wait_seconds)
    if found is None:
        raise refusals.NotFound(path=("phone",))
    return found


@access(elevated(staff(Role.RISK, Role.COMPLIANCE)))
async def resident_in_full(viewer: Viewer, *, user_id: int, reason: str) -> Resident:
    """The same by id, with name and phone number as they are.

    Raises InvalidInput, NotFound, RateLimited (60 an hour).
    """
    kept = inputs.needed_text(reason, "reason", length_max=REASON_LENGTH_MAX)
    found = None
    async with unit_of_work() as work:
        wait_seconds = await _counted(work, viewer, "staff read", LOOK_UPS_HOURLY_MAX)
        if wait_seconds is None:
            found = await residents.read_whole(
                work, actor_id=viewer.user_id, user_id=user_id, reason=kept
            )
    _ensure(wait_seconds)
    if found is None:
        raise refusals.NotFound(path=("userId",))
    return found


@access(staff(Role.SUPPORT, Role.RISK))
async def freeze_for_caller(
    viewer: Viewer,
    *,
    phone: str,
    name: str,
    id_number_last6: str | None,
    level: FreezeLevel,
    reason: str,
    key: str,
) -> AccountStatus:
    """Freeze the wallet of a resident who calls and knows its phone number and owner's name.

    And the last six of the ID number, where the owner has told one. A wallet that is frozen as much
    already stays so. The answer is the same whatever was wrong. Raises InvalidInput, NotFound,
    RateLimited (20 an hour), IdempotencyKeyReused, Overloaded.
    """
    inputs.check_key(key)
    kept = inputs.needed_text(reason, "input", "reason", length_max=REASON_LENGTH_MAX)
    e164 = _phone(phone, "input", "phone")
    account_id = None
    async with unit_of_work() as work:
        wait_seconds = await _counted(work, viewer, "caller freeze", CALLER_FREEZES_HOURLY_MAX)
        if wait_seconds is None:
            account_id = await residents.verified_caller(
                work,
                actor_id=viewer.user_id,
                phone=e164,
                name=name,
                id_number_last6=id_number_last6,
                reason=kept,
            )
    _ensure(wait_seconds)
    if account_id is None:
        raise refusals.NotFound(path=("input", "phone"))
    return await _freeze(viewer, account_id, level=level, reason=kept, key=key)


async def _freeze(
    viewer: Viewer, account_id: int, *, level: FreezeLevel, reason: str, key: str
) -> AccountStatus:
    instruction = risk_cases.freeze(
        actor_id=viewer.user_id, account_id=account_id, reason=reason, key=key, level=level
    )
    receipt = await desk.post(audit.carried(instruction))
    if receipt.outcome is not Outcome.WRONG_STATE:
        ledger.check(receipt)
        async with unit_of_work() as work:
            await risk_cases.follow(work, [(account_id, receipt.at)])
    async with snapshot() as read:
        wallet = await wallets.wallet(read, account_id)
    status = AccountStatus(wallet.status)
    if status is AccountStatus.CLOSED:
        raise refusals.NotFound(path=("input", "phone"))
    return status


async def _counted(work: UnitOfWork, viewer: Viewer, purpose: str, hourly_max: int) -> int | None:
    """Count one; for how many seconds the caller has to wait now, or None."""
    count = await transfers.count_lookup(work, user_id=viewer.user_id, purpose=purpose)
    if count <= hourly_max:
        return None
    hour_ends = work.now.replace(minute=0, second=0, microsecond=0) + _HOUR
    return max(int((hour_ends - work.now).total_seconds()), 1)


def _ensure(wait_seconds: int | None) -> None:
    """Refused only now: the count has to be committed, or every look would be the first."""
    if wait_seconds is not None:
        raise refusals.RateLimited(retry_after_seconds=wait_seconds)


def _phone(text: str, *path: str) -> str:
    e164 = registration.phone(text)
    if e164 is None:
        raise refusals.InvalidInput(
            path=path, en="Enter a mobile phone number.", zh="请输入正确的手机号。"
        )
    return e164
