"""The push port: one way to a phone's app, and its adapter for the HTTP gateway.

Tokens and texts are personal data, so neither ever enters an exception.
"""

from __future__ import annotations

from typing import Protocol

from infra import signed_http
from infra.settings import Settings


class PushUnavailable(Exception):
    """The gateway did not confirm; it may be out. Send again with the same reference."""


class PushRefused(PushUnavailable):
    """The gateway said no for good (``code``); sending the same again is pointless."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class TokenGone(PushRefused):
    """No app has this token any more: forget it."""


class PushGateway(Protocol):
    """Whoever brings our messages to phones."""

    async def send(
        self, *, token: str, platform: str, title: str, text: str, reference: str
    ) -> None:
        """Hand one message over; it is shown once however often ``reference`` is repeated.

        ``platform`` is IOS, ANDROID or HARMONY. Raises `PushUnavailable`, `PushRefused`,
        `TokenGone`.
        """
        ...


class HttpPush(signed_http.Gateway):
    """The gateway over signed HTTP. A process opens one, shares it, and closes it at its end."""

    def __init__(self, *, url: str, secret: str, timeout_seconds: float = 5.0) -> None:
        super().__init__(
            signed_http.SignedHttp(url=url, secret=secret, timeout_seconds=timeout_seconds)
        )

    async def send(
        self, *, token: str, platform: str, title: str, text: str, reference: str
    ) -> None:
        """See `PushGateway.send`."""
        message = {
            "to": token,
            "platform": platform,
            "title": title,
            "text": text,
            "reference": reference,
        }
        try:
            response = await self._client.send("POST", "/messages", message)
        except signed_http.Unanswered as cause:
            raise PushUnavailable(str(cause)) from None
        if response.status_code in (200, 202):
            return
        reason = signed_http.reason(response) or "UNKNOWN"
        if response.status_code == 410:
            raise TokenGone(reason)
        if response.status_code in (409, 422):
            raise PushRefused(reason)
        raise PushUnavailable(f"the gateway answered {response.status_code}")


def from_settings(settings: Settings) -> HttpPush:
    """The gateway that this installation names."""
    return HttpPush(url=settings.push_url, secret=settings.push_secret.get_secret_value())


_current: PushGateway | None = None


def use(gateway: PushGateway | None) -> None:
    """Make a gateway this process's own (the worker does)."""
    global _current
    _current = gateway


def current() -> PushGateway:
    assert _current is not None, "no push gateway is open"
    return _current
