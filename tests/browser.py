"""Headless Chromium over the DevTools protocol: just enough to use a page as a person does.

Every frame and worker of a page is listened to, so what it asked the network for, and what the
browser refused it, is known whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import websockets

START_SECONDS = 60
WAIT_SECONDS = 30

_FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    # Nothing but the loopback address exists: a page that needs the internet fails here.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
    "--remote-debugging-port=0",
)

# Runs before the page's own scripts, in every frame.
_WATCH_VIOLATIONS = """
window.policyViolations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.policyViolations.push(`${event.effectiveDirective} ${event.blockedURI}`);
});
"""
_UNTIL = """
new Promise((resolve) => {
  const end = Date.now() + %d;
  const look = () => {
    let found = null;
    try { found = %s; } catch { found = null; }
    if (found instanceof Node) found = true;
    if (found || Date.now() > end) resolve(found || null);
    else setTimeout(look, 30);
  };
  look();
})
"""


def find_chromium() -> str | None:
    """The path of a Chromium or Chrome on this machine, or None."""
    names = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


class PageError(AssertionError):
    """The page did not do what was asked; the text says what, and what it showed instead."""


@dataclass
class Connection:
    """One DevTools WebSocket: numbered calls, and events handed to whoever listens."""

    socket: websockets.ClientConnection
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    waiting: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)
    pages: list[Page] = field(default_factory=list)
    followers: set[asyncio.Task[None]] = field(default_factory=set)

    async def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        number = next(self.numbers)
        answer = self.waiting[number] = asyncio.get_running_loop().create_future()
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        await self.socket.send(json.dumps(message))
        return await asyncio.wait_for(answer, WAIT_SECONDS * 2)

    async def read(self) -> None:
        async for text in self.socket:
            message = json.loads(text)
            if (number := message.get("id")) is None:
                for page in self.pages:
                    page.hear(message)
                continue
            answer = self.waiting.pop(number)
            if answer.cancelled():
                continue
            if "error" in message:
                answer.set_exception(PageError(str(message["error"])))
            else:
                answer.set_result(message["result"])

    def follow(self, session: str) -> None:
        """Starts listening to a worker, which waits until we do."""
        task = asyncio.create_task(self._listen(session))
        self.followers.add(task)
        task.add_done_callback(self.followers.discard)

    async def _listen(self, session: str) -> None:
        # A worker may be gone before it is listened to, and knows fewer domains than a page.
        for method in ("Network.enable", "Log.enable", "Runtime.enable"):
            with contextlib.suppress(PageError):
                await self.call(method, session)
        with contextlib.suppress(PageError):
            await self.call("Runtime.runIfWaitingForDebugger", session)


@dataclass
class Page:
    """One tab. ``requests``, ``refusals`` and ``exceptions`` grow as the page lives."""

    connection: Connection
    session: str
    sessions: set[str] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    exceptions: list[str] = field(default_factory=list)

    def hear(self, message: dict[str, Any]) -> None:
        """Keeps what tells on the page; called for every event of the browser."""
        if message.get("sessionId") not in self.sessions:
            return
        params = message["params"]
        match message["method"]:
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Network.webSocketCreated":
                self.requests.append(params["url"])
            case "Log.entryAdded" if params["entry"]["source"] == "security":
                self.refusals.append(params["entry"]["text"])
            case "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                thrown = details.get("exception", {}).get("description", "")
                self.exceptions.append(f"{details['text']} {thrown}")
            case "Target.attachedToTarget":
                self.sessions.add(params["sessionId"])
                self.connection.follow(params["sessionId"])

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        return await self.connection.call(method, self.session, **params)

    async def prepare(self, *, language: str) -> None:
        self.sessions.add(self.session)
        for domain in ("Page", "Network", "Log", "Runtime"):
            await self.call(f"{domain}.enable")
        await self.call(
            "Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=True, flatten=True
        )
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=1280,
            height=800,
            deviceScaleFactor=1,
            mobile=False,
        )
        await self.call("Page.addScriptToEvaluateOnNewDocument", source=_WATCH_VIOLATIONS)
        agent = (await self.connection.call("Browser.getVersion"))["userAgent"]
        await self.call(
            "Network.setUserAgentOverride", userAgent=agent, acceptLanguage=f"{language};q=0.9"
        )

    async def open(self, url: str) -> None:
        await self.call("Page.navigate", url=url)

    async def evaluate(self, expression: str) -> Any:
        """The JSON value of a JavaScript expression, or of the promise it makes."""
        answer = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise PageError(f"{expression[:200]}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Waits until the expression is truthy and returns it; PageError with the page's text."""
        # A navigation takes the waiting promise away with the old document: ask the new one.
        for _ in range(5):
            try:
                found = await self.evaluate(_UNTIL % (WAIT_SECONDS * 1000, expression))
            except PageError as error:
                if "context was destroyed" in str(error) or "navigated" in str(error):
                    continue
                raise
            if found:
                return found
            break
        raise PageError(f"never true: {expression}\non the page: {await self.text()}")

    async def text(self, selector: str = "body") -> str:
        """The text inside the first match, with ordinary spaces."""
        found = await self.evaluate(
            f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"
        )
        return found.replace("\u00a0", " ")

    async def until_text(self, wanted: str, selector: str = "body") -> None:
        """Waits until the first match contains the text; Monaco's hard spaces count as spaces."""
        await self.until(
            f"(document.querySelector({json.dumps(selector)})?.textContent ?? '')"
            f".replaceAll('\\u00a0', ' ').includes({json.dumps(wanted)})"
        )

    async def click(self, selector: str, *, containing: str = "") -> None:
        """A real mouse click in the middle of the first visible match with that text."""
        where = await self.until(
            f"""(() => {{
              const all = [...document.querySelectorAll({json.dumps(selector)})];
              const one = all.find((each) => each.getClientRects().length
                && each.textContent.includes({json.dumps(containing)}));
              if (!one || one.disabled) return null;
              one.scrollIntoView({{block: "nearest", inline: "nearest"}});
              const box = one.getBoundingClientRect();
              return {{x: box.x + box.width / 2, y: box.y + box.height / 2}};
            }})()"""
        )
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            await self.call(
                "Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **where
            )

    async def type(self, text: str) -> None:
        """Types into whatever has the focus."""
        await self.call("Input.insertText", text=text)

    async def press(self, key: str, *, code: int, text: str = "") -> None:
        """One key, such as ``press("Tab", code=9)`` or ``press("Enter", code=13, text="\\r")``."""
        for kind in ("keyDown", "keyUp"):
            given = {"text": text} if text and kind == "keyDown" else {}
            await self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                **given,
            )

    async def paste(self, text: str) -> None:
        """Pastes into whatever has the focus: an editor closes no brackets in what is pasted."""
        await self.evaluate(
            f"""(() => {{
              const clipboardData = new DataTransfer();
              clipboardData.setData("text/plain", {json.dumps(text)});
              const options = {{clipboardData, bubbles: true, cancelable: true}};
              document.activeElement.dispatchEvent(new ClipboardEvent("paste", options));
            }})()"""
        )

    async def select_all(self) -> None:
        """Ctrl-A in whatever has the focus."""
        for kind in ("keyDown", "keyUp"):
            await self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key="a",
                code="KeyA",
                windowsVirtualKeyCode=65,
                modifiers=2,
            )

    async def violations(self) -> list[str]:
        """What the content security policy refused, seen from the page and from the browser."""
        return [*await self.evaluate("window.policyViolations"), *self.refusals]

    async def screenshot(self) -> bytes:
        """The visible part of the page as base64 of a PNG."""
        return (await self.call("Page.captureScreenshot", format="png"))["data"].encode()


@contextlib.asynccontextmanager
async def launch(program: str) -> AsyncIterator[Connection]:
    """A browser with an empty profile, gone with its profile at the end."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags = [*_FLAGS, f"--user-data-dir={profile}"]
        if os.geteuid() == 0:
            flags.append("--no-sandbox")
        process = await asyncio.create_subprocess_exec(
            program,
            *flags,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            cwd=Path(profile),
        )
        assert process.stderr is not None
        try:
            address = await asyncio.wait_for(_address(process.stderr), START_SECONDS)
            drain = asyncio.create_task(_drain(process.stderr))
            async with websockets.connect(address, max_size=None, proxy=None) as socket:
                connection = Connection(socket)
                reader = asyncio.create_task(connection.read())
                yield connection
                with contextlib.suppress(PageError, websockets.ConnectionClosed):
                    await connection.call("Browser.close")
            await asyncio.gather(reader, return_exceptions=True)
            await process.wait()
            await drain
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def _address(stderr: asyncio.StreamReader) -> str:
    seen = ""
    async for line in stderr:
        seen += line.decode(errors="replace")
        if found := re.search(r"DevTools listening on (ws://\S+)", seen):
            return found[1]
    raise PageError(f"Chromium did not start: {seen[-2000:]}")


async def _drain(stderr: asyncio.StreamReader) -> None:
    """Chromium complains a lot; a full pipe would stop it."""
    while await stderr.read(65_536):
        pass


@contextlib.asynccontextmanager
async def new_page(connection: Connection, *, language: str = "en") -> AsyncIterator[Page]:
    """A tab in a profile of its own; ``language`` is what ``navigator.language`` says."""
    context = (await connection.call("Target.createBrowserContext"))["browserContextId"]
    target = await connection.call(
        "Target.createTarget", url="about:blank", browserContextId=context
    )
    attached = await connection.call(
        "Target.attachToTarget", targetId=target["targetId"], flatten=True
    )
    page = Page(connection, attached["sessionId"])
    connection.pages.append(page)
    try:
        await page.prepare(language=language)
        yield page
    finally:
        connection.pages.remove(page)
        await connection.call("Target.disposeBrowserContext", browserContextId=context)
