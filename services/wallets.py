"""A wallet as its owner sees it, its linked cards, and its no-PIN allowance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

import asyncpg

from domain import ledger
from domain.ledger import CITY_ACTOR_ID, FreezeLevel, Instruction, Operation
from domain.refusals import AccountNotActive
from infra import encryption, settings
from infra.bank import LinkedCard
from services import people
from services.ledger import posting
from services.unit_of_work import Snapshot, UnitOfWork

CARDS_MAX = 20
_TOKEN = "bank_card.token"  # noqa: S105 - a place, not a secret
_CARD_COLUMNS = "id, user_id, token, bank_name, last4, linked_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wallet:
    """Amounts in minor units; ``status`` is the ledger's number, counts are of the city's day."""

    account_id: int
    currency: str
    status: int
    frozen_by_owner: bool
    careful_until: datetime | None
    posted_minor: int
    held_minor: int
    daily_limit_minor: int
    daily_limit_left_minor: int
    free_max_minor: int
    free_daily_count_max: int
    free_used_today: int

    @property
    def available_minor(self) -> int:
        return self.posted_minor - self.held_minor


@dataclass(frozen=True, slots=True)
class Card:
    """A linked card. ``token_sealed`` opens with ``token_of``, for the bank only."""

    id: UUID
    user_id: int
    token_sealed: bytes = field(repr=False)
    bank_name: str
    last4: str
    linked_at: datetime


class TooManyCards(Exception):
    """The wallet has as many cards as it may have."""


_WALLET = """
select a.id, a.currency, a.status, a.frozen_by_owner, a.posted, a.held, a.day_max, a.free_max,
       a.free_count_max, a.limit_day = t.today as is_today, a.day_out, a.day_free_count,
       case when a.caution_until > t.now then a.caution_until end as careful_until,
       a.caution_day_max
  from ledger.account a, ledger.city c,
       lateral (select n as now, (n at time zone c.zone)::date as today from ledger.now() n) t
 where a.id = $1"""


async def wallet(read: Snapshot, account_id: int) -> Wallet:
    """The wallet of a ledger account that exists."""
    row = await read.fetchrow(_WALLET, account_id)
    assert row is not None
    out_today = row["day_out"] if row["is_today"] else 0
    day_max = row["day_max"]
    if row["careful_until"] is not None:
        day_max = min(day_max, row["caution_day_max"])
    return Wallet(
        account_id=row["id"],
        currency=row["currency"],
        status=row["status"],
        frozen_by_owner=row["frozen_by_owner"],
        careful_until=row["careful_until"],
        posted_minor=row["posted"],
        held_minor=row["held"],
        daily_limit_minor=day_max,
        daily_limit_left_minor=max(day_max - out_today, 0),
        free_max_minor=row["free_max"],
        free_daily_count_max=row["free_count_max"],
        free_used_today=row["day_free_count"] if row["is_today"] else 0,
    )


def set_allowance(
    *, actor_id: int, account_id: int, amount_max_minor: int, daily_count_max: int, key: str
) -> Instruction:
    """Payments without PIN: up to this amount each, so many a day; 0 and 0 switch it off."""
    return ledger.instruct(
        actor_id=actor_id,
        operation=Operation.SET_ALLOWANCE,
        key=key,
        legs=ledger.touch(account_id),
        detail={"amount_max": amount_max_minor, "daily_count_max": daily_count_max},
    )


def freeze_own(*, actor_id: int, account_id: int, level: FreezeLevel, key: str) -> Instruction:
    """Its owner stops a wallet, at once and without any proof: better once too often."""
    return ledger.instruct(
        actor_id=actor_id,
        operation=Operation.FREEZE_OWN,
        key=key,
        legs=ledger.touch(account_id),
        detail={"level": level.value},
    )


def unfreeze_own(*, actor_id: int, account_id: int, key: str) -> Instruction:
    """Its owner lets a wallet work again that its owner froze; needs a proof."""
    return ledger.instruct(
        actor_id=actor_id,
        operation=Operation.UNFREEZE_OWN,
        key=key,
        legs=ledger.touch(account_id),
    )


def be_careful(*, account_id: int, seconds: int, day_max_minor: int, key: str) -> Instruction:
    """For a while little may leave a wallet: its owner's credentials have just changed."""
    return ledger.instruct(
        actor_id=CITY_ACTOR_ID,
        operation=Operation.SET_CAUTION,
        key=key,
        legs=ledger.touch(account_id),
        detail={"seconds": seconds, "day_max": day_max_minor},
    )


async def take_care(work: UnitOfWork, *, user_id: int, key: str) -> None:
    """From now on and for a while little may leave a user's wallet, as the settings say.

    For whoever's credentials have just changed; nothing for somebody without a resident's wallet.
    It locks the account: call it last. ``key`` names what happened.
    """
    account_id = await work.fetchval(
        "select id from ledger.account where owner_id = $1 and role = 1 and status <> 4", user_id
    )
    if account_id is None:
        return
    caution = settings.get_settings()
    instruction = be_careful(
        account_id=account_id,
        seconds=caution.caution_seconds,
        day_max_minor=caution.caution_day_max_minor,
        key=key,
    )
    ledger.check(await posting.post(work, instruction))


def card_index(number: str) -> str:
    """What a card number is recognised by; the number itself is not kept."""
    return encryption.blind_index("card", number)


def link_reference(*, user_id: int, number: str, holder_name: str, phone: str) -> str:
    """Names one request to link at the bank: the same facts always give the same name."""
    return encryption.blind_index("link", f"{user_id}\0{number}\0{holder_name}\0{phone}")


async def keep_card(
    work: UnitOfWork, *, user_id: int, holder_name: str, number_index: str, linked: LinkedCard
) -> Card:
    """Keep a card that the bank linked in a holder's name; linking it again gives the same card.

    It counts for the KYC level if that is still the user's name. Raises TooManyCards,
    AccountNotActive once the account is closing.
    """
    agrees = await _lock_name(work, user_id) == holder_name
    known = await work.fetchrow(
        "select id, removed_at from bank_card where user_id = $1 and number_index = $2",
        user_id,
        number_index,
    )
    if known is None or known["removed_at"] is not None:
        count = await work.fetchval(
            "select count(*) from bank_card where user_id = $1 and removed_at is null", user_id
        )
        if count >= CARDS_MAX:
            raise TooManyCards
    card_id = known["id"] if known is not None else uuid4()
    row = await work.fetchrow(
        "insert into bank_card(id, user_id, token, number_index, bank_name, last4, linked_at,"  # noqa: S608
        " holder_checked) values ($1, $2, $3, $4, $5, $6, $7, $8)"
        " on conflict (user_id, number_index) do update set token = excluded.token,"
        " bank_name = excluded.bank_name, removed_at = null, holder_checked = $8"
        f" returning {_CARD_COLUMNS}",
        card_id,
        user_id,
        encryption.encrypt(_TOKEN, card_id, linked.card_token),
        number_index,
        linked.bank_name,
        linked.last4,
        work.now,
        agrees,
    )
    assert row is not None
    await people.raise_kyc_level(work, user_id)
    return _card(row)


async def _lock_name(work: UnitOfWork, user_id: int) -> str:
    """A user's name. Cards of one are added one at a time, or two could pass the maximum together.

    Raises AccountNotActive once the account is closing.
    """
    row = await work.fetchrow("select name, status from users where id = $1 for update", user_id)
    assert row is not None
    if row["status"] == "CLOSED":
        raise AccountNotActive
    return people.open_name(user_id, row["name"])


async def forget_holder_checks(work: UnitOfWork, user_id: int) -> None:
    """The user's name has changed: what the bank said of the old one says nothing of the new one.

    The cards stay; linking one again has the bank look again.
    """
    await work.execute("update bank_card set holder_checked = false where user_id = $1", user_id)


def token_of(card: Card) -> str:
    """The bank's token of a card, opened."""
    return encryption.decrypt(_TOKEN, card.id, card.token_sealed)


async def cards(
    read: Snapshot,
    user_id: int,
    *,
    limit: int = CARDS_MAX,
    after: tuple[datetime, UUID] | None = None,
    before: tuple[datetime, UUID] | None = None,
    backwards: bool = False,
) -> list[Card]:
    """The user's linked cards, first linked first (last first if ``backwards``)."""
    clauses = ["user_id = $1", "removed_at is null"]
    values: list[object] = [user_id]
    for sign, key in ((">", after), ("<", before)):
        if key is not None:
            values += key
            clauses.append(f"(linked_at, id) {sign} (${len(values) - 1}, ${len(values)})")
    order = "linked_at desc, id desc" if backwards else "linked_at, id"
    rows = await read.fetch(
        f"select {_CARD_COLUMNS} from bank_card"  # noqa: S608
        f" where {' and '.join(clauses)} order by {order} limit {int(limit)}",
        *values,
    )
    return [_card(row) for row in rows]


async def cards_by_ids(read: Snapshot, user_id: int, card_ids: Sequence[UUID]) -> dict[UUID, Card]:
    """Those of the cards that are the user's, removed ones too: old top-ups still show them."""
    rows = await read.fetch(
        f"select {_CARD_COLUMNS} from bank_card where user_id = $1 and id = any($2::uuid[])",  # noqa: S608
        user_id,
        card_ids,
    )
    return {row["id"]: _card(row) for row in rows}


async def usable_card(read: Snapshot, user_id: int, card_id: UUID) -> Card | None:
    """The user's own card, unless it was removed."""
    row = await read.fetchrow(
        f"select {_CARD_COLUMNS} from bank_card"  # noqa: S608
        " where user_id = $1 and id = $2 and removed_at is null",
        user_id,
        card_id,
    )
    return _card(row) if row is not None else None


def _card(row: asyncpg.Record) -> Card:
    return Card(*row)
