"""The mail port: one way to send a plain text to an address, and its adapter for the HTTP gateway.

Addresses are personal data and texts carry codes, so neither ever enters an exception.
"""

from __future__ import annotations

from typing import Protocol

from infra import signed_http
from infra.settings import Settings


class MailUnavailable(Exception):
    """The gateway did not confirm; it may be out. Send again with the same reference."""


class MailRefused(MailUnavailable):
    """The gateway said no for good (``code``); sending the same again is pointless."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class MailGateway(Protocol):
    """Whoever sends our mails."""

    async def send(self, *, to: str, subject: str, text: str, reference: str) -> None:
        """Hand one mail over; the gateway sends it once however often ``reference`` is repeated.

        ``to`` is one address, ``subject`` one line. Raises `MailUnavailable`, `MailRefused`.
        """
        ...


class HttpMail(signed_http.Gateway):
    """The gateway over signed HTTP. A process opens one, shares it, and closes it at its end."""

    def __init__(self, *, url: str, secret: str, timeout_seconds: float = 5.0) -> None:
        super().__init__(
            signed_http.SignedHttp(url=url, secret=secret, timeout_seconds=timeout_seconds)
        )

    async def send(self, *, to: str, subject: str, text: str, reference: str) -> None:
        """See `MailGateway.send`."""
        message = {"to": to, "subject": subject, "text": text, "reference": reference}
        try:
            response = await self._client.send("POST", "/messages", message)
        except signed_http.Unanswered as cause:
            raise MailUnavailable(str(cause)) from None
        if response.status_code in (200, 202):
            return
        reason = signed_http.reason(response) or "UNKNOWN"
        if response.status_code in (409, 422):
            raise MailRefused(reason)
        raise MailUnavailable(f"the gateway answered {response.status_code}")


def from_settings(settings: Settings) -> HttpMail:
    """The gateway that this installation names."""
    return HttpMail(url=settings.mail_url, secret=settings.mail_secret.get_secret_value())


_current: MailGateway | None = None


def use(gateway: MailGateway | None) -> None:
    """Make a gateway this process's own."""
    global _current
    _current = gateway


def current() -> MailGateway:
    assert _current is not None, "no mail gateway is open"
    return _current
