"""The HTTP client of every gateway: requests signed as `signing` says, answers bounded in time.

A port puts its own errors on top: it maps `Unanswered`, looks at the status, and may show
`reason(response)`. What was sent and what came back never enter an exception.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TypeVar

import httpx
import msgspec

from infra import signing, tls
from infra.settings import get_settings

_REASON = re.compile(r"[A-Z][A-Z_]{0,39}")
_Self = TypeVar("_Self", bound="Gateway")


class Unanswered(Exception):
    """No answer arrived; whether the request did is unknown. Its text is the kind of the cause."""


class SignedHttp:
    """A client of one gateway. `send` gives whatever it answered, or raises `Unanswered`.

    The certificate of an ``https://`` gateway is checked by `tls`.
    """

    def __init__(
        self,
        *,
        url: str,
        secret: str,
        timeout_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._secret = secret
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        # A proxy left in the environment must not get to see what we send: trust_env is off.
        self._client = httpx.AsyncClient(
            base_url=url,
            timeout=timeout_seconds,
            trust_env=False,
            verify=tls.verifying(get_settings().tls_authorities),
        )

    async def aclose(self) -> None:
        """Close the connections; the client can't be used after that."""
        await self._client.aclose()

    async def send(
        self, method: str, path: str, message: Mapping[str, object] | None = None
    ) -> httpx.Response:
        """One request, with ``message`` as its JSON body (none: an empty body)."""
        body = b"" if message is None else msgspec.json.encode(message)
        request = self._client.build_request(
            method, path, content=body, headers={"Content-Type": "application/json"}
        )
        request.headers.update(
            signing.headers(
                body,
                method=method,
                # As it goes out: the address of the gateway may have a prefix of its own.
                path=request.url.raw_path.decode("ascii"),
                secret=self._secret,
                unix_seconds=self._clock(),
            )
        )
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._client.send(request)
        except (httpx.HTTPError, TimeoutError) as error:
            raise Unanswered(type(error).__name__) from None


class Gateway:
    """What every adapter of a port is: the holder of a client, closed at the end of its block."""

    def __init__(self, client: SignedHttp) -> None:
        self._client = client

    async def __aenter__(self: _Self) -> _Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; the adapter can't be used after that."""
        await self._client.aclose()


def reason(response: httpx.Response) -> str | None:
    """The gateway's ``code``, if it is one; anything else might repeat what we sent."""
    try:
        code = msgspec.json.decode(response.content, type=dict[str, object]).get("code")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return code if isinstance(code, str) and _REASON.fullmatch(code) else None
