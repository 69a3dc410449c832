"""Which fields have the tighter limit: what strangers can make us work for, and what costs us."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from resolvers.viewer import ANYONE
from schema import fields, schema

# Strangers may call these as often as anything. Each looks for a secret that we gave out, by one
# index, and does no more without it; whoever has one was counted when it was given.
CHEAP = {"refreshSession", "logout", "completeLogin", "loginWithPasskey"}
CHEAP |= {"requestPasswordResetPasskey"}
# What resolvers call to hash a password, to send a text or mail, to ask the bank meanwhile.
COSTS = (
    *("right_password", "shown_password", "hash_password"),
    *("codes.request(", "codes.request_by_mail(", "bank.current()"),
)


def _mutations() -> Iterator[tuple[str, Any]]:
    root: Any = schema.mutation
    for field in root.__strawberry_definition__.fields:
        yield schema.config.name_converter.get_graphql_name(field), field.metadata["calls"]


def test_every_mutation_that_strangers_may_call_is_costly_or_known_to_be_cheap() -> None:
    for_strangers = {name for name, calls in _mutations() if calls.access is ANYONE}
    assert for_strangers - CHEAP <= fields.costly_fields(schema)
    assert for_strangers >= CHEAP
    assert not CHEAP & fields.costly_fields(schema)


def test_what_hashes_sends_texts_or_asks_the_bank_is_costly_for_the_signed_in_as_well() -> None:
    costs = {
        name
        for name, calls in _mutations()
        if any(word in inspect.getsource(inspect.unwrap(calls)) for word in COSTS)
    }
    # Those known today, so that a search that finds nothing would be noticed.
    assert costs >= {
        "login",
        "sendLoginCode",
        "requestVerificationCode",
        "changePassword",
        "requestPasskeyRegistration",
        "removePasskey",
        "sendProofCode",
        "setContactEmail",
        "linkBankCard",
    }
    assert costs | {"register", "setPaymentPin"} <= fields.costly_fields(schema)
