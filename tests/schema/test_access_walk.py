"""Every field × every kind of caller: all that lies behind each door, asked for by whoever enters.

`test_access` tries the doors. Here whoever may enter asks for everything behind it, each field of
each type, so that nothing inside refuses, breaks, or opens something that is shut elsewhere.
"""

from __future__ import annotations

from typing import Any

import asyncpg
import graphql
import pytest

from schema import errors, matrix, schema
from schema.context import Context
from tests import access
from tests.access import MAY, TYPES, World

DEPTH_MAX = 8
world = access.world
# They answer nobody who has just done it, or end the session that asks: other tests ask them.
_ONCE = {"Mutation.logout"}


class Question:
    """A document that asks one door for everything behind it, and the fields that it names."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._declared: list[str] = []
        self.variables: dict[str, Any] = {}
        self.asked: set[str] = set()

    def document(self, way_in: str) -> str:
        root, name = way_in.split(".")
        inner = self._field(root, name, TYPES[root].fields[name], (root,))
        if root in ("Viewer", "Staff"):
            root, inner = "query", f"{root.lower()} {{ {inner} }}"
        declared = f"({', '.join(self._declared)})" if self._declared else ""
        return f"{root.lower()} X{declared} {{ {inner} }}"

    def _field(self, owner: str, name: str, field: Any, path: tuple[str, ...]) -> str:
        self.asked.add(f"{owner}.{name}")
        given = []
        for one, argument in field.args.items():
            live = owner == "Subscription"  # a bad `after` is answered at once
            if graphql.is_required_argument(argument) or one == "first" or live:
                variable = f"v{len(self._declared)}"
                self._declared.append(f"${variable}: {argument.type}")
                value = 2 if one == "first" else access.sample(one, argument.type, self._world)
                self.variables[variable] = value
                given.append(f"{one}: ${variable}")
        # Names of two members of a union may stand for different types: each gets its own.
        alias = f"{owner}_{name}: {name}"
        called = alias + (f"({', '.join(given)})" if given else "")
        return called + self._below(graphql.get_named_type(field.type), path)

    def _below(self, kind: Any, path: tuple[str, ...]) -> str:
        if graphql.is_leaf_type(kind):
            return ""
        members = (
            [kind] if graphql.is_object_type(kind) else schema._schema.get_possible_types(kind)
        )
        parts = ["__typename"]
        for member in members:
            if member.name in path or member.name in matrix.ROOTS or len(path) > DEPTH_MAX:
                continue  # been there; or it has doors of its own
            inner = [
                self._field(member.name, name, field, (*path, member.name))
                for name, field in member.fields.items()
                if graphql.is_leaf_type(graphql.get_named_type(field.type)) or len(path) < DEPTH_MAX
            ]
            parts.append(f"... on {member.name} {{ {' '.join(inner)} }}")
        return f" {{ {' '.join(parts)} }}"


async def ask(world: World, way_in: str, name: str) -> tuple[list[str], set[str]]:
    """What went wrong, and which fields were asked for."""
    question = Question(world)
    document = question.document(way_in)
    context = Context(viewer=world.callers[name], address="192.0.2.9")
    if document.startswith("subscription"):
        result: Any = await access.first(document, question.variables, context)
    else:
        result = await schema.execute(document, question.variables, context_value=context)
    wrong = []
    for error in result.errors or ():
        shown = error.original_error and errors.presented(error.original_error, "en")
        if shown is None or shown[0] in access.DENIED or shown[0] == "ELEVATION_REQUIRED":
            wrong.append(f"{way_in} as {name}: {error!r}")
    for data in (result.data or {}).values():
        if isinstance(data, dict) and data.get("__typename") == "AccountNotActiveError":
            wrong.append(f"{way_in} as {name}: ACCOUNT_NOT_ACTIVE")
    return wrong, question.asked


@pytest.mark.usefixtures("counter")
async def test_whoever_enters_may_have_all_that_is_behind_the_door(world: World) -> None:
    wrong, walked = [], set()
    for way_in, allowed in MAY.items():
        for name in sorted(allowed if way_in not in _ONCE else ()):
            problems, asked = await ask(world, way_in, name)
            wrong += problems
            walked |= {(one, name) for one in asked}
    assert wrong == []
    print(f"walked: {len({one for one, _ in walked})} fields, {len(walked)} fields x callers")
    assert len(walked) > 2_500


def test_no_type_of_staffs_is_reached_by_others() -> None:
    """What is named here holds other people's data; who may come to it is written down twice."""
    reached = matrix.reached(schema)
    reviewers, risk = {"SUPPORT", "COMPLIANCE", "ADMIN"}, {"RISK", "AUDITOR"}
    wanted = {
        "Registration": reviewers,
        "RecoveryCase": {"SUPPORT", "COMPLIANCE"},
        "RefundFacts": {"FINANCE", "AUDITOR"},
        "RiskCase": risk,
        "RiskEvidence": risk,
        "Resident": {"SUPPORT", "RISK", "COMPLIANCE"},
        "ResidentCase": {"SUPPORT", "RISK", "COMPLIANCE"},
        "ResidentWallet": {"SUPPORT", "RISK", "COMPLIANCE"},
        "RoleChange": {"ADMIN", "AUDITOR"},
        "StaffMember": {"ADMIN", "AUDITOR"},
    }
    assert {name: set(reached.get(name, ())) for name in wanted} == wanted
    staff_only = {
        name for name, callers in reached.items() if not {"resident", "merchant"} & set(callers)
    }
    print(f"for staff only: {sorted(staff_only)}")
    assert staff_only >= wanted.keys()


async def test_a_refused_query_leaves_no_trace_but_traces(
    world: World, superuser: asyncpg.Connection
) -> None:
    """All fields behind every shut door are asked for at once, as somebody who wants them would."""
    before, wrong = await access.fingerprints(superuser), []
    for way_in, allowed in MAY.items():
        for name in sorted(access.EVERYBODY - allowed):
            problems, _ = await ask(world, way_in, name)
            if not problems and not way_in.startswith("Staff."):
                wrong.append(f"{way_in} let {name} in")
    assert wrong == []
    assert await access.fingerprints(superuser) == before
