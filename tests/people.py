"""People for tests, made through the same doors as in the product."""

from __future__ import annotations

import itertools
import random
from uuid import UUID

import asyncpg
from stdnum.cn import ric

from domain.consents import Purpose
from domain.devices import Platform
from domain.identity import ANONYMOUS, CodePurpose, LoginMethod, Role, Status, Viewer
from infra import encryption, hashing
from resolvers import devices as device_doors
from resolvers import identity, logins, registrations
from schema import ids
from services import people
from services.identity import arrivals, codes, registration, sessions
from services.identity.arrivals import SignedIn
from services.identity.second_factors import CodeProof, DeviceKeyProof
from services.unit_of_work import UnitOfWork, unit_of_work
from tests import present
from tests.demo.device import DeviceKey

PASSWORD = "Nanshan-7-harbour"
PIN = "820461"
ADDRESS = "192.0.2.1"
_serials = itertools.count(1)
CONSENTS = [(Purpose.TERMS, 1), (Purpose.PRIVACY, 1)]
_numbers = itertools.count(random.randrange(10_000_000, 90_000_000))


def phone() -> str:
    """A mainland mobile number that no other test of this run has."""
    return f"+86138{next(_numbers):08d}"


def id_number(born: str = "19900307", *, serial: int | None = None) -> str:
    """A resident ID number of somebody born on a day (``YYYYMMDD``) in Shenzhen."""
    serial = next(_serials) % 1000 if serial is None else serial
    digits = f"440305{born}{serial:03d}"
    return digits + ric.calc_check_digit(digits + "0")


async def code_of(
    connection: asyncpg.Connection, number: str, purpose: CodePurpose = CodePurpose.REGISTER
) -> str:
    """The newest code on its way to a phone, read as the sending job reads it."""
    return (await verification_of(connection, number, purpose))[1]


async def asked(connection: asyncpg.Connection, number: str, purpose: CodePurpose) -> UUID | None:
    """The newest request for a code of a purpose to a phone, if there is one."""
    return await connection.fetchval(
        "select id from verification_code where phone_index = $1 and purpose = $2"
        " order by created_at desc, id desc limit 1",
        people.phone_index(number),
        purpose,
    )


async def verification_of(
    connection: asyncpg.Connection, number: str, purpose: CodePurpose = CodePurpose.REGISTER
) -> tuple[UUID, str]:
    """The newest request for a code to a phone: its id and the code."""
    row = await connection.fetchrow(
        "select id, code from verification_code where phone_index = $1 and purpose = $2"
        " order by created_at desc, id desc limit 1",
        people.phone_index(number),
        purpose,
    )
    code = encryption.decrypt("verification_code.code", row["id"], row["code"]).split(" ")[1]
    return row["id"], code


async def ask_code(
    number: str,
    *,
    address: str = "192.0.2.1",
    purpose: CodePurpose = CodePurpose.REGISTER,
    viewer: Viewer = ANONYMOUS,
) -> codes.Requested:
    return await identity.request_verification_code(
        viewer,
        phone=number,
        purpose=purpose,
        address=address,
        language="zh-CN",
    )


def described(key: DeviceKey, name: str = "测试手机") -> device_doors.Described:
    """A device with this key, as its client says it."""
    return device_doors.Described(key.public, name, Platform.ANDROID)


def known(key: DeviceKey, signed_in: SignedIn) -> SignedIn:
    """The same; the key has learned what its device is called."""
    key.id = ids.encode("Device", signed_in.device.id)
    return signed_in


async def registered(
    superuser: asyncpg.Connection,
    number: str,
    *,
    name: str = "王小明",
    key: DeviceKey | None = None,
    told: registrations.Told = registrations.NOTHING_TOLD,
) -> SignedIn:
    """Somebody who has just applied, on a device with this key."""
    key = key or DeviceKey()
    await ask_code(number)
    verification_id, code = await verification_of(superuser, number)
    signed_in = await identity.register(
        ANONYMOUS,
        name=name,
        phone=number,
        verification_id=verification_id,
        code=code,
        password=PASSWORD,
        language="zh-CN",
        device=described(key),
        address=ADDRESS,
        given=CONSENTS,
        told=told,
    )
    return known(key, signed_in)


async def challenged(
    number: str, *, password: str = PASSWORD, address: str = ADDRESS
) -> logins.Challenged:
    """The first step of signing in."""
    return await logins.login(ANONYMOUS, phone=number, password=password, address=address)


def device_proof(key: DeviceKey, challenge: logins.Challenged) -> DeviceKeyProof:
    """What a device with this key answers to a challenge."""
    made = key.login_proof({"id": challenge.secret, "nonce": challenge.nonce})["deviceKey"]
    device_id = ids.decode(made["deviceId"], "Device")
    return DeviceKeyProof(UUID(device_id) if device_id else None, made["signature"])


async def complete(
    challenge: logins.Challenged, key: DeviceKey, *, address: str = ADDRESS
) -> SignedIn:
    """The second step, by a device that is known."""
    return await logins.complete_login(
        ANONYMOUS,
        secret=challenge.secret,
        method=LoginMethod.DEVICE_KEY,
        proof=device_proof(key, challenge),
        device=None,
        address=address,
    )


async def login_code(
    superuser: asyncpg.Connection, challenge: logins.Challenged, number: str
) -> CodeProof:
    """The code that the owner's phone gets for a challenge."""
    requested = await logins.send_login_code(
        ANONYMOUS, secret=challenge.secret, address=ADDRESS, language="zh-CN"
    )
    code = await code_of(superuser, number, CodePurpose.LOGIN)
    return CodeProof(requested.verification_id, code)


async def complete_by_code(
    challenge: logins.Challenged,
    proof: CodeProof,
    key: DeviceKey,
    *,
    address: str = ADDRESS,
    name: str = "新手机",
) -> SignedIn:
    """The second step on a new device."""
    signed_in = await logins.complete_login(
        ANONYMOUS,
        secret=challenge.secret,
        method=LoginMethod.CODE,
        proof=proof,
        device=described(key, name),
        address=address,
    )
    return known(key, signed_in)


async def signed_in_again(number: str, key: DeviceKey, *, address: str = ADDRESS) -> SignedIn:
    """Both steps, on a device that is known."""
    return await complete(await challenged(number, address=address), key, address=address)


async def reviewed(user_id: int) -> Status | None:
    async with unit_of_work() as work:
        return await registration.review(work, user_id)


async def resident(
    superuser: asyncpg.Connection,
    number: str | None = None,
    *,
    key: DeviceKey | None = None,
    told: registrations.Told = registrations.NOTHING_TOLD,
) -> Viewer:
    """An approved resident, signed in on a device with this key."""
    signed_in = await registered(superuser, number or phone(), key=key, told=told)
    assert await reviewed(signed_in.viewer.user_id) is Status.ACTIVE
    return await again(signed_in.viewer)


async def staff(role: Role, *, elevated: bool = True, second_factor: bool = True) -> Viewer:
    """An active member of staff, signed in as if by an authenticator, and elevated.

    Not appointed, but written by the database's superuser: nobody is told of it, and no ADMIN is
    needed. `tests/services/test_staffing.py` takes the product's door.
    """
    password_hash = await hashing.hash_password(PASSWORD)
    async with unit_of_work() as work:
        user_id = await people.create(
            work,
            role=Role.RESIDENT,
            status=Status.ACTIVE,
            name="陈思远",
            phone=phone(),
            password_hash=password_hash,
            language="zh-CN",
        )
    superuser = await asyncpg.connect(present.superuser_url)
    await superuser.execute("update users set role = $2 where id = $1", user_id, role)
    await superuser.close()
    return await signed_in(user_id, elevated=elevated, second_factor=second_factor)


async def signed_in(user_id: int, *, elevated: bool = False, second_factor: bool = True) -> Viewer:
    """Somebody with a new session, on a new device."""
    async with unit_of_work() as work:
        viewer = (await arrived(work, user_id, second_factor=second_factor)).viewer
        if elevated:
            await work.execute(
                "update session set elevated_until = ledger.now() + interval '15 minutes'"
                " where id = $1",
                viewer.session_id,
            )
    return await again(viewer)


async def arrived(
    work: UnitOfWork, user_id: int, key: DeviceKey | None = None, *, second_factor: bool = True
) -> SignedIn:
    """Somebody on a first device, without a login."""
    key = key or DeviceKey()
    device = device_doors.checked(described(key))
    return known(
        key,
        await arrivals.admit_new(
            work,
            user_id,
            device,
            address=ADDRESS,
            registering=True,
            second_factor=second_factor,
        ),
    )


async def another_session(viewer: Viewer) -> Viewer:
    """The same person, signed in once more."""
    async with unit_of_work() as work:
        return (await arrived(work, viewer.user_id)).viewer


async def again(viewer: Viewer) -> Viewer:
    """The caller as a new request would find them."""
    assert viewer.session_id is not None
    async with unit_of_work() as work:
        current = await sessions.viewer_by_session(work, viewer.session_id)
    assert current is not None
    return current


async def pass_time(connection: asyncpg.Connection, seconds: int) -> None:
    """Move the database's clock; the superuser's connection may."""
    await connection.execute(
        "update ledger.clock_offset set value = value + make_interval(secs => $1)", seconds
    )
