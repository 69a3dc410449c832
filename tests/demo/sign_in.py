"""``python -m tests.demo.sign_in +8613800138001``: the access token of somebody of the demo city.

Signs in to the running stack as an app does: the password, then a signature by the key of the
device that the demo city enrolled for them, or by the passkey of a member of staff. With ``--code``
it only shows what a member of staff's authenticator app would show now.
"""

from __future__ import annotations

import asyncio
import sys

import pyotp

from infra import stack
from tests.demo.__main__ import world_of
from tests.demo.stage import Person, Stage, World


async def access_token(world: World, login: dict[str, str]) -> str:
    """Of somebody whose login the demo city has printed."""
    person = Person.of_city(Stage(world, lambda _: None), login)
    await person.sign_in()
    await person.close()
    return person.client.token


def main() -> int:
    joined = stack.running_environment()
    *options, phone = sys.argv[1:] or [""]
    if joined is None or not phone or options not in ([], ["--code"]):
        print("While `make run` runs: python -m tests.demo.sign_in [--code] PHONE", file=sys.stderr)
        return 2
    world = world_of(joined)
    for login in world.logins:
        if login["phone"] == phone and (not options or "totp" in login):
            code = pyotp.TOTP(login["totp"]).now() if options else None
            print(code or asyncio.run(access_token(world, login)))
            return 0
    print("`make run` has printed no such login with this phone number.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
