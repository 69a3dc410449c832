"""The SMS port: one way to send a text to a phone, and its adapter for the HTTP gateway.

Texts carry verification codes and phones are personal data, so neither ever enters an exception.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Protocol

import httpx
import msgspec

from infra import signing
from infra.settings import Settings

_CODE = re.compile(r"[A-Z][A-Z_]{0,39}")


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


class HttpSms:
    """The gateway over signed HTTP. A process opens one, shares it, and closes it at its end."""

    def __init__(
        self,
        *,
        url: str,
        secret: str,
        timeout_seconds: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._secret = secret
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        # A proxy left in the environment must not get to see the codes: trust_env is off.
        self._client = httpx.AsyncClient(base_url=url, timeout=timeout_seconds, trust_env=False)

    async def __aenter__(self) -> HttpSms:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; the adapter can't be used after that."""
        await self._client.aclose()

    async def send(self, *, phone: str, template: str, text: str, reference: str) -> None:
        """See `SmsGateway.send`."""
        message = {"to": phone, "template": template, "text": text, "reference": reference}
        response = await self._post("/messages", msgspec.json.encode(message))
        if response.status_code in (200, 202):
            return
        if response.status_code in (409, 422):
            raise SmsRefused(_code(response.content))
        raise SmsUnavailable(f"the gateway answered {response.status_code}")

    async def _post(self, path: str, body: bytes) -> httpx.Response:
        request = self._client.build_request(
            "POST", path, content=body, headers={"Content-Type": "application/json"}
        )
        # The path as it goes out: the address of the gateway may have a prefix of its own.
        sent_path = request.url.raw_path.decode("ascii")
        request.headers.update(
            signing.headers(
                body,
                method="POST",
                path=sent_path,
                secret=self._secret,
                unix_seconds=self._clock(),
            )
        )
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._client.send(request)
        except (httpx.HTTPError, TimeoutError) as error:
            raise SmsUnavailable(type(error).__name__) from None


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


def _code(body: bytes) -> str:
    """The gateway's reason, if it is one; anything else might repeat what we sent."""
    try:
        code = msgspec.json.decode(body, type=dict[str, object]).get("code")
    except msgspec.MsgspecError:
        return "UNKNOWN"
    return code if isinstance(code, str) and _CODE.fullmatch(code) else "UNKNOWN"
