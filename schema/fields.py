"""Fields that lead to a resolver function, and the check that each has an access rule.

A field written here names the function that it calls. That function carries its rule in the
attribute `access`, so a test can list every way into the system that nobody has ruled on.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

import strawberry
from graphql import GraphQLInputObjectType, Undefined
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.field import StrawberryField
from strawberry.types.private import is_private

from domain import refusals
from schema import errors

_T = TypeVar("_T", bound=type)
_ROOTS = ("Query", "Mutation", "Subscription")
NOTHING: Mapping[str, str] = MappingProxyType({})


def query_field(
    *,
    calls: Callable[..., Any] | None,
    description: str,
    arguments: Mapping[str, str] = NOTHING,
    refuses: tuple[type[refusals.Refusal], ...] = (),
    deprecation_reason: str | None = None,
) -> Callable[[Callable[..., Any]], Any]:
    """A field that reads. With `refuses` its type is a result union, as for `mutation`.

    `arguments` describes those that don't describe themselves, by the parameter's name.
    """

    def decorate(function: Callable[..., Any]) -> StrawberryField:
        _describe(function, arguments)
        options: dict[str, Any] = {}
        if refuses:
            options["graphql_type"] = _result_type(function, refuses)
            function = errors.answering(function, *refuses)
        return strawberry.field(
            resolver=function,
            description=description,
            deprecation_reason=deprecation_reason,
            metadata={"calls": calls},
            **options,
        )

    return decorate


def mutation(
    *,
    calls: Callable[..., Any],
    description: str,
    refuses: tuple[type[refusals.Refusal], ...] = (),
    costly: bool = False,
    deprecation_reason: str | None = None,
) -> Callable[[Callable[..., Any]], Any]:
    """A field that changes something.

    The decorated method is annotated with its success type only. Its GraphQL type is the union
    of that, of `refuses`, and of what is always possible, named after the method
    (`create_payment` gives `CreatePaymentResult`); raised refusals come out as data. The argument
    `input` is described as its type is. `costly`: it hashes a password or a new PIN, sends
    texts, asks others for us, or writes for strangers, so that the limits of how fast somebody may
    ask are tighter for it. Payments are not, though they check a PIN: five wrong tries lock it.
    """

    def decorate(function: Callable[..., Any]) -> StrawberryField:
        if "input" in function.__annotations__:
            input_type = _annotation(function, "input").__strawberry_definition__
            _describe(function, {"input": input_type.description or ""})
        return strawberry.mutation(
            resolver=errors.answering(function, *refuses),
            description=description,
            deprecation_reason=deprecation_reason,
            graphql_type=_result_type(function, refuses),
            metadata={"calls": calls, "costly": costly},
        )

    return decorate


def subscription(
    *, calls: Callable[..., Any], description: str, arguments: Mapping[str, str] = NOTHING
) -> Callable[[Callable[..., Any]], Any]:
    """A field that streams: the decorated method is an async generator."""

    def decorate(function: Callable[..., Any]) -> StrawberryField:
        _describe(function, arguments)
        return strawberry.subscription(
            resolver=function, description=description, metadata={"calls": calls}
        )

    return decorate


def root(kind: _T) -> _T:
    """Marks a type whose fields are ways in like those of Query (`Viewer`, `Staff`)."""
    kind.is_root = True  # pyright: ignore[reportAttributeAccessIssue]
    return kind


def without_null_defaults(schema: strawberry.Schema) -> strawberry.Schema:
    """The same schema, its optional arguments and input fields without ``= null``.

    That Python needs a default for them is no news to clients: leaving out and null are the same.
    """
    for kind in schema._schema.type_map.values():
        for field in getattr(kind, "fields", {}).values():
            for value in (field, *getattr(field, "args", {}).values()):
                if getattr(value, "default_value", Undefined) is None:
                    value.default_value = Undefined
    return schema


def with_one_of(schema: strawberry.Schema) -> strawberry.Schema:
    """The same schema, its oneOf inputs known as such to the executor, which checks them best."""
    for name, kind in schema._schema.type_map.items():
        concrete = schema.schema_converter.type_map.get(name)
        if isinstance(kind, GraphQLInputObjectType) and concrete is not None:
            kind.is_one_of = bool(getattr(concrete.definition, "is_one_of", False))
    return schema


def costly_fields(schema: strawberry.Schema) -> frozenset[str]:
    """The names, as clients write them, of the root fields that are marked as costly."""
    names = schema.config.name_converter
    return frozenset(
        names.get_graphql_name(field)
        for root in (schema.query, schema.mutation, schema.subscription)
        if root is not None
        for field in root.__strawberry_definition__.fields
        if field.metadata.get("costly")
    )


def fields_without_rule(schema: strawberry.Schema) -> list[str]:
    """``Type.field`` of every root field that calls nothing, or something without a rule.

    Fields of a root that merely leads to another root (`viewer`, `staff`) still need their own.
    """
    found = []
    for name, concrete in schema.schema_converter.type_map.items():
        definition = concrete.definition
        if not isinstance(definition, StrawberryObjectDefinition):
            continue
        if name in _ROOTS or getattr(definition.origin, "is_root", False):
            found += [
                f"{name}.{field.python_name}"
                for field in definition.fields
                if not is_private(field.type) and not _ruled(field)
            ]
    return sorted(found)


def _ruled(field: StrawberryField) -> bool:
    return getattr(field.metadata.get("calls"), "access", None) is not None


def _describe(function: Callable[..., Any], arguments: Mapping[str, str]) -> None:
    for name, description in arguments.items():
        function.__annotations__[name] = Annotated[
            _annotation(function, name), strawberry.argument(description=description)
        ]


def _annotation(function: Callable[..., Any], name: str) -> Any:
    found = inspect.get_annotations(function)[name]
    if isinstance(found, str):
        found = eval(found, function.__globals__)  # noqa: S307 - our own source
    return found


def _result_type(function: Callable[..., Any], refuses: tuple[type[refusals.Refusal], ...]) -> Any:
    annotation = _annotation(function, "return")
    name = "".join(word.capitalize() for word in function.__name__.split("_"))
    return errors.result(f"{name}Result", annotation, *refuses)
