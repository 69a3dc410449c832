"""Enums of the domain as GraphQL enums: the same members, with descriptions for clients."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any, TypeVar

import strawberry

_E = TypeVar("_E", bound=type[enum.Enum])


def described(kind: _E, name: str, description: str, **values: str) -> _E:
    """`kind` as GraphQL enum `name`; `values` describes every member, by the member's name."""
    if values.keys() != kind.__members__.keys():
        raise TypeError(f"{name}: describe exactly {sorted(kind.__members__)}")
    made: Any = strawberry.enum(kind, name=name, description=description)
    definition = made.__strawberry_definition__
    definition.values = [
        dataclasses.replace(value, description=values[value.name]) for value in definition.values
    ]
    return made
