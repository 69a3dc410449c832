"""Refusals as GraphQL data: one error type per refusal class, and the unions they stand in.

The types are built from the classes of `domain.refusals`, so a new refusal needs nothing here.
"""

from __future__ import annotations

import enum
import functools
import inspect
import types as python_types
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Union, get_args, get_origin

import strawberry

from domain import closings, proofs, refusals
from schema import enums

ALWAYS_POSSIBLE = (refusals.InvalidInput, refusals.Overloaded, refusals.RateLimited)
_CODES: dict[str, Any] = {
    refusal.code: strawberry.enum_value(
        refusal.code, description=inspect.cleandoc(refusal.__doc__ or "")
    )
    for refusal in refusals.every()
}
_ENUM: Any = enum.Enum("ErrorCode", _CODES)
ErrorCode: Any = strawberry.enum(
    _ENUM,
    description="Why something was refused. New codes may appear: treat an unknown one by its "
    "`message` and `retryable`.",
)


enums.described(
    proofs.Method,
    "ProofMethod",
    "How somebody proves who they are.",
    PIN="By the payment PIN alone.",
    PIN_AND_CODE="By the payment PIN and a code by SMS that was sent for this very thing.",
    PASSKEY="By a passkey: a fingerprint, a face or the device's lock.",
    PASSWORD="By the login password: never for money, "  # noqa: S106 - no password
    "and only from callers who have neither PIN nor passkey.",
)


@strawberry.interface(name="Error", description="An expected refusal, as data.")
class Error:
    """The fields all error types share."""

    code: ErrorCode = strawberry.field(  # pyright: ignore[reportInvalidTypeForm]
        description="Why, for programs."
    )
    message: str = strawberry.field(
        description="Why, for people, in the caller's language (zh-CN or en)."
    )
    path: list[str] | None = strawberry.field(
        description="The input field at fault, from the argument's name down."
    )
    retryable: bool = strawberry.field(
        description="Whether the same call with the same key may succeed later."
    )


enums.described(
    closings.Obstacle,
    "ClosingObstacle",
    "What stands in the way of closing an account.",
    MONEY_LEFT="There is money in the wallet.",
    MONEY_HELD="Money is held.",
    REFUND_OPEN="A refund is under review.",
    PAYMENT_OPEN="A payment waits for confirmation: confirm it, cancel it, or let it expire.",
    TOP_UP_PENDING="A top-up is under way.",
    WALLET_FROZEN="The wallet is frozen.",
    CASE_OPEN="The case of a freeze is open.",
)
_FACT_DESCRIPTIONS = {
    "attempts_left": "How many tries remain.",
    "obstacles": "All that stands in the way.",
    "retry_after_seconds": "After how many seconds another try is allowed.",
    "sufficient": "Each of these does.",
    "remaining": "What is left to prove it with; maybe nothing.",
}


def _build_type(refusal: type[refusals.Refusal]) -> type:
    facts = refusal.fact_types
    body = {name: strawberry.field(description=_FACT_DESCRIPTIONS[name]) for name in facts}
    name = f"{refusal.__name__}Error"
    built = type(name, (Error,), {"__annotations__": dict(facts), "__module__": __name__, **body})
    return strawberry.type(built, description=inspect.cleandoc(refusal.__doc__ or ""))


TYPES: dict[type[refusals.Refusal], type] = {
    refusal: _build_type(refusal) for refusal in refusals.every()
}


def as_data(refusal: refusals.Refusal, language: str) -> Any:
    """The error object of a refusal, its message in `language`."""
    kind = type(refusal)
    return TYPES[kind](
        code=ErrorCode[kind.code],
        message=refusal.message(language),
        path=list(refusal.path) if refusal.path is not None else None,
        retryable=kind.retryable,
        **refusal.facts(),
    )


def result(name: str, success: Any, *refused: type[refusals.Refusal]) -> Any:
    """The union `name` of a success type (or a union of some) and the types of its refusals."""
    successes = get_args(success) if _is_union(success) else (success,)
    possible = dict.fromkeys((*refused, *ALWAYS_POSSIBLE))
    members = (*successes, *(TYPES[refusal] for refusal in possible))
    union = strawberry.union(name, description="What it led to, or why it was refused.")
    return Annotated[Union[members], union]  # noqa: UP007 - built from a tuple


def answering(
    function: Callable[..., Awaitable[Any]], *refused: type[refusals.Refusal]
) -> Callable[..., Awaitable[Any]]:
    """`function`, with raised refusals returned as data. It must take `info` by that name.

    A refusal that isn't among `refused` (or always possible) is a bug, and is raised as one.
    """
    possible = frozenset((*refused, *ALWAYS_POSSIBLE))

    @functools.wraps(function)
    async def answer(self: Any, info: Any, **arguments: Any) -> Any:
        try:
            return await function(self, info=info, **arguments)
        except refusals.Refusal as refusal:
            if type(refusal) not in possible:
                raise UndeclaredRefusal(function.__qualname__, refusal.code) from refusal
            return as_data(refusal, info.context.language)

    return answer


class UndeclaredRefusal(Exception):
    """A bug: a field refused with something its result type doesn't name."""


def presented(error: BaseException, language: str) -> tuple[str, str] | None:
    """Code and message of what may end a whole field; None for what is a bug."""
    if isinstance(error, (refusals.Denied, *ALWAYS_POSSIBLE)):
        return error.code, error.message(language)
    return None


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, python_types.UnionType)
