"""Who may read what staff did and looked at."""

from __future__ import annotations

import ipaddress
import re

from domain import refusals
from domain.identity import Role
from resolvers.viewer import Viewer, access, staff
from services import audit
from services.audit import Entry, Filter, Key
from services.unit_of_work import unit_of_work

# What is asked for goes on record, so nothing personal may hide in it.
_FORMS = {
    "action": re.compile(r"[A-Z_]{1,40}"),
    "object": re.compile(r"[a-z_]{1,30}(:[0-9a-f-]{1,40})?"),
}


@access(staff(Role.AUDITOR, Role.ADMIN))
async def audit_log(
    viewer: Viewer,
    *,
    wanted: Filter,
    limit: int,
    after: Key | None,
    before: Key | None,
    backwards: bool,
) -> list[Entry]:
    """Entries, newest first; who looked is on record before they are shown. Raises InvalidInput."""
    _check(wanted)
    async with unit_of_work() as work:
        return await audit.page(
            work,
            actor_id=viewer.user_id,
            wanted=wanted,
            limit=limit,
            after=after,
            before=before,
            backwards=backwards,
        )


def _check(wanted: Filter) -> None:
    for name, form in _FORMS.items():
        text = getattr(wanted, name)
        if text is not None and not form.fullmatch(text):
            raise refusals.InvalidInput(path=("filter", name))
    if wanted.address is not None:
        try:
            ipaddress.ip_address(wanted.address)
        except ValueError:
            raise refusals.InvalidInput(path=("filter", "address")) from None
