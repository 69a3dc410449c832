"""Fields that lead to a resolver function, and the check that each has an access rule.

A field written here names the function that it calls. That function carries its rule in the
attribute `access`, so a test can list every way into the system that nobody has ruled on.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import strawberry
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.field import StrawberryField

from domain import refusals
from schema import errors

_T = TypeVar("_T", bound=type)
_ROOTS = ("Query", "Mutation", "Subscription")


def query_field(
    *,
    calls: Callable[..., Any] | None,
    description: str,
    refuses: tuple[type[refusals.Refusal], ...] = (),
    deprecation_reason: str | None = None,
) -> Callable[[Callable[..., Any]], Any]:
    """A field that reads. With `refuses` its type is a result union, as for `mutation`."""

    def decorate(function: Callable[..., Any]) -> StrawberryField:
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
    deprecation_reason: str | None = None,
) -> Callable[[Callable[..., Any]], Any]:
    """A field that changes something.

    The decorated method is annotated with its success type only. Its GraphQL type is the union
    of that, of `refuses`, and of what is always possible, named after the method
    (`create_payment` gives `CreatePaymentResult`); raised refusals come out as data.
    """

    def decorate(function: Callable[..., Any]) -> StrawberryField:
        return strawberry.mutation(
            resolver=errors.answering(function, *refuses),
            description=description,
            deprecation_reason=deprecation_reason,
            graphql_type=_result_type(function, refuses),
            metadata={"calls": calls},
        )

    return decorate


def subscription(
    *, calls: Callable[..., Any], description: str
) -> Callable[[Callable[..., Any]], Any]:
    """A field that streams: the decorated method is an async generator."""

    def decorate(function: Callable[..., Any]) -> StrawberryField:
        return strawberry.subscription(
            resolver=function, description=description, metadata={"calls": calls}
        )

    return decorate


def root(kind: _T) -> _T:
    """Marks a type whose fields are ways in like those of Query (`Viewer`, `Staff`)."""
    kind.is_root = True  # pyright: ignore[reportAttributeAccessIssue]
    return kind


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
                f"{name}.{field.python_name}" for field in definition.fields if not _ruled(field)
            ]
    return sorted(found)


def _ruled(field: StrawberryField) -> bool:
    return getattr(field.metadata.get("calls"), "access", None) is not None


def _result_type(function: Callable[..., Any], refuses: tuple[type[refusals.Refusal], ...]) -> Any:
    annotation = inspect.get_annotations(function)["return"]
    if isinstance(annotation, str):
        annotation = eval(annotation, function.__globals__)  # noqa: S307 - our own source
    name = "".join(word.capitalize() for word in function.__name__.split("_"))
    return errors.result(f"{name}Result", annotation, *refuses)
