"""The GraphQL face of moving money, executed on its own."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import strawberry
from strawberry.schema.config import StrawberryConfig

from domain.identity import ANONYMOUS
from resolvers.viewer import SIGNED_IN, access
from schema import (
    fields,
    merchants,
    nodes,
    payment_methods,
    payments,
    scalars,
    topups,
    transactions,
    transfers,
    wallets,
)
from schema.context import Context, Info
from services import people
from services.unit_of_work import Snapshot
from tests import movement as town


@access(SIGNED_IN)
def _caller(viewer):
    return viewer


@fields.root
@strawberry.type
class Viewer(
    wallets.WalletViewer,
    merchants.MerchantViewer,
    payment_methods.PaymentViewer,
    transactions.TransactionViewer,
    topups.TopUpViewer,
):
    """All of money movement that belongs to the caller."""


@strawberry.type
class Query(nodes.NodeQuery, merchants.MerchantQuery, transfers.TransferQuery):
    """The ways in."""

    @fields.query_field(calls=_caller, description="The caller.")
    def viewer(self, info: Info) -> Viewer:
        _caller(info.context.viewer)
        return Viewer()


@strawberry.type
class Mutation(
    wallets.WalletMutation,
    payments.PaymentMutation,
    transfers.TransferMutation,
    topups.TopUpMutation,
):
    """All that moves money."""


@strawberry.type
class Subscription(payments.PaymentSubscription, transactions.TransactionSubscription):
    """What one can watch."""


SCHEMA = strawberry.Schema(
    Query,
    Mutation,
    Subscription,
    config=StrawberryConfig(scalar_map=scalars.SCALAR_MAP),
)
usefixtures = pytest.mark.usefixtures("counter")


def context(viewer, language: str = "zh-CN") -> Context:
    return Context(viewer=viewer, language=language)


async def ask(viewer, document: str, **variables: Any) -> Any:
    result = await SCHEMA.execute(
        document, variable_values=variables, context_value=context(viewer)
    )
    assert result.errors is None, result.errors
    return result.data


def yuan(amount: str) -> dict[str, str]:
    return {"amount": amount, "currencyCode": "CNY"}


PAY = """mutation($input: CreatePaymentInput!) { createPayment(input: $input) {
  ... on CreatePaymentSuccess { payment { id state amount { amount } expiresAt viewerRole
    note merchant { id name } steps { state at } refundable { amount } } }
  ... on Error { code message path retryable } } }"""
CONFIRM = """mutation($input: ConfirmPaymentInput!) { confirmPayment(input: $input) {
  ... on ConfirmPaymentSuccess { payment { id state } }
  ... on WrongPinError { attemptsLeft } ... on Error { code } } }"""
HISTORY = """query($first: Int, $after: String, $filter: TransactionFilter) { viewer {
  transactions(first: $first, after: $after, filter: $filter) { pageInfo { hasNextPage endCursor }
    edges { node { id kind direction amount { amount } balanceAfter { amount } memo
      counterparty { kind name } payment { id state viewerRole note } } } } } }"""


def test_every_way_in_has_a_rule_and_everything_is_described() -> None:
    assert fields.fields_without_rule(SCHEMA) == []
    for name, kind in SCHEMA._schema.type_map.items():
        if name.startswith("__") or name in ("Query", "Mutation", "Subscription", "Viewer"):
            continue
        assert kind.description or name in ("String", "Int", "Boolean", "ID"), name
        for field_name, field in getattr(kind, "fields", {}).items():
            assert field.description, f"{name}.{field_name}"


@usefixtures
async def test_scan_pay_confirm_and_see_it_from_both_sides() -> None:
    payer = await town.resident("John Smith", balance=10_000)
    seller, _ = await town.shop("荔枝书店")
    own = (await ask(seller, "{ viewer { shop { qrPayload qrSvg merchant { id } } } }"))["viewer"]
    scanned = await ask(
        payer,
        """query($payload: String!) { resolveQr(payload: $payload) {
             ... on MerchantPay { merchant { id name } } ... on Error { code } } }""",
        payload=own["shop"]["qrPayload"],
    )
    merchant = scanned["resolveQr"]["merchant"]
    order = {
        "merchantId": merchant["id"],
        "amount": yuan("25.00"),
        "note": "两本书",
        "idempotencyKey": "p1",
    }
    opened = (await ask(payer, PAY, input=order))["createPayment"]["payment"]
    confirm = {"paymentId": opened["id"], "proof": {"pin": "135790"}, "idempotencyKey": "c1"}
    wrong = (await ask(payer, CONFIRM, input=confirm))["confirmPayment"]
    right = confirm | {"proof": {"pin": town.PIN}}
    paid = (await ask(payer, CONFIRM, input=right))["confirmPayment"]
    sides = [
        (await ask(who, HISTORY, first=1))["viewer"]["transactions"]["edges"][0]["node"]
        for who in (payer, seller)
    ]

    assert own["shop"]["qrSvg"].startswith("<svg")
    assert merchant["name"] == "荔枝书店"
    assert (opened["state"], opened["note"], opened["viewerRole"]) == (
        "AWAITING_CONFIRMATION",
        "两本书",
        "PAYER",
    )
    assert wrong == {"attemptsLeft": 4, "code": "WRONG_PIN"}
    assert paid["payment"]["state"] == "SUCCEEDED"
    assert [side["direction"] for side in sides] == ["OUT", "IN"]
    assert [side["counterparty"]["name"] for side in sides] == ["荔枝书店", "J*** S****"]
    assert [side["payment"]["viewerRole"] for side in sides] == ["PAYER", "PAYEE"]
    assert [side["memo"] for side in sides] == ["两本书", "两本书"]
    assert sides[0]["balanceAfter"]["amount"] == "75.00"


@usefixtures
async def test_refusals_are_data_in_the_callers_language() -> None:
    payer = await town.resident(balance=0, allowance=(20_000, 5))
    _, shop = await town.shop()
    order = {
        "merchantId": nodes.ids.encode("Merchant", shop.id),
        "amount": yuan("25.00"),
        "idempotencyKey": "p1",
    }

    poor = (await ask(payer, PAY, input=order))["createPayment"]
    nobody = (await ask(payer, PAY, input=order | {"merchantId": "x"}))["createPayment"]
    crooked = (await ask(payer, PAY, input=order | {"amount": yuan("25.001")}))["createPayment"]

    assert (poor["code"], poor["message"]) == ("INSUFFICIENT_FUNDS", "可用余额不足。")
    assert nobody["code"] == "MERCHANT_NOT_FOUND"
    assert (crooked["code"], crooked["path"]) == ("INVALID_INPUT", ["input", "amount", "amount"])


@usefixtures
async def test_ids_of_strangers_and_nonsense_are_null() -> None:
    payer = await town.resident(balance=9_000, allowance=(5_000, 5))
    stranger = await town.resident(balance=9_000)
    _, shop = await town.shop()
    await town.pay(payer, shop, 100)
    [edge] = (await ask(payer, HISTORY, first=1))["viewer"]["transactions"]["edges"]
    mine = [edge["node"]["id"], edge["node"]["payment"]["id"]]
    public = nodes.ids.encode("Merchant", shop.id)
    odd = [
        "x",
        base64.urlsafe_b64encode(b"Payment:x").decode(),
        "VHJhbnNhY3Rpb246MS4yLjM",
        nodes.ids.encode("Transaction", "9" * 18 + ".9.9"),
        nodes.ids.encode("Nothing", 1),
    ]
    document = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }"

    own = (await ask(payer, document, ids=[*mine, public, *odd]))["nodes"]
    other = (await ask(stranger, document, ids=[*mine, public]))["nodes"]
    too_many = await SCHEMA.execute(
        document, variable_values={"ids": ["x"] * 101}, context_value=context(payer)
    )

    assert [one and one["__typename"] for one in own] == (
        ["Transaction", "Payment", "Merchant"] + [None] * 5
    )
    assert [one and one["id"] for one in other] == [None, None, public]
    assert too_many.errors


@usefixtures
async def test_a_page_of_history_takes_a_fixed_number_of_queries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    payer = await town.resident(balance=9_000, allowance=(5_000, 9))
    for _ in range(3):
        _, shop = await town.shop()
        await town.pay(payer, shop, 100)
        await town.pay(payer, shop, 200)
    statements: list[str] = []
    original = Snapshot.fetch

    async def counted(self, sql, *values):
        statements.append(sql)
        return await original(self, sql, *values)

    monkeypatch.setattr(Snapshot, "fetch", counted)
    few = await ask(payer, HISTORY, first=2)
    after_few = len(statements)
    await ask(payer, HISTORY, first=7)

    assert len(statements) == 2 * after_few
    page = few["viewer"]["transactions"]
    rest = await ask(payer, HISTORY, first=10, after=page["pageInfo"]["endCursor"])
    assert len(rest["viewer"]["transactions"]["edges"]) == 5


@usefixtures
async def test_transfers_cards_wallet_and_allowance() -> None:
    payer, payee = await town.resident(balance=9_000), await town.resident("张三丰")
    number = people.phone_of(payee)
    preview = await ask(
        payer,
        """query($phone: String!) { recipientPreview(phone: $phone) {
             ... on RecipientPreview { maskedName } ... on Error { code } } }""",
        phone=number,
    )
    sent = await ask(
        payer,
        """mutation($input: CreateTransferInput!) { createTransfer(input: $input) {
             ... on CreateTransferSuccess { transaction { kind direction amount { amount }
               counterparty { name } memo } } ... on Error { code } } }""",
        input={
            "phone": number,
            "amount": yuan("10.00"),
            "memo": "谢谢",
            "proof": {"pin": town.PIN},
            "idempotencyKey": "t1",
        },
    )
    allowed = await ask(
        payer,
        """mutation($input: SetPaymentAllowanceInput!) { setPaymentAllowance(input: $input) {
             ... on SetPaymentAllowanceSuccess { wallet { allowance { enabled dailyCountMax } } }
             ... on Error { code path } } }""",
        input={
            "amountMax": yuan("50.00"),
            "dailyCountMax": 3,
            "proof": {"pin": town.PIN},
            "idempotencyKey": "a1",
        },
    )
    seen = await ask(
        payer,
        """query($at: DateTime!, $amount: MoneyInput!) { viewer { wallet { status
             balance { amount } available { amount } held { amount } dailyLimitLeft { amount }
             balanceAt(at: $at) { amount } } bankCards { edges { node { id } } }
             topUps { edges { node { id } } }
             paymentMethods(amount: $amount) { kind usable recommended reasonText } } }""",
        at="2020-01-01T00:00:00Z",
        amount=yuan("1.00"),
    )

    assert preview["recipientPreview"]["maskedName"] == "张*丰"
    assert sent["createTransfer"]["transaction"] == {
        "kind": "TRANSFER",
        "direction": "OUT",
        "amount": {"amount": "10.00"},
        "counterparty": {"name": "张*丰"},
        "memo": "谢谢",
    }
    assert allowed["setPaymentAllowance"]["wallet"]["allowance"] == {
        "enabled": True,
        "dailyCountMax": 3,
    }
    assert json.dumps(seen["viewer"]["wallet"]["balance"]) == '{"amount": "80.00"}'
    assert seen["viewer"]["wallet"]["balanceAt"]["amount"] == "0.00"
    assert seen["viewer"]["wallet"]["dailyLimitLeft"]["amount"] == "4990.00"
    assert seen["viewer"]["paymentMethods"][0]["reasonText"] == "余额充足"


@usefixtures
async def test_subscriptions_yield_events_and_hide_what_is_not_the_callers() -> None:
    payer, stranger = await town.resident(balance=9_000), await town.resident()
    _, shop = await town.shop()
    opened = await town.pay(payer, shop, 100)
    document = """subscription($id: ID!) { paymentEvents(paymentId: $id) { __typename
      ... on PaymentEvent { cursor sequence payment { id state } } ... on Error { code } } }"""
    variables = {"id": nodes.ids.encode("Payment", opened.id)}

    hidden = await SCHEMA.subscribe(
        document, variable_values=variables, context_value=context(stranger)
    )
    results = [result async for result in hidden]
    signed_out = await SCHEMA.execute(
        "{ viewer { wallet { id } } }", context_value=context(ANONYMOUS)
    )

    assert [one.data for one in results] == [
        {"paymentEvents": {"__typename": "NotFoundError", "code": "NOT_FOUND"}}
    ]
    assert signed_out.data is None
