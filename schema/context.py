"""What every field may know about the request it belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import strawberry

from schema import errors

SessionState = Literal["none", "valid", "ended", "bad"]


@dataclass(slots=True, eq=False)
class Context:
    """One per HTTP request or socket; one more, with new loaders, per event of a subscription.

    `viewer` is the signed-in caller as the resolvers know it, or None. `session` says what became
    of the credentials: none sent, valid, ended (expired or revoked), or bad (forged, malformed).
    `holder` is the caller's id as text for counting what they ask, "" for nobody.
    """

    viewer: Any = None
    session: SessionState = "none"
    language: str = "en"
    request_id: str = ""
    address: str = ""
    may_introspect: bool = False
    holder: str = ""
    loaders: dict[str, Any] = field(default_factory=dict)

    def fresh(self) -> Context:
        """The same caller with nothing loaded yet."""
        return replace(self, loaders={})

    def presented(self, error: BaseException) -> tuple[str, str] | None:
        """Code and message of an error that may be shown; None for one that is a bug."""
        return errors.presented(error, self.language)


Info = strawberry.Info[Context, None]


def language(accept_language: str) -> str:
    """``zh-CN`` or ``en``, whichever an Accept-Language header prefers; English if neither."""
    best, best_quality = "en", 0.0
    for part in accept_language[:200].split(","):
        tag, _, parameters = part.strip().lower().partition(";")
        candidate = {"zh": "zh-CN", "en": "en"}.get(tag.split("-")[0])
        quality = _quality(parameters)
        if candidate and quality > best_quality:
            best, best_quality = candidate, quality
    return best


def _quality(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return min(float(value), 1.0)
    except ValueError:
        return 0.0
