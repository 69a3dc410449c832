"""Merchants: public faces, scanned codes, and a merchant's own code."""

from __future__ import annotations

from collections.abc import Mapping

import strawberry

from domain import refusals as no
from resolvers import merchants
from resolvers.viewer import Viewer as Caller
from schema import fields, ids, nodes
from schema.context import Info
from services.merchants import Merchant as Row


@strawberry.type(description="A shop that takes payments.")
class Merchant(nodes.Node):
    """As `services.merchants.Merchant`."""

    name: str = strawberry.field(description="Its public name.")
    category: str = strawberry.field(description="What kind of shop it is.")

    @classmethod
    def of(cls, row: Row) -> Merchant:
        return cls(
            id=strawberry.ID(ids.encode("Merchant", row.id)), name=row.name, category=row.category
        )


@strawberry.type(description="The caller's own shop.")
class Shop:
    """For the merchant's own eyes."""

    merchant: Merchant = strawberry.field(description="Its public face.")
    qr_payload: str = strawberry.field(description="The text of its QR code.")
    qr_svg: str = strawberry.field(description="Its QR code as an SVG image.")


@strawberry.type(description="A scanned code that leads to a merchant.")
class MerchantPay:
    """What `createPayment` needs."""

    merchant: Merchant = strawberry.field(description="Who would be paid.")


@strawberry.type
class MerchantQuery:
    """The part of Query about merchants."""

    @fields.query_field(
        calls=merchants.resolve_qr,
        description="What a scanned QR code asks for.",
        arguments={"payload": "The text of the scanned code."},
        refuses=(no.QrUnreadable, no.MerchantNotFound, no.AccountNotActive),
    )
    async def resolve_qr(self, info: Info, payload: str) -> MerchantPay:
        row = await merchants.resolve_qr(info.context.viewer, payload)
        return MerchantPay(merchant=Merchant.of(row))


@strawberry.type
class MerchantViewer:
    """The part of Viewer about the caller's own shop."""

    @fields.query_field(
        calls=merchants.own, description="The caller's own shop; null for who has none."
    )
    async def shop(self, info: Info) -> Shop | None:
        viewer = info.context.viewer
        row = await merchants.own(viewer)
        if row is None:
            return None
        payload, svg = merchants.qr_payload(viewer, row), merchants.qr_svg(viewer, row)
        assert payload is not None
        assert svg is not None
        return Shop(merchant=Merchant.of(row), qr_payload=payload, qr_svg=svg)


async def _load(viewer: Caller, keys: list[str]) -> Mapping[str, Merchant]:
    rows = await merchants.by_ids(viewer, nodes.uuids(keys))
    return {str(key): Merchant.of(row) for key, row in rows.items()}


nodes.loads("Merchant", _load)
