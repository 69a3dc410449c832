"""Crashes inside proofs, and the same call again: one proof, one passkey, one session."""

from __future__ import annotations

from uuid import UUID

import asyncpg

from domain import refusals
from domain.identity import Viewer
from domain.ledger import FreezeLevel
from domain.proofs import Action, Method
from resolvers import passkeys, payments, proof_challenges, proofs, wallets
from resolvers.proof_challenges import Payment, Unfreeze
from tests import movement as town
from tests import passkeys as keys
from tests import people
from tests.authenticator import Authenticator
from tests.money.crashes import Case, Verbs, leaves
from tests.money.test_crash_points_payments import WALLET

VERBS = Verbs()
LARGE = 100_000


async def _shopping() -> tuple[Viewer, UUID]:
    payer = await town.resident(balance=200_000)
    _, shop = await town.shop()
    return payer, (await town.pay(payer, shop, LARGE)).id


def _paid(superuser: asyncpg.Connection, payer: Viewer) -> list[object]:
    return [
        leaves(superuser, WALLET, payer.account_id),
        leaves(
            superuser,
            "select method, (select count(*) from proof_challenge c where c.id = p.id"
            " and used_at is not null), (select sign_count > 1 from passkey where user_id = $1)"
            " from ledger.proof p where actor_id = $1",
            payer.user_id,
        ),
    ]


async def _all(effects: list[object]) -> object:
    return [await effect() for effect in effects]  # type: ignore[operator]


@VERBS.covering("resolvers.proofs._by_passkey", "resolvers.payments.confirm_payment")
async def confirming_by_passkey(superuser: asyncpg.Connection) -> Case:
    payer, payment_id = await _shopping()
    device, _ = await keys.added(payer)
    proof = await keys.proof_of(payer, device, Payment(payment_id), "k")

    async def run() -> None:
        await payments.confirm_payment(payer, payment_id=payment_id, proof=proof, key="k")

    return Case(run, lambda: _all(_paid(superuser, payer)))


@VERBS.covering("resolvers.proofs._by_pin", "resolvers.proofs._settle")
async def confirming_by_pin_and_code(superuser: asyncpg.Connection) -> Case:
    payer, payment_id = await _shopping()
    asked = await keys.asked_for(payer, Payment(payment_id), "k")
    proof = await keys.code_for(superuser, payer, asked.id)

    async def run() -> None:
        await payments.confirm_payment(payer, payment_id=payment_id, proof=proof, key="k")

    return Case(run, lambda: _all(_paid(superuser, payer)))


@VERBS.covering("resolvers.wallets.unfreeze_my_wallet")
async def lifting_ones_own_freeze(superuser: asyncpg.Connection) -> Case:
    viewer = await town.resident(balance=1_000)
    await wallets.freeze_my_wallet(viewer, level=FreezeLevel.FULL, key="freeze")
    device, _ = await keys.added(viewer)
    proof = await keys.proof_of(viewer, device, Unfreeze(), "lift")

    async def run() -> None:
        await wallets.unfreeze_my_wallet(viewer, proof=proof, key="lift")

    return Case(
        run,
        leaves(
            superuser,
            "select status, seq from ledger.account where id = $1",
            viewer.account_id,
        ),
    )


@VERBS.covering("resolvers.proof_challenges._ask")
async def asking_for_a_challenge(superuser: asyncpg.Connection) -> Case:
    payer, payment_id = await _shopping()

    async def run() -> None:
        await keys.asked_for(payer, Payment(payment_id), "k")

    return Case(
        run,
        # A challenge that was lost on its way is never answered.
        leaves(
            superuser,
            "select distinct purpose, used_at from proof_challenge where user_id = $1",
            payer.user_id,
        ),
    )


@VERBS.covering("resolvers.proof_challenges.send_proof_code")
async def sending_a_code_for_a_challenge(superuser: asyncpg.Connection) -> Case:
    payer, payment_id = await _shopping()
    asked = await keys.asked_for(payer, Payment(payment_id), "k")
    address = f"100.66.{payer.user_id % 250}.{payer.user_id // 250 % 250}"

    async def run() -> None:
        try:
            await proof_challenges.send_proof_code(
                payer, challenge_id=asked.id, address=address, language="zh-CN"
            )
        except refusals.RateLimited:
            return  # one is on its way

    return Case(
        run,
        leaves(
            superuser,
            "select (select count(*) from ledger.outbox where job = 'send_code'"
            " and args ->> 'code_id' = verification_id::text)"
            " from proof_challenge where id = $1",
            asked.id,
        ),
    )


@VERBS.covering("resolvers.proofs._by_passkey")
async def stepping_up(superuser: asyncpg.Connection) -> Case:
    viewer = await town.resident()
    device, _ = await keys.added(viewer)
    asked = await proof_challenges.request_step_up_challenge(
        viewer, action=Action.EXPORT_DATA, subject=""
    )
    assert asked.options is not None
    proof = keys.Passkey(asked.id, device.get(asked.options))

    async def run() -> None:
        await proofs.step_up(viewer, proof, action=Action.EXPORT_DATA)

    return Case(
        run,
        leaves(superuser, "select used_at, method from step_up where user_id = $1", viewer.user_id),
    )


PASSKEYS = (
    "select sign_count, removed_at is null,"
    " (select count(*) from notice n where n.user_id = p.user_id and kind like 'PASSKEY%')"
    " from passkey p where user_id = $1"
)


@VERBS.covering(
    "resolvers.passkeys.request_passkey_registration", "resolvers.identity.shown_password"
)
async def beginning_to_add_a_passkey(superuser: asyncpg.Connection) -> Case:
    viewer = await town.resident()

    async def run() -> None:
        await keys.begun(viewer)

    return Case(
        run,
        leaves(
            superuser,
            "select distinct purpose, used_at from proof_challenge where user_id = $1",
            viewer.user_id,
        ),
    )


@VERBS.covering("resolvers.passkeys.register_passkey")
async def adding_a_passkey(superuser: asyncpg.Connection) -> Case:
    viewer = await town.resident()
    asked = await keys.begun(viewer)
    credential = Authenticator().create(asked.options)

    async def run() -> None:
        try:
            await passkeys.register_passkey(
                viewer, challenge_id=asked.id, credential=credential, name="手机"
            )
        except refusals.ChallengeInvalid:
            assert len(await passkeys.mine(viewer)) == 1  # by the call whose answer was lost

    return Case(run, leaves(superuser, PASSKEYS, viewer.user_id))


@VERBS.covering("resolvers.passkeys.rename_passkey")
async def renaming_a_passkey(superuser: asyncpg.Connection) -> Case:
    viewer = await town.resident()
    _, row = await keys.added(viewer)

    async def run() -> None:
        await passkeys.rename_passkey(viewer, passkey_id=row.id, name="旧手机")

    async def effect() -> object:
        return [one.name for one in await passkeys.mine(viewer)]

    return Case(run, effect)


@VERBS.covering("resolvers.passkeys.remove_passkey")
async def removing_a_passkey(superuser: asyncpg.Connection) -> Case:
    viewer = await town.resident()
    _, row = await keys.added(viewer)

    async def run() -> None:
        try:
            left = await passkeys.remove_passkey(
                viewer,
                passkey_id=row.id,
                password=people.PASSWORD,
                accept_remaining=True,
                address=keys.home_of(viewer),
            )
            assert Method.PASSKEY not in left
        except refusals.NotFound:
            return  # it is gone

    return Case(run, leaves(superuser, PASSKEYS, viewer.user_id))


@VERBS.covering("resolvers.passkeys.request_passkey_login", "resolvers.passkeys.login_with_passkey")
async def signing_in_by_passkey(superuser: asyncpg.Connection) -> Case:
    viewer = await town.resident()
    device, _ = await keys.added(viewer, Authenticator(counts=False))
    address = f"100.65.{viewer.user_id % 250}.{viewer.user_id // 250 % 250}"

    async def run() -> None:
        asked = await keys.login_asked(address=address)
        await keys.entered(asked.id, device.get(asked.options))

    return Case(
        run,
        leaves(
            superuser,
            # Whoever never got the tokens signs in again.
            "select count(*) >= 2, (select count(*) from notice n where n.user_id = $1"
            " and kind = 'PASSKEY_REFUSED') from session where user_id = $1",
            viewer.user_id,
        ),
    )


async def test_proofs_and_passkeys_survive_a_crash_at_every_point(counter, superuser) -> None:
    await VERBS.survive(superuser)
