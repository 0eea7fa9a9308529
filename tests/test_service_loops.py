"""What the service does beside everything else: it tells hubs, and stores who polls, also after the database failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs

from publisher.app import App
from publisher.clock import now
from publisher.errors import StoreError
from publisher.http import Fetcher
from publisher.service import Listening, Service, loops, waking
from publisher.store import feed_pollers, hub_pings
from tests.hub_server import Hub, running_hub
from tests.publications import BORDER, load_publication, write_article

pytestmark = pytest.mark.anyio

FEEDLY = {"User-Agent": "Feedly/1.0 (+http://www.feedly.com/fetcher.html; 16 subscribers; like FeedFetcher-Google)"}
ALL = "https://mail.ledger.example/feeds/all.rss"


@asynccontextmanager
async def publication(place: Path, hub: Hub | None = None) -> AsyncIterator[App]:
    config = load_publication(place, more=f'hubs = ["{hub.url}"]' if hub else "")
    async with await App.open(config, fetcher=Fetcher(["127.0.0.1"])) as app:
        yield app


@asynccontextmanager
async def running(app: App) -> AsyncIterator[tuple[Service, Listening]]:
    """Run the service until the test is done with it, and see that it ends well."""
    service = Service(app)
    told: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(service.run(told.set_result))
    try:
        yield service, await told
    finally:
        app.shared.stop.set()
        await task


async def until_told(hub: Hub, topic: str) -> None:
    """Wait until the hub was told of a feed."""
    for _ in range(1000):
        if topic in hub.topics():
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"nobody told the hub of {topic}")


async def readers(app: App) -> dict[str, int]:
    return await app.database.aread(lambda conn: feed_pollers.readers(conn, now() - timedelta(days=1)))


def failing(app: App, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Put the database out of reach."""

    async def fail(work: Any) -> Any:
        raise StoreError("the database is out of reach")

    for name in names:
        monkeypatch.setattr(app.database, name, fail)


async def test_a_running_service_tells_hubs_of_every_change(tmp_path: Path) -> None:
    """FR-W2: of its first feeds, and again when an article is new; nothing for what did not change."""
    async with running_hub() as hub, publication(tmp_path, hub) as app, running(app):
        await until_told(hub, ALL)
        for _ in range(1000):
            if not await app.database.aread(hub_pings.waiting):
                break
            await asyncio.sleep(0.01)
        hub.posts.clear()
        await app.publishing.collect()
        assert await app.database.aread(hub_pings.waiting) == []
        assert hub.posts == []
        write_article(tmp_path, "tax.md", BORDER.replace("The border is quiet", "A new tax"))
        await app.publishing.collect()
        await until_told(hub, ALL)


async def test_a_hub_is_told_when_the_database_is_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FR-W2: the loop outlives a database out of reach, and loses no change."""
    monkeypatch.setattr(loops, "TICK", timedelta(milliseconds=10))
    async with running_hub() as hub, publication(tmp_path, hub) as app:
        await app.publishing.collect()
        tell = app.shared.announcer.tell
        failures: list[int] = []

        async def out_of_reach() -> Any:
            if len(failures) < 3:
                failures.append(len(hub.posts))
                raise StoreError("the database is out of reach")
            return await tell()

        monkeypatch.setattr(app.shared.announcer, "tell", out_of_reach)
        with capture_logs() as logged:
            async with running(app):
                await until_told(hub, ALL)
        assert failures == [0, 0, 0]
        said = [line["reason"] for line in logged if line["event"] == "hubs not told"]
        assert said == ["the database is out of reach"] * 3


async def test_a_service_stops_at_once_while_it_waits_for_the_database_or_a_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spec delivery §5.2: neither the pause after a failure nor the hour until the next ping holds up the end."""
    async with publication(tmp_path) as app:
        async with asyncio.timeout(waking.TICK.total_seconds() / 2), running(app):
            pass
        app.shared.stop.clear()
        asked = asyncio.Event()

        async def out_of_reach() -> Any:
            asked.set()
            raise StoreError("the database is out of reach")

        monkeypatch.setattr(app.shared.announcer, "tell", out_of_reach)
        async with asyncio.timeout(waking.TICK.total_seconds() / 2), running(app):
            await asked.wait()


async def test_who_polled_is_stored_when_the_service_stops(tmp_path: Path) -> None:
    """FR-H15."""
    async with publication(tmp_path) as app:
        await app.publishing.collect()
        async with running(app) as (_, listening), httpx2.AsyncClient(base_url=listening.public) as client:
            assert (await client.get("/feeds/all.rss", headers=FEEDLY)).status_code == 200
            assert await readers(app) == {}
        assert await readers(app) == {"all": 16}


async def test_who_polled_is_stored_by_the_minute_and_a_failure_costs_one_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FR-H15: what could not be stored is said again at the next poll, so nothing piles up and nothing stops."""
    async with publication(tmp_path) as app:
        service = Service(app)
        service.parts.polls.count("all.rss", FEEDLY["User-Agent"].encode())
        failing(app, monkeypatch, "awrite")
        with capture_logs() as logged:
            await service.waking.wake("polls")
        assert [line["reason"] for line in logged if line["event"] == "polls not counted"] == [
            "the database is out of reach"
        ]
        monkeypatch.undo()
        await service.waking.wake("polls")
        assert await readers(app) == {}
        service.parts.polls.count("all.rss", FEEDLY["User-Agent"].encode())
        await service.waking.wake("polls")
        assert await readers(app) == {"all": 16}
