"""Pages and digests in a real browser: nothing too wide, nothing missing, nothing refused by our own policy."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]  # it ships no types
from playwright.async_api import Browser, StorageState, async_playwright, expect

from publisher import control, sample
from publisher.app import now
from tests.look import CHROMIUM, QUIET, WIDTHS, logged_in, serving_demo
from tests.publications import write_article

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        not Path(CHROMIUM).exists() and not os.environ.get("CI"),
        reason=f"{CHROMIUM} is not installed (Debian package chromium)",
    ),
]


async def faults(browser: Browser, address: str, width: int, state: StorageState) -> list[str]:
    """What a visitor with this screen would stumble over, by day and by night."""
    page = await browser.new_page(viewport={"width": width, "height": 900}, locale="en-GB", storage_state=state)
    found: list[str] = []
    page.on("console", lambda message: found.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: found.append(f"error: {error}"))
    await page.goto(address)
    # Pictures further down would be loaded when they come into sight.
    await page.evaluate(
        "Promise.all([...document.images].map(i => { i.loading = 'eager'; return i.decode().catch(() => 0); }))"
    )
    root = "document.documentElement"
    if (overflow := await page.evaluate(f"{root}.scrollWidth - {root}.clientWidth")) > 0:
        found.append(f"{overflow} px too wide")
    found += await page.evaluate("[...document.images].filter(i => !i.naturalWidth).map(i => 'no picture: ' + i.src)")
    found += await page.evaluate(
        "[...document.images].filter(i => !i.hasAttribute('alt')).map(i => 'no alt: ' + i.src)"
    )
    if await page.evaluate("document.querySelectorAll('h1').length") != 1:
        found.append("not exactly one h1")
    if not await page.evaluate(f"{root}.lang"):
        found.append("no language")
    papers = []
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        papers.append(await page.evaluate("getComputedStyle(document.body).backgroundColor"))
    if papers[0] == papers[1]:
        found.append(f"paper {papers[0]} by day and by night")
    await page.close()
    return found


async def test_every_page_and_digest_fits_a_desk_and_a_phone_by_day_and_by_night(tmp_path: Path) -> None:
    wrong: dict[str, list[str]] = {}
    async with serving_demo(tmp_path) as addresses, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        try:
            state = await logged_in(browser, addresses["login"])
            for name, address in addresses.items():
                if name.startswith("missing"):
                    continue  # Chromium reports every 404 on its console
                for place, width in WIDTHS.items():
                    async with asyncio.timeout(60):
                        found = await faults(browser, address, width, state)
                    if found:
                        wrong[f"{name} {place}"] = found
        finally:
            await browser.close()
    assert wrong == {}


async def test_no_page_keeps_anybody_out(tmp_path: Path) -> None:
    """WCAG 2.2 AA as far as axe can tell, on a phone by night, forms on a desk by day; targets of 44 px."""
    wrong: dict[str, list[str]] = {}
    tags = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    small = """[...document.querySelectorAll('main :is(button, select, input:not([type=hidden]), .option)')]
        .filter(e => !e.closest('.trap') && !e.matches('.option input') && e.offsetParent && e.offsetHeight < 44)
        .map(e => `${e.offsetHeight} px high: ${e.outerHTML.slice(0, 80)}`)"""
    async with serving_demo(tmp_path) as addresses, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        try:
            state = await logged_in(browser, addresses["login"])
            for name, address in addresses.items():
                if name.startswith(("mail-", "issue", "missing", "inbox", "message", "article")):
                    continue  # mails are judged as mails
                desk = [(1280, "light")] if name in ("signup", "settings") else []
                for width, scheme in [(390, "dark"), *desk]:
                    page = await browser.new_page(
                        viewport={"width": width, "height": 900}, storage_state=None if name == "login" else state
                    )
                    await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                    await page.goto(address)
                    found = await Axe().run(page, options=tags)
                    faults = [f"{one['id']}: {one['nodes'][0]['html'][:120]}" for one in found.response["violations"]]
                    faults += await page.evaluate(small)
                    if faults:
                        wrong[f"{name} {width}"] = faults
                    await page.close()
        finally:
            await browser.close()
    assert wrong == {}


async def test_a_reader_signs_up_confirms_chooses_reads_and_leaves(tmp_path: Path) -> None:
    """Issue 5: by hand and mouse alone, without JavaScript: the embedded inbox shows what a mailbox would get."""
    async with serving_demo(tmp_path) as addresses, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        try:
            context = await browser.new_context(java_script_enabled=False, locale="en-GB")
            page = await context.new_page()
            await page.goto(addresses["signup"])
            await page.get_by_label("Your e-mail address").fill("ada@reader.example")
            await asyncio.sleep(2.1)  # a form that comes back sooner is a program's (F8)
            await page.get_by_role("button", name="Subscribe").click()
            assert await page.locator("h1").inner_text() == "Look into your mailbox"
            mail = await mail_to(tmp_path, "ada@reader.example", 1)
            await page.goto(link_of(mail, "/c/"))
            await page.get_by_role("button", name="Yes, subscribe me").click()
            assert await page.locator("h1").inner_text() == "You are subscribed"

            await page.goto(addresses["link"])
            await page.get_by_label("Your e-mail address").fill("ada@reader.example")
            await asyncio.sleep(1.1)
            await page.get_by_role("button", name="Send me a link").click()
            await page.goto(link_of(await mail_to(tmp_path, "ada@reader.example", 2), "/m/"))
            for category in ("Foreign policy", "Domestic policy", "Economy", "Society"):
                await page.get_by_label(category).uncheck()
            await page.get_by_role("button", name="Save").click()
            assert await page.locator(".note").inner_text() == "Saved."
            assert await page.get_by_label("Security").is_checked()
            assert not await page.get_by_label("Economy").is_checked()

            for name, category in (("wall", "security"), ("barley", "economy")):
                write_article(tmp_path / sample.PUBLICATION, f"{name}.md", ARTICLE.format(name, now(), category))
            await control.call(tmp_path, "collect", {}, lambda *_: None)
            with sqlite3.connect(tmp_path / "publisher.db") as database:
                # The demo's own issue took the slot of this minute.
                database.execute("UPDATE slots SET slot = '2020-01-01T00:00'")
                database.execute("UPDATE issues SET slot = '2020-01-01T00:00'")
            await control.call(tmp_path, "dispatch", {"newsletter": "weekly"}, lambda *_: None)
            digest = await mail_to(tmp_path, "ada@reader.example", 3)
            text = digest.get_body(("plain",))
            assert text is not None
            assert ("of the wall" in text.get_content(), "of the barley" in text.get_content()) == (True, False)
            await page.goto(link_of(digest, "/preferences"))
            assert "a***@r***.example" in await page.locator("main").inner_text()
            await page.get_by_role("button", name="Send me a fresh link").click()
            await page.goto(link_of(await mail_to(tmp_path, "ada@reader.example", 4), "/m/"))

            await page.get_by_role("button", name="1 month").click()
            assert "Paused until" in await page.locator(".paused").inner_text()
            await page.get_by_role("button", name="Send it again now").click()
            assert await page.locator(".paused").count() == 0
            await page.goto(str(digest["List-Unsubscribe"]).strip("<>"))
            await page.get_by_role("button", name="Unsubscribe", exact=True).click()
            assert await page.locator("h1").inner_text() == "You have left"
        finally:
            await browser.close()


ARTICLE = """\
---
title: News of the {0}
date: {1:%Y-%m-%d %H:%M}
category: {2}
---
What became of the {0}.
"""


async def mail_to(home: Path, address: str, number: int) -> EmailMessage:
    """The newest mail to an address once so many have come."""
    async with asyncio.timeout(60):
        while True:
            found = []
            for path in sorted((home / "inbox" / "new").iterdir(), key=lambda path: path.stat().st_mtime):
                message = message_from_bytes(path.read_bytes(), policy=policy.default)
                assert isinstance(message, EmailMessage)
                if message["To"].addresses[0].addr_spec == address:
                    found.append(message)
            if len(found) >= number:
                return found[-1]
            await asyncio.sleep(0.1)


def link_of(mail: EmailMessage, path: str) -> str:
    """The address in a mail that holds this path."""
    text = mail.get_body(("plain",))
    assert text is not None
    return next(word for word in str(text.get_content()).split() if path in word)


@pytest.mark.parametrize("old", [False, True], ids=["by the clipboard", "by the selection"])
async def test_the_address_of_a_feed_is_copied_with_one_press(tmp_path: Path, old: bool) -> None:
    """FR-D1: a page that came by http has no clipboard to write to, only a selection; both say what they did."""
    async with serving_demo(tmp_path) as addresses, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        try:
            context = await browser.new_context(permissions=["clipboard-read", "clipboard-write"])
            page = await context.new_page()
            reading = await context.new_page()
            if old:
                await page.add_init_script("delete Navigator.prototype.clipboard")
            await page.goto(addresses["feed"])
            await page.get_by_role("button", name="Copy: Atom").press("Enter")
            await expect(page.get_by_role("status")).to_have_text("Copied: Atom")
            await reading.goto(addresses["feed"])
            await reading.bring_to_front()
            copied = await reading.evaluate("navigator.clipboard.readText()")
            assert copied == await page.get_by_role("link", name="Atom").get_attribute("href")
            assert copied.endswith("/feeds/security.atom")
        finally:
            await browser.close()
