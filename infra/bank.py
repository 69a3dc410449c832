"""The bank port: link a resident's card, pull money from it, learn how the pull ended.

The outcome of a pull arrives three ways, each of which may be late, doubled or missing: the answer
to `pull`, the signed callback (`verify_callback`), and `pull_state`, which is the bank's own word.
Card numbers, names and phones never enter an exception.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Protocol, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from infra import signed_http, signing
from infra.settings import Settings

CALLBACK_PATH = "/callbacks/bank"
BadSignature = signing.BadSignature  # so that who handles a callback need not know `signing`

_AmountMinor = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class BankUnavailable(Exception):
    """The bank did not answer as agreed, so the outcome is unknown: ask again, same reference."""


class BankRefused(Exception):
    """The bank said no (``code``) and nothing moved.

    ``REFERENCE_REUSED`` alone is our own mistake: the reference belongs to another request,
    whose outcome this refusal says nothing about.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class MalformedEvent(Exception):
    """The callback is truly the bank's, but it is not an event that we can read."""


class PullStatus(StrEnum):
    """Where a pull stands; the last two are final."""

    PROCESSING = "PROCESSING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class LinkedCard(msgspec.Struct, frozen=True, kw_only=True):
    """A card as the bank lets us know it: the token stands for the number."""

    card_token: _Name
    bank_name: _Name
    last4: Annotated[str, msgspec.Meta(pattern="^[0-9]{4}$")]


class PullState(msgspec.Struct, frozen=True, kw_only=True):
    """A pull as the bank sees it; ``failure_code`` only when it FAILED, amounts in minor units."""

    pull_id: _Name
    reference: _Name
    status: PullStatus
    amount_minor: _AmountMinor
    currency: str
    failure_code: str | None = None


class BankEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What one callback says. ``event_id`` names the event: a doubled delivery repeats it."""

    event_id: _Name
    pull_id: _Name
    reference: _Name
    status: PullStatus
    amount_minor: _AmountMinor
    currency: str
    occurred_at: _Moment
    failure_code: str | None = None


class Bank(Protocol):
    """A bank that lets us pull money from its customers' cards."""

    async def link_card(
        self, *, number: str, holder_name: str, phone: str, reference: str
    ) -> LinkedCard:
        """Have the bank check a card and name it. Raises `BankRefused`, `BankUnavailable`."""
        ...

    async def pull(
        self, *, reference: str, card_token: str, amount_minor: int, currency: str
    ) -> PullState:
        """Ask for money; one pull however often ``reference`` is repeated.

        Raises `BankRefused` (nothing moved) and `BankUnavailable` (it may have).
        """
        ...

    async def pull_state(self, reference: str) -> PullState | None:
        """The bank's word on a pull; None if it never got it. Raises `BankUnavailable`."""
        ...


class HttpBank(signed_http.Gateway):
    """The bank over signed HTTP. A process opens one, shares it, and closes it at its end."""

    def __init__(
        self,
        *,
        url: str,
        secret: str,
        callback_url: str | None = None,
        timeout_seconds: float = 10.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(
            signed_http.SignedHttp(
                url=url, secret=secret, timeout_seconds=timeout_seconds, clock=clock
            )
        )
        self._callback_url = callback_url

    async def link_card(
        self, *, number: str, holder_name: str, phone: str, reference: str
    ) -> LinkedCard:
        """See `Bank.link_card`."""
        response = await self._send(
            "POST",
            "/cards",
            {"number": number, "holder_name": holder_name, "phone": phone, "reference": reference},
        )
        _require(response, 200, 201)
        return _decode(response.content, LinkedCard)

    async def pull(
        self, *, reference: str, card_token: str, amount_minor: int, currency: str
    ) -> PullState:
        """See `Bank.pull`."""
        asked: dict[str, object] = {
            "reference": reference,
            "card_token": card_token,
            "amount_minor": amount_minor,
            "currency": currency,
        }
        if self._callback_url is not None:
            asked["callback_url"] = self._callback_url
        response = await self._send("POST", "/pulls", asked)
        _require(response, 200, 202)
        state = _decode(response.content, PullState)
        if (state.reference, state.amount_minor, state.currency) != (
            reference,
            amount_minor,
            currency,
        ):
            raise BankUnavailable("the answer is about another pull")
        return state

    async def pull_state(self, reference: str) -> PullState | None:
        """See `Bank.pull_state`."""
        response = await self._send("GET", f"/pulls/{quote(reference, safe='')}")
        # Only the bank's own "I don't know it" counts: a wrong address answers 404 as well.
        if response.status_code == 404 and signed_http.reason(response) == "PULL_UNKNOWN":
            return None
        _require(response, 200)
        state = _decode(response.content, PullState)
        if state.reference != reference:
            raise BankUnavailable("the answer is about another pull")
        return state

    async def _send(
        self, method: str, path: str, message: Mapping[str, object] | None = None
    ) -> httpx.Response:
        try:
            return await self._client.send(method, path, message)
        except signed_http.Unanswered as cause:
            raise BankUnavailable(str(cause)) from None


def from_settings(settings: Settings) -> HttpBank:
    """The bank that this installation names, told to call back at our public address."""
    return HttpBank(
        url=settings.bank_url,
        secret=settings.bank_secret.get_secret_value(),
        callback_url=settings.public_url.rstrip("/") + CALLBACK_PATH,
    )


_current: Bank | None = None


def use(bank: Bank | None) -> None:
    """Make a bank this process's own (the composition root and the worker do)."""
    global _current
    _current = bank


def current() -> Bank:
    assert _current is not None, "no bank is open"
    return _current


def verify_callback(
    headers: Mapping[str, str], body: bytes, *, path: str, secret: str, now: datetime
) -> BankEvent:
    """The event inside a callback, once its signature holds.

    ``path`` as requested (with a query string, if any), ``secret`` the callback secret, ``now``
    with an offset. Raises `BadSignature`, and `MalformedEvent` for a signed body we can't read.
    """
    signing.verify(
        headers, body, method="POST", path=path, secret=secret, unix_seconds=now.timestamp()
    )
    try:
        return msgspec.json.decode(body, type=BankEvent)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise MalformedEvent("the body is not a bank event") from None


def _require(response: httpx.Response, *good: int) -> None:
    """Only 409 and 422 are the bank's considered no.

    Everything else may hide a pull that was accepted earlier: even a 401, which a clock running
    wrong produces on the repetition of a request that went through.
    """
    if response.status_code in good:
        return
    code = signed_http.reason(response)
    if response.status_code in (409, 422) and code is not None:
        raise BankRefused(code)
    raise BankUnavailable(f"the bank answered {response.status_code}")


_Answer = TypeVar("_Answer", LinkedCard, PullState)


def _decode(body: bytes, kind: type[_Answer]) -> _Answer:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise BankUnavailable("the answer is unreadable") from None
