"""Only what changed is built, and everything that changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from publisher.config import Config, Selection
from publisher.feeds import folder
from publisher.feeds.incremental import takes
from publisher.feeds.publishing import publish
from publisher.model import ArticleState, Author, ChangedArticle, Decision, NewArticle, WithdrawnArticle
from publisher.store import articles, feed_states, tables
from publisher.store.database import Database
from tests.feeds.test_publish import NOW, draft, items, new, store

HOUR = timedelta(hours=1)


@pytest.fixture
def db(sqlite_database: Database) -> Database:
    """One database is enough: the queries are tested on every one elsewhere."""
    return sqlite_database


@pytest.fixture
def config(config: Config, tmp_path: Path) -> Config:
    """The publication of these tests, with a folder."""
    return config.model_copy(update={"data_dir": tmp_path})


def edited(article_id: int, number: int, **changes: object) -> Decision:
    item = ChangedArticle(
        id=article_id,
        draft=draft(number, **changes),
        state=ArticleState.PUBLISHED,
        reason="",
        published_at=NOW - timedelta(days=number),
        updated_at=NOW,
        change="edited",
    )
    return Decision(changed=(item,))


def built(db: Database, config: Config, now: datetime = NOW) -> tuple[str, ...]:
    return publish(db, config, now).built


def test_nothing_is_built_when_nothing_changed(db: Database, config: Config) -> None:
    """Issue 3, point 8; what decides is stored, so a restart changes nothing."""
    store(db, Decision(new=(new(1),)))
    assert len(built(db, config)) == 7
    assert built(db, config, NOW + HOUR) == ()


def test_only_feeds_that_hold_the_article_are_built(db: Database, config: Config) -> None:
    """Issue 3, point 8: new, edited, withdrawn and restored."""
    built(db, config)
    (one,) = store(db, Decision(new=(new(1),))).new
    holding = ("all", "security", "language-en")
    assert built(db, config) == holding
    store(db, edited(one, 1, title="Edited", content_hash="x"))
    assert built(db, config) == holding
    db.write(lambda conn: articles.withdraw(conn, [one], reason="wrong", now=NOW))
    assert built(db, config) == holding
    assert items(config, "all.json") == []
    db.write(lambda conn: articles.release(conn, [one], NOW))
    assert built(db, config) == holding
    assert items(config, "security.json") == ["Edited"]


def test_what_an_article_left_is_built_too(db: Database, config: Config) -> None:
    """Issue 3, point 8: nothing shows any more that the article was there."""
    (one,) = store(db, Decision(new=(new(1),))).new
    built(db, config)
    store(db, edited(one, 1, categories=("economy",), language="ru"))
    assert {"security", "economy", "language-en", "language-ru"} <= set(built(db, config))
    assert (items(config, "security.json"), items(config, "economy.json")) == ([], ["Title 1"])
    assert built(db, config) == ()


def test_a_held_article_comes_when_its_time_does(db: Database, config: Config) -> None:
    """FR-X8."""
    held = replace(new(1, published_at=NOW + HOUR), state=ArticleState.HELD)
    store(db, Decision(new=(held,)))
    built(db, config)
    assert built(db, config) == ()
    db.write(lambda conn: articles.release_due(conn, NOW + HOUR))
    assert built(db, config, NOW + HOUR) == ("all", "security", "language-en")


def test_a_withdrawal_by_the_source_is_followed(db: Database, config: Config) -> None:
    """L11."""
    (one,) = store(db, Decision(new=(new(1),))).new
    built(db, config)
    store(db, Decision(withdrawn=(WithdrawnArticle(id=one, reason="gone"),)))
    built(db, config)
    assert items(config, "all.json") == []


def test_a_build_that_was_interrupted_is_done_by_the_next_run(
    db: Database, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J18: killed after the files and before the note that they are there, or before the files."""
    built(db, config)
    store(db, Decision(new=(new(1),)))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(feed_states, "put", killed)
    with pytest.raises(KeyboardInterrupt):
        publish(db, config, NOW)
    monkeypatch.undo()
    report = publish(db, config, NOW + HOUR)
    assert (report.built, report.changed) == (("all", "security", "language-en"), ())


def test_other_settings_build_their_feeds(db: Database, config: Config) -> None:
    """A title of the publication is in every feed, that of a feed in one."""
    built(db, config)
    (brief,) = config.feeds
    other = config.model_copy(update={"feeds": (brief.model_copy(update={"limit": 3}),)})
    assert built(db, other) == ("brief",)
    renamed = other.model_copy(update={"site": other.site.model_copy(update={"description": {"en": "Other"}})})
    assert len(built(db, renamed)) == 7


def test_a_lost_file_is_noticed(db: Database, config: Config) -> None:
    """By its times alone: no file is read to find out that nothing happened."""
    built(db, config)
    (folder(config) / "economy.atom.br").unlink()
    assert built(db, config) == ("economy",)


def test_many_changes_are_not_looked_at_one_by_one(
    db: Database, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import builds every feed once."""
    monkeypatch.setattr("publisher.feeds.incremental.MANY", 3)
    built(db, config)
    store(db, Decision(new=tuple(new(number) for number in range(1, 5))))
    assert len(built(db, config)) == 7
    assert built(db, config) == ()


LANGUAGES = ("en", "ru", "ru-BY", "RU-by", "rus")
PEOPLE = ("Anna", "ANNA", "Łukasz", "łukasz")


def _some(values: tuple[str, ...]) -> some.SearchStrategy[tuple[str, ...]]:
    return some.lists(some.sampled_from(values), max_size=2, unique=True).map(tuple)


@pytest.fixture
def stock(db: Database) -> Database:
    """Articles of every kind."""
    made: list[NewArticle] = []
    for number, language in enumerate(LANGUAGES * 4, 1):
        authors = tuple(Author(name) for name in PEOPLE[number % 5 : number % 5 + 1])
        categories = (("security",), ("economy",), ("security", "economy"))[number % 3]
        made.append(new(number, language=language, authors=authors, categories=categories))
    store(db, Decision(new=tuple(made)))
    return db


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    selection=some.builds(
        Selection,
        categories=_some(("security", "economy", "sport")),
        languages=_some(("en", "ru", "ru-by")),
        authors=_some(PEOPLE),
        sources=_some(("news", "other")),
    )
)
def test_a_selection_takes_what_the_store_would_give_it(stock: Database, selection: Selection) -> None:
    """Else an article would change and its feed would not."""
    found = stock.read(
        lambda conn: articles.for_feed(
            conn,
            categories=selection.categories,
            languages=selection.languages,
            authors=selection.authors,
            sources=selection.sources,
            limit=100,
        )
    )
    touched = stock.read(lambda conn: feed_states.touched(conn, 0, limit=100))
    assert touched is not None
    ids = stock.read(lambda conn: conn.scalars(sa.select(tables.articles.c.id).order_by(tables.articles.c.id)).all())
    assert {article.id for article in found} == {
        number for number, one in zip(ids, touched, strict=True) if takes(selection, one)
    }
