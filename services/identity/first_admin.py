"""``python -m services.identity.first_admin --phone … --name …``: whoever lets the others in.

Reads the password from standard input (unseen at a terminal). Works only while there is no ADMIN.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import sys

from domain import passwords, refusals, registration
from domain.identity import Role, Status
from infra import database, hashing, kms, settings, transit
from services import people
from services.identity import staffing
from services.unit_of_work import UnitOfWork, unit_of_work


class AdminExists(Exception):
    """There is an ADMIN already; only an ADMIN makes another."""


async def make(work: UnitOfWork, *, name: str, phone: str, password_hash: str) -> int:
    """The first admin's user id, recorded. Raises AdminExists, PhoneTaken."""
    # For a clear answer to a second call; who is the first is decided by the database, below.
    if await work.fetchval("select exists (select from users where role = 'ADMIN')"):
        raise AdminExists
    user_id = await people.create(
        work,
        role=Role.RESIDENT,
        status=Status.ACTIVE,
        name=name,
        phone=phone,
        password_hash=password_hash,
        language="zh-CN",
    )
    if not await staffing.make_first_admin(work, user_id):
        raise AdminExists
    return user_id


async def run(*, name: str, phone: str, password: str) -> int:
    """Make the first admin in the database that the settings name; the new user's id."""
    given = settings.get_settings()
    transit.ensure_database(given, "database_url")
    await kms.open_keys()
    await database.open_database(given.database_url.get_secret_value())
    await hashing.open_hasher()
    try:
        password_hash = await hashing.hash_password(password)
        async with unit_of_work() as work:
            return await make(work, name=name, phone=phone, password_hash=password_hash)
    finally:
        await hashing.close_hasher()
        await database.close_database()


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the first admin of this installation.")
    parser.add_argument("--phone", required=True, help="a mobile number, for instance +86138…")
    parser.add_argument("--name", required=True)
    given = parser.parse_args()
    phone, name = registration.phone(given.phone), registration.clean_name(given.name)
    if phone is None or name is None:
        sys.exit("The phone must be a mobile number, and the name must not be empty.")
    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
    else:
        password = sys.stdin.readline().rstrip("\n")
    if not passwords.acceptable(password, passwords.Owner(name, phone)):
        sys.exit("The password needs 8 characters or more, and must not be easy to guess.")
    try:
        user_id = asyncio.run(run(name=name, phone=phone, password=password))
    except AdminExists:
        sys.exit("There is an admin already. Nothing was changed.")
    except refusals.PhoneTaken:
        sys.exit("This phone number belongs to somebody already. Nothing was changed.")
    sys.stdout.write(f"The first admin is user {user_id}. Sign in at /console.\n")


if __name__ == "__main__":
    main()
