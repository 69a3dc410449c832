"""Who may change a password, and the transactions it takes."""

from __future__ import annotations

from domain import passwords as rules
from domain import refusals
from domain.passwords import Owner
from infra import hashing
from resolvers import identity
from resolvers.viewer import SIGNED_IN, Viewer, access
from services import people
from services.identity import logins, passwords, sessions
from services.unit_of_work import snapshot, unit_of_work


@access(SIGNED_IN)
async def change_password(
    viewer: Viewer, *, password: str, new_password: str, address: str
) -> Viewer:
    """Replace the password by a new one; all other sessions end. The caller as of after it.

    Raises PasswordUnacceptable, PasswordUnchanged, WrongCredentials, RateLimited, Overloaded.
    """
    await _ensure_acceptable(viewer, new_password)
    if rules.normalised(new_password) == rules.normalised(password):
        raise refusals.PasswordUnchanged(path=("input", "newPassword"))
    identity.ensure_room()
    async with unit_of_work() as work:
        attempt = await logins.begin_for_user(work, user_id=viewer.user_id, address=address)
    await identity.right_password(attempt, password, path=("input", "password"))
    assert attempt.stored is not None
    try:
        new_hash = await hashing.hash_password(new_password)
    except hashing.HasherBusy:
        async with unit_of_work() as work:
            await logins.withdraw(work, attempt)
        raise refusals.Overloaded from None
    async with unit_of_work() as work:
        await logins.succeed(work, attempt)
        await passwords.change(
            work,
            user_id=viewer.user_id,
            stored=attempt.stored,
            new_hash=new_hash,
            keep_session_id=viewer.session_id,
        )
        assert viewer.session_id is not None
        current = await sessions.viewer_by_session(work, viewer.session_id)
    if current is None:
        raise refusals.NotSignedIn
    return current


async def _ensure_acceptable(viewer: Viewer, new_password: str) -> None:
    async with snapshot() as read:
        details = await people.details_of(read, viewer.user_id)
    owner = Owner(people.name_of(viewer), people.phone_of(viewer), details.id_number)
    if not rules.acceptable(new_password, owner):
        raise refusals.PasswordUnacceptable(path=("input", "newPassword"))
