"""Payment PINs: a try is spent and committed before anything is compared; five, then locked."""

from __future__ import annotations

from dataclasses import dataclass, field

from domain import refusals
from domain.identity import PIN_TRIES
from domain.notices import NoticeKind
from services import notices
from services.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Try:
    """A spent try: what to compare with, and how many are left if it is wrong."""

    user_id: int
    stored: str = field(repr=False)
    attempts_left: int

    def wrong(self, path: tuple[str, ...] | None) -> refusals.Refusal:
        """What a wrong PIN is answered with."""
        if self.attempts_left:
            return refusals.WrongPin(path=path, attempts_left=self.attempts_left)
        return refusals.PinLocked(path=path)


async def keep(work: UnitOfWork, *, user_id: int, pin_hash: str) -> None:
    """Set a first PIN and tell its owner: whoever has it can pay.

    Raises ProofRequired if there is one: replacing it takes more.
    """
    version = await work.fetchval(
        "update users set pin_hash = $2, pin_tries_left = $3, version = version + 1 where id = $1"
        " and pin_hash is null returning version",
        user_id,
        pin_hash,
        PIN_TRIES,
    )
    if version is None:
        raise refusals.ProofRequired(path=("input", "proof"))
    await _follow(work, user_id, NoticeKind.PIN_SET, version=version)


async def replace(
    work: UnitOfWork, *, user_id: int, pin_hash: str, instead_of: str | None = None
) -> int:
    """Replace a PIN and tell its owner; all tries are free again. The user's new version.

    ``instead_of`` is the hash of the old one, if it was shown. Raises ProofRequired if that was
    replaced in the meantime, or there is none: of two, one wins.
    """
    version = await work.fetchval(
        "update users set pin_hash = $2, pin_tries_left = $3, version = version + 1 where id = $1"
        " and pin_hash is not null and pin_hash = coalesce($4, pin_hash) returning version",
        user_id,
        pin_hash,
        PIN_TRIES,
        instead_of,
    )
    if version is None:
        raise refusals.ProofRequired(path=("input", "proof"))
    await _follow(work, user_id, NoticeKind.PIN_CHANGED, version=version)
    return version


async def _follow(work: UnitOfWork, user_id: int, kind: NoticeKind, *, version: int) -> None:
    work.announce(f"user:{user_id}")
    await notices.tell(
        work, user_id=user_id, kind=kind, params={}, source=f"pin:{user_id}:{version}"
    )


async def spend_try(work: UnitOfWork, user_id: int) -> Try:
    """Spend one try. Raises PinNotSet, PinLocked."""
    row = await work.fetchrow(
        "update users set pin_tries_left = pin_tries_left - 1 where id = $1"
        " and pin_hash is not null and pin_tries_left > 0 returning pin_hash, pin_tries_left",
        user_id,
    )
    if row is not None:
        return Try(user_id, row["pin_hash"], row["pin_tries_left"])
    if await work.fetchval("select pin_hash is not null from users where id = $1", user_id):
        raise refusals.PinLocked
    raise refusals.PinNotSet


async def withdraw(work: UnitOfWork, spent: Try) -> None:
    """Nothing was compared (the hasher was busy): the try doesn't count."""
    await work.execute(
        "update users set pin_tries_left = least(pin_tries_left + 1, $3)"
        " where id = $1 and pin_hash = $2",
        spent.user_id,
        spent.stored,
        PIN_TRIES,
    )


async def accept(work: UnitOfWork, spent: Try, *, new_hash: str | None = None) -> bool:
    """The PIN was right: all tries are free again. False if it was replaced in the meantime.

    ``new_hash`` replaces a stored one that is out of date.
    """
    unchanged = await work.fetchval(
        "update users set pin_tries_left = $3, pin_hash = coalesce($4, pin_hash)"
        " where id = $1 and pin_hash = $2 returning id",
        spent.user_id,
        spent.stored,
        PIN_TRIES,
        new_hash,
    )
    return unchanged is not None
