"""The people of the demo city, made through the doors that real ones come through."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace
from uuid import UUID

from domain import ledger
from domain.identity import CodePurpose, Role, Status
from domain.ledger import Instruction, Receipt
from domain.proofs import Method
from infra import bank, hashing
from services import consents, merchants, people, wallets
from services.demo import city
from services.demo.errands import DemoFailed, Errands
from services.identity import codes, first_admin, pins, proofs, registration, staffing
from services.ledger import desk
from services.merchants import Merchant
from services.people import NO_DETAILS, Details
from services.unit_of_work import unit_of_work

_CODE = re.compile(r"\d{6}")


@dataclass(frozen=True, slots=True)
class Resident:
    """A resident with a wallet, a PIN and a card."""

    user_id: int
    account_id: int
    card_id: UUID


async def residents(errands: Errands) -> list[Resident]:
    """Register everybody by code, have them reviewed, and equip them; in the order of names."""
    numbers = range(len(city.RESIDENT_NAMES))
    known = [
        (name, city.resident_phone(n), Details(city.id_number(n)))
        for n, name in enumerate(city.RESIDENT_NAMES)
    ]
    everybody = [*known, (*city.APPLICANT, NO_DETAILS)]
    asked = [
        await _ask_code(phone, address=f"198.51.100.{number + 1}")
        for number, (_, phone, _) in enumerate(everybody)
    ]
    await errands.run()
    user_ids = await asyncio.gather(
        *(
            _register(name, phone, details, verification_id, errands.inbox[phone])
            for (name, phone, details), verification_id in zip(everybody, asked, strict=True)
        )
    )
    await errands.run()
    return list(await asyncio.gather(*(_equip(n, user_ids[n]) for n in numbers)))


async def _ask_code(phone: str, *, address: str) -> UUID:
    async with unit_of_work() as work:
        requested = await codes.request(
            work, phone=phone, purpose=CodePurpose.REGISTER, address=address, language="zh-CN"
        )
    return requested.verification_id


async def _register(
    name: str, phone: str, details: Details, verification_id: UUID, text: str
) -> int:
    found = _CODE.search(text)
    assert found is not None
    async with unit_of_work() as work:
        tried = await codes.spend_try(
            work,
            phone=phone,
            purpose=CodePurpose.REGISTER,
            verification_id=verification_id,
            code=found[0],
        )
    assert tried.code_id is not None
    password_hash = await hashing.hash_password(city.PASSWORD)
    async with unit_of_work() as work:
        user_id = await registration.register(
            work,
            name=name,
            phone=phone,
            code_id=tried.code_id,
            password_hash=password_hash,
            language="en" if name.isascii() else "zh-CN",
            details=details,
        )
        asked = [(one.purpose, one.version) for one in await consents.in_effect(work)]
        await consents.give(work, user_id=user_id, session_id=None, given=asked, path=())
        return user_id


async def _equip(number: int, user_id: int) -> Resident:
    """A PIN, a card, and for every second one the allowance to pay small amounts without PIN."""
    pin_hash = await hashing.hash_pin(user_id, city.PIN)
    async with unit_of_work() as work:
        await pins.keep(work, user_id=user_id, pin_hash=pin_hash)
        account_id = await people.open_account(work, user_id, Role.RESIDENT)
    card_id = await _link_card(number, user_id)
    if city.has_allowance(number):
        instruction = wallets.set_allowance(
            actor_id=user_id,
            account_id=account_id,
            amount_max_minor=city.ALLOWANCE_MAX_MINOR,
            daily_count_max=city.ALLOWANCE_DAILY_COUNT,
            key="demo-allowance",
        )
        await post(await proven(instruction))
    return Resident(user_id, account_id, card_id)


async def _link_card(number: int, user_id: int) -> UUID:
    name, phone = city.RESIDENT_NAMES[number], city.resident_phone(number)
    digits = city.card_number(number)
    reference = wallets.link_reference(
        user_id=user_id, number=digits, holder_name=name, phone=phone
    )
    linked = await bank.current().link_card(
        number=digits, holder_name=name, phone=phone, reference=reference
    )
    async with unit_of_work() as work:
        card = await wallets.keep_card(
            work,
            user_id=user_id,
            holder_name=name,
            number_index=wallets.card_index(digits),
            linked=linked,
        )
    return card.id


async def proven(instruction: Instruction) -> Instruction:
    """The instruction with a proof of its actor's PIN, which does for all that the city pays."""
    async with unit_of_work() as work:
        spent = await pins.spend_try(work, instruction.actor_id)
    if not await hashing.check_pin(instruction.actor_id, city.PIN, spent.stored):
        raise DemoFailed("a PIN of the demo city is wrong")
    async with unit_of_work() as work:
        await pins.accept(work, spent)
        terms = proofs.terms_of(instruction)
        proof_id = await proofs.make(work, proofs.Enough(terms, Method.PIN))
    return replace(instruction, proof_id=proof_id)


async def post(instruction: Instruction) -> Receipt:
    """Post; in the demo city nothing is refused."""
    receipt = await desk.post(instruction)
    if receipt.outcome is not ledger.Outcome.POSTED:
        raise DemoFailed(f"{instruction.operation.name} was refused: {receipt.outcome.name}")
    return receipt


async def shops() -> list[Merchant]:
    """The shops with their operators, in the order of the list."""
    return list(await asyncio.gather(*(_shop(number) for number in range(len(city.SHOPS)))))


async def _shop(number: int) -> Merchant:
    name, category, operator = city.SHOPS[number]
    password_hash = await hashing.hash_password(city.PASSWORD)
    async with unit_of_work() as work:
        user_id = await people.create(
            work,
            role=Role.MERCHANT,
            status=Status.ACTIVE,
            name=operator,
            phone=city.shop_phone(number),
            password_hash=password_hash,
            language="zh-CN",
        )
        return await merchants.open_shop(work, user_id=user_id, name=name, category=category)


async def staff() -> dict[Role, list[int]]:
    """Members of staff, by role; the first of them is the ADMIN, who appoints the others."""
    found: dict[Role, list[int]] = {}
    for number, (role, name) in enumerate(city.STAFF):
        admin_id = next(iter(found.get(Role.ADMIN, [])), None)
        made = await _member(number, role, name, admin_id=admin_id)
        found.setdefault(role, []).append(made)
    return found


async def _member(number: int, role: Role, name: str, *, admin_id: int | None) -> int:
    phone = city.staff_phone(number)
    password_hash = await hashing.hash_password(city.PASSWORD)
    async with unit_of_work() as work:
        if admin_id is None:
            return await first_admin.make(work, name=name, phone=phone, password_hash=password_hash)
        user_id = await people.create(
            work,
            role=Role.RESIDENT,
            status=Status.ACTIVE,
            name=name,
            phone=phone,
            password_hash=password_hash,
            language="zh-CN",
        )
        await staffing.change_role(
            work,
            actor_id=admin_id,
            user_id=user_id,
            from_role=Role.RESIDENT,
            to_role=role,
            reason="鹏城演示",
        )
    return user_id
