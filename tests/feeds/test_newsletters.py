"""A newsletter's feed holds its sent issues, and nothing before they are sent; its archive holds all of them."""

from __future__ import annotations

import json
import os
import uuid
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as some

from publisher.app import App
from publisher.config import Config, Frequency, Newsletter, Site, Smtp, Web
from publisher.feeds import archives, folder
from publisher.feeds.months import month_of
from publisher.feeds.publishing import publish
from publisher.store import issues
from publisher.store.database import Database
from tests.feeds.test_archives import DAY, FORMS, around, build, chain, document, walk
from tests.feeds.test_build import read_feedparser
from tests.feeds.test_publish import NOW
from tests.publications import BORDER, load_publication, write_article
from tests.store.make import frozen, segment

pytestmark = pytest.mark.anyio

ANNA = {"email": "anna@reader.example", "consent": "paper form"}


async def test_an_issue_is_an_entry_when_it_is_sent_and_keeps_its_id(tmp_path: Path) -> None:
    """Issue 3, point 3; FR-X5: not before it is sent, in three formats, under the same id for ever."""
    site = tmp_path / "data" / "site" / "feeds"

    def ids() -> list[str]:
        rss = read_feedparser((site / "newsletter-weekly.rss").read_bytes())
        atom = read_feedparser((site / "newsletter-weekly.atom").read_bytes())
        found = [item["id"] for item in json.loads((site / "newsletter-weekly.json").read_bytes())["items"]]
        assert [entry["id"] for entry in rss] == [entry["id"] for entry in atom] == found
        return found

    async with await App.open(load_publication(tmp_path)) as app:
        await app.import_subscribers([ANNA])
        await app.publishing.collect()
        await app.dispatching.dispatch("weekly")
        await app.publishing.feeds()
        assert ids() == []
        await app.sending.send()
        (first,) = ids()
        write_article(tmp_path, "tax.md", BORDER.replace("The border is quiet", "A new tax").replace("-19", "-21"))
        await app.publishing.collect()
        made = await app.dispatching.dispatch("weekly")
        if made["outcome"] == "dispatched":  # by hand there is one slot a minute
            await app.sending.send()
            assert ids()[1:] == [first]
        assert ids()[-1] == first


async def test_the_entry_is_the_issue_as_everybody_may_see_it(tmp_path: Path) -> None:
    """L6: nobody's links, nobody's address; the articles and the way to the page."""
    async with await App.open(load_publication(tmp_path)) as app:
        await app.import_subscribers([ANNA])
        await app.publishing.collect()
        await app.dispatching.dispatch("weekly")
        await app.sending.send()
        (issue,) = app.database.read(lambda conn: issues.listing(conn))
        path = tmp_path / "data" / "site" / "feeds" / "newsletter-weekly.json"
        (item,) = json.loads(path.read_bytes())["items"]
        assert item["url"] == f"https://mail.ledger.example/issues/{issue.ref}?lang=en"
        assert item["title"].startswith("The week: ")
        assert "A good harvest" in item["content_html"]
        for secret in ("anna@", "/u/", app.shared.keyring.unsubscribe_token(1)):
            assert secret not in path.read_text(encoding="utf-8")


# Archives.

FEED = "newsletter-weekly"


def publication(home: Path) -> Config:
    """One newsletter, whose feed shows fifty issues and those of a week."""
    return Config(
        site=Site(title="The Example", url="https://example.org", languages=("en",)),
        newsletters=(
            Newsletter(
                slug="weekly",
                title="The week",
                from_address="a@example.org",
                frequencies={"weekly": Frequency(days=("mon",), at="07:00")},
            ),
        ),
        smtp=Smtp(embedded=True),
        web=Web(public_url="https://news.example.org", author_feeds=False),
        data_dir=home,
    )


def send(db: Database, number: int, when: datetime, newsletter: str = "weekly") -> str:
    """Send an issue at a moment; return the id it has in feeds."""
    page = segment("en/web", is_web=True, subject=f"Issue {number}", html=f"<body><p>News {number}</p></body>")
    ref = f"issue{number}"
    frozen(db, [], ref=ref, slot=f"slot {number}", newsletter=newsletter, segments=[page])
    db.write(lambda conn: issues.finish(conn, when))
    return uuid.uuid5(uuid.NAMESPACE_OID, ref).urn


def closed(config: Config) -> dict[str, bytes]:
    """The documents of closed months, by name."""
    files = sorted((folder(config) / FEED).glob("*.atom"))
    names = [f"{path.stem}.{form}" for path in files if document(path).closed for form in FORMS]
    return {name: (folder(config) / FEED / name).read_bytes() for name in names}


@settings(
    max_examples=2,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # too slow to shrink
)
@given(steps=some.lists(some.lists(some.integers(-40, 400), min_size=1, max_size=3), min_size=2, max_size=3))
@example(steps=[[-1, -8, -9], [-40], [200]])  # into the open month, into the next, and by a clock that was set back
def test_walking_back_finds_every_issue_once_and_what_is_closed_stays(
    steps: list[list[int]], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 3, points 3 and 5, §1.7, RFC 5005 §4: all formats, more issues than the feed shows, gaps."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # a crash of the machine is not what is tested here
    monkeypatch.setattr(archives, "BUDGET", 100)
    home = tmp_path_factory.mktemp("walk")
    config = publication(home)
    with Database.open("", data_dir=home) as db:
        days = [*range(60), *range(100, 120, 3), 300]
        ids = [send(db, number, NOW - back * DAY) for number, back in enumerate(reversed(days))]
        until = NOW + 41 * DAY
        build(db, config, until)
        assert len(document(folder(config) / f"{FEED}.atom").ids) == 50
        for step in steps:
            before, chained = closed(config), chain(db, FEED)
            ids += [send(db, len(ids) + number, NOW - back * DAY) for number, back in enumerate(step)]
            build(db, config, until)
            for form in FORMS:
                assert walk(config, FEED, form) == set(ids)
            after, months = closed(config), {month_of(NOW - back * DAY) for back in step}
            for name, body in before.items():
                month = name[:7]
                if around(chained, month) == around(chain(db, FEED), month) and month not in months:
                    assert after[name] == body
        assert build(db, config, until + DAY) == []


def test_archives_of_a_newsletter_are_linked_and_written_once(tmp_path: Path, sqlite_database: Database) -> None:
    """§1.7; issue 3, point 8: a new issue touches its month alone, and no article touches any."""
    config = publication(tmp_path)
    old = [send(sqlite_database, number, NOW - number * 30 * DAY) for number in range(4, 0, -1)]
    assert [name for name in build(sqlite_database, config) if name.startswith(FEED)] == [
        f"{FEED}/{month}.{form}" for month in ("2026-07", "2026-08", "2026-09", "2026-10") for form in sorted(FORMS)
    ]
    ids = [*old, send(sqlite_database, 5, NOW)]
    written = build(sqlite_database, config)
    # The new month comes into being, and the one before is closed by it.
    assert {name.split("/")[1][:7] for name in written} == {"2026-10", "2026-11"}
    home = folder(config) / FEED
    october = document(home / "2026-10.rss")
    assert (october.closed, october.ids) == (True, [old[3]])
    assert october.links == {
        "self": f"https://news.example.org/feeds/{FEED}/2026-10.rss",
        "current": f"https://news.example.org/feeds/{FEED}.rss",
        "prev-archive": f"https://news.example.org/feeds/{FEED}/2026-09.rss",
        "next-archive": f"https://news.example.org/feeds/{FEED}/2026-11.rss",
    }
    assert document(home / "2026-11.atom").closed is False
    assert walk(config, FEED, "json") == set(ids)


@pytest.mark.parametrize("count", [51, 60])
def test_a_feed_of_many_issues_a_day_shows_those_of_a_week(
    tmp_path: Path, sqlite_database: Database, count: int
) -> None:
    """FR-X9: so that slow pollers miss nothing."""
    config = publication(tmp_path)
    for number in range(count):
        send(sqlite_database, number, NOW - number * timedelta(minutes=15))
    publish(sqlite_database, config, NOW)
    assert len(document(folder(config) / f"{FEED}.json").ids) == count
