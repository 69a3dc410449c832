"""What a member of staff does on the console's page, for tests of it in a real browser."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

from tests import browser

EDITOR = ".graphiql-query-editor"
RESPONSE = ".graphiql-response .view-lines"
VARIABLES = ".graphiql-editor-tool .monaco-editor"


async def sign_in(page: browser.Page, url: str, *, phone: str, password: str) -> None:
    """By keyboard alone: the phone field has the focus, Tab leads to the password."""
    await page.open(f"{url}/console")
    await page.until("document.activeElement?.name === 'phone'")
    await page.type(phone)
    await page.press("Tab", code=9)
    await page.type(password)
    await page.press("Enter", code=13, text="\r")


async def confirm(page: browser.Page, code: str) -> None:
    """The second step in a browser that is new to the account; the code's field has the focus."""
    await page.until("document.activeElement?.name === 'code'")
    await page.type(code)
    await page.press("Enter", code=13, text="\r")


async def open_tab(page: browser.Page, name: str) -> None:
    """Brings a prepared tab to the front."""
    await page.click(".graphiql-tab-button", containing=name)
    await page.until_text(name, f"{EDITOR} .view-lines")


async def run_tab(page: browser.Page, name: str) -> None:
    """Opens a prepared tab and presses the execute button."""
    await open_tab(page, name)
    await page.click(".graphiql-execute-button")


async def set_variables(page: browser.Page, variables: dict[str, Any]) -> None:
    """Replaces the variables of the tab in front, as somebody does who pastes them."""
    text = json.dumps(variables, ensure_ascii=False)
    await page.click(f"{VARIABLES} .view-lines")
    await page.select_all()
    await page.paste(text)
    # The editor takes a paste in its own time, and wraps long lines: their start tells.
    await page.until_text(text[:12], f"{VARIABLES} .view-lines")


def keep_screenshot(data: bytes) -> None:
    """Writes the picture where CONSOLE_SCREENSHOT says: how the one in the docs is made."""
    if target := os.environ.get("CONSOLE_SCREENSHOT"):
        Path(target).write_bytes(base64.b64decode(data))
