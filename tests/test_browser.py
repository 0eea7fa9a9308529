"""Pages and digests in a real browser: nothing too wide, nothing missing, nothing refused by our own policy."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

from tests.look import CHROMIUM, QUIET, WIDTHS, serving_demo

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        not Path(CHROMIUM).exists() and not os.environ.get("CI"),
        reason=f"{CHROMIUM} is not installed (Debian package chromium)",
    ),
]


async def faults(browser: Browser, address: str, width: int) -> list[str]:
    """What a visitor with this screen would stumble over, by day and by night."""
    page = await browser.new_page(viewport={"width": width, "height": 900}, locale="en-GB")
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
            for name, address in addresses.items():
                if name.startswith("missing"):
                    continue  # Chromium reports every 404 on its console
                for place, width in WIDTHS.items():
                    async with asyncio.timeout(60):
                        found = await faults(browser, address, width)
                    if found:
                        wrong[f"{name} {place}"] = found
        finally:
            await browser.close()
    assert wrong == {}
