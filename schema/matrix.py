"""Who may what, as the code has it: docs/roles.md is made of this, and a test compares.

Every root field calls a function that carries its rule. The rules are asked here what they say to
one caller of each kind, so that the page can't claim anything else than what happens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import graphql
import strawberry

from domain import refusals
from domain.identity import ANONYMOUS, STAFF, Role, Status
from resolvers.viewer import Rule, Viewer

PAGE = Path(__file__).resolve().parent.parent / "docs" / "roles.md"
ROOTS = ("Query", "Mutation", "Subscription", "Viewer", "Staff")
_WRAPPERS = ("Connection", "Edge", "Success", "Error", "Event")
_SOMEBODY = Viewer(user_id=1, role=Role.RESIDENT, status=Status.ACTIVE, account_id=1)
_STAFF = replace(_SOMEBODY, account_id=None, second_factor=True)
CALLERS: dict[str, Viewer] = {
    "anonymous": ANONYMOUS,
    "applicant": replace(_SOMEBODY, status=Status.PENDING_REVIEW, account_id=None),
    "resident": _SOMEBODY,
    "merchant": replace(_SOMEBODY, role=Role.MERCHANT),
    **{role.name: replace(_STAFF, role=role) for role in Role if role in STAFF},
    "new staff": replace(_STAFF, role=Role.ADMIN, second_factor=False),
}
"""One caller of each kind, as a session's read would find them, none of them elevated."""
YES, ELEVATED, NO = "yes", "elevated", ""


@dataclass(frozen=True, slots=True)
class Way:
    """A root field, its rule, and what that says to each kind of caller (YES, ELEVATED, NO)."""

    root: str
    field: str
    rule: Rule
    says: dict[str, str]

    @property
    def name(self) -> str:
        return f"{self.root}.{self.field}"


def ways(schema: strawberry.Schema) -> list[Way]:
    """Every way in, in the order of the schema."""
    return [
        Way(root, field, rule, {name: _says(rule, viewer) for name, viewer in CALLERS.items()})
        for root in ROOTS
        for field, rule in _rules(schema, root)
    ]


def reached(schema: strawberry.Schema) -> dict[str, list[str]]:
    """For every object type: which kinds of callers can come to it, elevated where they may be.

    What a caller finds there is a question of whose it is: types say nothing about rows.
    """
    allowed = {way.name: way.says for way in ways(schema)}
    found: dict[str, list[str]] = {}
    for caller in CALLERS:
        for name in sorted(_walk(schema._schema, {n for n, s in allowed.items() if s[caller]})):
            found.setdefault(name, []).append(caller)
    return dict(sorted(found.items()))


def text(schema: strawberry.Schema) -> str:
    """The page."""
    parts = [_HEAD]
    every = ways(schema)
    for root in ROOTS:
        parts += [f"## {root}\n", _table([way for way in every if way.root == root])]
    parts += [_TYPES_HEAD, _types(schema)]
    return "\n".join(parts)


def write(schema: strawberry.Schema) -> None:
    PAGE.write_text(text(schema), encoding="utf-8")


def _rules(schema: strawberry.Schema, root: str) -> Iterator[tuple[str, Rule]]:
    definition: Any = schema.schema_converter.type_map[root].definition
    by_name = {schema.config.name_converter.get_graphql_name(one): one for one in definition.fields}
    for name in schema._schema.type_map[root].fields:  # type: ignore[union-attr]
        yield name, by_name[name].metadata["calls"].access


def _says(rule: Rule, viewer: Viewer) -> str:
    try:
        rule.check(viewer)
    except refusals.ElevationRequired:
        elevated = replace(viewer, elevated_until=datetime.max.replace(tzinfo=UTC))
        return ELEVATED if _says(rule, elevated) == YES else NO
    except refusals.Spoken:
        return NO
    return YES


def _walk(schema: graphql.GraphQLSchema, allowed: set[str]) -> set[str]:
    """The object types behind these ways in, through fields that have no rule of their own."""
    seen: set[str] = set()
    waiting: list[Any] = [schema.type_map[root] for root in ROOTS[:3]]
    while waiting:
        kind = graphql.get_named_type(waiting.pop())
        if graphql.is_abstract_type(kind):
            waiting += schema.get_possible_types(kind)
        elif graphql.is_object_type(kind) and kind.name not in seen:
            seen.add(kind.name)
            waiting += [
                field.type
                for name, field in kind.fields.items()
                if kind.name not in ROOTS or f"{kind.name}.{name}" in allowed
            ]
    return {name for name in seen if name not in ROOTS and not name.endswith(_WRAPPERS)}


def _table(rows: list[Way]) -> str:
    lines = [_row(["field", *CALLERS, "rule"]), _row(["---", *["---"] * len(CALLERS), "---"])]
    for way in rows:
        rule = way.rule.name + (f"; {way.rule.note}" if way.rule.note else "")
        lines.append(_row([f"`{way.field}`", *way.says.values(), rule]))
    return "\n".join([*lines, ""])


def _types(schema: strawberry.Schema) -> str:
    lines = [_row(["type", *CALLERS]), _row(["---"] * (len(CALLERS) + 1))]
    for name, callers in reached(schema).items():
        lines.append(_row([f"`{name}`", *(YES if one in callers else NO for one in CALLERS)]))
    return "\n".join([*lines, ""])


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


_HEAD = """# Who may what

Made by `make schema` from the rules in the code (`@access` in `resolvers/`); a test fails while
this page differs, and others try every field as every kind of caller and look that a refusal
changed nothing (`tests/schema/test_access.py`, `test_access_walk.py`).

- **yes**: the rule lets this kind of caller in. Whose things they find is decided inside:
  everything below `viewer` is the caller's own, and a stranger's id answers like no id.
- **elevated**: only for a quarter of an hour after `elevate`, which asks for a new proof; see
  [security.md](security.md).
- *empty*: refused, with `UNAUTHENTICATED`, `FORBIDDEN`, `ACCOUNT_NOT_ACTIVE` or
  `SECOND_FACTOR_REQUIRED`. `staff` is null for all but staff.

An *applicant* is somebody whose registration waits or was rejected. *New staff* are members of
staff, of any role, who signed in without passkey or authenticator: all that they may do is set one
up, and whoever has one has to sign in by it. Staff have no wallet: nothing of a resident's is
theirs.
"""
_TYPES_HEAD = """## What lies behind

Fields below a root have no rule of their own: who came in sees the whole object. So this is every
other type, and who can come to one (elevated where that is needed).
"""
