"""Rules are enforced before anything happens, for every kind of function."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from domain import refusals
from domain.identity import Role, Status
from resolvers import viewer
from resolvers.viewer import (
    ACTIVE,
    ANONYMOUS,
    ANYONE,
    SIGNED_IN,
    Rule,
    Viewer,
    access,
    also_enrolling,
    elevated,
    staff,
)

RESIDENT = Viewer(user_id=1, role=Role.RESIDENT, status=Status.ACTIVE)
PENDING = replace(RESIDENT, status=Status.PENDING_REVIEW)
SUPPORT = replace(RESIDENT, role=Role.SUPPORT, second_factor=True)
NEW_SUPPORT = replace(SUPPORT, second_factor=False)
FORMER_SUPPORT = replace(SUPPORT, status=Status.CLOSED)


@pytest.mark.parametrize(
    ("rule", "caller", "refused"),
    [
        (ANYONE, ANONYMOUS, None),
        (SIGNED_IN, ANONYMOUS, refusals.NotSignedIn),
        (SIGNED_IN, PENDING, None),
        (ACTIVE, ANONYMOUS, refusals.NotSignedIn),
        (ACTIVE, PENDING, refusals.AccountNotActive),
        (ACTIVE, RESIDENT, None),
        (staff(Role.SUPPORT), ANONYMOUS, refusals.NotSignedIn),
        (staff(Role.SUPPORT), RESIDENT, refusals.NotPermitted),
        (staff(Role.SUPPORT), FORMER_SUPPORT, refusals.NotPermitted),
        (staff(Role.FINANCE, Role.ADMIN), SUPPORT, refusals.NotPermitted),
        (staff(Role.SUPPORT, Role.ADMIN), SUPPORT, None),
        (staff(Role.SUPPORT), NEW_SUPPORT, refusals.SecondFactorRequired),
        (SIGNED_IN, NEW_SUPPORT, refusals.SecondFactorRequired),
        (ACTIVE, NEW_SUPPORT, refusals.SecondFactorRequired),
        (ANYONE, NEW_SUPPORT, None),
        (also_enrolling(SIGNED_IN), NEW_SUPPORT, None),
        (also_enrolling(SIGNED_IN), ANONYMOUS, refusals.NotSignedIn),
        (also_enrolling(staff(Role.SUPPORT)), NEW_SUPPORT, None),
        (also_enrolling(staff(Role.ADMIN)), NEW_SUPPORT, refusals.NotPermitted),
        (elevated(staff(Role.SUPPORT)), SUPPORT, refusals.ElevationRequired),
        (elevated(staff(Role.SUPPORT)), replace(SUPPORT, elevated_until=datetime.now(UTC)), None),
    ],
)
async def test_who_may(rule: Rule, caller: Viewer, refused: type[Exception] | None) -> None:
    ran: list[str] = []

    @access(rule)
    async def change(viewer: Viewer, *, fact: int) -> int:
        ran.append("change")
        return fact

    @access(rule)
    async def follow(viewer: Viewer, fact: int) -> AsyncIterator[int]:
        ran.append("follow")
        yield fact

    @access(rule)
    def tell(viewer: Viewer, fact: int) -> int:
        ran.append("tell")
        return fact

    assert {change.access, follow.access, tell.access} == {rule}  # type: ignore[attr-defined]
    if refused is None:
        assert await change(caller, fact=1) == 1
        assert [fact async for fact in follow(caller, 2)] == [2]
        assert tell(caller, 3) == 3
        return
    with pytest.raises(refused):
        await change(caller, fact=1)
    with pytest.raises(refused):
        [fact async for fact in follow(caller, 2)]
    with pytest.raises(refused):
        tell(caller, 3)
    assert ran == []


def test_a_viewer_never_shows_what_is_sealed() -> None:
    shown = repr(replace(RESIDENT, phone_sealed=b"secret", name_sealed=b"secret"))
    assert "secret" not in shown


def test_the_names_that_others_import_are_there() -> None:
    assert all(hasattr(viewer, name) for name in viewer.__all__)
