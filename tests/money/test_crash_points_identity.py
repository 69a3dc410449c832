"""Crashes inside calls about people, and the same call again."""

from __future__ import annotations

import contextlib
import itertools
from uuid import UUID

import asyncpg

from domain import refusals
from domain.identity import ANONYMOUS, Decision, Role, Status, Viewer
from infra import encryption, hashing
from resolvers import contact, identity, identity_checks, passwords, pins, registrations
from services import people as services_people
from services.identity import first_admin
from services.unit_of_work import unit_of_work
from tests import movement as town
from tests import people
from tests.demo.device import DeviceKey
from tests.money.crashes import Case, Verbs, leaves
from workers import identity as workers_identity

VERBS = Verbs()
NEW_PASSWORD = "Futian-9-lighthouse"
_addresses = itertools.count(1)


def _address() -> str:
    """Where nobody has called from."""
    number = next(_addresses)
    return f"100.64.{number // 250}.{number % 250}"


@VERBS.covering("resolvers.identity.request_verification_code")
async def asking_for_a_code(superuser: asyncpg.Connection) -> Case:
    number, address = people.phone(), _address()

    async def run() -> None:
        try:
            await people.ask_code(number, address=address)
        except refusals.RateLimited:
            return  # one is on its way

    return Case(
        run,
        leaves(
            superuser,
            "select v.tries_left, (select count(*) from ledger.outbox"
            " where job = 'send_code' and args ->> 'code_id' = v.id::text)"
            " from verification_code v where phone_index = $1",
            services_people.phone_index(number),
        ),
    )


@VERBS.covering("resolvers.identity.register", "resolvers.identity.proven")
async def registering(superuser: asyncpg.Connection) -> Case:
    number, address, key = people.phone(), _address(), DeviceKey()
    await people.ask_code(number, address=address)
    verification_id, code = await people.verification_of(superuser, number)

    async def run() -> None:
        try:
            await identity.register(
                ANONYMOUS,
                name="王小明",
                phone=number,
                verification_id=verification_id,
                code=code,
                password=people.PASSWORD,
                language="zh-CN",
                device=people.described(key),
                address=address,
                given=people.CONSENTS,
            )
        except refusals.CodeInvalid:  # it was used: by the call whose answer was lost
            await people.challenged(number, address=address)

    return Case(
        run,
        leaves(
            superuser,
            "select status, version, (select count(*) from session where user_id = u.id),"
            " (select count(*) from device where user_id = u.id),"
            " (select count(*) from ledger.outbox where stream = 'user:' || u.id),"
            " (select count(*) from verification_code v"
            "   where v.phone_index = u.phone_index and used_at is not null)"
            " from users u where phone_index = $1",
            services_people.phone_index(number),
        ),
    )


@VERBS.covering("resolvers.pins.set_payment_pin")
async def setting_a_pin(superuser: asyncpg.Connection) -> Case:
    viewer, address, pin = await town.resident(), _address(), "602917"
    await superuser.execute("update users set pin_hash = null where id = $1", viewer.user_id)
    viewer = await people.again(viewer)

    async def run() -> None:
        with contextlib.suppress(refusals.ProofRequired):  # there is one: it was set
            await pins.set_payment_pin(viewer, password=people.PASSWORD, pin=pin, address=address)

    async def effect() -> object:
        row = await superuser.fetchrow(
            "select pin_hash, pin_tries_left from users where id = $1", viewer.user_id
        )
        assert row is not None
        right = await hashing.check_pin(viewer.user_id, pin, row["pin_hash"])
        return right, row["pin_tries_left"]

    return Case(run, effect)


@VERBS.covering("resolvers.registrations.review_registration")
async def deciding_a_registration(superuser: asyncpg.Connection) -> Case:
    reviewer = await people.staff(Role.COMPLIANCE)
    async with unit_of_work() as work:
        user_id = await services_people.create(
            work,
            role=Role.RESIDENT,
            status=Status.REFERRED,
            name="李雷",
            phone=people.phone(),
            password_hash="-",
            language="zh-CN",
        )

    async def run() -> None:
        try:
            await registrations.review_registration(
                reviewer,
                user_id=user_id,
                decision=Decision.APPROVE,
                reason=None,
                expected_version=1,
            )
        except refusals.StaleVersion:
            return  # decided, as the queue shows

    return Case(
        run,
        leaves(
            superuser,
            "select status, version,"
            " (select count(*) from ledger.account where owner_id = u.id),"
            " (select count(*) from notice where user_id = u.id),"
            " (select count(*) from audit_entry where object = 'user:' || u.id)"
            " from users u where id = $1",
            user_id,
        ),
    )


@VERBS.covering("resolvers.registrations.resubmit_registration")
async def correcting_an_application(superuser: asyncpg.Connection) -> Case:
    viewer = (await people.registered(superuser, people.phone(), name="测试")).viewer
    await people.reviewed(viewer.user_id)
    told = registrations.Told(people.id_number())

    async def run() -> None:
        try:
            await registrations.resubmit_registration(viewer, name="李雷", told=told)
        except refusals.RegistrationNotRejected:
            return  # it is in, as its state shows

    return Case(
        run,
        leaves(
            superuser,
            "select status, version, rejections, id_number is not null,"
            " (select count(*) from ledger.outbox where stream = 'user:' || u.id)"
            " from users u where id = $1",
            viewer.user_id,
        ),
    )


@VERBS.covering("resolvers.passwords.change_password")
async def changing_a_password(superuser: asyncpg.Connection) -> Case:
    viewer, address = await town.resident(), _address()
    await people.another_session(viewer)

    async def run() -> None:
        # Whoever lost the answer finds that the old password is wrong, and the new one right.
        with contextlib.suppress(refusals.WrongCredentials):
            await passwords.change_password(
                viewer, password=people.PASSWORD, new_password=NEW_PASSWORD, address=address
            )

    async def effect() -> object:
        row = await superuser.fetchrow(
            "select password_hash, version, password_changed_at is not null,"
            " (select count(*) from session where user_id = u.id and revoked_at is null),"
            " (select count(*) from notice where user_id = u.id) from users u where id = $1",
            viewer.user_id,
        )
        assert row is not None
        return (await hashing.check_password(NEW_PASSWORD, row[0])).right, tuple(row)[1:]

    return Case(run, effect)


_CHECK = (
    "select u.kyc_level, u.version, u.id_number is not null, c.state, c.version, c.name is null,"
    " (select count(*) from notice where user_id = u.id),"
    " (select count(*) from ledger.outbox where job = 'review_identity'"
    "   and args ->> 'check_id' = c.id::text),"
    " (select count(*) from audit_entry where object = 'user:' || u.id)"
    " from users u join identity_check c on c.user_id = u.id where u.id = $1"
)


@VERBS.covering("resolvers.identity_checks.submit_identity")
async def handing_in_an_identity(superuser: asyncpg.Connection) -> Case:
    viewer, number = await town.resident(), people.id_number()

    async def run() -> None:
        # It is in, if the answer was lost.
        with contextlib.suppress(refusals.IdentityUnderReview):
            await identity_checks.submit_identity(viewer, name="王小明", id_number=number)

    return Case(run, leaves(superuser, _CHECK, viewer.user_id))


async def _handed_in(superuser: asyncpg.Connection, name: str) -> tuple[Viewer, UUID]:
    viewer = await town.resident()
    await identity_checks.submit_identity(viewer, name=name, id_number=people.id_number())
    check: UUID = await superuser.fetchval(
        "select id from identity_check where user_id = $1", viewer.user_id
    )
    return viewer, check


@VERBS.covering("workers.identity.review_identity")
async def reviewing_an_identity(superuser: asyncpg.Connection) -> Case:
    viewer, check = await _handed_in(superuser, "李雷")

    async def run() -> None:
        await workers_identity.review_identity({"check_id": str(check)})

    return Case(run, leaves(superuser, _CHECK, viewer.user_id))


@VERBS.covering("resolvers.identity_checks.review_identity")
async def deciding_an_identity(superuser: asyncpg.Connection) -> Case:
    reviewer = await people.staff(Role.COMPLIANCE)
    viewer, check = await _handed_in(superuser, "李雷")
    await workers_identity.review_identity({"check_id": str(check)})

    async def run() -> None:
        # Decided, as the queue shows.
        with contextlib.suppress(refusals.StaleVersion):
            await identity_checks.review_identity(
                reviewer,
                check_id=check,
                decision=Decision.APPROVE,
                reason=None,
                expected_version=2,
            )

    return Case(run, leaves(superuser, _CHECK, viewer.user_id))


@VERBS.covering("resolvers.identity_checks.identity_queue")
async def looking_at_identities(superuser: asyncpg.Connection) -> Case:
    reviewer = await people.staff(Role.COMPLIANCE)

    async def run() -> None:
        await identity_checks.identity_queue(
            reviewer, limit=2, after=None, before=None, backwards=False
        )

    return Case(
        run,
        leaves(
            superuser,
            "select distinct action from audit_entry where actor_id = $1",
            reviewer.user_id,
        ),
    )


@VERBS.covering("resolvers.contact.set_contact_email")
async def asking_for_a_mail(superuser: asyncpg.Connection) -> Case:
    viewer, address = await town.resident(), _address()

    async def run() -> None:
        # It is on its way, if the answer was lost.
        with contextlib.suppress(refusals.RateLimited):
            await contact.set_contact_email(
                viewer, email=f"a{viewer.user_id}@example.com", address=address, language="en"
            )

    return Case(
        run,
        leaves(
            superuser,
            "select v.tries_left, (select count(*) from ledger.outbox"
            " where job = 'send_code' and args ->> 'code_id' = v.id::text)"
            " from verification_code v where subject = $1",
            f"user {viewer.user_id}",
        ),
    )


async def _mailed(superuser: asyncpg.Connection) -> tuple[Viewer, str, UUID, str]:
    """Somebody, a mail address, and the request and code that prove it."""
    viewer = await town.resident()
    email = f"a{viewer.user_id}@example.com"
    asked = await contact.set_contact_email(viewer, email=email, address=_address(), language="en")
    sealed = await superuser.fetchval(
        "select code from verification_code where id = $1", asked.verification_id
    )
    opened = encryption.decrypt("verification_code.code", asked.verification_id, sealed)
    return viewer, email, asked.verification_id, opened.split(" ")[1]


_CONTACT = (
    "select email_verified_at is not null, email is null, postal_address is null, version,"
    " (select count(*) from notice where user_id = u.id),"
    " (select count(*) from ledger.outbox where args ->> 'notice_id' in"
    "   (select id::text from notice where user_id = u.id)) from users u where id = $1"
)


@VERBS.covering("resolvers.contact.confirm_contact_email")
async def confirming_a_mail_address(superuser: asyncpg.Connection) -> Case:
    viewer, email, verification_id, code = await _mailed(superuser)

    async def run() -> None:
        # The code was used: by the call whose answer was lost.
        with contextlib.suppress(refusals.CodeInvalid):
            await contact.confirm_contact_email(
                viewer, email=email, verification_id=verification_id, code=code
            )

    return Case(run, leaves(superuser, _CONTACT, viewer.user_id))


@VERBS.covering("resolvers.contact.remove_contact_email")
async def removing_a_mail_address(superuser: asyncpg.Connection) -> Case:
    viewer, email, verification_id, code = await _mailed(superuser)
    await contact.confirm_contact_email(
        viewer, email=email, verification_id=verification_id, code=code
    )

    async def run() -> None:
        await contact.remove_contact_email(viewer, email=email)

    return Case(run, leaves(superuser, _CONTACT, viewer.user_id))


@VERBS.covering("resolvers.contact.set_postal_address")
async def setting_a_postal_address(superuser: asyncpg.Connection) -> Case:
    viewer = await town.resident()

    async def run() -> None:
        await contact.set_postal_address(viewer, postal_address="福田区1号")

    return Case(
        run,
        leaves(
            superuser, "select postal_address is null from users u where id = $1", viewer.user_id
        ),
    )


@VERBS.covering("workers.identity.remind_of_passwords")
async def reminding_of_passwords(superuser: asyncpg.Connection) -> Case:
    viewer = await town.resident()
    await superuser.execute(
        "update users set created_at = created_at - interval '366 days' where id = $1",
        viewer.user_id,
    )
    return Case(
        workers_identity.remind_of_passwords,
        leaves(
            superuser,
            "select password_reminded_at is not null,"
            " (select count(*) from notice where user_id = u.id) from users u where id = $1",
            viewer.user_id,
        ),
    )


@VERBS.covering("resolvers.registrations.registration_queue")
async def looking_at_registrations(superuser: asyncpg.Connection) -> Case:
    reviewer = await people.staff(Role.COMPLIANCE)

    async def run() -> None:
        await registrations.registration_queue(
            reviewer, limit=2, after=None, before=None, backwards=False
        )

    return Case(
        run,
        # Each look is recorded, also the one whose answer was lost.
        leaves(
            superuser,
            "select distinct action from audit_entry where actor_id = $1",
            reviewer.user_id,
        ),
    )


@VERBS.covering()
async def making_the_first_admin(superuser: asyncpg.Connection) -> Case:
    await superuser.execute("update users set role = 'AUDITOR' where role = 'ADMIN'")
    number = people.phone()

    async def run() -> None:
        try:
            async with unit_of_work() as work:
                await first_admin.make(work, name="陈思远", phone=number, password_hash="-")
        except first_admin.AdminExists:
            return  # as the command says

    return Case(
        run,
        leaves(
            superuser,
            "select role, status,"
            " (select count(*) from audit_entry where object = 'user:' || u.id)"
            " from users u where phone_index = $1 or role = 'ADMIN'",
            services_people.phone_index(number),
        ),
    )


async def test_calls_about_people_survive_a_crash_at_every_point(counter, superuser) -> None:
    await VERBS.survive(superuser)
