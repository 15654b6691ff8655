"""The host's page in a real Chromium: users, messages, hooks, the log, a plugin that fails.

Screenshots of it, light and dark, narrow and wide, end up in pytest's folder for the test; with
MM_ASGI_SCREENSHOTS in the folder that it names.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.dev_terminal import DevTerminal
from tests.browser.test_chromium import Tab, browser, pytestmark

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

__all__ = ["browser", "pytestmark"]

APP = """
from mm_asgi import Plugin, Reject, identity

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    user = identity(scope).user_id or "nobody"
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(user))]})
    await send({"type": "http.response.body", "body": user.encode()})

plugin = Plugin(app)

@plugin.command("/order", hint="[item]")
async def order(context, item: str):
    await plugin.api.kv_set(key="last", value=item.encode())
    return f"ordered {item}"

@plugin.hook
async def message_will_be_posted(context, post):
    if "badword" in post.message:
        raise Reject("mind your words")
    if "shout" in post.message:
        post.message = post.message.upper()
        return post
    if "crash" in post.message:
        raise RuntimeError("the hook broke")
"""

NARROW, WIDE = (390, 844), (1280, 800)

CONTRAST = """
() => {
  const channels = (color) => {
    const context = document.createElement("canvas").getContext("2d");
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const part = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const color = channels(getComputedStyle(e).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255, 255];
  };
  const weak = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(channels(style.color)), light(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) weak.push(`${ratio.toFixed(2)} ${walker.currentNode.data.trim().slice(0, 40)}`);
  }
  return weak;
}
"""
"""Texts with less contrast than WCAG's AA asks for small ones."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "shop.py").write_text(APP)
    return tmp_path / "app"


def dev(folder: Path) -> DevTerminal:
    return DevTerminal(folder, "shop:plugin", "--reload", "--port", "0")


async def opened(browser: Browser, url: str, size: tuple[int, int], **options: Any) -> Tab:
    """The page, by the link that the terminal shows."""
    viewport: Any = {"width": size[0], "height": size[1]}
    tab = Tab(await browser.new_page(viewport=viewport, **options), url)
    await tab.page.goto(url.partition("/plugins/")[0])
    return tab


async def send(page: Page, text: str) -> None:
    """Write in the box and press Enter."""
    box = page.get_by_role("textbox", name="Message in Town Square")
    await box.fill(text)
    await box.press("Enter")


async def test_a_day_on_the_page(browser: Browser, folder: Path, tmp_path: Path) -> None:
    from playwright.async_api import expect

    async with dev(folder) as terminal:
        tab = await opened(browser, await terminal.greeting(), WIDE)
        page = tab.page
        posts, result = page.get_by_role("region", name="Posts"), page.locator("#result")
        await expect(page.locator("#state")).to_contain_text("running")
        await expect(posts).to_contain_text("No post in Town Square yet")

        await send(page, "hello <img src=x onerror=alert(1)> <b>there</b>")
        await expect(posts).to_contain_text("hello <img src=x onerror=alert(1)> <b>there</b>")
        await expect(result).to_contain_text("Posted")
        await expect(result).to_contain_text("let through")
        await send(page, "shout it out")
        await expect(result).to_contain_text("Changed by the plugin")
        await expect(result.locator("del")).to_have_text("shout it out")
        await expect(result.locator("ins")).to_have_text("SHOUT IT OUT")
        await send(page, "this is a badword")
        await expect(result).to_contain_text("Rejected by the plugin")
        await expect(result).to_contain_text("mind your words")
        await expect(page.locator("#text")).to_have_value("this is a badword")
        await expect(posts).not_to_contain_text("badword")
        await send(page, "crash now")
        await expect(result).to_contain_text("RuntimeError: the hook broke")
        await expect(result.locator(".badge.bad")).to_have_text("failed")

        await page.get_by_role("button", name="/order [item]").click()
        await expect(page.locator("#text")).to_be_focused()
        await page.keyboard.type("tea")
        await page.keyboard.press("Enter")
        await expect(result).to_contain_text("Answered to this user alone")
        await expect(result).to_contain_text("ordered tea")
        await expect(posts).to_contain_text("only this user sees it")

        await page.get_by_role("combobox", name="Acting as").select_option("bob")
        await expect(page.locator("#text-label")).to_have_text("Message in Town Square as bob")
        await expect(posts).not_to_contain_text("ordered tea")
        await send(page, "here is bob")
        await expect(posts.locator(".post").last).to_contain_text("bob")
        async with page.context.expect_page() as opening:
            await page.get_by_role("link", name="Open the app").click()
        app = await opening.value
        await expect(app.locator("body")).to_have_text("bob")
        await app.close()
        # The log is live, and its tab is left and found by keys.
        log = page.get_by_role("tabpanel", name="Log")
        await expect(log).to_contain_text("GET /plugins/shop/ 200")
        await page.get_by_role("tab", name="Log").press("ArrowRight")
        await expect(page.get_by_role("tab", name="Hooks")).to_be_focused()
        hooks = page.get_by_role("tabpanel", name="Hooks")
        await expect(hooks.locator("li").first).to_contain_text("MessageWillBePosted")
        await expect(hooks).to_contain_text("the hook broke")
        await page.keyboard.press("End")
        calls = page.get_by_role("tabpanel", name="API calls")
        await expect(calls).to_contain_text("KVSet")
        await expect(calls).to_contain_text('key="last"')

        await page.get_by_role("combobox", name="Acting as").select_option("nobody")
        await send(page, "who am I")
        await expect(result).to_contain_text("Refused")
        await expect(result).to_contain_text("nobody is logged in")
        assert (tab.complaints, tab.strangers) == ([], [])


async def test_a_plugin_that_fails_and_is_healed(browser: Browser, folder: Path) -> None:
    from playwright.async_api import expect

    async with dev(folder) as terminal:
        tab = await opened(browser, await terminal.greeting(), NARROW)
        page, state = tab.page, tab.page.locator("#state")
        await expect(state).to_contain_text("running")
        (folder / "shop.py").write_text("import nothere\n" + APP)
        await expect(state).to_have_text("failed")
        failure = page.get_by_role("region", name="Why the plugin does not run")
        await expect(failure).to_contain_text("No module named 'nothere'")
        await expect(page.locator("#announcer")).to_have_text("The plugin has failed")
        (folder / "shop.py").write_text(APP)
        await expect(state).to_contain_text("running")
        await expect(failure).to_be_hidden()
        await send(page, "shout again")
        await expect(page.locator("#result")).to_contain_text("Changed by the plugin")
        assert (tab.complaints, tab.strangers) == ([], [])
        terminal.press_ctrl_c()
        assert await terminal.end() == 0
        await expect(state).to_have_text("no connection to the host")


async def test_it_can_be_read_on_any_screen(browser: Browser, folder: Path, tmp_path: Path) -> None:
    """Light and dark, narrow and wide: nothing sticks out, and every text has its contrast."""
    from playwright.async_api import expect

    shots = Path(os.environ.get("MM_ASGI_SCREENSHOTS") or tmp_path)
    looks = [(NARROW, "light"), (WIDE, "dark"), (NARROW, "dark"), (WIDE, "light")]
    if shots == tmp_path:
        del looks[2:]  # nobody looks at them, and each takes 3 s
    async with dev(folder) as terminal:
        url = await terminal.greeting()
        for size, scheme in looks:
            tab = await opened(browser, url, size, color_scheme=scheme)
            page, name = tab.page, f"{size[0]}-{scheme}"
            await expect(page.locator("#state")).to_contain_text("running")
            for text in ("shout it", "crash now", "word" * 300, "lines\n" * 30, "badword"):
                await send(page, text)
                await expect(page.get_by_role("button", name="Send")).to_be_enabled()
            await expect(page.locator("#result")).to_contain_text("Rejected by the plugin")
            for chosen in ("log", "hooks", "calls", "messages"):
                if size == NARROW or chosen != "messages":
                    await page.locator(f"#tab-{chosen}").click()
                await tab.shoot(shots, f"{name}-{chosen}")
                assert await page.evaluate(CONTRAST) == [], f"{name} {chosen}"
                wide = "document.scrollingElement.scrollWidth - innerWidth"
                assert await page.evaluate(wide) <= 0, f"{name} {chosen}"
            assert (tab.complaints, tab.strangers) == ([], [])
            await page.close()
