"""Who may freeze and unfreeze a wallet, and how its owner answers."""

from __future__ import annotations

from uuid import UUID

from domain import inputs, ledger, refusals
from domain.identity import Role
from domain.ledger import FreezeLevel, Instruction, Operation, Outcome
from domain.risk import CaseState
from resolvers.viewer import SIGNED_IN, Viewer, access, elevated, staff
from services import audit, risk_cases
from services.ledger import desk, reading
from services.risk_cases import Case, Key
from services.unit_of_work import snapshot, unit_of_work

REASON_LENGTH_MAX = 200
APPEAL_LENGTH_MAX = 1_000
_RISK = staff(Role.RISK)
_RISK_READ = staff(Role.RISK, Role.AUDITOR)
Named = tuple[Case, str | None]


@access(SIGNED_IN)
async def own_freeze(viewer: Viewer) -> Case | None:
    """The case because of which the caller's wallet is frozen now, if it is."""
    async with snapshot() as read:
        return await risk_cases.standing(read, viewer.user_id)


@access(SIGNED_IN)
async def appeal_freeze(viewer: Viewer, *, case_id: UUID, text: str) -> Case:
    """Answer to the freezing of one's own wallet; a later answer replaces it.

    Raises InvalidInput, NotFound.
    """
    kept = inputs.short_text(text, "input", "text", length_max=APPEAL_LENGTH_MAX)
    if kept is None:
        raise refusals.InvalidInput(
            path=("input", "text"), en="Please write your appeal.", zh="请填写申诉内容。"
        )
    async with unit_of_work() as work:
        appealed = await risk_cases.appeal(work, user_id=viewer.user_id, case_id=case_id, text=kept)
    if appealed is None:
        raise refusals.NotFound(path=("input", "caseId"))
    return appealed


@access(_RISK_READ)
async def case_page(
    viewer: Viewer,
    *,
    state: CaseState | None,
    limit: int,
    after: Key | None,
    before: Key | None,
    backwards: bool,
) -> list[Named]:
    """Cases with their users' masked names, newest first; who looked is on record before that."""
    async with unit_of_work() as work:
        return await risk_cases.page(
            work,
            actor_id=viewer.user_id,
            state=state,
            limit=limit,
            after=after,
            before=before,
            backwards=backwards,
        )


@access(_RISK)
async def freeze_wallet(
    viewer: Viewer,
    *,
    user_id: int,
    reason: str,
    key: str,
    level: FreezeLevel = FreezeLevel.DEBIT_BLOCK,
) -> Named:
    """Stop all that would leave somebody's wallet (FULL: and come into it), not one's own.

    Raises InvalidInput, NotFound, ReviewerIsParty, StaleVersion (is frozen already),
    IdempotencyKeyReused, Overloaded.
    """
    inputs.check_key(key)
    kept = _reason(reason)
    if user_id == viewer.user_id:
        raise refusals.ReviewerIsParty(path=("input", "userId"))
    async with snapshot() as read:
        account_id = await risk_cases.account_of(read, user_id)
    if account_id is None:
        raise refusals.NotFound(path=("input", "userId"))
    instruction = risk_cases.freeze(
        actor_id=viewer.user_id, account_id=account_id, reason=kept, key=key, level=level
    )
    return await _post(account_id, instruction)


@access(elevated(_RISK))
async def unfreeze_wallet(viewer: Viewer, *, case_id: UUID, reason: str, key: str) -> Named:
    """Let a frozen wallet that isn't one's own work again.

    Raises InvalidInput, NotFound, ReviewerIsParty, StaleVersion (works again already),
    IdempotencyKeyReused, Overloaded.
    """
    inputs.check_key(key)
    kept = _reason(reason)
    async with snapshot() as read:
        case = await risk_cases.case(read, case_id)
        again = await reading.asked_before(
            read, actor_id=viewer.user_id, operation=Operation.UNFREEZE, key=key
        )
    if case is None:
        raise refusals.NotFound(path=("input", "caseId"))
    if case.state is CaseState.LIFTED and not again:
        raise refusals.StaleVersion  # the wallet may be frozen anew, which is another case
    instruction = risk_cases.unfreeze(case, actor_id=viewer.user_id, reason=kept, key=key)
    return await _post(case.account_id, instruction)


async def _post(account_id: int, instruction: Instruction) -> Named:
    """Post it, and open or close the case, which the postings' job would do as well."""
    receipt = await desk.post(audit.carried(instruction))
    ledger.check(receipt, {Outcome.WRONG_STATE: refusals.StaleVersion})
    async with unit_of_work() as work:
        await risk_cases.follow(work, [(account_id, receipt.at)])
        case = await risk_cases.at(work, account_id, receipt.at)
        if case is None:
            raise refusals.StaleVersion
        [named] = await risk_cases.named(work, [case])
    return named


def _reason(text: str) -> str:
    kept = inputs.short_text(text, "input", "reason", length_max=REASON_LENGTH_MAX)
    if kept is None:
        raise refusals.InvalidInput(
            path=("input", "reason"), en="Please give a reason.", zh="请填写原因。"
        )
    return kept
