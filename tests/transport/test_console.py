"""The staff console, used by a real browser against a server that speaks real GraphQL."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import graphql
import httpx
import pytest
from starlette.applications import Starlette

from tests import browser
from tests.console_page import RESPONSE, confirm, run_tab, sign_in
from tests.transport import console_site
from transport import console

ROOT = Path(__file__).parents[2]
OPERATIONS = ROOT / "console" / "operations"
DOCUMENTS = ROOT / "console" / "src" / "documents"
SCHEMA = ROOT / "schema" / "schema.graphql"


@pytest.fixture
def site() -> Iterator[console_site.Site]:
    with console_site.serve(console_site.Desk()) as running:
        yield running


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[browser.Connection]:
    program = browser.find_chromium()
    if program is None:
        pytest.skip("!!! NO CHROMIUM HERE: the console was NOT tested in a browser !!!")
    async with browser.launch(program) as connection:
        yield connection


@pytest.fixture
async def page(chromium: browser.Connection) -> AsyncIterator[browser.Page]:
    async with browser.new_page(chromium) as opened:
        yield opened


async def enter(page: browser.Page, site: console_site.Site) -> None:
    await sign_in(page, site.url, phone=console_site.FINANCE_PHONE, password=console_site.PASSWORD)
    await confirm(page, console_site.CODE)
    await page.until_text("RefundQueue", ".graphiql-query-editor")


GRAPHQL_ANSWERS = (
    "performance.getEntriesByType('resource').filter((one) => one.name.endsWith('/graphql'))"
)


async def test_a_query_a_mutation_and_a_subscription_work_and_nothing_leaves_the_origin(
    page: browser.Page, site: console_site.Site
) -> None:
    await enter(page, site)
    await run_tab(page, "RefundQueue")
    await page.until_text("refund-3", RESPONSE)
    await run_tab(page, "DecideRefund")
    await page.until_text('"decision": "APPROVE"', RESPONSE)
    await run_tab(page, "NotificationEvents")
    await page.until_text("live for 0001", RESPONSE)

    assert site.desk.decided == {"refund-1": "APPROVE"}
    origins = {urlsplit(url).netloc for url in page.requests if not url.startswith("data:")}
    assert origins == {urlsplit(site.url).netloc}
    assert any("worker" in url for url in page.requests), "the workers were not listened to"
    assert any(url.startswith("ws://") for url in page.requests)
    assert await page.violations() == []
    assert page.exceptions == []


async def test_the_watch_sees_a_request_that_the_policy_refuses(
    page: browser.Page, site: console_site.Site
) -> None:
    await page.open(f"{site.url}/console")
    await page.until("document.activeElement?.name === 'phone'")
    await page.evaluate("fetch('https://elsewhere.example/').catch(() => null).then(() => 1)")
    await page.until("window.policyViolations.length")
    assert "connect-src https://elsewhere.example/" in await page.violations()


async def test_the_header_says_who_is_signed_in_and_only_their_tabs_are_open(
    page: browser.Page, site: console_site.Site
) -> None:
    await enter(page, site)
    who = await page.text("[data-testid=who]")
    tabs = await page.text(".graphiql-tabs")

    assert "林会计" in who
    assert "Finance" in who
    assert "DecideRefund" in tabs
    assert "FreezeQueue" not in tabs


async def test_every_prepared_mutation_gets_a_key_of_its_own_and_a_new_one_on_demand(
    page: browser.Page, site: console_site.Site
) -> None:
    await enter(page, site)
    await run_tab(page, "DecideRefund")
    await page.until_text("APPROVE", RESPONSE)
    answers = await page.evaluate(f"{GRAPHQL_ANSWERS}.length")
    await page.click("[aria-label='New idempotency key in the variables']")
    await page.click(".graphiql-execute-button")
    await page.until(f"{GRAPHQL_ANSWERS}.length > {answers}")

    first, second = site.desk.keys
    assert re.fullmatch(r"[0-9a-f-]{36}", first)
    assert re.fullmatch(r"[0-9a-f-]{36}", second)
    assert first != second


async def test_a_wrong_password_is_told_in_the_language_of_the_page(
    page: browser.Page, site: console_site.Site
) -> None:
    await sign_in(page, site.url, phone=console_site.FINANCE_PHONE, password="wrong")
    await page.until_text("The phone or the password is wrong.", "[role=alert]")

    await page.click("button", containing="中文")
    await page.click("input[name=password]")
    await page.type("wrong")
    await page.press("Enter", code=13, text="\r")
    await page.until_text("手机号或密码不正确。", "[role=alert]")
    assert await page.evaluate("document.documentElement.lang") == "zh-CN"


async def test_the_page_speaks_the_language_of_the_browser(
    chromium: browser.Connection, site: console_site.Site
) -> None:
    async with browser.new_page(chromium, language="zh-CN") as page:
        await page.open(f"{site.url}/console")
        await page.until_text("仅限钱包工作人员", "main")


async def leave(page: browser.Page) -> None:
    await page.click("button", containing="Sign out")
    await page.until_text("You are signed out.", "[role=alert]")


async def test_a_browser_that_is_known_needs_no_code_and_keeps_a_key_that_cannot_be_read(
    page: browser.Page, site: console_site.Site
) -> None:
    await enter(page, site)
    await leave(page)
    await sign_in(page, site.url, phone=console_site.FINANCE_PHONE, password=console_site.PASSWORD)
    await page.until_text("RefundQueue", ".graphiql-query-editor")

    assert site.desk.codes_sent == 1
    assert len(site.desk.devices) == 1
    kept = await page.evaluate(KEPT)
    assert kept == [{"id": "device-0", "extractable": False, "export": "InvalidAccessError"}]
    assert page.exceptions == []


KEPT = """(async () => {
  const database = await new Promise((resolve) => {
    indexedDB.open("pengcheng-console").onsuccess = (event) => resolve(event.target.result);
  });
  const all = await new Promise((resolve) => {
    const store = database.transaction("devices").objectStore("devices");
    store.getAll().onsuccess = (event) => resolve(event.target.result);
  });
  return Promise.all(all.map(async ({ keys, id }) => ({
    id,
    extractable: keys.privateKey.extractable,
    export: await crypto.subtle.exportKey("pkcs8", keys.privateKey).catch((error) => error.name),
  })));
})()"""


async def test_a_browser_whose_device_was_revoked_asks_for_a_code_with_a_new_key(
    page: browser.Page, site: console_site.Site
) -> None:
    await enter(page, site)
    [old] = site.desk.devices.values()
    await leave(page)
    site.desk.devices = {"somebody else's": old}
    await enter(page, site)
    assert site.desk.codes_sent == 2
    assert site.desk.devices["device-1"] != old


async def test_a_wrong_code_may_be_typed_again_and_one_can_go_back(
    page: browser.Page, site: console_site.Site
) -> None:
    await sign_in(page, site.url, phone=console_site.FINANCE_PHONE, password=console_site.PASSWORD)
    await page.until_text("A code is on its way", "[role=alert]")
    await confirm(page, "000000")
    await page.until_text("The code is wrong.", "[role=alert]")
    assert site.desk.access == {}
    await page.click("button", containing="Back")
    await page.until("document.activeElement?.name === 'phone'")
    await enter(page, site)


async def test_whoever_has_an_authenticator_is_asked_for_its_code_and_no_other_is_sent(
    page: browser.Page, site: console_site.Site
) -> None:
    site.desk.authenticator = True
    await sign_in(page, site.url, phone=console_site.FINANCE_PHONE, password=console_site.PASSWORD)
    await page.until_text("Code of the authenticator", "main")
    await confirm(page, "000000")
    await page.until_text("Not what the app shows.", "[role=alert]")
    assert site.desk.access == {}
    await confirm(page, console_site.CODE)
    await page.until_text("RefundQueue", ".graphiql-query-editor")
    assert site.desk.codes_sent == 0


async def test_whoever_has_no_authenticator_sets_one_up_before_anything_else(
    page: browser.Page, site: console_site.Site
) -> None:
    site.desk.must_enrol = True
    await sign_in(page, site.url, phone=console_site.FINANCE_PHONE, password=console_site.PASSWORD)
    await confirm(page, console_site.CODE)
    await page.until_text("Set up your authenticator", "main")
    assert await page.evaluate("document.querySelector('.graphiql-container') === null")
    await page.until("document.activeElement?.name === 'password'")
    await page.type("wrong")
    await page.press("Enter", code=13, text="\r")
    await page.until_text("The password is wrong.", "[role=alert]")
    await page.evaluate("document.querySelector('input[name=password]').select()")
    await page.type(console_site.PASSWORD)
    await page.press("Enter", code=13, text="\r")
    await page.until_text(console_site.SECRET, ".secret")
    await confirm(page, "000000")
    await page.until_text("Not what the app shows.", "[role=alert]")
    await page.until_text(console_site.SECRET, ".secret")
    await confirm(page, console_site.CODE)
    await page.until_text("RefundQueue", ".graphiql-query-editor")


async def test_who_goes_back_instead_of_setting_it_up_is_signed_out(
    page: browser.Page, site: console_site.Site
) -> None:
    site.desk.must_enrol = True
    await sign_in(page, site.url, phone=console_site.FINANCE_PHONE, password=console_site.PASSWORD)
    await confirm(page, console_site.CODE)
    await page.until_text("Set up your authenticator", "main")
    await page.click("main button", containing="Sign out")
    await page.until("document.activeElement?.name === 'phone'")
    assert site.desk.access == {}


async def test_a_resident_is_told_that_the_console_is_for_staff_and_is_signed_out(
    page: browser.Page, site: console_site.Site
) -> None:
    await sign_in(page, site.url, phone=console_site.RESIDENT_PHONE, password=console_site.PASSWORD)
    await confirm(page, console_site.CODE)
    await page.until_text("This account is not a staff account", "[role=alert]")
    assert site.desk.access == {}
    assert site.desk.refresh == {}


async def test_a_server_that_is_away_is_told_as_such(page: browser.Page) -> None:
    with console_site.serve(console_site.Desk()) as site:
        await page.open(f"{site.url}/console")
        await page.until("document.activeElement?.name === 'phone'")
        site.stop()
        await page.type(console_site.FINANCE_PHONE)
        await page.press("Tab", code=9)
        await page.type(console_site.PASSWORD)
        await page.press("Enter", code=13, text="\r")
        await page.until_text("The server cannot be reached.", "[role=alert]")


async def test_an_ended_access_token_is_renewed_without_the_user_noticing(
    page: browser.Page, site: console_site.Site
) -> None:
    await enter(page, site)
    site.desk.access.clear()
    await run_tab(page, "RefundQueue")
    await page.until_text("refund-3", RESPONSE)
    assert site.desk.renewals == 1


async def test_the_session_is_renewed_before_it_expires(page: browser.Page) -> None:
    with console_site.serve(console_site.Desk(access_seconds=2)) as site:
        await sign_in(
            page, site.url, phone=console_site.FINANCE_PHONE, password=console_site.PASSWORD
        )
        await confirm(page, console_site.CODE)
        await page.until("document.querySelector('[data-testid=who]')")
        assert await asyncio.to_thread(site.desk.renewed.wait, browser.WAIT_SECONDS)
        assert await page.evaluate("document.querySelector('[data-testid=who]') !== null")


async def test_a_session_that_cannot_be_renewed_ends_with_a_sentence(
    page: browser.Page, site: console_site.Site
) -> None:
    await enter(page, site)
    site.desk.access.clear()
    site.desk.refresh.clear()
    await run_tab(page, "RefundQueue")
    await page.until_text("Your session has ended. Sign in again.", "[role=alert]")


async def test_signing_out_ends_the_session_on_the_server_and_leaves_only_a_key_in_the_browser(
    page: browser.Page, site: console_site.Site
) -> None:
    await enter(page, site)
    await run_tab(page, "RefundQueue")
    await page.until_text("refund-3", RESPONSE)
    await leave(page)

    assert site.desk.access == {}
    assert site.desk.refresh == {}
    assert await page.evaluate("localStorage.length + sessionStorage.length") == 0
    assert await page.evaluate("document.cookie") == ""


async def test_every_control_of_the_frame_has_a_name_for_screen_readers(
    page: browser.Page, site: console_site.Site
) -> None:
    await enter(page, site)
    nodes = (await page.call("Accessibility.getFullAXTree"))["nodes"]
    roles = {"button", "textbox", "link", "tab"}
    nameless = [
        node
        for node in nodes
        if not node["ignored"]
        and node["role"]["value"] in roles
        and not node.get("name", {}).get("value")
    ]
    assert nameless == []


# The server's half, without a browser.


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=console_site.small_app(console_site.Desk()))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as opened:
        yield opened


def asset_names() -> list[str]:
    return sorted(console._files())


async def test_the_page_is_never_stored_and_runs_nothing_inline(client: httpx.AsyncClient) -> None:
    answer = await client.get("/console")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "unsafe-eval" not in policy
    scripts = re.findall(r"<script([^>]*)>", answer.text)
    assert all("src=" in script or "application/json" in script for script in scripts)
    assert "https://" not in answer.text


async def test_a_prepared_operation_cannot_end_the_config_block() -> None:
    hostile = "# </script><script>alert(1)</script><!-- <script>\n{ viewer { id } }"
    prepared = {"FINANCE": [console.Operation(hostile)]}
    app = Starlette(routes=console.routes(graphql_path="/g", prepared=prepared, environment="x"))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as opened:
        text = (await opened.get("/console")).text
    block = re.search(r'id="config">(.*?)</script>', text, re.DOTALL)
    assert block is not None
    assert json.loads(block[1])["prepared"]["FINANCE"][0]["document"] == hostile


@pytest.mark.parametrize("name", asset_names())
async def test_an_asset_has_its_type_and_a_long_life_with_and_without_gzip(
    client: httpx.AsyncClient, name: str
) -> None:
    packed = await client.get(f"/console/assets/{name}", headers={"accept-encoding": "gzip"})
    plain = await client.get(
        f"/console/assets/{name}", headers={"accept-encoding": "gzip;q=0, identity"}
    )
    assert packed.status_code == plain.status_code == 200
    assert packed.content == plain.content
    assert "content-encoding" not in plain.headers
    assert "immutable" in packed.headers["cache-control"]
    kinds = {".js": "text/javascript", ".css": "text/css", ".ttf": "font/ttf"}
    assert packed.headers["content-type"].startswith(kinds[Path(name).suffix])


@pytest.mark.parametrize("name", ["nothing.js", "..%2fmanifest.json", "%2e%2e%2flicenses.md"])
async def test_nothing_but_assets_is_served(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.get(f"/console/assets/{name}")).status_code == 404


def test_no_built_file_names_a_machine_or_loads_code_from_elsewhere() -> None:
    built = ROOT / "transport" / "static" / "console"
    for path in (each for each in built.rglob("*") if each.suffix in {".gz", ".json"}):
        data = path.read_bytes()
        text = gzip.decompress(data) if path.suffix == ".gz" else data
        for wanted in (b"/root/", b"/home/", b"unpkg.com", b"jsdelivr", b"sourceMappingURL=http"):
            assert wanted not in text, f"{wanted!r} in {path.name}"


def test_the_lock_file_names_no_registry() -> None:
    packages: dict[str, Any] = json.loads((ROOT / "console" / "package-lock.json").read_text())
    assert [name for name, one in packages["packages"].items() if "resolved" in one] == []


# The prepared operations.


def test_operations_are_found_by_role_and_for_everybody() -> None:
    prepared = console.load_operations(OPERATIONS)
    staff = {"FINANCE", "RISK", "SUPPORT", "COMPLIANCE", "ADMIN", "AUDITOR"}
    assert set(prepared) == staff | {console.EVERYBODY}
    shared = prepared["SUPPORT"][:2]
    assert prepared["COMPLIANCE"][:2] == prepared["ADMIN"][:2] == shared


@pytest.mark.parametrize("path", sorted(OPERATIONS.glob("*/*.graphql")), ids=lambda path: path.stem)
def test_a_prepared_operation_is_one_named_operation_with_an_explanation(path: Path) -> None:
    text = path.read_text()
    definitions = graphql.parse(text).definitions
    assert text.startswith("# ")
    assert len(definitions) == 1
    assert isinstance(definitions[0], graphql.OperationDefinitionNode)
    assert definitions[0].name is not None
    variables = path.with_suffix(".variables.json")
    given = set(json.loads(variables.read_text())) if variables.exists() else set()
    assert given == {one.variable.name.value for one in definitions[0].variable_definitions or ()}


def test_prepared_operations_are_valid() -> None:
    if not SCHEMA.exists():
        pytest.skip("!!! NO schema/schema.graphql: the prepared operations were NOT validated !!!")
    schema = graphql.build_schema(SCHEMA.read_text())
    paths = [*OPERATIONS.glob("*/*.graphql"), *DOCUMENTS.glob("*.graphql")]
    problems = [
        f"{path.relative_to(ROOT)}: {error.message}"
        for path in sorted(paths)
        for error in graphql.validate(schema, graphql.parse(path.read_text()))
    ]
    assert problems == []
