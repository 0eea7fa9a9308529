"""Archives: walking back from a feed finds every article, and what is closed stays as it is (RFC 5005)."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as some
from lxml import etree

from publisher.config import Config, Feed, Site, Web
from publisher.feeds import archives, folder, write
from publisher.feeds.authors import all_feeds
from publisher.feeds.months import bounds, month_of, open_until, prev_archive
from publisher.feeds.publishing import archive, publish
from publisher.feeds.routes import routes_of
from publisher.model import ArticleState, Author, ChangedArticle, Decision
from publisher.store import articles, feed_files, feed_months
from publisher.store.database import Connection, Database
from tests.feeds.test_publish import NOW, draft, new, store

ROOT = "https://news.example.org/feeds/"
FORMS = ("rss", "atom", "json")
DAY = timedelta(days=1)


def publication(home: Path) -> Config:
    """Feeds that show two articles, one, and fifty."""
    return Config(
        site=Site(title="The Example", url="https://example.org", languages=("en",)),
        feeds=(
            Feed(slug="brief", title="In brief", limit=2, window_days=0, content="summary"),
            Feed(slug="one", title="One", limit=1, window_days=0, categories=("security",)),
        ),
        web=Web(public_url="https://news.example.org", author_feeds=False),
        data_dir=home,
    )


@pytest.fixture
def db(sqlite_database: Database) -> Database:
    """The queries are tested on every database elsewhere."""
    return sqlite_database


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """That publication."""
    return publication(tmp_path)


def build(db: Database, config: Config, now: datetime = NOW, *, thorough: bool = False) -> list[str]:
    """Publish and archive to the end; return the archive documents that were written."""
    assert publish(db, config, now).failed == ()
    written, pending = list[str](), True
    while pending:
        report = archive(db, config, now, thorough=thorough)
        assert (report.failed, report.left_out) == ((), ())
        written += report.changed
        pending, thorough = report.pending, False
    return sorted(written)


@dataclass(slots=True)
class Document:
    """What a reader takes from one document."""

    ids: list[str]
    prev: str
    links: Mapping[str, str] = field(default_factory=dict)
    closed: bool = False


def document(path: Path) -> Document:
    body = path.read_bytes()
    if path.suffix == ".json":
        found = json.loads(body)
        return Document([item["id"] for item in found["items"]], found.get("next_url", ""))
    root = etree.fromstring(body)
    links = {link.get("rel", ""): link.get("href", "") for link in root.iter("{http://www.w3.org/2005/Atom}link")}
    entries = root.iter("item") if path.suffix == ".rss" else root.iter("{*}entry")
    ids = [entry.findtext("guid") or entry.findtext("{*}id") or "" for entry in entries]
    closed = root.find(".//{http://purl.org/syndication/history/1.0}archive") is not None
    return Document(ids, links.get("prev-archive", ""), links, closed)


def walk(config: Config, slug: str, form: str) -> set[str]:
    """Go back from a feed to its end; return the ids found, and fail where one document holds an article twice."""
    seen: set[str] = set()
    archived: list[str] = []
    address, visited = f"{ROOT}{slug}.{form}", list[str]()
    while address:
        assert address not in visited
        visited.append(address)
        found = document(folder(config) / address.removeprefix(ROOT))
        assert len(found.ids) == len(set(found.ids))
        if len(visited) > 1:
            archived += found.ids
        seen.update(found.ids)
        address = found.prev
    assert len(archived) == len(set(archived))  # archives are apart; only the feed itself may overlap them
    return seen


def visible(db: Database, **selection: tuple[str, ...]) -> set[str]:
    return {article.guid for article in db.read(lambda conn: articles.for_feed(conn, limit=1000, **selection))}


def closed(config: Config) -> dict[str, bytes]:
    found = (path for slug in ("brief", "one", "all") for path in (folder(config) / slug).glob("*.atom"))
    months = [path.with_suffix("") for path in found if document(path).closed]
    return {
        f"{base.parent.name}/{base.name}.{form}": base.with_name(f"{base.name}.{form}").read_bytes()
        for base in months
        for form in FORMS
    }


def chain(db: Database, slug: str) -> list[str]:
    return [month.month for month in db.read(lambda conn: feed_months.listing(conn, slug))]


def at(thirds: int) -> datetime:
    """A moment so many thirds of a day before now, so that days hold several articles; now is late in a month."""
    return NOW - thirds * DAY / 3


def changed(article_id: int, number: int, when: datetime, **changes: object) -> Decision:
    item = ChangedArticle(
        id=article_id,
        draft=draft(number, **changes),
        state=ArticleState.PUBLISHED,
        reason="",
        published_at=when,
        updated_at=NOW,
        change="edited",
    )
    return Decision(changed=(item,))


@dataclass(slots=True)
class Held:
    """An article of a run."""

    id: int
    number: int
    when: datetime
    withdrawn: bool = False
    edits: int = 0


days = some.integers(min_value=0, max_value=390)
step = some.one_of(
    some.tuples(some.just("add"), some.lists(days, min_size=1, max_size=3)),
    some.tuples(some.sampled_from(("edit", "withdraw", "release", "label")), some.integers(0, 6)),
    some.tuples(some.just("redate"), some.tuples(some.integers(0, 6), days)),
)


def do(db: Database, held: list[Held], what: str, how: object) -> set[str]:
    """Change the store; return the months that articles were changed in."""
    if what == "add" and isinstance(how, list):
        for back in how:
            number = len(held) + 1
            categories = ("security",) if number % 2 else ("economy",)
            # Of those it names one is here already, and one is still to come: no closed document may change by it.
            related = (f"{number - 1}.md", f"{number + 1}.md", f"{number + 4}.md")
            article = new(number, published_at=at(back), categories=categories, related=related)
            (made,) = store(db, Decision(new=(article,))).new
            held.append(Held(made, number, at(back)))
        return {month_of(at(back)) for back in how}
    which, back = how if isinstance(how, tuple) else (how, 0)
    assert isinstance(which, int)
    one = held[which % len(held)]
    touched = {month_of(one.when)}
    if what == "withdraw":
        db.write(lambda conn: articles.withdraw(conn, [one.id], reason="wrong", now=NOW))
        one.withdrawn = True
    elif what == "release":
        db.write(lambda conn: articles.release(conn, [one.id], NOW))
        one.withdrawn = False
    elif not one.withdrawn:
        one.edits += 1
        if what == "redate":
            one.when = at(back)
        categories = ("economy",) if what == "label" else ("security",)
        store(db, changed(one.id, one.number, one.when, title=f"Edited {one.edits}", categories=categories))
    return touched | {month_of(one.when)}


@settings(
    max_examples=1,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # a step takes a tenth of a second: too slow to shrink
)
@given(steps=some.lists(step, min_size=2, max_size=2))
# Months that were gaps; out of a month, into another, out of a feed.
@example(steps=[("add", [120]), ("redate", (5, 1)), ("redate", (0, 186)), ("label", 4)])
# A month that is empty for a while; likewise the newest, all at once.
@example(steps=[("withdraw", 5), ("release", 5), ("withdraw", 0), ("withdraw", 1), ("withdraw", 2)])
def test_walking_back_finds_every_article_once_and_what_is_closed_stays(
    steps: list[tuple[str, object]], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 3, point 5, §1.7, RFC 5005 §4: after any additions, edits, withdrawals, other dates; all formats."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # a crash of the machine is not what is tested here
    monkeypatch.setattr(archives, "BUDGET", 3)
    home = tmp_path_factory.mktemp("walk")
    config = publication(home)
    with Database.open("", data_dir=home) as db:
        held: list[Held] = []
        do(db, held, "add", [1, 2, 3, 4, 180, 181, 360])  # three months with gaps between them
        build(db, config)
        for what, how in steps:
            before, chains = closed(config), {slug: chain(db, slug) for slug in ("brief", "one", "all")}
            months = do(db, held, what, how)
            build(db, config)
            for form in FORMS:
                assert walk(config, "brief", form) == walk(config, "all", form) == visible(db)
                assert walk(config, "one", form) == visible(db, categories=("security",))
            after = closed(config)
            for name, body in before.items():
                slug, month = name[:-5].split("/")[0], name.split("/")[1][:7]
                if around(chains[slug], month) == around(chain(db, slug), month) and month not in months:
                    assert after[name] == body


def around(months: list[str], month: str) -> list[str]:
    at = months.index(month)
    return months[max(0, at - 1) : at + 2]


def test_documents_are_linked_and_the_open_month_is_not_called_closed(db: Database, config: Config) -> None:
    """§1.7, RFC 5005 §4: current, prev-archive, next-archive; no hub, no pace, no version of the program."""
    for number, days in enumerate((1, 2, 3, 40, 100), 1):
        store(db, Decision(new=(new(number, published_at=NOW - days * DAY),)))
    build(db, config)
    assert chain(db, "brief") == ["2026-08", "2026-10", "2026-11"]
    home = folder(config) / "brief"
    for form in ("rss", "atom"):
        newest, middle = document(home / f"2026-11.{form}"), document(home / f"2026-10.{form}")
        assert (newest.closed, middle.closed) == (False, True)
        assert "next-archive" not in newest.links
        assert {rel: middle.links.get(rel) for rel in ("self", "current", "prev-archive", "next-archive", "hub")} == {
            "self": f"{ROOT}brief/2026-10.{form}",
            "current": f"{ROOT}brief.{form}",
            "prev-archive": f"{ROOT}brief/2026-08.{form}",
            "next-archive": f"{ROOT}brief/2026-11.{form}",
            "hub": None,
        }
    rss = (home / "2026-10.rss").read_text(encoding="utf-8")
    assert [word in rss for word in ("<ttl>", "updatePeriod", "<generator>Publisher</generator>")] == [0, 0, 1]
    assert document(folder(config) / "brief.atom").prev == f"{ROOT}brief/2026-11.atom"
    assert document(folder(config) / "all.atom").prev == f"{ROOT}all/2026-10.atom"


def test_nothing_new_builds_nothing_and_lost_documents_come_back(db: Database, config: Config) -> None:
    """Issue 3, point 8: with the time that they had; a look at every file is taken only when asked for."""
    for number, back in enumerate((1, 40, 100), 1):
        store(db, Decision(new=(new(number, published_at=NOW - back * DAY),)))
    build(db, config)
    lost = folder(config) / "all" / "2026-10.rss"
    before = lost.stat().st_mtime_ns
    lost.unlink()
    (folder(config) / "one").mkdir(exist_ok=True)
    assert build(db, config, NOW + DAY) == []
    assert build(db, config, NOW + DAY, thorough=True) == [f"all/2026-10.{form}" for form in sorted(FORMS)]
    assert lost.stat().st_mtime_ns == before


def test_an_article_touches_its_month_alone(db: Database, config: Config) -> None:
    """Issue 3, point 8."""
    made = [store(db, Decision(new=(new(n, published_at=NOW - 31 * n * DAY),))).new[0] for n in range(1, 5)]
    build(db, config)
    store(db, changed(made[2], 3, NOW - 93 * DAY, title="Edited", content_hash="x", categories=("sport",)))
    months = {name.split("/")[1][:7] for name in build(db, config, NOW + DAY)}
    assert months == {"2026-08"}


def test_a_month_with_too_much_text_shows_summaries_and_leaves_nobody_out(
    db: Database, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FR-X9: never cut."""
    monkeypatch.setattr(archives, "MAX_BYTES", 30)
    for number in (1, 2, 3, 4):
        store(db, Decision(new=(new(number, published_at=NOW - (40 if number < 4 else 1) * DAY),)))
    build(db, config)
    found = json.loads((folder(config) / "all" / "2026-10.json").read_bytes())["items"]
    assert [(item.get("content_html"), item["content_text"]) for item in found] == [
        (None, f"Text {number}.") for number in (1, 2, 3)
    ]


def test_a_document_that_cannot_be_written_is_told_and_tried_again(
    db: Database, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J19: the feeds are live all the same."""
    store(db, Decision(new=(new(1), new(2, published_at=NOW - 40 * DAY))))
    publish(db, config, NOW)

    def full(files: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, "write_all", full)
    report = archive(db, config, NOW)
    assert (len(report.failed) > 0, report.changed, report.pending) == (True, (), False)
    monkeypatch.undo()
    assert "all/2026-10.atom" in build(db, config)


def told(left: Iterator[int]) -> bool:
    """Say once nothing is left that it is time to stop."""
    return next(left, None) is None


def test_an_archive_that_is_told_to_stop_leaves_the_rest_to_the_next_run(db: Database, config: Config) -> None:
    """A month of many articles takes longer than a service may take to stop; wherever it is told, nothing is lost."""
    store(db, Decision(new=tuple(new(number, published_at=NOW - 31 * number * DAY) for number in range(1, 4))))
    publish(db, config, NOW)
    lengths = []
    for calls in range(1000):
        left = iter(range(calls))
        report = archive(db, config, NOW, stopped=partial(told, left))
        assert report.failed == ()
        assert report.left_out == ()
        lengths.append(len(report.changed))
        if next(left, None) is not None:  # it was through before it was told
            break
    assert len(lengths) > 10
    assert lengths[0] == 0
    stopped = {path: path.read_bytes() for path in sorted(folder(config).glob("*/*"))}
    shutil.rmtree(folder(config))
    publish(db, config, NOW)
    archive(db, config, NOW, thorough=True)
    assert {path: path.read_bytes() for path in sorted(folder(config).glob("*/*"))} == stopped
    assert len(stopped) > 0


def test_the_first_run_of_an_archive_keeps_no_writer_waiting(
    db: Database, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P9: months are looked for before the writer is asked, and noted a few at a time; a kill in between loses none."""
    days = [NOW - 31 * number * DAY for number in range(12)]
    store(db, Decision(new=tuple(new(number, published_at=when) for number, when in enumerate(days, 1))))
    publish(db, config, NOW)
    monkeypatch.setattr(archives, "_MARKS", 12)
    noted, looked, inside = list[int](), list[bool](), [False]
    mark, months, write_ = feed_months.mark, articles.months, db.write

    def marking(conn: Connection, feed: str, some: Iterable[str]) -> None:
        noted[-1] += len(some := list(some))
        mark(conn, feed, some)

    def looking(*given: Any, **more: Any) -> dict[str, bool]:
        looked.append(inside[0])
        return months(*given, **more)

    def writing(work: Callable[[Connection], Any]) -> Any:
        inside[0] = True
        noted.append(0)
        if len(noted) == 3:
            raise KeyboardInterrupt
        try:
            return write_(work)
        finally:
            inside[0] = False

    monkeypatch.setattr(feed_months, "mark", marking)
    monkeypatch.setattr(articles, "months", looking)
    monkeypatch.setattr(db, "write", writing)
    with pytest.raises(KeyboardInterrupt):
        archive(db, config, NOW)
    inside[0] = False
    archive(db, config, NOW)
    assert looked
    assert not any(looked)
    # Those of a feed, and once more the one that is open.
    assert max(noted) <= 13
    assert sum(count > 0 for count in noted) == 4
    monkeypatch.undo()
    build(db, config)
    for spec in db.read(lambda conn: all_feeds(conn, config)):
        if spec.slug != "one":
            assert walk(config, spec.slug, "atom") == visible(db, languages=spec.selection.languages)


def test_archives_of_feeds_that_are_no_more_are_removed(db: Database, config: Config) -> None:
    """FR-H11."""
    store(db, Decision(new=(new(1), new(2, published_at=NOW - 40 * DAY))))
    build(db, config)
    assert (folder(config) / "brief").is_dir()
    build(db, config.model_copy(update={"feeds": ()}))
    assert not (folder(config) / "brief").exists()
    assert chain(db, "brief") == []


@pytest.mark.parametrize(
    ("month", "last"), [("2026-11", (2026, 12, 1)), ("2026-12", (2027, 1, 1)), ("0001-01", (1, 2, 1))]
)
def test_a_month_ends_where_the_next_begins(month: str, last: tuple[int, int, int]) -> None:
    start, end = bounds(month)
    assert (month_of(start), end) == (month, datetime(*last, tzinfo=UTC))
    assert open_until(month, None) == end
    assert open_until(month, start) == start + DAY
    assert open_until(month, end - timedelta(seconds=1)) == end


def test_a_feed_sends_its_readers_to_the_month_that_goes_on() -> None:
    """The open month's document is left out of the walk while the feed shows all of it."""
    november, october, august = (datetime(2026, month, 9, tzinfo=UTC) for month in (11, 10, 8))
    assert prev_archive([], []) == ""
    assert prev_archive([november], []) == ""
    assert prev_archive([november], [november, october]) == "2026-11"
    assert prev_archive([november], [october]) == "2026-10"
    assert prev_archive([november, october], [august]) == "2026-10"


def test_feeds_of_authors_have_archives_where_that_is_wanted(db: Database, config: Config) -> None:
    """Issue 3, points 3 and 5, §1.7: walking finds every article of the author; without the wish there are none."""

    def wanting(archives: bool) -> Config:
        changes = {"author_feeds": True, "author_archives": archives}
        return config.model_copy(update={"web": config.web.model_copy(update=changes)})

    # More than a feed shows, in several months.
    days = [NOW - number * DAY for number in range(1, 70)]
    made = [
        new(number, published_at=when, authors=(Author("Jane Doe" if number % 9 else "王"),))
        for number, when in enumerate(days, 1)
    ]
    store(db, Decision(new=tuple(made)))
    build(db, wanting(True))
    for form in FORMS:
        for slug, name in (("author-jane-doe", "Jane Doe"), ("author-3399a0e6", "王")):
            assert walk(config, slug, form) == visible(db, authors=(name,))
    assert (folder(config) / "author-jane-doe" / "2026-09.json.br").exists()
    build(db, wanting(False))
    assert not (folder(config) / "author-jane-doe").exists()
    assert document(folder(config) / "author-jane-doe.rss").prev == ""


def test_each_author_has_a_feed_at_an_address_that_stays(db: Database, config: Config) -> None:
    """Issue 3, point 3: minted once; without an article it is gone, with the next it is back with its id."""
    config = config.model_copy(update={"web": config.web.model_copy(update={"author_feeds": True})})

    def slugs() -> dict[str, str]:
        specs = db.read(lambda conn: all_feeds(conn, config))
        return {spec.slug: spec.title for spec in specs if spec.kind == "author"}

    (first,) = store(db, Decision(new=(new(1, authors=(Author("Jané Doe"),)),))).new
    publish(db, config, NOW)
    body = (folder(config) / "author-jane-doe.atom").read_bytes()
    store(
        db,
        Decision(
            new=(
                new(
                    2,
                    authors=(Author("Jane Doe"), Author("王")),
                ),
            )
        ),
    )
    publish(db, config, NOW)
    assert slugs() == {
        "author-jane-doe": "The Example: Jané Doe",
        "author-jane-doe-2": "The Example: Jane Doe",
        "author-3399a0e6": "The Example: 王",
    }
    assert (folder(config) / "author-jane-doe.atom").read_bytes() == body
    db.write(lambda conn: articles.withdraw(conn, [first], reason="wrong", now=NOW))
    assert "author-jane-doe.atom" in publish(db, config, NOW).removed
    assert "author-jane-doe" not in slugs()
    routes = routes_of(db.read(lambda conn: all_feeds(conn, config)), db.read(feed_files.slugs))
    assert "author-jane-doe" in routes.gone
    store(db, Decision(new=(new(3, authors=(Author("JANÉ DOE"),)),)))
    publish(db, config, NOW)
    again = (folder(config) / "author-jane-doe.atom").read_bytes()
    assert etree.fromstring(again).findtext("{*}id") == etree.fromstring(body).findtext("{*}id")
    assert not (folder(config) / "author-jane-doe").exists()
