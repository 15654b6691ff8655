"""The FastAPI example in a real Chromium, through `mm-asgi dev`: /docs, "Try it out", live events.

Needs the package playwright (group browser) and a Chromium of the system's; it brings none of its own.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests.browser.dev_terminal import DevTerminal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fastapi"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), "")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium: apt install chromium"),
    pytest.mark.skipif(
        importlib.util.find_spec("playwright") is None,
        reason="no playwright: pip install --group browser",
    ),
]


class Tab:
    """A page, and what it did that no page should."""

    def __init__(self, page: Page, home: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.strangers: list[str] = []
        self._host = urlsplit(home).netloc
        page.on("console", lambda message: self._hear(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._note(request.url))

    def _hear(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(f"{kind}: {text}")

    def _note(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != self._host:
            self.strangers.append(url)

    async def shoot(self, folder: Path, name: str) -> None:
        await self.page.screenshot(path=folder / f"{name}.png", full_page=True)


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Browser]:
    from playwright.async_api import async_playwright, expect

    # For a machine that is busy with other tests.
    expect.set_options(timeout=20_000)
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        await chromium.close()


@pytest_asyncio.fixture
async def terminal() -> AsyncIterator[DevTerminal]:
    """The example as `python3 -m examples` runs it: its start file, its plugin.json."""
    async with DevTerminal(EXAMPLE, "--port", "0") as running:
        assert (await running.greeting()).endswith("/plugins/com.example.shop")
        yield running
        running.press_ctrl_c()
        assert await running.end() == 0
        assert "Traceback" not in running.text


async def test_docs_and_try_it_out(browser: Browser, terminal: DevTerminal, tmp_path: Path) -> None:
    from playwright.async_api import expect

    tab = Tab(await browser.new_page(), terminal.url)
    page = tab.page
    await page.goto(f"{terminal.url}/docs")
    await expect(page.locator(".info .title")).to_contain_text("Shop")
    await tab.shoot(tmp_path, "docs")

    me = page.locator(".opblock", has=page.locator('[data-path="/me"]'))
    await me.locator(".opblock-summary-control").click()
    await me.get_by_role("button", name="Try it out").click()
    await me.get_by_role("button", name="Execute").click()
    live = me.locator(".live-responses-table tbody")
    await expect(live.locator(".response-col_status")).to_contain_text("200")
    await expect(live).to_contain_text('"id": "alice"')

    order = page.locator(".opblock.opblock-post", has=page.locator('[data-path="/orders"]'))
    await order.locator(".opblock-summary-control").click()
    await order.get_by_role("button", name="Try it out").click()
    await order.locator("textarea").fill('{"product": "mug", "quantity": 2}')
    await order.get_by_role("button", name="Execute").click()
    live = order.locator(".live-responses-table tbody")
    await expect(live.locator(".response-col_status")).to_contain_text("201")
    await expect(live).to_contain_text('"buyer": "alice"')
    await tab.shoot(tmp_path, "try-it-out")
    await terminal.sees(r"INFO  \[alice \w{8}\] POST /plugins/com.example.shop/orders 201 in")
    assert (tab.complaints, tab.strangers) == ([], [])


async def test_events_arrive_live(browser: Browser, terminal: DevTerminal, tmp_path: Path) -> None:
    """Two windows: an order in the one appears in the other, and the clock ticks."""
    from playwright.async_api import expect

    here, there = [Tab(await browser.new_page(), terminal.url) for _ in range(2)]
    for tab in (here, there):
        await tab.page.goto(f"{terminal.url}/")
        await expect(tab.page.locator("#live")).to_have_text("live")
        await expect(tab.page.locator("#user")).to_have_text("signed in as alice")
    await expect(here.page.locator("#watchers")).to_have_text("2")
    await expect(here.page.locator("#tick")).to_have_text(re.compile("[2-9]|[1-9][0-9]"))
    await there.page.get_by_role("button", name="Place order").click()
    await expect(here.page.locator("#orders tr")).to_have_count(1)
    await expect(here.page.locator("#orders td.confirmed")).to_be_visible()
    await expect(here.page.locator("#orders tr")).to_contain_text("alice")
    await here.shoot(tmp_path, "events")
    for tab in (here, there):
        assert (tab.complaints, tab.strangers) == ([], [])


async def test_the_live_page_survives_a_save(browser: Browser, tmp_path: Path) -> None:
    from playwright.async_api import expect

    folder = tmp_path / "fastapi"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    async with DevTerminal(folder, "--reload", "--port", "0") as terminal:
        tab = Tab(await browser.new_page(), await terminal.greeting())
        await tab.page.goto(f"{terminal.url}/")
        await expect(tab.page.locator("#live")).to_have_text("live")
        store = folder / "shop" / "store.py"
        store.write_text(store.read_text().replace("T-shirt", "Jumper"))
        await terminal.sees("com.example.shop runs again")
        # The page asks for it once its stream is back.
        await terminal.sees("GET /plugins/com.example.shop/status 200")
        await expect(tab.page.locator("#live")).to_have_text("live")
        await tab.page.reload()
        await expect(tab.page.locator("[name=product]")).to_contain_text("Jumper")
        assert (tab.complaints, tab.strangers) == ([], [])
