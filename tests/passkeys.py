"""People with passkeys, for tests: registered through the doors that GraphQL uses."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import pytest

from domain.identity import ANONYMOUS, CodePurpose, Viewer
from domain.proofs import Action, Passkey, Password, PinAndCode
from infra import settings
from resolvers import passkeys, proof_challenges
from resolvers.proof_challenges import Deed
from services import people as persons
from services.identity.arrivals import SignedIn
from tests import people as make
from tests.authenticator import ORIGIN, Authenticator
from tests.demo.device import DeviceKey
from tests.people import PASSWORD, PIN

ADDRESS = "192.0.2.8"
_devices: dict[int, Authenticator] = {}


def home_of(viewer: Viewer) -> str:
    """An address of the user's own: what others forget to take back is not counted there."""
    return f"100.64.{viewer.user_id // 250 % 250}.{viewer.user_id % 250}"


async def begun(viewer: Viewer, *, password: str = PASSWORD) -> passkeys.Asked:
    """The first half of adding a passkey."""
    return await passkeys.request_passkey_registration(
        viewer, password=password, address=home_of(viewer)
    )


class _Carefree:
    """No caution for whoever adds a passkey meanwhile; many may be inside at once."""

    def __init__(self) -> None:
        self._inside = 0
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> None:
        if self._inside == 0:
            self._patch.setattr(settings.get_settings(), "caution_day_max_minor", 10**12)
        self._inside += 1

    def __exit__(self, *_: object) -> None:
        self._inside -= 1
        if self._inside == 0:
            self._patch.undo()


_CAREFREE = _Carefree()


async def added(
    viewer: Viewer, device: Authenticator | None = None, *, name: str = "我的手机"
) -> tuple[Authenticator, passkeys.Passkey]:
    """A device with a passkey of the viewer's, old enough for large sums."""
    device = device or Authenticator()
    asked = await begun(viewer)
    with _CAREFREE:
        row = await passkeys.register_passkey(
            viewer, challenge_id=asked.id, credential=device.create(asked.options), name=name
        )
    return device, row


async def login_asked(*, address: str = ADDRESS) -> passkeys.Asked:
    return await passkeys.request_passkey_login(ANONYMOUS, origin=ORIGIN, address=address)


async def signed_in(device: Authenticator, **forged: object) -> SignedIn:
    asked = await login_asked()
    return await entered(asked.id, device.get(asked.options, **forged))


async def entered(challenge_id: UUID, credential: str) -> SignedIn:
    """Signing in by what an authenticator answered, on a phone that nobody knows yet."""
    return await passkeys.login_with_passkey(
        ANONYMOUS,
        challenge_id=challenge_id,
        credential=credential,
        device=make.described(DeviceKey()),
        address=ADDRESS,
    )


async def asked_for(viewer: Viewer, deed: Deed, key: str) -> proof_challenges.Asked:
    return await proof_challenges.request_payment_challenge(viewer, deed=deed, key=key)


async def proof_of(
    viewer: Viewer, device: Authenticator, deed: Deed, key: str, **forged: object
) -> Passkey:
    """The device's answer to a challenge for this deed under this key."""
    asked = await asked_for(viewer, deed, key)
    assert asked.options is not None
    return Passkey(asked.id, device.get(asked.options, **forged))


async def own_proof(viewer: Viewer, action: Action) -> Passkey | Password:
    """A fresh proof for an own matter: the password, unless a PIN is set; then a new passkey."""
    if not viewer.pin_set:
        return Password(PASSWORD, ADDRESS)
    if viewer.user_id not in _devices:
        _devices[viewer.user_id], _ = await added(viewer)
    return await stepping(viewer, _devices[viewer.user_id], action)


async def stepping(viewer: Viewer, device: Authenticator, action: Action) -> Passkey:
    """The device's answer to a challenge for a deed without money."""
    asked = await proof_challenges.request_step_up_challenge(viewer, action=action, subject="")
    assert asked.options is not None
    return Passkey(asked.id, device.get(asked.options))


async def code_for(
    superuser: asyncpg.Connection, viewer: Viewer, challenge_id: UUID, pin: str = PIN
) -> PinAndCode:
    """The PIN and the code that the caller's phone gets for a challenge."""
    requested = await proof_challenges.send_proof_code(
        viewer, challenge_id=challenge_id, address=ADDRESS, language="zh-CN"
    )
    for purpose in (CodePurpose.PAYMENT, CodePurpose.STEP_UP):
        number = persons.phone_of(viewer)
        if await make.asked(superuser, number, purpose) == requested.verification_id:
            code = await make.code_of(superuser, number, purpose)
            return PinAndCode(pin, requested.verification_id, code)
    raise AssertionError("no code is on its way")
