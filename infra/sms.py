"""The SMS port: one way to send a text to a phone, and its adapter for the HTTP gateway.

Texts carry verification codes and phones are personal data, so neither ever enters an exception.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from infra import signed_http
from infra.settings import Settings


class SmsUnavailable(Exception):
    """The gateway did not confirm; the message may be out. Send again with the same reference."""


class SmsRefused(SmsUnavailable):
    """The gateway said no for good (``code``); sending the same again is pointless."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class SmsGateway(Protocol):
    """Whoever sends our texts."""

    async def send(self, *, phone: str, template: str, text: str, reference: str) -> None:
        """Hand one text over; the gateway sends it once however often ``reference`` is repeated.

        ``phone`` in E.164 (``+8613800138000``). Raises `SmsUnavailable`, `SmsRefused`.
        """
        ...


class HttpSms(signed_http.Gateway):
    """The gateway over signed HTTP. A process opens one, shares it, and closes it at its end."""

    def __init__(
        self,
        *,
        url: str,
        secret: str,
        timeout_seconds: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(
            signed_http.SignedHttp(
                url=url, secret=secret, timeout_seconds=timeout_seconds, clock=clock
            )
        )

    async def send(self, *, phone: str, template: str, text: str, reference: str) -> None:
        """See `SmsGateway.send`."""
        message = {"to": phone, "template": template, "text": text, "reference": reference}
        try:
            response = await self._client.send("POST", "/messages", message)
        except signed_http.Unanswered as cause:
            raise SmsUnavailable(str(cause)) from None
        if response.status_code in (200, 202):
            return
        if response.status_code in (409, 422):
            raise SmsRefused(signed_http.reason(response) or "UNKNOWN")
        raise SmsUnavailable(f"the gateway answered {response.status_code}")


def from_settings(settings: Settings) -> HttpSms:
    """The gateway that this installation names."""
    return HttpSms(url=settings.sms_url, secret=settings.sms_secret.get_secret_value())


_current: SmsGateway | None = None


def use(gateway: SmsGateway | None) -> None:
    """Make a gateway this process's own (the worker does)."""
    global _current
    _current = gateway


def current() -> SmsGateway:
    assert _current is not None, "no SMS gateway is open"
    return _current
