"""People who have lost a password, for tests: through the doors that GraphQL uses."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from domain.identity import ANONYMOUS, CodePurpose, Role, Status, Viewer
from domain.proofs import Action, Passkey
from domain.recovery import Identity
from infra import hashing
from resolvers import (
    identity,
    password_resets,
    phone_changes,
    phone_replacements,
    proof_challenges,
    recoveries,
)
from resolvers.password_resets import SecondProof
from services import notice_delivery
from services import people as persons
from services.identity.arrivals import SignedIn
from services.identity.password_resets import Opened
from services.unit_of_work import unit_of_work
from tests import passkeys as keys
from tests import people as make
from tests.authenticator import ORIGIN, Authenticator
from tests.demo.device import DeviceKey

ADDRESS = "192.0.2.31"
NAME = "王小明"
SAID = "移动营业厅上周新开的号"
_addresses = itertools.count(1)
NEW = "Futian-9-lighthouse"


@dataclass(frozen=True)
class Owner:
    """A resident with a reviewed ID, and what only the resident knows and has."""

    viewer: Viewer
    phone: str
    number: str
    key: DeviceKey

    @property
    def identity(self) -> Identity:
        return Identity(NAME, self.number[-6:])


async def owner(superuser: asyncpg.Connection) -> Owner:
    phone, number, key = make.phone(), make.id_number(), DeviceKey()
    password_hash = await hashing.hash_password(make.PASSWORD)
    async with unit_of_work() as work:
        user_id = await persons.create(
            work,
            role=Role.RESIDENT,
            status=Status.ACTIVE,
            name=NAME,
            phone=phone,
            password_hash=password_hash,
            language="zh-CN",
            details=persons.Details(number),
        )
        await persons.open_account(work, user_id, Role.RESIDENT)
        await persons.raise_kyc_level(work, user_id)
        signed_in = await make.arrived(work, user_id, key)
    return Owner(signed_in.viewer, phone, number, key)


def address() -> str:
    """Where nobody has called from."""
    number = next(_addresses)
    return f"100.66.{number // 250}.{number % 250}"


async def asked(phone: str, *, address: str = ADDRESS) -> Opened:
    return await password_resets.request_password_reset(
        ANONYMOUS, phone=phone, address=address, language="zh-CN"
    )


async def begun(superuser: asyncpg.Connection, phone: str) -> tuple[Opened, str]:
    """A reset, and the code that is on its way."""
    opened = await asked(phone, address=address())
    return opened, await make.code_of(superuser, phone, CodePurpose.RESET_PASSWORD)


async def completed(
    opened: Opened,
    code: str,
    proof: SecondProof,
    *,
    password: str = NEW,
    address: str = ADDRESS,
) -> None:
    await password_resets.complete_password_reset(
        ANONYMOUS,
        secret=opened.secret,
        code=code,
        proof=proof,
        new_password=password,
        address=address,
    )


async def passkey_for(opened: Opened, device: Authenticator, **forged: object) -> Passkey:
    """The device's answer to a challenge for this reset."""
    wanted = await password_resets.request_password_reset_passkey(
        ANONYMOUS, secret=opened.secret, origin=ORIGIN, address=ADDRESS
    )
    return Passkey(wanted.id, device.get(wanted.options, **forged))


async def kinds(superuser: asyncpg.Connection, viewer: Viewer) -> list[str]:
    """What somebody was told, first things first."""
    rows = await superuser.fetch(
        "select kind from notice where user_id = $1 order by seq", viewer.user_id
    )
    return [row["kind"] for row in rows]


async def careful(superuser: asyncpg.Connection, viewer: Viewer) -> tuple[int, int] | None:
    """For how many hours little may leave the wallet, and how much (minor units); None: as ever."""
    row = await superuser.fetchrow(
        "select round(extract(epoch from caution_until - ledger.now()) / 3600)::int as hours,"
        " caution_day_max from ledger.account where owner_id = $1"
        " and caution_until > ledger.now()",
        viewer.user_id,
    )
    return (row["hours"], row["caution_day_max"]) if row is not None else None


async def standing(superuser: asyncpg.Connection, phones: Sequence[str]) -> list[object]:
    """What a reset would change of people; the same before and after one that was refused."""
    rows = await superuser.fetch(
        "select password_hash, version, (select count(*) from notice n where n.user_id = u.id),"
        " (select count(*) from audit_entry a where a.object = 'user:' || u.id),"
        " (select array_agg(s.revoked_at::text) from session s where s.user_id = u.id),"
        " (select a.caution_until::text from ledger.account a where a.owner_id = u.id)"
        " from users u where phone_index = any($1) order by id",
        [persons.phone_index(phone) for phone in phones],
    )
    return [tuple(row) for row in rows]


async def with_device(owner: Owner) -> Authenticator:
    """The owner's authenticator, with a passkey."""
    return (await keys.added(owner.viewer))[0]


async def change_asked(owner: Owner, device: Authenticator, new_phone: str) -> phone_changes.Opened:
    """A change of the phone number, proven by a passkey."""
    asked_for = await proof_challenges.request_step_up_challenge(
        owner.viewer, action=Action.CHANGE_PHONE, subject=new_phone
    )
    assert asked_for.options is not None
    return await phone_changes.request_phone_change(
        owner.viewer,
        new_phone=new_phone,
        password=make.PASSWORD,
        proof=Passkey(asked_for.id, device.get(asked_for.options)),
        address=address(),
        language="zh-CN",
    )


async def change_codes(
    superuser: asyncpg.Connection, owner: Owner, new_phone: str
) -> tuple[str, str]:
    """The codes on their way to the old phone and the new one."""
    old, new = [
        await make.code_of(superuser, phone, CodePurpose.CHANGE_PHONE)
        for phone in (owner.phone, new_phone)
    ]
    return old, new


async def change_confirmed(
    viewer: Viewer, opened: phone_changes.Opened, codes: tuple[str, str]
) -> Viewer:
    return await phone_changes.confirm_phone_change(
        viewer, change_id=opened.id, old_code=codes[0], new_code=codes[1], address=ADDRESS
    )


async def sms_to_send(superuser: asyncpg.Connection) -> list[notice_delivery.Sms]:
    """The text messages of notices that wait in the outbox."""
    rows = await superuser.fetch("select args from ledger.outbox where job = 'send_notice'")
    async with unit_of_work() as work:
        sent = await notice_delivery.to_send(work, [row["args"] for row in rows])
    return [one for one in sent if isinstance(one, notice_delivery.Sms)]


async def review_asked(
    superuser: asyncpg.Connection, owner: Owner, *, statement: str = "手机丢了，没有通行密钥"
) -> recoveries.Case:
    """A request for help back in, by whoever has the phone."""
    opened, code = await begun(superuser, owner.phone)
    return await recoveries.request_recovery_review(
        ANONYMOUS, secret=opened.secret, code=code, statement=statement, address=address()
    )


async def number_proven(superuser: asyncpg.Connection, phone: str) -> tuple[UUID, str]:
    """A new code to register by, as whoever holds the phone reads it; a minute has gone by."""
    await make.pass_time(superuser, 61)
    await make.ask_code(phone, address=address())
    return await make.verification_of(superuser, phone)


async def registering(phone: str, by: tuple[UUID, str]) -> SignedIn:
    """Another person, who holds the phone."""
    return await identity.register(
        ANONYMOUS,
        name="韩梅梅",
        phone=phone,
        verification_id=by[0],
        code=by[1],
        password="Luohu-5-teahouse",
        language="zh-CN",
        device=make.described(DeviceKey()),
        address=address(),
        given=make.CONSENTS,
    )


async def release_asked(phone: str, by: tuple[UUID, str], statement: str = SAID) -> recoveries.Case:
    """A request that an old account let go of a number, by whoever holds its phone."""
    return await recoveries.request_number_release(
        ANONYMOUS, phone=phone, verification_id=by[0], code=by[1], statement=statement
    )


async def release_approved(superuser: asyncpg.Connection, owner: Owner) -> recoveries.Case:
    """The same, approved by two, and the owner had time to object."""
    case = await release_asked(owner.phone, await number_proven(superuser, owner.phone))
    await decided(await make.staff(Role.SUPPORT), case, 1)
    await decided(await make.staff(Role.COMPLIANCE), case, 2)
    await make.pass_time(superuser, 3 * 86_400)
    return case


async def decided(
    member: Viewer, case: recoveries.Case, version: int, *, approve: bool = True
) -> recoveries.Case:
    return await recoveries.decide_recovery(
        member, case_id=case.id, approve=approve, reason="已回拨核实", expected_version=version
    )


async def replacement_begun(
    superuser: asyncpg.Connection, phone: str, new_phone: str
) -> tuple[phone_replacements.Opened, str]:
    """A lost phone that is to be replaced by another, and the code on its way to that one."""
    opened = await phone_replacements.request_phone_replacement(
        ANONYMOUS, phone=phone, new_phone=new_phone, address=address(), language="zh-CN"
    )
    return opened, await make.code_of(superuser, new_phone, CodePurpose.REPLACE_PHONE)


async def replacement_claimed(
    opened: phone_replacements.Opened, code: str, claimed: Identity
) -> recoveries.Case:
    """Staff asked, by whoever has the new phone and says who they are."""
    return await phone_replacements.request_phone_replacement_review(
        ANONYMOUS,
        secret=opened.secret,
        code=code,
        claimed=claimed,
        statement="手机掉进海里了",
        address=address(),
    )


async def replacement_completed(
    opened: phone_replacements.Opened, code: str, case_id: UUID | None
) -> None:
    await phone_replacements.complete_phone_replacement(
        ANONYMOUS, secret=opened.secret, code=code, case_id=case_id, address=address()
    )


async def replacement_asked(
    superuser: asyncpg.Connection, owner: Owner, new_phone: str
) -> recoveries.Case:
    """A request for another number, by the owner without the old one; a minute has gone by."""
    opened, code = await replacement_begun(superuser, owner.phone, new_phone)
    case = await replacement_claimed(opened, code, owner.identity)
    await make.pass_time(superuser, 61)
    return case


async def replacement_approved(
    superuser: asyncpg.Connection, owner: Owner, new_phone: str
) -> recoveries.Case:
    """The same, approved by two, and the owner had time to object."""
    case = await replacement_asked(superuser, owner, new_phone)
    await decided(await make.staff(Role.SUPPORT), case, 1)
    await decided(await make.staff(Role.COMPLIANCE), case, 2)
    await make.pass_time(superuser, 12 * 3_600)
    return case
