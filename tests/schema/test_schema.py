"""The schema as a whole: what every part of it keeps to, whoever wrote it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from typing import Any

import graphql
import pytest
from graphql import GraphQLInputObjectType, GraphQLInterfaceType, GraphQLObjectType

from schema import __main__ as export
from schema import schema
from tests import javascript

GRAPHQL = schema._schema
TYPES = {name: kind for name, kind in GRAPHQL.type_map.items() if not name.startswith("__")}
OBJECTS = {
    name: kind
    for name, kind in TYPES.items()
    if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType)
}
INPUTS = {name: kind for name, kind in TYPES.items() if isinstance(kind, GraphQLInputObjectType)}
ROOTS = ("Query", "Mutation", "Subscription", "Viewer", "Staff")
BUILT_IN = {"String", "Int", "Boolean", "ID"}
MUTATIONS: dict[str, Any] = OBJECTS["Mutation"].fields

BOUNDED_LISTS = {
    "KeyRotation.keys": "the few keys of the settings",
    "Payment.refunds": "the newest 20",
    "Payment.steps": "as many as a payment has states",
    "Query.consentPurposes": "there are three",
    "Resident.openCases": "the newest ten",
    "Query.nodes": "as many as were asked for, 100 at most",
    "Viewer.passkeys": "ten at most",
    "SetNoticePreferenceSuccess.noticePreferences": "one a group",
    "Viewer.noticePreferences": "one a group",
    "Viewer.consents": "one a purpose",
    "Viewer.dataExports": "the newest ten",
    "Viewer.paymentMethods": "the balance and 20 cards at most",
}
MOVES_NO_MONEY = {
    "login",
    "sendLoginCode",
    "completeLogin",
    "refreshSession",
    "logout",
    "revokeSession",
    "endSessions",
    "logoutEverywhere",
    "revokeDevice",
    "requestVerificationCode",
    "register",
    "resubmitRegistration",
    "changePassword",
    "requestPasswordReset",
    "requestRecoveryReview",
    "requestNumberRelease",
    "objectToRecovery",
    "decideRecovery",
    "requestPhoneChange",
    "confirmPhoneChange",
    "requestPhoneReplacement",
    "requestPhoneReplacementReview",
    "completePhoneReplacement",
    "requestPasswordResetPasskey",
    "completePasswordReset",
    "setPaymentPin",
    "requestPasskeyRegistration",
    "registerPasskey",
    "renamePasskey",
    "removePasskey",
    "requestPasskeyLogin",
    "loginWithPasskey",
    "requestStepUpChallenge",
    "sendProofCode",
    "setContactEmail",
    "confirmContactEmail",
    "removeContactEmail",
    "setPostalAddress",
    "submitIdentity",
    "reviewIdentity",
    "reviewRegistration",
    "setNoticePreference",
    "registerPushToken",
    "removePushToken",
    "linkBankCard",
    "signRefundPolicy",
    "endRefundPolicy",
    "appealFreeze",
    "markNoticesRead",
    "rotateKeys",
    "giveConsent",
    "withdrawConsent",
    "exportMyData",
    "closeMyAccount",
    "cancelClosing",
    "appointStaff",
    "changeStaffRole",
    "dismissStaff",
    "decideRoleChange",
    "elevate",
    "endElevation",
    "enrolTotp",
    "confirmTotp",
    "removeTotp",
}
STATE_NOT_EVENTS = {"viewerStatusEvents"}  # each message is the whole state: nothing to go on from


def fields() -> Iterator[tuple[str, Any]]:
    for name, kind in OBJECTS.items():
        for field_name, field in kind.fields.items():
            yield f"{name}.{field_name}", field


def values() -> Iterator[tuple[str, Any]]:
    """Arguments and input fields."""
    for name, field in fields():
        for argument_name, argument in field.args.items():
            yield f"{name}({argument_name})", argument
    for name, kind in INPUTS.items():
        for field_name, field in kind.fields.items():
            yield f"{name}.{field_name}", field


def test_the_committed_file_is_this_schema() -> None:
    assert export.SDL.read_text(encoding="utf-8") == export.text(), "run `make schema`"


def test_everything_is_described_in_english() -> None:
    described: list[tuple[str, Any]] = [*TYPES.items(), *fields(), *values()]
    for name, kind in TYPES.items():
        if isinstance(kind, graphql.GraphQLEnumType):
            described += [(f"{name}.{value}", member) for value, member in kind.values.items()]
    described = [(name, thing) for name, thing in described if name not in BUILT_IN]
    silent = [name for name, thing in described if not (thing.description or "").strip()]
    assert silent == []
    ends = [name for name, thing in described if not thing.description.endswith(".")]
    assert ends == [], "descriptions are sentences"
    examples = re.compile(r"`[^`]*`")  # such as a masked name
    foreign = [
        name
        for name, thing in described
        if re.search("[一-鿿]", examples.sub("", thing.description))
    ]
    assert foreign == []


def test_a_list_of_objects_is_a_connection_or_has_a_known_bound() -> None:
    unbounded = []
    for name, field in fields():
        kind = graphql.get_nullable_type(field.type)
        if not graphql.is_list_type(kind) or graphql.is_leaf_type(graphql.get_named_type(kind)):
            continue
        if not name.endswith("Connection.edges"):
            unbounded.append(name)
    assert sorted(unbounded) == sorted(BOUNDED_LISTS)


def test_connections_are_those_of_relay() -> None:
    arguments = {"first": "Int", "last": "Int", "after": "String", "before": "String"}
    used = set()
    for name, field in fields():
        kind = graphql.get_named_type(field.type)
        if kind.name.endswith("Connection"):
            used.add(kind.name)
            assert str(field.type).endswith("Connection!"), name
            taken = {one: str(field.args[one].type) for one in arguments if one in field.args}
            assert taken == arguments, name
    assert used == {name for name in OBJECTS if name.endswith("Connection")}
    for name in used:
        shape = {one: str(field.type) for one, field in OBJECTS[name].fields.items()}
        edge = name.removesuffix("Connection") + "Edge"
        assert shape == {"edges": f"[{edge}!]!", "pageInfo": "PageInfo!"}
        assert str(OBJECTS[edge].fields["cursor"].type) == "String!"
        assert str(OBJECTS[edge].fields["node"].type) == f"{name.removesuffix('Connection')}!"
    assert {one: str(field.type) for one, field in OBJECTS["PageInfo"].fields.items()} == {
        "hasNextPage": "Boolean!",
        "hasPreviousPage": "Boolean!",
        "startCursor": "String",
        "endCursor": "String",
    }
    assert str(OBJECTS["Query"].fields["node"].type) == "Node"
    assert str(OBJECTS["Query"].fields["nodes"].type) == "[Node]!"


@pytest.mark.parametrize("name", sorted(MUTATIONS))
def test_a_mutation_takes_one_input_and_leads_to_a_success_or_a_named_error(name: str) -> None:
    assert re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", name)
    whole = name[0].upper() + name[1:]
    field = MUTATIONS[name]
    assert {one: str(value.type) for one, value in field.args.items()} == {
        "input": f"{whole}Input!"
    }
    assert str(field.type) == f"{whole}Result!"
    success, *errors = graphql.get_named_type(field.type).types
    assert success.name == f"{whole}Success"
    assert errors
    for error in errors:
        assert error.name.endswith("Error")
        assert OBJECTS["Error"] in error.interfaces


@pytest.mark.parametrize("name", sorted(MUTATIONS.keys() - MOVES_NO_MONEY))
def test_an_input_that_moves_money_or_guards_it_has_an_idempotency_key(name: str) -> None:
    given = graphql.get_named_type(MUTATIONS[name].args["input"].type).fields
    assert str(given["idempotencyKey"].type) == "String!"


def test_only_inputs_that_need_a_key_have_one() -> None:
    keyed = {
        name
        for name, field in MUTATIONS.items()
        if "idempotencyKey" in graphql.get_named_type(field.args["input"].type).fields
    }
    assert MUTATIONS.keys() - keyed == MOVES_NO_MONEY


def test_money_is_never_a_number() -> None:
    assert "Float" not in TYPES
    money = re.compile(
        r"amount|balance|price|total|minor|limit|fee|median|available|held|refundable", re.I
    )
    wrong = []
    for name, thing in [*fields(), *values()]:
        said = re.split(r"[.(]", name)[-1].rstrip(")")
        # `amount` inside Money itself is the decimal.
        kind = graphql.get_named_type(thing.type).name
        if money.search(said) and kind not in ("Money", "MoneyInput", "Decimal"):
            wrong.append(name)
    assert wrong == []
    decimals = [n for n, thing in [*fields(), *values()] if "Decimal" in str(thing.type)]
    assert decimals == ["Money.amount", "MoneyInput.amount"]


def test_our_scalars_say_where_they_are_specified() -> None:
    scalars = {
        name: kind
        for name, kind in TYPES.items()
        if isinstance(kind, graphql.GraphQLScalarType) and name not in BUILT_IN
    }
    assert set(scalars) == {"DateTime", "Decimal", "EventCursor"}
    assert all((kind.specified_by_url or "").startswith("https://") for kind in scalars.values())


def test_an_argument_that_may_be_left_out_says_so_by_its_type_alone() -> None:
    assert [name for name, value in values() if value.default_value is None] == []
    defaults = {
        name: value.default_value
        for name, value in values()
        if value.default_value is not graphql.Undefined
    }
    assert list(defaults) == ["RegisterInput.language"]


def test_nothing_is_deprecated_yet() -> None:
    assert [name for name, thing in [*fields(), *values()] if thing.deprecation_reason] == []


@pytest.mark.parametrize("name", sorted(OBJECTS["Subscription"].fields.keys() - STATE_NOT_EVENTS))
def test_a_subscription_goes_on_behind_a_cursor(name: str) -> None:
    field = OBJECTS["Subscription"].fields[name]
    assert str(field.args["after"].type) == "EventCursor"
    members = {kind.name: kind for kind in graphql.get_named_type(field.type).types}
    assert "EventsGap" in members
    event = members[name[0].upper() + name[1:].removesuffix("s")].fields
    assert str(event["cursor"].type) == "EventCursor!"
    assert str(event["sequence"].type) == "Int!"


def test_what_belongs_to_somebody_is_reached_by_its_root_alone() -> None:
    """A query can't name another user's wallet: nothing takes an owner but staff's own doors."""
    owners = [name for name, _ in values() if re.search(r"[.(](user|owner|account|wallet)Id", name)]
    assert owners == [
        "Staff.residentInFull(userId)",
        "EndSessionsInput.userId",
        "FreezeWalletInput.userId",
    ]


def test_graphql_eslint_has_nothing_to_say() -> None:
    command = [
        javascript.node(),
        "tests/js/node_modules/eslint/bin/eslint.js",
        *("--config", "tests/js/eslint.config.mjs", "--max-warnings", "0"),
        "schema/schema.graphql",
        "console/operations",
        "console/src/documents",
    ]
    done = subprocess.run(
        command, cwd=javascript.ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_lock_of_the_checkers_names_no_registry() -> None:
    assert '"resolved"' not in (javascript.JS / "package-lock.json").read_text()
