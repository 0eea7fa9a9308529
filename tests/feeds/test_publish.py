"""The story: what is in the store becomes files, and only what changed is written."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from publisher.config import Config, Feed, Site
from publisher.errors import NotFoundError, StoreError
from publisher.feeds import folder, run, write
from publisher.feeds.documents import BUILDERS
from publisher.feeds.entry import Entry
from publisher.feeds.publishing import publish
from publisher.feeds.run import FeedsReport
from publisher.feeds.spec import FeedSpec
from publisher.model import (
    ArticleState,
    Author,
    ChangedArticle,
    Collected,
    Decision,
    Draft,
    NewArticle,
    Skipped,
    WithdrawnArticle,
)
from publisher.store import articles, feed_files
from publisher.store.database import Connection, Database

NOW = datetime(2026, 11, 23, 7, 0, 0, 250000, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
NAMES = [
    f"{slug}.{form}"
    for slug in ("all", "security", "economy", "language-en", "language-ru", "language-he", "brief")
    for form in ("rss", "atom", "json")
] + ["feeds.opml"]


@pytest.fixture
def db(sqlite_database: Database) -> Database:
    """The queries are tested on every database elsewhere; here it is the story that matters."""
    return sqlite_database


@pytest.fixture
def config(config: Config, tmp_path: Path) -> Config:
    """The publication of these tests, with a folder."""
    return config.model_copy(update={"data_dir": tmp_path})


def draft(number: int, **changes: object) -> Draft:
    base = Draft(
        key=f"{number}.md",
        path=f"{number}.md",
        title=f"Title {number}",
        html=f"<p>Text {number}.</p>",
        summary=f"Text {number}.",
        slug=f"title-{number}",
        language="en",
        categories=("security",),
        content_hash=str(number),
    )
    return replace(base, **changes)  # type: ignore[arg-type]  # the fields of Draft


def new(number: int, *, published_at: datetime | None = None, **changes: object) -> NewArticle:
    when = published_at or NOW - timedelta(days=number)
    return NewArticle(
        draft=draft(number, **changes),
        guid=f"tag:example.org,2026:{number}",
        state=ArticleState.PUBLISHED,
        reason="",
        published_at=when,
        updated_at=when,
    )


def store(db: Database, decision: Decision) -> articles.Applied:
    return db.write(lambda conn: articles.apply(conn, "news", "folder", Collected(drafts=()), decision, NOW))


def items(config: Config, name: str) -> list[str]:
    return [item["title"] for item in json.loads((folder(config) / name).read_bytes())["items"]]


def times(config: Config) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder(config).iterdir()}


def test_every_feed_gets_its_three_files_and_their_forms(db: Database, config: Config) -> None:
    """Issue 2, point 6; an empty store gives empty feeds (FR-X13)."""
    report = publish(db, config, NOW)
    assert report == FeedsReport(
        built=("all", "security", "economy", "language-en", "language-ru", "language-he", "brief"),
        changed=tuple(NAMES),
    )
    assert sorted(times(config)) == sorted(name + suffix for name in NAMES for suffix in ("", ".br", ".gz", ".zst"))
    assert items(config, "all.json") == []


def test_each_feed_holds_what_it_selects(db: Database, config: Config) -> None:
    """FR-X7: newest first; the configured feed keeps its limit."""
    store(
        db,
        Decision(
            new=(
                new(1),
                new(2, categories=("economy",), language="ru"),
                new(3, categories=("economy", "security"), authors=(Author("Anna"),)),
                new(4, language="ru-BY"),
                new(5, language="ru"),
            )
        ),
    )
    config = config.model_copy(update={"feeds": (*config.feeds, Feed(slug="anna", authors=("Anna",)))})
    publish(db, config, NOW)
    assert items(config, "all.json") == ["Title 1", "Title 2", "Title 3", "Title 4", "Title 5"]
    assert items(config, "security.json") == ["Title 1", "Title 3", "Title 4", "Title 5"]
    assert items(config, "economy.json") == ["Title 2", "Title 3"]
    assert items(config, "language-en.json") == ["Title 1", "Title 3"]
    assert items(config, "language-ru.json") == ["Title 2", "Title 4", "Title 5"]
    assert items(config, "language-he.json") == []
    assert items(config, "brief.json") == ["Title 2", "Title 4"]
    assert items(config, "anna.json") == ["Title 3"]


def test_nothing_new_writes_nothing(db: Database, config: Config) -> None:
    """FR-X4, FR-H4: bytes, times and files stay, whatever the clock says."""
    store(db, Decision(new=(new(1),)))
    publish(db, config, NOW)
    before = times(config), db.read(feed_files.listing)
    report = publish(db, config, LATER)
    assert (report.changed, report.unchanged) == ((), tuple(NAMES))
    assert (times(config), db.read(feed_files.listing)) == before


def test_an_article_touches_only_the_feeds_that_hold_it(db: Database, config: Config) -> None:
    """FR-H4: Last-Modified is the moment the bytes changed."""
    publish(db, config, NOW)
    store(db, Decision(new=(new(1, categories=("economy",)),)))
    report = publish(db, config, LATER)
    assert report.changed == tuple(
        f"{slug}.{form}" for slug in ("all", "economy", "language-en") for form in ("rss", "atom", "json")
    )
    found = write.read(folder(config) / "economy.rss")
    untouched = write.read(folder(config) / "security.rss")
    assert found is not None
    assert untouched is not None
    assert (found.modified_at, untouched.modified_at) == (LATER, NOW)


def test_edited_withdrawn_and_undated_articles_follow(db: Database, config: Config) -> None:
    """L11: a withdrawn article is gone from every feed at the next run."""
    ids = store(db, Decision(new=(new(1), new(2)))).new
    publish(db, config, NOW)
    edited = ChangedArticle(
        id=ids[0],
        draft=draft(1, title="Edited", content_hash="x"),
        state=ArticleState.PUBLISHED,
        reason="",
        published_at=NOW - timedelta(days=1),
        updated_at=NOW,
        change="edited",
    )
    store(db, Decision(changed=(edited,), withdrawn=(WithdrawnArticle(id=ids[1], reason="gone"),)))
    publish(db, config, LATER)
    assert items(config, "all.json") == items(config, "security.json") == ["Edited"]


def test_an_article_of_tomorrow_is_not_shown_today(db: Database, config: Config) -> None:
    """FR-X8, L12: the store holds it back; should it slip through, the feed does not show it either."""
    store(db, Decision(new=(new(1), new(2, published_at=LATER))))
    publish(db, config, NOW)
    assert items(config, "all.json") == ["Title 1"]
    publish(db, config, LATER)
    assert items(config, "all.json") == ["Title 2", "Title 1"]


def test_named_feeds_alone_are_built(db: Database, config: Config) -> None:
    report = publish(db, config, NOW, only=["economy"])
    assert report.built == ("economy",)
    assert sorted(path.name for path in folder(config).glob("*.atom")) == ["economy.atom"]
    with pytest.raises(NotFoundError, match="there is no feed nonsense; there are all, brief, economy"):
        publish(db, config, NOW, only=["all", "nonsense"])


def test_one_bad_article_costs_only_itself(db: Database, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """FR-X3."""
    store(db, Decision(new=(new(1), new(2, title="odd"))))
    rss = BUILDERS["rss"]

    def picky(spec: FeedSpec, feed_id: str, entries: list[Entry], *more: object) -> bytes:
        if any(entry.title == "odd" for entry in entries):
            raise ValueError("odd")
        return rss(spec, feed_id, entries)

    monkeypatch.setitem(BUILDERS, "rss", picky)
    report = publish(db, config, NOW, only=["all"])
    assert report.left_out == (Skipped("all: tag:example.org,2026:2", "ValueError: odd"),)
    assert items(config, "all.json") == ["Title 1"]


def test_a_feed_that_cannot_be_built_keeps_its_last_good_file(
    db: Database, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FR-X3: and the others are built."""
    publish(db, config, NOW)
    store(db, Decision(new=(new(1),)))
    good = (folder(config) / "all.atom").read_bytes()
    atom = BUILDERS["atom"]

    def broken(spec: FeedSpec, feed_id: str, entries: list[Entry], *more: object) -> bytes:
        if spec.slug == "all":
            raise RuntimeError("out of order")
        return atom(spec, feed_id, entries)

    monkeypatch.setitem(BUILDERS, "atom", broken)
    report = publish(db, config, LATER)
    assert report.failed == (Skipped("all", "RuntimeError: out of order"),)
    assert (folder(config) / "all.atom").read_bytes() == good
    assert items(config, "security.json") == ["Title 1"]


def test_a_folder_that_cannot_be_written_is_told_and_made_good_later(
    db: Database, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J19: the old feed stays, with its time; the next run writes what is missing, with the time it is there."""
    publish(db, config, NOW)
    store(db, Decision(new=(new(1),)))

    def full(*job: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, "_prepare", full)
    report = publish(db, config, LATER, only=["all"])
    assert report.failed == (Skipped("all", "OSError: [Errno 28] No space left on device"),)
    assert items(config, "all.json") == []
    monkeypatch.undo()
    publish(db, config, LATER + timedelta(hours=1), only=["all"])
    assert items(config, "all.json") == ["Title 1"]
    found = write.read(folder(config) / "all.json")
    assert found is not None
    assert found.modified_at == LATER + timedelta(hours=1)


def test_a_disk_that_fails_in_one_feed_costs_no_other(
    db: Database, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FR-X3, J19: those built with it are live, it keeps its last good files, and nothing is left lying about."""
    publish(db, config, NOW)
    store(db, Decision(new=(new(1),)))
    before = (folder(config) / "security.json").read_bytes()
    prepare = write._prepare

    def failing(target: Path, *job: Any) -> None:
        if target.name == "security.json.gz":
            raise OSError(5, "Input/output error")
        prepare(target, *job)

    monkeypatch.setattr(write, "_prepare", failing)
    report = publish(db, config, LATER)
    assert report.failed == (Skipped("security", "OSError: [Errno 5] Input/output error"),)
    assert (folder(config) / "security.json").read_bytes() == before
    assert items(config, "all.json") == items(config, "language-en.json") == ["Title 1"]
    assert not list(folder(config).glob(".*"))
    monkeypatch.undo()
    assert publish(db, config, LATER).built == ("security",)


def test_many_feeds_go_live_in_parts(db: Database, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for the disk is bounded, however many feeds there are."""
    store(db, Decision(new=(new(1),)))
    monkeypatch.setattr(run, "_AT_ONCE", 1)
    parts: list[int] = []
    put_all = feed_files.put_all

    def noted(conn: Connection, files: Sequence[feed_files.FeedFile]) -> None:
        parts.append(len(files))
        put_all(conn, files)

    monkeypatch.setattr(feed_files, "put_all", noted)
    assert publish(db, config, NOW).changed == tuple(NAMES)
    assert parts == [3] * 7 + [1]


def test_what_cannot_be_remembered_leaves_nothing_half_done(
    db: Database, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J18: the files of before stay, with the time that is known of them."""
    publish(db, config, NOW)
    store(db, Decision(new=(new(1),)))
    before = times(config)

    def full(conn: Connection, files: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(feed_files, "put_all", full)
    with pytest.raises(StoreError):
        publish(db, config, LATER)
    assert times(config) == before


def test_lost_files_come_back_with_their_tag_and_time(db: Database, config: Config) -> None:
    """FR-H2, FR-H4: who polls sees no change."""
    publish(db, config, NOW)
    before = times(config)
    for path in folder(config).glob("all.*"):
        path.unlink()
    (folder(config) / "brief.rss").write_bytes(b"edited by hand")
    (folder(config) / "economy.rss.gz").unlink()
    os.utime(folder(config) / "economy.atom")  # restored without its time
    report = publish(db, config, LATER)
    assert report.changed == ("all.rss", "all.atom", "all.json", "economy.rss", "economy.atom", "brief.rss")
    assert times(config) == before


def test_two_changes_at_one_moment_have_two_times(db: Database, config: Config) -> None:
    """FR-H4: Last-Modified, in whole seconds, never moves back and changes whenever the bytes do."""
    publish(db, config, NOW)
    store(db, Decision(new=(new(1),)))
    publish(db, config, NOW)
    store(db, Decision(new=(new(2),)))
    publish(db, config, NOW - timedelta(minutes=5))
    (file,) = [file for file in db.read(feed_files.listing) if file.name == "all.rss"]
    assert file.modified_at == NOW.replace(microsecond=0) + timedelta(seconds=2)


def test_a_clock_that_was_years_ahead_is_not_believed_for_ever(db: Database, config: Config) -> None:
    """FR-H4: the year 2041 must not stay."""
    publish(db, config, NOW + timedelta(days=5000))
    store(db, Decision(new=(new(1),)))
    publish(db, config, NOW)
    (file,) = [file for file in db.read(feed_files.listing) if file.name == "all.rss"]
    assert file.modified_at == NOW


def test_a_feed_keeps_its_id_when_everything_else_moves(db: Database, config: Config) -> None:
    """FR-X6: stored at the first build; neither a new domain nor a new slug changes it."""
    publish(db, config, NOW)
    first = {file.feed: file.feed_id for file in db.read(feed_files.listing)}
    moved = config.model_copy(
        update={
            "site": Site(title="New", url="https://new.example"),
            "feeds": (Feed(slug="short", former=("brief",), limit=2, window_days=0),),
        }
    )
    publish(db, moved, LATER)
    after = {file.feed: file.feed_id for file in db.read(feed_files.listing)}
    assert after["all"] == first["all"]
    assert after["short"] == first["brief"]
    assert first["brief"].encode() in (folder(config) / "short.atom").read_bytes()


def test_files_of_feeds_that_are_no_more_are_removed(db: Database, config: Config) -> None:
    """FR-H11: else they would be served for ever and never change. What is not ours stays."""
    publish(db, config, NOW)
    (folder(config) / "robots.txt").write_text("", encoding="utf-8")
    report = publish(db, config.model_copy(update={"feeds": ()}), LATER)
    assert report.removed == ("brief.atom", "brief.json", "brief.rss")
    assert not list(folder(config).glob("brief.*"))
    assert (folder(config) / "robots.txt").exists()
