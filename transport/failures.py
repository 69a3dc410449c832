"""How errors leave the house: with a code and the request's id, and without anybody's data."""

from __future__ import annotations

import re
from typing import Any, Protocol

from graphql import GraphQLError

from infra import logging, metrics
from transport import rates

_log = logging.get("graphql")
_MASKED = "Something went wrong on our side."
# The library's texts quote what was sent; these parts are cut.
_QUOTED = (
    (re.compile(r", found: .*", re.DOTALL), "."),
    (re.compile(r"(cannot represent [^:]*value): .*", re.DOTALL), r"\1."),
    (re.compile(r"Value '.*' does not exist in", re.DOTALL), "The value does not exist in"),
    (re.compile(r"\b(BlockString|String|Int|Float|Name) ['\"].*", re.DOTALL), r"\1."),
    (re.compile(r"\s*Did you mean .*", re.DOTALL), ""),
)


class Unavailable(Exception):
    """Who calls can't be found out just now; the text is for people. Trying again is right."""


class Caller(Protocol):
    """What this room needs to know of a request's context."""

    session: Any
    holder: str
    request_id: str
    may_introspect: bool

    def fresh(self) -> Any:
        """A context of the same caller for the next event."""
        ...

    def presented(self, error: BaseException) -> tuple[str, str] | None:
        """Code and message of an exception that may be shown."""
        ...


def answer(message: str, code: str, request_id: str, **facts: Any) -> dict[str, Any]:
    """An error that belongs to no place in a document; ``facts`` are more of its extensions."""
    metrics.OPERATION_ERRORS.labels(code).inc()
    return {"message": message, "extensions": {"code": code, "requestId": request_id, **facts}}


def too_fast(refused: rates.TooFast, request_id: str) -> dict[str, Any]:
    """The answer to who asks too fast."""
    return answer(
        refused.message,
        "RATE_LIMITED",
        request_id,
        retryAfterSeconds=refused.retry_after_seconds,
    )


def before_execution(error: GraphQLError, request_id: str) -> dict[str, Any]:
    """A parse, validation or variable error: the client's, so told, less what it quotes."""
    code = (error.extensions or {}).get("code", "BAD_USER_INPUT")
    data = answer(without_quotes(error.message), code, request_id)
    if error.locations:
        data["locations"] = [location.formatted for location in error.locations]
    return data


def refusal(errors: list[GraphQLError], request_id: str) -> dict[str, Any]:
    """The response to a request that was refused before execution: it has no ``data``."""
    return {"errors": [before_execution(error, request_id) for error in errors]}


def during_execution(error: GraphQLError, caller: Caller) -> dict[str, Any]:
    """A field's error: its own code if it was meant to be seen, else masked and logged."""
    code, message = _shown(error, caller) or ("INTERNAL", _MASKED)
    if code == "INTERNAL":
        cause = innermost(error)
        _log.error(
            "field_failed",
            path=".".join(str(part) for part in error.path or ()),
            request_id=caller.request_id,
            exc_info=cause,
        )
    data = answer(message, code, caller.request_id)
    if error.path:
        data["path"] = error.path
    if error.locations:
        data["locations"] = [location.formatted for location in error.locations]
    return data


def unexpected(error: BaseException, *, event: str, request_id: str) -> dict[str, Any]:
    """A bug outside any field, logged and masked."""
    _log.error(event, request_id=request_id, exc_info=error)
    return answer(_MASKED, "INTERNAL", request_id)


def innermost(error: BaseException) -> BaseException:
    """The exception that a resolver raised, inside the library's wrapping."""
    while isinstance(error, GraphQLError) and error.original_error is not None:
        error = error.original_error
    return error


def without_quotes(message: str) -> str:
    """The library's text without the values and suggestions in it."""
    for pattern, replacement in _QUOTED:
        message = pattern.sub(replacement, message)
    return message


def _shown(error: GraphQLError, caller: Caller) -> tuple[str, str] | None:
    cause = innermost(error)
    if not isinstance(cause, GraphQLError):
        return caller.presented(cause)
    code = (cause.extensions or {}).get("code")
    if code:
        return code, without_quotes(cause.message)
    if cause.nodes:
        # Raised while reading arguments: the client's mistake. Failures to print a result have
        # no nodes of their own and are ours.
        return "BAD_USER_INPUT", without_quotes(cause.message)
    return None
