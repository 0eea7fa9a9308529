"""The admin pages in a real browser: axe, a whole way by mouse, numbers that move, and without JavaScript.

With PUBLISHER_SHOTS=DIR it photographs every page, wide and narrow, light and dark.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]  # it ships no types
from playwright.async_api import Browser, StorageState, async_playwright

from publisher import config
from publisher.app import App
from publisher.model import DeliveryState
from publisher.service import Listening, Service
from publisher.store import issues
from publisher.store.database import Connection
from publisher.store.tables import deliveries
from tests.look import CHROMIUM, QUIET, logged_in
from tests.publications import CONFIGURATION, write_publication

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        not Path(CHROMIUM).exists() and not os.environ.get("CI"),
        reason=f"{CHROMIUM} is not installed (Debian package chromium)",
    ),
]

AXE = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
SCREENS = ((1280, "light"), (1280, "dark"), (390, "light"), (390, "dark"))
PEOPLE = [
    {"email": f"reader{number}@reader.example", "consent": "paper form", "languages": "en"} for number in range(30)
]


@dataclass
class Desk:
    """A service whose issue waits for approval, and a browser of its first admin."""

    app: App
    admin: str
    ref: str
    browser: Browser
    state: StorageState


@contextlib.asynccontextmanager
async def desk(home: Path) -> AsyncIterator[Desk]:
    """Serve a publication that sends one mail a second once its issue is approved."""
    slow = CONFIGURATION.replace("[smtp]", '[smtp]\nrate = "1/s"').replace(
        "from_address", "approval = true\nfrom_address"
    )
    loaded = config.load(write_publication(home, configuration=slow), {})
    async with await App.open(loaded) as app, async_playwright() as playwright:
        await app.import_subscribers(PEOPLE)
        await app.publishing.collect()
        await app.dispatching.dispatch("weekly")
        [issue] = await app.database.aread(lambda conn: issues.uncounted(conn))
        told: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
        running = asyncio.create_task(Service(app).run(told.set_result))
        listening = await told
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        try:
            yield Desk(app, listening.admin, issue.ref, browser, await logged_in(browser, listening.login))
        finally:
            await browser.close()
            app.shared.stop.set()
            await running


async def test_an_admin_logs_in_approves_an_issue_sees_it_go_and_pauses_it(tmp_path: Path) -> None:
    """Issue 7: the numbers move while nobody touches the page."""
    async with desk(tmp_path) as room, asyncio.timeout(120):
        page = await room.browser.new_page(storage_state=room.state)
        problems: list[str] = []
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        await page.goto(room.admin)
        await page.get_by_role("table").get_by_role("link", name="The week").first.click()
        await page.get_by_text("waits for approval").first.wait_for()
        await page.get_by_role("button", name="Approve and send").click()
        await page.get_by_role("status").get_by_text("Approved").wait_for()

        sent = page.locator(".legend .sent strong")
        await sent.wait_for()
        first = int(await sent.inner_text())
        while int(await sent.inner_text()) < first + 3:  # noqa: ASYNC110 - what a person does: look again
            await asyncio.sleep(0.1)

        await page.get_by_role("button", name="Pause").click()
        await page.locator(".state", has_text="paused").wait_for()
        [issue] = await room.app.database.aread(lambda conn: issues.uncounted(conn))
        assert issue.state == "paused"
        await page.get_by_text("Cancel …").click()
        await page.get_by_role("button", name="Cancel for good").click()
        await page.locator(".state", has_text="cancelled").wait_for()
        await page.goto(f"{room.admin}/audit")
        said = await page.locator("tbody").inner_text()
        assert [word for word in ("approve", "pause", "cancel", "logged in") if word not in said] == []
        await page.locator(".me summary").click()
        await page.get_by_role("button", name="Log out", exact=True).click()
        await page.get_by_role("heading", name="Log in").wait_for()
        assert problems == []
        answer = await page.goto(f"{room.admin}/readers/")
        assert answer is not None
        assert answer.status == 401


async def test_everything_works_without_javascript(tmp_path: Path) -> None:
    async with desk(tmp_path) as room, asyncio.timeout(120):
        context = await room.browser.new_context(java_script_enabled=False, storage_state=room.state)
        page = await context.new_page()
        await page.goto(f"{room.admin}/issues/{room.ref}")
        await page.get_by_role("button", name="Approve and send").click()
        await page.get_by_role("button", name="Pause").click()
        await page.get_by_role("button", name="Resume").wait_for()
        await page.goto(f"{room.admin}/readers/")
        await page.get_by_label("Address begins with").fill("reader7")
        await page.get_by_role("button", name="Find").click()
        await page.get_by_role("link", name="reader7@reader.example").click()
        await page.get_by_text("Suppress …").click()
        await page.get_by_role("button", name="Suppress", exact=True).click()
        await page.get_by_role("heading", name="Suppressed: nothing is mailed").wait_for()
        await page.get_by_role("button", name="Let it be mailed again").click()
        await page.get_by_role("status").get_by_text("may be mailed again").wait_for()
        await page.goto(f"{room.admin}/accounts")
        await page.get_by_label("Name", exact=True).fill("Ida")
        await page.get_by_label("editor").check()
        await page.get_by_role("button", name="Make a link").click()
        link = await page.locator(".handed code").inner_text()
        ida = await (await room.browser.new_context(java_script_enabled=False)).new_page()
        await ida.goto(link)
        await ida.get_by_role("button", name="Log in").click()
        assert "Accounts" not in await ida.locator("header nav").inner_text()
        async with page.expect_download() as download:
            await page.goto(f"{room.admin}/readers/")
            await page.get_by_role("button", name="Download readers.csv").click()
        saved = await (await download.value).path()
        assert len(await asyncio.to_thread(saved.read_bytes)) > len(PEOPLE) * 40


async def test_no_admin_page_keeps_anybody_out_or_is_too_wide(tmp_path: Path) -> None:
    """WCAG 2.2 AA as far as axe can tell, on a desk by day and a phone by night, with everything there is to show."""
    wrong: dict[str, object] = {}
    async with desk(tmp_path) as room:

        def doubt(conn: Connection) -> None:
            words = "451 4.7.1 <reader1@reader.example> greylisted, come back later"
            conn.execute(
                deliveries.update().where(deliveries.c.id % 3 == 0).values(state=DeliveryState.FAILED, reply_text=words)
            )
            conn.execute(
                deliveries.update()
                .where(deliveries.c.id % 3 == 1)
                .values(state=DeliveryState.UNCERTAIN, address="reader1@reader.example", reason="timeout")
            )

        await room.app.database.awrite(doubt)
        await room.app.actions["suppress"](address="reader2@reader.example")
        await room.app.actions["invite_account"](name="Ida", role="editor")
        paths = ["/", "/issues/", f"/issues/{room.ref}", "/readers/", "/readers/1", "/readers/3", "/accounts", "/audit"]
        paths += ["/fresh", "/inbox/", "/preview/weekly", "/login/x", "/nothing"]
        for path in paths:
            for width, scheme in SCREENS if os.environ.get("PUBLISHER_SHOTS") else SCREENS[::3]:
                page = await room.browser.new_page(
                    viewport={"width": width, "height": 900},
                    color_scheme="dark" if scheme == "dark" else "light",
                    storage_state=None if path == "/login/x" else room.state,
                )
                await page.goto(room.admin + path)
                await page.evaluate("document.querySelectorAll('main details').forEach(one => { one.open = true; })")
                found = await Axe().run(page, options=AXE)
                faults = [f"{one['id']}: {one['nodes'][0]['html'][:160]}" for one in found.response["violations"]]
                root = "document.documentElement"
                if (over := await page.evaluate(f"{root}.scrollWidth - {root}.clientWidth")) > 0:
                    faults.append(f"{over} px too wide")
                if faults:
                    wrong[f"{path} {width} {scheme}"] = faults
                if shots := os.environ.get("PUBLISHER_SHOTS"):
                    name = path.strip("/").replace("/", "-").replace(room.ref, "one") or "overview"
                    await page.screenshot(path=Path(shots) / f"{name}-{width}-{scheme}.png", full_page=True)
                await page.close()
    assert wrong == {}
