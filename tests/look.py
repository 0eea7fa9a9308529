"""Screenshots of the demo's pages and digests: `uv run python -m tests.look DIR [NAME…]` writes them for eyes."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from playwright.async_api import Browser, StorageState, async_playwright

from publisher import config, sample
from publisher.app import App, now
from publisher.service import Listening, Service
from publisher.store import articles, issues, links, subscribers
from publisher.tokens import Purpose

WIDTHS = {"desktop": 1280, "phone": 390}
CHROMIUM = "/usr/bin/chromium"
# Without these Chromium looks for its maker's servers at every start.
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextlib.asynccontextmanager
async def serving_demo(home: Path) -> AsyncIterator[dict[str, str]]:
    """Run the demo in `home` and serve it; yield the addresses of what it shows, by name."""
    loaded = config.load(sample.materialise(home, now().date(), sample.values(home)), {})
    async with await App.open(loaded) as app:
        await sample.perform(app, home / sample.PUBLICATION, lambda *_: None)
        told: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
        running = asyncio.create_task(Service(app).run(told.set_result))
        try:
            yield _addresses(home, await told, app)
        finally:
            app.shared.stop.set()
            await running


async def look(out: Path, only: Sequence[str] = ()) -> None:
    """Photograph what the demo shows, or these pages: each wide, narrow, light and dark; mails without pictures too."""
    async with serving_demo(out / "demo") as addresses, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        try:
            state = await logged_in(browser, addresses["login"])
            for name, address in addresses.items():
                if only and name not in only:
                    continue
                await _photograph(browser, address, out, name, state)
                if name.startswith("mail-"):
                    await _photograph(browser, address, out, f"{name}-bare", state, pictures=False)
        finally:
            await browser.close()


async def logged_in(browser: Browser, login: str) -> StorageState:
    """Use a link up, and return what lets other pages of the browser in."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(login)
    await page.get_by_role("button", name="Log in").click()
    await page.wait_for_url(lambda url: "/login" not in url)
    state = await context.storage_state()
    await context.close()
    return state


def _addresses(home: Path, listening: Listening, app: App) -> dict[str, str]:
    found = {
        "home": f"{listening.public}/?lang=en",
        "home-ru": f"{listening.public}/?lang=ru",
        "feeds": f"{listening.public}/feeds/?lang=en",
        "feed": f"{listening.public}/feeds/security?lang=en",
        "category": f"{listening.public}/categories/security?lang=en",
        "newsletters": f"{listening.public}/newsletters/?lang=en",
        "newsletter": f"{listening.public}/newsletters/weekly?lang=en",
        "login": listening.login,
        "overview": f"{listening.admin}/",
        "issues": f"{listening.admin}/issues/",
        "readers": f"{listening.admin}/readers/",
        "reader": f"{listening.admin}/readers/1",
        "inbox": f"{listening.admin}/inbox/",
        "accounts": f"{listening.admin}/accounts",
        "audit": f"{listening.admin}/audit",
        "preview": f"{listening.admin}/preview/weekly",
        "missing": f"{listening.public}/nothing",
    }
    for article in app.database.read(lambda conn: articles.for_feed(conn, limit=100)):
        if article.slug == "border-sensors" or article.language == "he":
            found[f"article-{article.slug}-{article.language}"] = (
                f"{listening.public}/articles/{article.ref}/{article.slug}"
            )
    found |= {
        "signup": f"{listening.public}/subscribe?lang=en",
        "signup-ru": f"{listening.public}/subscribe?lang=ru&newsletter=weekly",
        "link": f"{listening.public}/preferences?lang=en",
    }
    issue = app.database.read(lambda conn: issues.listing(conn, limit=1))[0]
    found["admin-issue"] = f"{listening.admin}/issues/{issue.ref}"
    found["issue"] = f"{listening.public}/issues/{issue.ref}?lang=en"
    for path in sorted((home / "inbox" / "new").iterdir()):
        message = message_from_bytes(path.read_bytes(), policy=policy.default)
        assert isinstance(message, EmailMessage)
        name = str(message["To"].addresses[0].username)
        if message.get_body(("html",)) is None:
            continue
        found[f"mail-{name}"] = f"{listening.admin}/inbox/{path.name}/frame"
        found["message"] = f"{listening.admin}/inbox/{path.name}"
        unsubscribe = str(message["List-Unsubscribe"]).strip("<>")
        found["leave"] = unsubscribe
        found["less"] = f"{unsubscribe}/preferences"
        found |= _of_person(listening, app, unsubscribe.rpartition("/")[2])
    return found


def _of_person(listening: Listening, app: App, token: str) -> dict[str, str]:
    """Return what a fresh link and a confirm link show of the person whose mail holds this token."""
    number = app.shared.keyring.read_unsubscribe(token)
    assert number is not None
    subscription = app.database.read(lambda conn: subscribers.subscription(conn, number))
    assert subscription is not None
    person = subscription.subscriber_id
    later = now() + timedelta(days=1)
    manage = app.database.write(lambda conn: links.make(conn, "manage", person, expires_at=later, now=now()))
    asked = app.database.write(lambda conn: links.make(conn, "confirm", person, expires_at=later, now=now()))
    fresh = app.shared.keyring.token(Purpose.MANAGE, manage)
    confirm = app.shared.keyring.token(Purpose.CONFIRM, asked)
    return {
        "settings": f"{listening.public}/m/{fresh}?lang=en",
        "settings-ru": f"{listening.public}/m/{fresh}?lang=ru",
        "my-data": f"{listening.public}/m/{fresh}/data?lang=en",
        "confirmed": f"{listening.public}/c/{confirm}?lang=en",
    }


async def _photograph(
    browser: Browser, address: str, out: Path, name: str, state: StorageState, *, pictures: bool = True
) -> None:
    for place, width in WIDTHS.items():
        for scheme in ("light", "dark"):
            page = await browser.new_page(
                viewport={"width": width, "height": 900},
                color_scheme="dark" if scheme == "dark" else "light",
                locale="en-GB",
                storage_state=None if name == "login" else state,
            )
            if not pictures:  # as most mail programs show a sender whom they do not know
                await page.route("**/*.{jpg,jpeg,png,gif,webp,svg}", lambda route: route.abort())
            await page.goto(address)
            root = "document.documentElement"
            overflow = await page.evaluate(f"{root}.scrollWidth - {root}.clientWidth")
            if overflow > 0:
                print(f"{name} {place}: {overflow} px too wide")
            await page.screenshot(path=out / f"{name}-{place}-{scheme}.png", full_page=True)
            await page.close()


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "look")
    target.mkdir(parents=True, exist_ok=True)
    asyncio.run(look(target, sys.argv[2:]))
