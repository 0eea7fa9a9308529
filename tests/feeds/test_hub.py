"""Hubs are told of what changed, once, and again until they take it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from publisher.app import App
from publisher.config import Config
from publisher.feeds import hub as hubs
from publisher.feeds.hub import PingReport, next_attempt, tell
from publisher.http import Fetcher
from publisher.store import hub_pings
from publisher.store.database import Database
from publisher.store.hub_pings import Ping
from tests.hub_server import Hub, running_hub
from tests.publications import BORDER, load_publication, write_article

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 23, 7, tzinfo=UTC)
TOPIC = "https://news.example/feeds/all.rss"


def test_pauses_double_to_six_hours_and_end_after_a_day() -> None:
    """FR-W2."""
    now, pauses = NOW, []
    for attempts in range(30):
        ping = Ping(hub="", topic="", etag="", attempts=attempts, changed_at=NOW, next_at=now, problem="")
        again = next_attempt(ping, now)
        if again is None:
            break
        pauses.append(again - now)
        now = again
    assert [pause.total_seconds() for pause in pauses] == [30 * 2**n for n in range(10)] + [21600, 21600]
    assert now - NOW <= timedelta(hours=24)


def plan(db: Database, hub: Hub, etag: str, *topics: str, now: datetime = NOW) -> None:
    db.write(lambda conn: hub_pings.plan(conn, [hub.url], dict.fromkeys(topics or (TOPIC,), etag), now))


async def test_a_hub_is_told_in_the_words_of_old_and_new_hubs(sqlite_database: Database) -> None:
    """FR-W2."""
    async with running_hub() as hub:
        fetcher = Fetcher(["127.0.0.1"])
        plan(sqlite_database, hub, "a")
        assert await tell(sqlite_database, fetcher, lambda: NOW) == PingReport(told=1)
        assert await tell(sqlite_database, fetcher, lambda: NOW + timedelta(days=1)) == PingReport()
        await fetcher.close()
    assert hub.posts == [{"hub.mode": ["publish"], "hub.url": [TOPIC], "hub.topic": [TOPIC]}]
    assert "content-type: application/x-www-form-urlencoded" in hub.heads[0].lower()
    assert "POST /hub?a=1 HTTP/1.1" in hub.heads[0]


@pytest.mark.parametrize("status", [b"500 Oops", b"302 Found", b"404 Not Found", b"429 Too Many Requests"])
async def test_anything_but_2xx_is_tried_again(sqlite_database: Database, status: bytes) -> None:
    """FR-W2."""
    async with running_hub() as hub:
        fetcher = Fetcher(["127.0.0.1"])
        hub.status = status
        plan(sqlite_database, hub, "a")
        assert await tell(sqlite_database, fetcher, lambda: NOW) == PingReport(failed=1)
        (waiting,) = sqlite_database.read(hub_pings.waiting)
        assert (waiting.attempts, waiting.next_at) == (1, NOW + timedelta(seconds=30))
        assert waiting.problem.startswith(f"status {status.decode()[:3]}: ")
        assert await tell(sqlite_database, fetcher, lambda: NOW + timedelta(seconds=29)) == PingReport()
        hub.status = b"202 Accepted"
        assert await tell(sqlite_database, fetcher, lambda: NOW + timedelta(seconds=30)) == PingReport(told=1)
        await fetcher.close()
    assert sqlite_database.read(hub_pings.waiting) == []


async def test_a_hub_that_does_not_answer_holds_up_neither_itself_nor_others(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FR-W2: one time-out a round, however many feeds changed, and the hubs side by side."""
    monkeypatch.setattr(hubs, "SECONDS", 2.0)  # the first post reads the authorities' certificates too
    topics = [TOPIC.replace("all", f"f{n}") for n in range(20)]
    async with running_hub() as dead, running_hub() as alive:
        dead.silent = True
        fetcher = Fetcher(["127.0.0.1"])
        for hub in (dead, alive):
            plan(sqlite_database, hub, "a", *topics)
        assert await tell(sqlite_database, fetcher, lambda: NOW) == PingReport(told=20, failed=20)
        await fetcher.close()
    assert len(dead.posts) == 1
    assert alive.topics() == sorted(topics)
    assert {p.problem for p in sqlite_database.read(hub_pings.waiting)} == {"no answer within 2 seconds"}


async def test_after_a_day_a_hub_is_given_up(sqlite_database: Database) -> None:
    """FR-W2."""
    async with running_hub() as hub:
        fetcher = Fetcher(["127.0.0.1"])
        hub.status = b"500 Oops"
        plan(sqlite_database, hub, "a")
        late = NOW + timedelta(hours=24)
        assert await tell(sqlite_database, fetcher, lambda: late) == PingReport(failed=1, given_up=1)
        assert sqlite_database.read(hub_pings.next_at) is None
        await fetcher.close()


# The whole app

FEEDS = ("all", "author-ana-lind", "economy", "security", "language-en", "language-ru", "newsletter-weekly")
ENGLISH_SECURITY = ("all", "language-en", "security")


def with_hub(config: Config, hub: Hub) -> Config:
    return config.model_copy(update={"web": config.web.model_copy(update={"hubs": (hub.url,)})})


def addresses(*slugs: str) -> list[str]:
    root = "https://mail.ledger.example/feeds"
    return sorted(f"{root}/{slug}.{form}" for slug in slugs for form in ("rss", "atom", "json"))


async def test_each_changed_feed_is_told_once_and_an_unchanged_one_never(tmp_path: Path) -> None:
    """FR-W2: a fake hub counts; a run without changes sends none; one article touches the feeds that hold it."""
    async with running_hub() as hub:
        config = with_hub(load_publication(tmp_path), hub)
        async with await App.open(config, fetcher=Fetcher(["127.0.0.1"])) as app:
            await app.publishing.collect()
            await app.shared.announcer.tell()
            assert hub.topics() == addresses(*FEEDS)
            await app.publishing.collect()
            await app.publishing.feeds()
            await app.shared.announcer.tell()
            assert hub.topics() == []
            write_article(tmp_path, "tax.md", BORDER.replace("The border is quiet", "A new tax").replace("-19", "-21"))
            await app.publishing.collect()
            assert app.shared.announcer.woken.is_set()
            await app.shared.announcer.tell()
            assert hub.topics() == addresses(*ENGLISH_SECURITY)
        async with await App.open(config, fetcher=Fetcher(["127.0.0.1"])) as app:
            await app.cycle()
            assert hub.topics() == []


async def test_pings_wait_for_live_bytes_and_never_hold_up_publishing(tmp_path: Path) -> None:
    """FR-W2: with a hub that is dead the feeds are live; the pings survive the restart, and are sent then."""
    async with running_hub() as hub:
        hub.status = b"503 Service Unavailable"
        config = with_hub(load_publication(tmp_path), hub)
        async with await App.open(config, fetcher=Fetcher(["127.0.0.1"])) as app:
            await app.publishing.collect()
            assert hub.posts == []
            assert (tmp_path / "data" / "site" / "feeds" / "all.atom.gz").exists()
            assert (await app.shared.announcer.tell()).failed == 3 * len(FEEDS)
            for ping in await app.database.aread(hub_pings.waiting):  # half a minute passes
                await app.database.awrite(partial(hub_pings.failed, ping=ping, problem="", next_at=NOW))
        hub.topics()
        hub.status = b"200 OK"
        async with await App.open(config, fetcher=Fetcher(["127.0.0.1"])) as app:
            await asyncio.wait_for(app.shared.announcer.wait(), 5)  # what is due does not wait for a change
            assert (await app.shared.announcer.tell()).told == 3 * len(FEEDS)
        assert hub.topics() == addresses(*FEEDS)


async def test_a_hub_that_is_configured_no_more_is_told_nothing(tmp_path: Path) -> None:
    async with running_hub() as hub:
        config = load_publication(tmp_path)
        async with await App.open(with_hub(config, hub), fetcher=Fetcher(["127.0.0.1"])) as app:
            await app.publishing.collect()
        async with await App.open(config, fetcher=Fetcher(["127.0.0.1"])) as app:
            await app.publishing.collect()
            assert await app.database.aread(hub_pings.waiting) == []
        assert hub.posts == []
