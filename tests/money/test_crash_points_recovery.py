"""Crashes while somebody gets back in, and the same call again."""

from __future__ import annotations

import contextlib

import asyncpg

from domain import refusals
from domain.identity import Role
from domain.proofs import Pin
from domain.recovery import Identity
from infra import hashing
from resolvers import password_resets, phone_replacements, pins, recoveries
from resolvers.viewer import ANONYMOUS
from services import people as services_people
from tests import passkeys as keys
from tests import people
from tests import recovery as lost
from tests.authenticator import ORIGIN
from tests.money.crashes import Case, Verbs, leaves

VERBS = Verbs()


@VERBS.covering("resolvers.password_resets.request_password_reset")
async def forgetting_a_password(superuser: asyncpg.Connection) -> Case:
    number, address = people.phone(), lost.address()

    async def run() -> None:
        with contextlib.suppress(refusals.RateLimited):  # one is on its way
            await lost.asked(number, address=address)

    return Case(
        run,
        leaves(
            superuser,
            "select count(*), (select count(*) from verification_code v"
            " where v.phone_index = r.phone_index) from password_reset r"
            " where phone_index = $1 group by phone_index",
            services_people.phone_index(number),
        ),
    )


@VERBS.covering("resolvers.password_resets.request_password_reset_passkey")
async def asking_for_a_passkey_instead(superuser: asyncpg.Connection) -> Case:
    opened = await lost.asked(people.phone(), address=lost.address())
    address = lost.address()

    async def run() -> None:
        await password_resets.request_password_reset_passkey(
            ANONYMOUS, secret=opened.secret, origin=ORIGIN, address=address
        )

    # Each call makes a challenge, also the one whose answer was lost.
    question = "select distinct purpose from proof_challenge where user_id is null"
    return Case(run, leaves(superuser, question))


@VERBS.covering("resolvers.password_resets.complete_password_reset")
async def resetting_a_password(superuser: asyncpg.Connection) -> Case:
    owner = await lost.owner(superuser)
    device, _ = await keys.added(owner.viewer)
    opened, code = await lost.begun(superuser, owner.phone)
    proof = await lost.passkey_for(opened, device)

    async def run() -> None:
        with contextlib.suppress(refusals.ResetProofInvalid):  # it is done: `login` will tell
            await lost.completed(opened, code, proof, address=lost.address())

    async def effect() -> object:
        row = await superuser.fetchrow(
            "select password_hash, version, (select count(*) from session where user_id = u.id"
            " and revoked_at is null), (select array_agg(kind order by seq) from notice"
            " where user_id = u.id), (select count(*) from audit_entry where actor_id = u.id),"
            " (select caution_until > ledger.now() from ledger.account where owner_id = u.id),"
            " (select count(*) from password_reset r where r.phone_index = u.phone_index"
            " and used_at is not null) from users u where id = $1",
            owner.viewer.user_id,
        )
        assert row is not None
        return (await hashing.check_password(lost.NEW, row[0])).right, tuple(row)[1:]

    return Case(run, effect)


@VERBS.covering("resolvers.pins.set_payment_pin", "resolvers.pins.shown_pin")
async def replacing_a_pin(superuser: asyncpg.Connection) -> Case:
    owner, address, pin = await lost.owner(superuser), lost.address(), "602917"
    viewer = await pins.set_payment_pin(
        owner.viewer, password=people.PASSWORD, pin=people.PIN, address=address
    )

    async def run() -> None:
        with contextlib.suppress(refusals.WrongPin):  # the old one is replaced already
            await pins.set_payment_pin(
                viewer,
                password=people.PASSWORD,
                pin=pin,
                address=address,
                proof=Pin(people.PIN),
            )

    async def effect() -> object:
        row = await superuser.fetchrow(
            "select pin_hash, (select array_agg(kind order by seq) from notice"
            " where user_id = u.id) from users u where id = $1",
            viewer.user_id,
        )
        assert row is not None
        return await hashing.check_pin(viewer.user_id, pin, row["pin_hash"]), row[1]

    return Case(run, effect)


@VERBS.covering("resolvers.pins.ensure_identity")
async def replacing_a_forgotten_pin(superuser: asyncpg.Connection) -> Case:
    owner, address, pin = await lost.owner(superuser), lost.address(), "602917"
    viewer = await pins.set_payment_pin(
        owner.viewer, password=people.PASSWORD, pin=people.PIN, address=address
    )

    async def run() -> None:
        await pins.set_payment_pin(
            viewer,
            password=people.PASSWORD,
            pin=pin,
            address=address,
            proof=Identity(lost.NAME, owner.number[-6:]),
        )

    async def effect() -> object:
        # Repeated after a lost answer, it is done and told once more.
        row = await superuser.fetchrow(
            "select pin_hash, (select array_agg(distinct kind order by kind) from notice"
            " where user_id = u.id),"
            " (select caution_until > ledger.now() from ledger.account where owner_id = u.id)"
            " from users u where id = $1",
            viewer.user_id,
        )
        assert row is not None
        return await hashing.check_pin(viewer.user_id, pin, row["pin_hash"]), tuple(row)[1:]

    return Case(run, effect)


@VERBS.covering("resolvers.phone_changes.request_phone_change")
async def asking_for_another_number(superuser: asyncpg.Connection) -> Case:
    owner, number = await lost.owner(superuser), people.phone()
    device = await lost.with_device(owner)

    async def run() -> None:
        with contextlib.suppress(refusals.RateLimited):  # codes are on their way
            await lost.change_asked(owner, device, number)

    return Case(
        run,
        leaves(
            superuser,
            "select used_at is null, tries_left, (select count(*) from verification_code"
            " where id in (old_verification_id, new_verification_id)) from phone_change"
            " where user_id = $1",
            owner.viewer.user_id,
        ),
    )


@VERBS.covering("resolvers.phone_changes.confirm_phone_change")
async def moving_to_another_number(superuser: asyncpg.Connection) -> Case:
    owner, number = await lost.owner(superuser), people.phone()
    opened = await lost.change_asked(owner, await lost.with_device(owner), number)
    given = await lost.change_codes(superuser, owner, number)

    async def run() -> None:
        with contextlib.suppress(refusals.PhoneChangeInvalid):  # it has moved, as the viewer shows
            await lost.change_confirmed(owner.viewer, opened, given)

    return Case(
        run,
        leaves(
            superuser,
            "select version, phone_index = $2, (select array_agg(kind order by seq) from notice"
            " where user_id = u.id), (select count(*) from audit_entry where actor_id = u.id),"
            " (select count(*) from ledger.outbox o join notice n on n.user_id = u.id"
            "   and o.args ->> 'notice_id' = n.id::text where n.kind = 'PHONE_CHANGED'),"
            " (select count(*) from phone_change where user_id = u.id and used_at is not null)"
            " from users u where id = $1",
            owner.viewer.user_id,
            services_people.phone_index(number),
        ),
    )


@VERBS.covering("resolvers.phone_replacements.request_phone_replacement")
async def losing_a_phone(superuser: asyncpg.Connection) -> Case:
    old, new, address = people.phone(), people.phone(), lost.address()

    async def run() -> None:
        with contextlib.suppress(refusals.RateLimited):  # a code is on its way
            await phone_replacements.request_phone_replacement(
                ANONYMOUS, phone=old, new_phone=new, address=address, language="zh-CN"
            )

    return Case(
        run,
        leaves(
            superuser,
            "select count(*), (select count(*) from verification_code v"
            " where v.phone_index = r.new_phone_index) from phone_replacement r"
            " where old_phone_index = $1 group by new_phone_index",
            services_people.phone_index(old),
        ),
    )


@VERBS.covering("resolvers.phone_replacements.request_phone_replacement_review")
async def asking_staff_for_another_number(superuser: asyncpg.Connection) -> Case:
    owner = await lost.owner(superuser)
    opened, code = await lost.replacement_begun(superuser, owner.phone, people.phone())

    async def run() -> None:
        with contextlib.suppress(refusals.PhoneChangeInvalid):  # it was asked: the owner was told
            await lost.replacement_claimed(opened, code, owner.identity)

    return Case(
        run,
        leaves(
            superuser,
            "select kind, state, version, (select array_agg(n.kind order by seq) from notice n"
            " where n.user_id = c.user_id) from recovery_case c where user_id = $1",
            owner.viewer.user_id,
        ),
    )


@VERBS.covering(
    "resolvers.phone_replacements.complete_phone_replacement",
    "resolvers.phone_replacements._tried",
)
async def moving_without_the_old_phone(superuser: asyncpg.Connection) -> Case:
    owner, new = await lost.owner(superuser), people.phone()
    case = await lost.replacement_approved(superuser, owner, new)
    opened, code = await lost.replacement_begun(superuser, owner.phone, new)

    async def run() -> None:
        with contextlib.suppress(refusals.PhoneChangeInvalid):  # it has moved: `login` will tell
            await lost.replacement_completed(opened, code, case.id)

    return Case(
        run,
        leaves(
            superuser,
            "select version, phone_index = $2, (select array_agg(kind order by seq) from notice"
            " where user_id = u.id), (select count(*) from audit_entry where actor_id = u.id),"
            " (select state || version || length(new_phone) from recovery_case"
            "   where user_id = u.id),"
            " (select count(*) from session where user_id = u.id and revoked_at is null),"
            " (select caution_until > ledger.now() from ledger.account where owner_id = u.id)"
            " from users u where id = $1",
            owner.viewer.user_id,
            services_people.phone_index(new),
        ),
    )


@VERBS.covering("resolvers.recoveries.request_recovery_review")
async def asking_staff_for_help(superuser: asyncpg.Connection) -> Case:
    owner = await lost.owner(superuser)
    opened, code = await lost.begun(superuser, owner.phone)
    address = lost.address()

    async def run() -> None:
        with contextlib.suppress(refusals.ResetProofInvalid):  # it was asked: the owner was told
            await recoveries.request_recovery_review(
                ANONYMOUS, secret=opened.secret, code=code, statement="手机丢了", address=address
            )

    return Case(
        run,
        leaves(
            superuser,
            "select state, version, (select array_agg(kind order by seq) from notice n"
            " where n.user_id = c.user_id) from recovery_case c where user_id = $1",
            owner.viewer.user_id,
        ),
    )


@VERBS.covering("resolvers.recoveries.request_number_release")
async def asking_for_a_number(superuser: asyncpg.Connection) -> Case:
    owner = await lost.owner(superuser)
    by = await lost.number_proven(superuser, owner.phone)

    async def run() -> None:
        with contextlib.suppress(refusals.CodeInvalid):  # it was asked: the owner was told
            await lost.release_asked(owner.phone, by)

    return Case(
        run,
        leaves(
            superuser,
            "select kind, state, version, (select array_agg(kind order by seq) from notice n"
            " where n.user_id = c.user_id) from recovery_case c where user_id = $1",
            owner.viewer.user_id,
        ),
    )


@VERBS.covering("resolvers.identity.register")
async def registering_a_number_that_was_let_go_of(superuser: asyncpg.Connection) -> Case:
    owner = await lost.owner(superuser)
    await lost.release_approved(superuser, owner)
    by = await lost.number_proven(superuser, owner.phone)

    async def run() -> None:
        with contextlib.suppress(refusals.CodeInvalid, refusals.PhoneTaken):  # it is ours
            await lost.registering(owner.phone, by)

    return Case(
        run,
        leaves(
            superuser,
            "select length(phone), phone_index like 'released:%', former_phone_index = $2,"
            " (select state from recovery_case where user_id = u.id),"
            " (select count(*) from users n where n.phone_index = $2),"
            " (select array_agg(kind order by seq) from notice where user_id = u.id),"
            " (select count(*) from audit_entry where object = 'user:' || u.id)"
            " from users u where id = $1",
            owner.viewer.user_id,
            services_people.phone_index(owner.phone),
        ),
    )


@VERBS.covering("resolvers.recoveries.decide_recovery")
async def approving_a_recovery(superuser: asyncpg.Connection) -> Case:
    owner, member = await lost.owner(superuser), await people.staff(Role.SUPPORT)
    case = await lost.review_asked(superuser, owner)
    await lost.decided(await people.staff(Role.COMPLIANCE), case, 1)

    async def run() -> None:
        with contextlib.suppress(refusals.StaleVersion):  # it is decided, as the list shows
            await lost.decided(member, case, 2)

    return Case(
        run,
        leaves(
            superuser,
            "select state, version, second_by = $2, (select count(*) from audit_entry"
            " where actor_id = $2), (select array_agg(kind order by seq) from notice n"
            " where n.user_id = c.user_id) from recovery_case c where id = $1",
            case.id,
            member.user_id,
        ),
    )


@VERBS.covering("resolvers.recoveries.object_to_recovery")
async def objecting_to_a_recovery(superuser: asyncpg.Connection) -> Case:
    owner = await lost.owner(superuser)
    await lost.review_asked(superuser, owner)

    async def run() -> None:
        await recoveries.object_to_recovery(owner.viewer)

    question = "select state, version from recovery_case where user_id = $1"
    return Case(run, leaves(superuser, question, owner.viewer.user_id))


@VERBS.covering("resolvers.recoveries.recovery_cases")
async def looking_at_recoveries(superuser: asyncpg.Connection) -> Case:
    member = await people.staff(Role.SUPPORT)

    async def run() -> None:
        await recoveries.recovery_cases(member, limit=1, after=None, before=None, backwards=False)

    # Each look is recorded, also the one whose answer was lost.
    question = "select distinct action from audit_entry where actor_id = $1"
    return Case(run, leaves(superuser, question, member.user_id))


async def test_getting_back_in_survives_a_crash_at_every_point(counter, superuser) -> None:
    await VERBS.survive(superuser)
