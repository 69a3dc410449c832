"""Refusals come out as data, each as its own type, in the caller's language."""

import string
from typing import get_args

import pytest
import strawberry
from graphql import GraphQLInterfaceType, GraphQLObjectType, GraphQLUnionType

from domain import refusals
from schema import context, errors, fields


def refuse(kind: str) -> str:
    """Stands for a resolver function."""
    match kind:
        case "funds":
            raise refusals.InsufficientFunds(path=("input", "amount"))
        case "pin":
            raise refusals.WrongPin(attempts_left=2)
        case "undeclared":
            raise refusals.PhoneTaken
        case "stranger":
            raise refusals.NotSignedIn
        case "busy":
            raise refusals.Overloaded
    return kind


refuse.access = "anyone"  # pyright: ignore[reportFunctionMemberAccess]


def unruled() -> str:
    """A resolver function that nobody wrote a rule for."""
    return ""


@strawberry.type
class PayBillSuccess:
    receipt: str


@strawberry.type
class Query:
    @fields.query_field(calls=refuse, description="Reads.", refuses=(refusals.NotFound,))
    async def look_up(self, info: context.Info, kind: str) -> PayBillSuccess:
        return PayBillSuccess(receipt=refuse(kind))

    @fields.query_field(calls=unruled, description="Nobody has ruled on this.")
    async def forgotten(self) -> str:
        return unruled()


@strawberry.type
class Mutation:
    @fields.mutation(
        calls=refuse,
        description="Pays.",
        refuses=(refusals.InsufficientFunds, refusals.WrongPin),
    )
    async def pay_bill(self, info: context.Info, kind: str) -> PayBillSuccess:
        return PayBillSuccess(receipt=refuse(kind))


SCHEMA = strawberry.Schema(Query, Mutation, types=list(errors.TYPES.values()))
PAY = """mutation($kind: String!) { payBill(kind: $kind) {
  __typename
  ... on PayBillSuccess { receipt }
  ... on Error { code message path retryable }
  ... on WrongPinError { attemptsLeft }
} }"""


async def pay(kind, language="en"):
    outcome = await SCHEMA.execute(
        PAY, variable_values={"kind": kind}, context_value=context.Context(language=language)
    )
    return outcome.data["payBill"] if outcome.data else outcome.errors


async def test_what_succeeds_is_the_success_type():
    assert await pay("done") == {"__typename": "PayBillSuccess", "receipt": "done"}


async def test_a_refusal_is_data_with_code_path_and_the_text_in_the_callers_language():
    refused = await pay("funds", "zh-CN")
    assert refused == {
        "__typename": "InsufficientFundsError",
        "code": "INSUFFICIENT_FUNDS",
        "message": "可用余额不足。",
        "path": ["input", "amount"],
        "retryable": False,
    }
    assert (await pay("funds"))["message"] == "Your available balance is not enough."


async def test_a_refusals_facts_are_fields_and_stand_in_its_text():
    refused = await pay("pin")
    assert refused["attemptsLeft"] == 2
    assert refused["message"] == "Wrong payment PIN. Attempts left: 2."


async def test_overload_is_possible_everywhere_and_retryable():
    refused = await pay("busy")
    assert (refused["code"], refused["retryable"]) == ("OVERLOADED", True)


async def test_a_refusal_the_field_did_not_declare_is_a_bug():
    (error,) = await pay("undeclared")
    assert isinstance(error.original_error, errors.UndeclaredRefusal)
    assert errors.presented(error.original_error, "en") is None


async def test_a_denial_ends_the_field_with_its_code():
    (error,) = await pay("stranger")
    assert errors.presented(error.original_error, "zh") == ("UNAUTHENTICATED", "请先登录。")


async def test_a_query_field_that_refuses_has_a_result_type_too():
    outcome = await SCHEMA.execute(
        '{ lookUp(kind: "funds") { __typename } ok: lookUp(kind: "x") { __typename } }',
        context_value=context.Context(),
    )
    assert outcome.data is None, "lookUp did not declare InsufficientFunds"
    assert isinstance(SCHEMA._schema.get_type("LookUpResult"), GraphQLUnionType)


def example(kind):
    """A fact: a number, or a list of all members of an enum."""
    return 3 if kind is int else list(get_args(kind)[0])


@pytest.mark.parametrize("refusal", refusals.every(), ids=lambda refusal: refusal.__name__)
def test_every_refusal_has_a_described_type_a_code_and_both_texts(refusal):
    built = SCHEMA._schema.get_type(f"{refusal.__name__}Error")
    assert isinstance(built, GraphQLObjectType)
    assert isinstance(SCHEMA._schema.get_type("Error"), GraphQLInterfaceType)
    assert "Error" in [interface.name for interface in built.interfaces]
    assert built.description
    assert all(field.description for field in built.fields.values())
    facts = {name: example(kind) for name, kind in refusal.fact_types.items()}
    occurrence = refusal(**facts)
    data = errors.as_data(occurrence, "zh-CN")
    assert data.code.value == refusal.code == refusal.code.upper()
    assert data.message == occurrence.message("zh-CN") != occurrence.message("en")
    for template in (refusal.en, refusal.zh):
        named = {name for _, name, _, _ in string.Formatter().parse(template) if name}
        assert named <= set(facts)


def test_error_codes_are_those_of_the_classes():
    codes = SCHEMA._schema.get_type("ErrorCode").values  # pyright: ignore
    assert set(codes) == {refusal.code for refusal in refusals.every()}
    assert all(value.description for value in codes.values())
    assert all(refusals.by_code(code).code == code for code in codes)


def test_a_refusal_takes_exactly_its_facts():
    with pytest.raises(TypeError):
        refusals.WrongPin()
    with pytest.raises(TypeError):
        refusals.NotFound(phone="13800000000")
    with pytest.raises(TypeError):
        refusals.InvalidInput(en="Only English.")
    assert refusals.WrongPin(attempts_left=1).attempts_left == 1
    assert refusals.InvalidInput(en="{braces}", zh="{括号}").message("en") == "{braces}"
    assert str(refusals.InvalidInput(path=("secret",))) == "INVALID_INPUT"


def test_a_field_without_a_rule_is_found():
    assert fields.fields_without_rule(SCHEMA) == ["Query.forgotten"]


def test_the_language_is_the_one_the_client_prefers():
    assert context.language("zh-CN,zh;q=0.9,en;q=0.8") == "zh-CN"
    assert context.language("en-GB;q=0.8, zh-Hant;q=0.9") == "zh-CN"
    assert context.language("fr, en;q=0.1") == "en"
    assert context.language("zh;q=oops, de") == "en"
    assert context.language("") == "en"
