"""Merchants as the public sees them, and a merchant's own code."""

from __future__ import annotations

from io import BytesIO
from uuid import UUID

import segno

from domain import merchants as rules
from domain import refusals
from infra import settings
from resolvers.viewer import ACTIVE, SIGNED_IN, Viewer, access
from services import merchants
from services.merchants import Merchant
from services.unit_of_work import snapshot


@access(ACTIVE)
async def resolve_qr(viewer: Viewer, payload: str) -> Merchant:
    """The merchant of a scanned code. Raises QrUnreadable, MerchantNotFound."""
    token = rules.read_qr(payload, settings.get_settings().public_url)
    if token is None:
        raise refusals.QrUnreadable
    async with snapshot() as read:
        found = await merchants.by_token(read, token)
    if found is None or not found.active:
        raise refusals.MerchantNotFound
    return found


@access(SIGNED_IN)
async def own(viewer: Viewer) -> Merchant | None:
    """The caller's own shop."""
    async with snapshot() as read:
        return await merchants.of_user(read, viewer.user_id)


@access(SIGNED_IN)
async def by_ids(viewer: Viewer, ids: list[UUID]) -> dict[UUID, Merchant]:
    """Merchants are public to everybody signed in."""
    async with snapshot() as read:
        return await merchants.by_ids(read, ids)


@access(SIGNED_IN)
def qr_payload(viewer: Viewer, merchant: Merchant) -> str | None:
    """The text of the code, for the merchant's own eyes."""
    if merchant.user_id != viewer.user_id:
        return None
    return rules.qr_payload(merchant.qr_token, settings.get_settings().public_url)


@access(SIGNED_IN)
def qr_svg(viewer: Viewer, merchant: Merchant) -> str | None:
    """The code as an SVG image, for the merchant's own eyes."""
    payload = qr_payload(viewer, merchant)
    if payload is None:
        return None
    image = BytesIO()
    segno.make(payload, error="m", micro=False).save(image, kind="svg", scale=8, xmldecl=False)
    return image.getvalue().decode()
