"""Translations of each other are one story, in whatever order they arrive."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from publisher.model import Draft
from publisher.store import articles
from publisher.store.database import Connection, Database
from tests.store.make import apply, changed, draft, new, stored


def stories(conn: Connection) -> dict[str, str]:
    return {article.guid: article.story for article in articles.listing(conn, limit=1000)}


def test_an_article_alone_is_its_own_story(database: Database) -> None:
    """The guid of the original names the story."""
    stored(database, new(draft("a.md")))
    assert database.read(stories) == {"guid:a.md": "guid:a.md"}


@pytest.mark.parametrize("name", ["A", "en/a.md", "en/page.txt", "a"])
def test_an_original_is_named_by_guid_key_alias_or_slug(database: Database, name: str) -> None:
    """Whatever of these the translation states, before or after the original has come."""
    original = new(draft("en/a.md", guid="A", aliases=("en/page.txt",)))
    stored(database, new(draft("ru/1.md", translation_of=name)))
    assert database.read(stories) == {"guid:ru/1.md": "guid:ru/1.md"}
    stored(database, original)
    stored(database, new(draft("be/2.md", translation_of=name)))
    assert database.read(stories) == {"A": "A", "guid:ru/1.md": "A", "guid:be/2.md": "A"}
    found = database.read(lambda conn: articles.translations(conn, "A"))
    assert [article.guid for article in found] == ["A", "guid:be/2.md", "guid:ru/1.md"]


@pytest.mark.parametrize("order", ["".join(order) for order in permutations("abcd")])
def test_chains_lead_to_the_original_in_every_order_of_arrival(sqlite_database: Database, order: str) -> None:
    """A translation of a translation belongs to the story of the first."""
    names = {"a": None, "b": "a", "c": "b", "d": "c"}
    for slug in order:
        stored(sqlite_database, new(draft(f"{slug}.md", translation_of=names[slug])))
    assert set(sqlite_database.read(stories).values()) == {"guid:a.md"}


def test_a_key_of_another_source_is_no_name_but_a_slug_is_when_its_own_source_has_none(database: Database) -> None:
    """Paths are known to one source only; of two equal slugs the one next door counts."""
    stored(database, new(draft("x/a.md")), source="blog")
    stored(database, new(draft("1.md", translation_of="x/a.md")), new(draft("2.md", translation_of="a")))
    assert database.read(stories) == {
        "guid:x/a.md": "guid:x/a.md",
        "guid:1.md": "guid:1.md",
        "guid:2.md": "guid:x/a.md",
    }
    stored(database, new(draft("y/a.md")))
    assert database.read(stories)["guid:2.md"] == "guid:y/a.md"


def test_of_many_with_one_slug_the_original_is_meant(database: Database) -> None:
    """Translations often share the slug: the one that translates nothing is the original, not oneself."""
    stored(
        database,
        new(draft("be/a.md", translation_of="a")),
        new(draft("ru/a.md", translation_of="a")),
        new(draft("zz/a.md")),
    )
    assert set(database.read(stories).values()) == {"guid:zz/a.md"}


def test_naming_each_other_in_a_circle_is_one_story(database: Database) -> None:
    """Two files that name each other are translations; the least guid names the story, always."""
    stored(database, new(draft("b.md", translation_of="a")), new(draft("c.md", translation_of="b")))
    stored(database, new(draft("a.md", translation_of="b")))
    assert set(database.read(stories).values()) == {"guid:a.md"}


def test_a_renamed_original_keeps_its_translations(database: Database) -> None:
    """The path they name is gone, the story is not (A9); nor does an edit of the translation end it."""
    a, b = stored(database, new(draft("a.md")), new(draft("b.md", translation_of="a.md")))
    stored(database, changed(a, draft("moved.md", slug="moved"), change="moved"))
    stored(database, changed(b, draft("b.md", translation_of="a.md", title="New")))
    assert database.read(stories) == {"guid:a.md": "guid:a.md", "guid:b.md": "guid:a.md"}


def test_a_translation_that_says_otherwise_leaves_the_story(database: Database) -> None:
    """An edit may take the reference away or point it elsewhere; who follows comes along."""
    _, _, x = stored(database, new(draft("a.md")), new(draft("b.md")), new(draft("x.md", translation_of="a")))
    stored(database, new(draft("y.md", translation_of="x")))
    stored(database, changed(x, draft("x.md", translation_of="b")))
    assert database.read(stories) == {
        "guid:a.md": "guid:a.md",
        "guid:b.md": "guid:b.md",
        "guid:x.md": "guid:b.md",
        "guid:y.md": "guid:b.md",
    }
    stored(database, changed(x, draft("x.md")))
    assert database.read(stories)["guid:y.md"] == database.read(stories)["guid:x.md"] == "guid:x.md"
    stored(database, changed(x, draft("x.md", translation_of="nobody")))
    assert database.read(stories)["guid:x.md"] == "guid:x.md"


def test_an_original_that_turns_out_to_be_a_translation_takes_its_story_along(database: Database) -> None:
    """Even those that named it by a path it no longer has."""
    a, _ = stored(database, new(draft("a.md")), new(draft("b.md", translation_of="a.md")))
    stored(database, changed(a, draft("moved.md", slug="moved")))
    stored(database, new(draft("z.md")))
    stored(database, changed(a, draft("moved.md", slug="moved", translation_of="z")))
    assert set(database.read(stories).values()) == {"guid:z.md"}


slugs = st.sampled_from("abcdef")
families = st.dictionaries(slugs, st.none() | slugs, min_size=1)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(family=families, data=st.data())
def test_stories_do_not_depend_on_the_order_of_arrival(
    sqlite_database: Database, family: dict[str, str | None], data: st.DataObject
) -> None:
    """All at once, or one after the other in any order: the same stories."""
    drafts = [draft(f"{slug}.md", translation_of=name) for slug, name in family.items()]
    shuffled = data.draw(st.permutations(drafts))

    def outcome(conn: Connection, *collections: list[Draft]) -> dict[str, str]:
        savepoint = conn.begin_nested()
        for collection in collections:
            apply(conn, *(new(item) for item in collection))
        found = stories(conn)
        savepoint.rollback()
        return found

    def both(conn: Connection) -> tuple[dict[str, str], dict[str, str]]:
        return outcome(conn, drafts), outcome(conn, *([item] for item in shuffled))

    at_once, one_by_one = sqlite_database.write(both)
    assert at_once == one_by_one
