"""A small town for the tests of moving money: residents with money and PINs, and shops."""

from __future__ import annotations

from uuid import UUID

from domain.identity import ANONYMOUS, Role, Status, Viewer
from domain.ledger import Outcome
from domain.proofs import Pin
from infra import hashing
from resolvers import payments, wallets
from services import merchants, people
from services.ledger import desk
from services.merchants import Merchant
from services.payments import Payment
from services.unit_of_work import snapshot, unit_of_work
from tests import factories
from tests.people import PIN, arrived, phone

__all__ = ["ANONYMOUS", "PIN", "balance", "key", "pay", "resident", "shop"]
key = factories.key
_hashes: dict[str, str] = {}


async def person(role: Role, name: str, number: str | None) -> int:
    if "password" not in _hashes:
        _hashes["password"] = await hashing.hash_password("Nanshan-7-harbour")
    async with unit_of_work() as work:
        user_id = await people.create(
            work,
            role=role,
            status=Status.ACTIVE,
            name=name,
            phone=number or phone(),
            password_hash=_hashes["password"],
            language="zh-CN",
        )
        await people.open_account(work, user_id, role)
    return user_id


async def _signed_in(user_id: int) -> Viewer:
    async with unit_of_work() as work:
        return (await arrived(work, user_id)).viewer


async def resident(
    name: str = "张三丰",
    *,
    balance: int = 0,
    allowance: tuple[int, int] | None = None,
    number: str | None = None,
    pin: bool = True,
) -> Viewer:
    """A resident with ``balance`` minor units, a PIN, and maybe an allowance (amount, times).

    The PIN is written, not set: nobody is told of it, so a test finds only its own notices.
    """
    user_id = await person(Role.RESIDENT, name, number)
    if pin:
        pin_hash = await hashing.hash_pin(user_id, PIN)
        async with unit_of_work() as work:
            await work.execute("update users set pin_hash = $2 where id = $1", user_id, pin_hash)
    viewer = await _signed_in(user_id)
    assert viewer.account_id is not None
    if balance:
        receipt = await desk.post(factories.top_up(viewer.account_id, balance))
        assert receipt.outcome is Outcome.POSTED
    if allowance is not None:
        await wallets.set_payment_allowance(
            viewer,
            amount_max_minor=allowance[0],
            daily_count_max=allowance[1],
            proof=Pin(PIN),
            key=key("allowance"),
        )
    return viewer


async def shop(name: str = "荔枝书店") -> tuple[Viewer, Merchant]:
    """A merchant's operator and the shop."""
    user_id = await person(Role.MERCHANT, "陈思远", None)
    async with unit_of_work() as work:
        merchant = await merchants.open_shop(work, user_id=user_id, name=name, category="BOOKS")
    return await _signed_in(user_id), merchant


async def pay(
    viewer: Viewer, merchant: Merchant, amount_minor: int, **options: str | None
) -> Payment:
    """Create a payment as the resolver does."""
    return await payments.create_payment(
        viewer,
        merchant_id=merchant.id,
        amount_minor=amount_minor,
        note=options.get("note"),
        key=options.get("key") or key("pay"),
    )


async def balance(account_id: int | None) -> int:
    async with snapshot() as read:
        return await read.fetchval("select posted from ledger.account where id = $1", account_id)


async def state(payment_id: UUID) -> int:
    async with snapshot() as read:
        return await read.fetchval("select state from ledger.payment where id = $1", payment_id)
