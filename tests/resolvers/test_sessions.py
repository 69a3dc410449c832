"""What an open socket goes on as, when its session, its caller's role or status changes."""

from __future__ import annotations

import asyncpg
import pytest

from domain.identity import ANONYMOUS, Role, Status
from resolvers import identity, sessions
from tests import people as make

pytestmark = pytest.mark.usefixtures("app")


async def test_a_stranger_stays_and_a_caller_stays_with_what_is_new() -> None:
    assert await sessions.current(ANONYMOUS) is ANONYMOUS


async def test_an_approval_is_known_to_the_open_socket(superuser: asyncpg.Connection) -> None:
    applicant = (await make.registered(superuser, make.phone())).viewer
    assert applicant.status is Status.PENDING_REVIEW
    await make.reviewed(applicant.user_id)
    current = await sessions.current(applicant)
    assert current is not None
    assert (current.status, current.account_id is not None) == (Status.ACTIVE, True)


@pytest.mark.parametrize("change", ["role = 'SUPPORT'", "role = 'RESIDENT'", "status = 'REJECTED'"])
async def test_whoever_lost_a_role_or_the_approval_loses_the_socket(
    superuser: asyncpg.Connection, change: str
) -> None:
    finance = await make.staff(Role.FINANCE)
    assert await sessions.current(finance) is not None
    await superuser.execute(f"update users set {change} where id = $1", finance.user_id)
    assert await sessions.current(finance) is None


async def test_a_session_that_is_over_ends_the_socket(superuser: asyncpg.Connection) -> None:
    signed_in = await make.registered(superuser, make.phone())
    await identity.logout(ANONYMOUS, refresh_token=signed_in.session.refresh_token)
    assert await sessions.current(signed_in.viewer) is None
