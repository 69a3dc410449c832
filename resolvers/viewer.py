"""Who may: every resolver function carries one rule, enforced on its first argument, the caller."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from domain import refusals
from domain.identity import ANONYMOUS, Role, Status, Viewer
from resolvers import security_log
from services import audit

__all__ = [
    "ACTIVE",
    "ANONYMOUS",
    "ANYONE",
    "SIGNED_IN",
    "Rule",
    "Viewer",
    "access",
    "also_enrolling",
    "elevated",
    "ensure_elevated",
    "staff",
]

_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule by name; ``check`` raises what the caller is to hear, or returns.

    ``note`` says what else the function itself asks for; it stands in docs/roles.md.
    """

    name: str
    check: Callable[[Viewer], None]
    note: str = ""

    def noting(self, note: str) -> Rule:
        """The same rule with a note."""
        return replace(self, note=note)


def _anyone(_: Viewer) -> None:
    return None


def _signed_in(viewer: Viewer) -> None:
    if not viewer.user_id:
        raise refusals.NotSignedIn
    if viewer.must_enrol:
        raise refusals.SecondFactorRequired


def _active(viewer: Viewer) -> None:
    _signed_in(viewer)
    if viewer.status is not Status.ACTIVE:
        raise refusals.AccountNotActive


ANYONE = Rule("ANYONE", _anyone)
SIGNED_IN = Rule("SIGNED_IN", _signed_in)
ACTIVE = Rule("ACTIVE", _active)


def staff(*roles: Role) -> Rule:
    """Active members of staff with one of these roles."""
    allowed = frozenset(roles)

    def check(viewer: Viewer) -> None:
        _signed_in(viewer)
        if viewer.role not in allowed or viewer.status is not Status.ACTIVE:
            raise refusals.NotPermitted

    return Rule(f"STAFF({', '.join(sorted(allowed))})", check)


def also_enrolling(rule: Rule) -> Rule:
    """Those whom ``rule`` permits, and those of them who are staff without a second factor yet.

    For the few things by which one is set up; see `services.identity.second_factors`.
    """

    def check(viewer: Viewer) -> None:
        rule.check(replace(viewer, second_factor=True) if viewer.must_enrol else viewer)

    return Rule(f"{rule.name}, also to enrol", check, rule.note)


def elevated(rule: Rule) -> Rule:
    """Those whom ``rule`` permits, for a quarter of an hour after they proved anew who they are."""

    def check(viewer: Viewer) -> None:
        rule.check(viewer)
        ensure_elevated(viewer)

    return Rule(f"ELEVATED {rule.name}", check, rule.note)


def ensure_elevated(viewer: Viewer) -> None:
    """For functions in which not everything is sensitive. Raises ElevationRequired."""
    if viewer.elevated_until is None:
        raise refusals.ElevationRequired


def access(rule: Rule) -> Callable[[_F], _F]:
    """Let a function (plain, coroutine or async generator) run only for whom ``rule`` permits.

    What a coroutine function records in the audit log knows by it as whom the caller acts.

    Coroutine functions refuse when awaited, the others when called. The rule stays readable as
    ``.access``, which is how a test finds functions without one.
    """

    def decorate(function: _F) -> _F:
        if inspect.iscoroutinefunction(function):
            guarded = _guarded_coroutine(rule.check, function)
        else:
            guarded = _guarded_call(rule.check, function)
        functools.update_wrapper(guarded, function)
        vars(guarded)["access"] = rule
        return cast("_F", guarded)

    return decorate


def _guarded_coroutine(
    check: Callable[[Viewer], None], function: Callable[..., Any]
) -> Callable[..., Any]:
    async def guarded(viewer: Viewer, *arguments: Any, **named: Any) -> Any:
        token = audit.actor.set(viewer)
        try:
            check(viewer)
            result = await function(viewer, *arguments, **named)
        except refusals.Spoken as answer:
            security_log.refused(viewer, function, answer)
            raise
        finally:
            audit.actor.reset(token)
        security_log.done(viewer, function, result)
        return result

    return guarded


def _guarded_call(
    check: Callable[[Viewer], None], function: Callable[..., Any]
) -> Callable[..., Any]:
    """For generators too: handed through as they are, closing one reaches its own `finally`."""

    def guarded(viewer: Viewer, *arguments: Any, **named: Any) -> Any:
        try:
            check(viewer)
        except refusals.Spoken as answer:
            security_log.refused(viewer, function, answer)
            raise
        return function(viewer, *arguments, **named)

    return guarded
