"""What is made once and used again: it must never differ from what would be made now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from publisher.config import Config
from publisher.feeds import FORMATS, folder, stock
from publisher.feeds.around import Around
from publisher.feeds.documents import BUILDERS
from publisher.feeds.entry import Entry, entry_of
from publisher.feeds.kept import Kept
from publisher.feeds.pieces import Pieces
from publisher.feeds.publishing import publish
from publisher.feeds.shelf import Shelf
from publisher.feeds.spec import Format, feeds_of
from publisher.model import ArticleState, ChangedArticle, Decision, NewArticle, WithdrawnArticle
from publisher.store import articles
from publisher.store.articles import by_ids
from publisher.store.database import Connection, Database
from tests.feeds.conftest import RICH, make_config
from tests.feeds.test_publish import NOW, draft, new, store

HOUR = timedelta(hours=1)
CONFIG = make_config()
SPECS = feeds_of(CONFIG)


@pytest.fixture
def db(sqlite_database: Database) -> Database:
    """The queries are tested on every database elsewhere."""
    return sqlite_database


@pytest.fixture
def config(config: Config, tmp_path: Path) -> Config:
    """The publication of these tests, with a folder."""
    return config.model_copy(update={"data_dir": tmp_path})


@given(some.lists(some.tuples(some.sampled_from(["a", "b", "c", "d"]), some.integers(1, 12)), max_size=30))
def test_no_more_is_kept_than_was_said(puts: list[tuple[str, int]]) -> None:
    """Beside a plain list of what was put: the newest that fit, and each with its last value."""
    kept, model = Kept[str, int](20), dict[str, int]()
    for key, size in puts:
        kept.put(key, size, size)
        model.pop(key, None)
        model[key] = size
        while sum(model.values()) > 20:
            del model[next(iter(model))]
        assert len(kept) == len(model)
    assert {key: kept.get(key) for key in "abcd"} == {key: model.get(key) for key in "abcd"}


def test_what_was_used_last_stays_longest() -> None:
    kept = Kept[str, int](2)
    kept.put("a", 1, 1)
    kept.put("b", 2, 1)
    assert kept.get("a") == 1
    kept.put("c", 3, 1)
    assert (kept.get("a"), kept.get("b"), kept.get("c")) == (1, None, 3)
    kept.put("huge", 4, 3)
    assert (kept.get("huge"), len(kept)) == (None, 0)


def entries(slug: str) -> list[Entry]:
    spec = next(spec for spec in SPECS if spec.slug == slug)
    return [entry_of(article, spec, CONFIG) for article in RICH]


@pytest.mark.parametrize("form", FORMATS)
@given(
    plan=some.lists(some.tuples(some.sampled_from([0, 1, 6]), some.permutations(range(len(RICH))), some.integers(0, 6)))
)
def test_kept_pieces_give_the_bytes_that_all_at_once_give(form: Format, plan: list[tuple[int, list[int], int]]) -> None:
    """FR-X4: whatever was made before, for whatever feed, in whatever order."""
    kept: Pieces = Kept(100_000)
    for which, order, count in plan:
        spec = SPECS[which]
        made = [entry_of(RICH[number], spec, CONFIG) for number in order[:count]]
        around = Around(prev_archive=spec.archive_url("2017-04")) if count % 2 else Around()
        assert BUILDERS[form](spec, "urn:x", made, around, kept) == BUILDERS[form](spec, "urn:x", made, around)


@pytest.mark.parametrize("form", FORMATS)
def test_an_entry_is_written_once(form: Format) -> None:
    """Issue 3, point 8: what did not change is not made again."""
    kept: Pieces = Kept(1_000_000)
    made = entries("all")
    BUILDERS[form](SPECS[0], "urn:x", made[:5], Around(), kept)
    assert len(kept) == 5
    before = kept.get((form, "en", made[2]))
    BUILDERS[form](SPECS[0], "urn:x", made, Around(), kept)
    assert len(kept) == 6
    assert kept.get((form, "en", made[2])) is before
    edited = replace(made[2], title="Edited")
    BUILDERS[form](SPECS[0], "urn:x", [edited], Around(), kept)
    assert kept.get((form, "en", edited)) != before


class Reads:
    """A database that counts the articles read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ids: list[list[int]] = []

        def noted(conn: Connection, ids: Sequence[int]) -> object:
            self.ids.append(list(ids))
            return by_ids(conn, ids)

        monkeypatch.setattr(articles, "by_ids", noted)

    def take(self) -> list[list[int]]:
        taken, self.ids = self.ids, []
        return taken


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """What is read from the store."""
    return Reads(monkeypatch)


def test_only_what_is_new_is_read_and_every_file_is_as_if_all_were(
    db: Database, config: Config, tmp_path: Path, seen: Reads
) -> None:
    """Issue 3, point 8, FR-X4: new, edited, withdrawn, and another configuration."""
    shelf = Shelf(db, config)
    first = store(db, Decision(new=(new(1), new(2, language="ru"), new(3, categories=("economy",))))).new

    def same() -> None:
        publish(db, config, NOW, shelf=shelf)
        mine = seen.take()
        for name in {path.name for path in folder(config).iterdir()}:
            before[name] = (folder(config) / name).read_bytes()
        fresh = config.model_copy(update={"data_dir": tmp_path / "fresh"})
        publish(db, fresh, NOW + HOUR, only=[spec.slug for spec in feeds_of(fresh)])
        for path in folder(fresh).iterdir():
            assert path.read_bytes() == before[path.name], path.name
        seen.take()
        read.append(mine)

    before, read = dict[str, bytes](), list[list[list[int]]]()
    same()
    assert read.pop() == [list(first)]
    (second,) = store(db, Decision(new=(new(4, language="ru"),))).new
    same()
    assert read.pop() == [[second]]
    store(db, Decision(changed=(edited(first[0]),), withdrawn=(WithdrawnArticle(id=first[1], reason="gone"),)))
    same()
    assert read.pop() == [[first[0]]]


def edited(article_id: int) -> ChangedArticle:
    return ChangedArticle(
        id=article_id,
        draft=draft(1, title="Edited", content_hash="x"),
        state=ArticleState.PUBLISHED,
        reason="",
        published_at=NOW - timedelta(days=1),
        updated_at=NOW,
        change="edited",
    )


def test_what_cannot_be_shown_is_named_each_time_and_shown_when_it_is_mended(db: Database, config: Config) -> None:
    """FR-X3: nothing bad is kept."""
    shelf = Shelf(db, config)
    spec = feeds_of(config)[0]
    broken: NewArticle = new(1, title="T")
    store(db, Decision(new=(broken, new(2))))
    monkey = pytest.MonkeyPatch()

    def picky(article: object, *more: object) -> Entry:
        if getattr(article, "title", "") == "T":
            raise ValueError("odd")
        return entry_of(article, *more)  # type: ignore[arg-type]  # as it was called

    monkey.setattr(stock, "entry", picky)
    try:
        for _ in range(2):
            report = publish(db, config, NOW, only=[spec.slug], shelf=shelf)
            assert [skipped.path for skipped in report.left_out] == ["all: tag:example.org,2026:1"]
    finally:
        monkey.undo()
    assert publish(db, config, NOW, only=[spec.slug], shelf=shelf).left_out == ()
    assert b"tag:example.org,2026:1" in (folder(config) / "all.atom").read_bytes()
