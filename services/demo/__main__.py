"""``python -m services.demo``: load the demo city into an empty development database, once."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from domain import merchants as codes
from infra.settings import get_settings
from services.demo import city, clock

if TYPE_CHECKING:
    from services.demo.loading import Loaded

_RESIDENTS_SHOWN = 4


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def run() -> None:
    """Load, unless this is no development installation or has people already.

    Raises DemoFailed and ClockWrong; both leave a database that should be made anew.
    """
    settings = get_settings()
    if not settings.development:
        _say("no demo city: WALLET_ENVIRONMENT is not development")
        return
    url = settings.migration_database_url or settings.database_url
    owner = await asyncpg.connect(url.get_secret_value())
    try:
        if await clock.put_right(owner):
            _say("a loading was interrupted: the clock is right again, the city is incomplete")
            _say("(for a whole one, remove the data directory and start again)")
        elif await owner.fetchval("select exists (select from users)"):
            _say("the city has people already; nothing was loaded")
        else:
            # Late: every start waits for the questions above, and seldom needs what loads.
            from services.demo import loading  # noqa: PLC0415

            loaded = await loading.load(settings, owner, _say)
            _write(settings.demo_file, loaded)
    finally:
        await owner.close()


def _write(path: str, loaded: Loaded) -> None:
    """The logins, devices and QR codes, for whoever greets the developer."""
    if not path:
        return
    welcome = {
        "logins": _logins(loaded.second_factors),
        "merchants": [
            {"name": shop.name, "qr": codes.SCHEME + shop.qr_token} for shop in loaded.shops
        ],
        "devices": loaded.devices,
        "passkeys": {
            phone: {"id": one["id"], "key": one["key"]}
            for phone, one in loaded.second_factors.items()
        },
    }
    Path(path).write_text(json.dumps(welcome, ensure_ascii=False, indent=2), encoding="utf-8")


def _logins(second_factors: dict[str, dict[str, str]]) -> list[dict[str, str]]:
    """All of staff, everybody with a shop, and the first residents; password and PIN are shared.

    Staff's ``totp`` is what to type into an authenticator app.
    """
    residents = list(enumerate(city.RESIDENT_NAMES))[:_RESIDENTS_SHOWN]
    people = [
        *((role.value, name, city.staff_phone(n)) for n, (role, name) in enumerate(city.STAFF)),
        *(("MERCHANT", shop[2], city.shop_phone(n)) for n, shop in enumerate(city.SHOPS)),
        *(("RESIDENT", name, city.resident_phone(n)) for n, name in residents),
    ]
    logins = [_login(*person) for person in people]
    for login in logins:
        if login["phone"] in second_factors:
            login["totp"] = second_factors[login["phone"]]["totp"]
    return logins


def _login(role: str, name: str, phone: str) -> dict[str, str]:
    login = {"role": role, "name": name, "phone": phone, "password": city.PASSWORD}
    return login | {"pin": city.PIN} if role == "RESIDENT" else login


if __name__ == "__main__":
    asyncio.run(run())
