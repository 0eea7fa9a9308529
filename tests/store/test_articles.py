"""Articles are stored whole, numbered in the order they become visible, and found as feeds and issues ask for them."""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from publisher.model import (
    Article,
    ArticleState,
    Author,
    Collected,
    Draft,
    Enclosure,
    Image,
    Origin,
    Skipped,
    SourceRecord,
    Status,
    WithdrawnArticle,
)
from publisher.store import articles
from publisher.store.article_values import ref_of
from publisher.store.database import Connection, Database
from tests.store.make import DAY, HOUR, NOW, apply, changed, draft, new, stored

FULL = draft(
    "2026/лес.md",
    title="Лес и ٱلسَّلَامُ 👩‍👩‍👧",
    url="https://example.org/forest",
    authors=(Author("Ada Żuk", "ada@example.org"), Author("Иван", url="https://example.org/ivan")),
    categories=("nature", "politics"),
    labels=("Trees", "дрэвы"),
    status=Status.WORSENED,
    image=Image("https://example.org/a.jpg", "A tree", 640, 480, "Ada"),
    credit="Ada",
    enclosures=(Enclosure("https://example.org/a.mp3", "audio/mpeg", 10, "Listen"),),
    origin=Origin(
        "Ліс & Co.",
        "https://forest.example/",
        feed_url="https://forest.example/feed",
        id="tag:forest.example,2020:feed",
        updated_at=datetime(2026, 2, 28, 23, 59, 59, 123456, tzinfo=UTC),
    ),
    license="https://license.example/x",
    discussion="https://forum.example/1",
)


def all_articles(database: Database) -> list[Article]:
    return database.read(lambda conn: articles.listing(conn, limit=1000))


def guids(found: list[Article]) -> list[str]:
    return [article.guid for article in found]


def one(database: Database, guid: str) -> Article:
    found = database.read(lambda conn: articles.get(conn, guid=guid))
    assert found is not None
    return found


# What goes in comes out.


def test_an_article_comes_back_as_it_was_given(database: Database) -> None:
    """Every field of a draft survives, in any script."""
    [article_id] = stored(database, new(FULL, guid="g", published_at=NOW - HOUR, reason="why"))
    expected = Article(
        id=article_id,
        guid="g",
        ref=ref_of("g"),
        source="news",
        title=FULL.title,
        html=FULL.html,
        summary=FULL.summary,
        slug=FULL.slug,
        language="en",
        url=FULL.url,
        published_at=NOW - HOUR,
        updated_at=NOW - HOUR,
        authors=FULL.authors,
        categories=FULL.categories,
        labels=FULL.labels,
        status=Status.WORSENED,
        image=FULL.image,
        credit="Ada",
        enclosures=FULL.enclosures,
        origin=FULL.origin,
        license=FULL.license,
        discussion=FULL.discussion,
        story="g",
        related=(),
        state=ArticleState.PUBLISHED,
        state_reason="why",
        seq=1,
        content_hash=FULL.content_hash,
    )
    found = database.read(
        lambda conn: [
            articles.get(conn, id=article_id),
            articles.get(conn, ref=ref_of("g")),
            articles.get(conn, guid="g"),
            articles.get(conn, guid="unknown"),
        ]
    )
    assert found == [expected, expected, expected, None]


words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
times = st.datetimes(timezones=st.just(UTC))
authors = st.builds(Author, words, st.none() | words, st.none() | words)
images = st.builds(Image, words, words, st.none() | st.integers(0, 9999), st.none(), st.none() | words)
drafts = st.builds(
    Draft,
    key=words,
    aliases=st.lists(words, max_size=3).map(tuple),
    path=words,
    guid=st.none(),
    title=words,
    html=words,
    summary=words,
    slug=words,
    language=st.text(string.ascii_letters, max_size=4),
    url=st.none() | words,
    authors=st.lists(authors, max_size=2).map(tuple),
    categories=st.lists(words, max_size=3, unique=True).map(tuple),
    labels=st.lists(words, max_size=3).map(tuple),
    status=st.none() | st.sampled_from(Status),
    image=st.none() | images,
    credit=st.none() | words,
    enclosures=st.lists(
        st.builds(Enclosure, words, words, st.none() | st.integers(0, 2**62), st.none()), max_size=2
    ).map(tuple),
    origin=st.none() | st.builds(Origin, words, words, st.none() | words, st.none() | words, st.none() | times),
    license=st.none() | words,
    discussion=st.none() | words,
    translation_of=st.none() | words,
    related=st.lists(words, max_size=2).map(tuple),
    content_hash=words,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(item=drafts, guid=words, published_at=times)
def test_any_text_and_any_time_survive(database: Database, item: Draft, guid: str, published_at: datetime) -> None:
    """Unicode without NUL, and every moment Python knows, come back as they went in."""
    decided = new(replace(item, guid=None), guid=f"g{guid}", published_at=published_at)

    found: list[Article] = []

    def work(conn: Connection) -> None:
        [article_id] = apply(conn, decided).new
        article = articles.get(conn, id=article_id)
        assert article
        found.append(article)
        raise KeyError  # the next example starts from nothing

    with pytest.raises(KeyError):
        database.write(work)
    same = {field.name for field in fields(Draft)} & {field.name for field in fields(Article)} - {
        "related",
        "updated_at",
    }
    want = {name: getattr(item, name) for name in same} | {"published_at": published_at, "guid": f"g{guid}"}
    assert {name: getattr(found[0], name) for name in same | {"published_at", "guid"}} == want


def test_times_without_a_zone_are_refused(database: Database) -> None:
    """A naive datetime is a mistake of the caller, not a time."""
    naive = datetime(2026, 11, 23, 7)  # noqa: DTZ001 - that is the point
    with pytest.raises(Exception, match="naive datetime"):
        stored(database, new(draft("a.md"), published_at=naive))
    with pytest.raises(Exception, match="naive datetime"):
        database.write(lambda conn: articles.release_due(conn, naive))
    assert all_articles(database) == []


def test_times_in_other_zones_are_the_same_moment(database: Database) -> None:
    """What goes in as Minsk time comes back as UTC and sorts as UTC."""
    from zoneinfo import ZoneInfo

    stored(
        database,
        new(draft("a.md"), published_at=datetime(2026, 11, 23, 9, 30, tzinfo=ZoneInfo("Europe/Minsk"))),
        new(draft("b.md"), published_at=NOW),
    )
    assert [(a.guid, a.published_at.isoformat()) for a in all_articles(database)] == [
        ("guid:b.md", "2026-11-23T07:00:00+00:00"),
        ("guid:a.md", "2026-11-23T06:30:00+00:00"),
    ]


def test_two_guids_with_the_same_short_ref_get_different_ones(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collision of 48 bits is rare, but one must not stop a collection for ever."""
    monkeypatch.setattr("publisher.store.ingestion.ref_of", lambda guid, attempt=0: f"{attempt:012x}")
    stored(database, new(draft("a.md")))
    stored(database, new(draft("b.md")), new(draft("c.md")))
    assert sorted(article.ref for article in all_articles(database)) == ["0" * 12, "0" * 11 + "1", "0" * 11 + "2"]


# Numbers.


def test_numbers_follow_the_date_within_a_collection_and_the_arrival_between_them(database: Database) -> None:
    """`seq` counts in order of ingestion; articles that came together count by (published_at, guid)."""
    stored(
        database,
        new(draft("1.md"), published_at=NOW),
        new(draft("b.md"), published_at=NOW - DAY),
        new(draft("a.md"), published_at=NOW - DAY),
    )
    stored(database, new(draft("old.md"), published_at=NOW - 9 * DAY))
    assert {article.guid: article.seq for article in all_articles(database)} == {
        "guid:a.md": 1,
        "guid:b.md": 2,
        "guid:1.md": 3,
        "guid:old.md": 4,
    }
    assert database.read(articles.current_seq) == 4


def test_only_visible_articles_are_numbered(database: Database) -> None:
    """Held and quarantined articles get their number when they come out, after what was published meanwhile."""
    held, kept, *_ = stored(
        database,
        new(draft("held.md"), state=ArticleState.HELD, published_at=NOW + DAY),
        new(draft("kept.md"), state=ArticleState.QUARANTINED),
        new(draft("base.md"), state=ArticleState.BASELINE),
    )
    stored(database, new(draft("next.md")))
    assert database.write(lambda conn: articles.release_due(conn, NOW)) == []
    assert database.write(lambda conn: articles.release(conn, [kept], NOW)) == [kept]
    assert database.write(lambda conn: articles.release_due(conn, NOW + DAY)) == [held]
    assert {article.guid: (article.seq, article.state) for article in all_articles(database)} == {
        "guid:base.md": (1, ArticleState.BASELINE),
        "guid:next.md": (2, ArticleState.PUBLISHED),
        "guid:kept.md": (3, ArticleState.PUBLISHED),
        "guid:held.md": (4, ArticleState.PUBLISHED),
    }


def test_what_apply_returns_names_every_change(database: Database) -> None:
    """Ids come in the order of the decision, with the number of articles that became visible."""
    first = database.write(lambda conn: apply(conn, new(draft("b.md")), new(draft("a.md"))))
    assert first == articles.Applied(new=first.new, changed=(), withdrawn=(), numbered=2, seq=2)
    b, a = first.new
    second = database.write(
        lambda conn: apply(
            conn,
            changed(a, draft("a.md", title="New")),
            WithdrawnArticle(id=b, reason="gone"),
            new(draft("c.md"), state=ArticleState.QUARANTINED),
        )
    )
    assert second == articles.Applied(new=second.new, changed=(a,), withdrawn=(b,), numbered=0, seq=2)


def test_ten_thousand_articles_are_stored_at_once(sqlite_database: Database) -> None:
    """A first collection may bring a whole archive; half of it are translations of the other half."""
    items = [
        new(
            draft(f"{n}.md", translation_of=f"{n - 1}.md" if n % 2 else None, related=(f"{n + 1}.md",)),
            published_at=NOW - timedelta(hours=n),
        )
        for n in range(10_000)
    ]
    ids = stored(sqlite_database, *items)
    assert len(set(ids)) == 10_000
    newest = sqlite_database.read(lambda conn: articles.for_feed(conn, limit=2))
    assert [(a.guid, a.seq, a.story, a.related) for a in newest] == [
        ("guid:0.md", 10_000, "guid:0.md", ("guid:1.md",)),
        ("guid:1.md", 9_999, "guid:0.md", ("guid:2.md",)),
    ]


# Changes.


def test_an_edited_article_keeps_guid_ref_and_number(database: Database) -> None:
    """An edit changes what the draft says and nothing else (L10)."""
    [article_id] = stored(database, new(draft("a.md", categories=("x",), authors=(Author("A"),))))
    before = one(database, "guid:a.md")
    edited = draft("moved/a.md", title="Other", categories=("y", "z"), authors=(Author("B"),), language="ru")
    stored(database, changed(article_id, edited, updated_at=NOW + HOUR, change="edited"))
    assert one(database, "guid:a.md") == replace(
        before,
        title="Other",
        categories=("y", "z"),
        authors=(Author("B"),),
        language="ru",
        updated_at=NOW + HOUR,
        content_hash=edited.content_hash,
    )


def test_a_withdrawn_article_remembers_what_it_was(database: Database) -> None:
    """A source's withdrawal can be undone by the source, with the old number (A10)."""
    [article_id] = stored(database, new(draft("a.md"), state=ArticleState.BASELINE))
    stored(database, WithdrawnArticle(id=article_id, reason="its file is gone"))
    [known] = database.read(lambda conn: articles.known(conn, "news", [draft("a.md")]))
    assert (known.state, known.state_before, known.withdrawn_by, known.has_seq, known.state_reason) == (
        ArticleState.WITHDRAWN,
        ArticleState.BASELINE,
        "source",
        True,
        "its file is gone",
    )
    assert database.read(lambda conn: articles.for_feed(conn)) == []
    stored(database, changed(article_id, draft("a.md"), state=ArticleState.BASELINE, change="restored"))
    [known] = database.read(lambda conn: articles.known(conn, "news", [draft("a.md")]))
    assert (known.state, known.state_before, known.withdrawn_by) == (ArticleState.BASELINE, None, None)
    assert one(database, "guid:a.md").seq == 1
    assert database.read(articles.current_seq) == 1


def test_what_an_operator_withdrew_stays_withdrawn_through_an_edit(database: Database) -> None:
    """L11: a source that fetches it again does not bring it back."""
    [article_id] = stored(database, new(draft("a.md")))
    withdrawn = database.write(lambda conn: articles.withdraw(conn, [article_id, 99], reason="libel", now=NOW))
    assert withdrawn == [article_id]
    stored(database, changed(article_id, draft("a.md", title="New"), state=ArticleState.WITHDRAWN))
    [known] = database.read(lambda conn: articles.known(conn, "news", [draft("a.md")]))
    assert (known.title, known.state, known.state_before, known.withdrawn_by) == (
        "New",
        ArticleState.WITHDRAWN,
        ArticleState.PUBLISHED,
        "operator",
    )


def test_an_operator_takes_over_the_withdrawal_of_a_source(database: Database) -> None:
    """Withdrawing what its source took away already makes it final."""
    [article_id] = stored(database, new(draft("a.md")))
    stored(database, WithdrawnArticle(id=article_id, reason="gone"))
    assert database.write(lambda conn: articles.withdraw(conn, [article_id], reason="libel", now=NOW)) == []
    [known] = database.read(lambda conn: articles.known(conn, "news", [draft("a.md")]))
    assert (known.withdrawn_by, known.state_before, known.state_reason) == ("operator", ArticleState.PUBLISHED, "libel")


@pytest.mark.parametrize(
    ("before", "released"),
    [
        (ArticleState.PUBLISHED, ArticleState.PUBLISHED),
        (ArticleState.BASELINE, ArticleState.BASELINE),
        (ArticleState.QUARANTINED, ArticleState.PUBLISHED),
    ],
)
def test_releasing_undoes_an_operators_withdrawal(
    database: Database, before: ArticleState, released: ArticleState
) -> None:
    """What was in feeds is there again; what waited for the operator has now been let out."""
    [article_id] = stored(database, new(draft("a.md"), state=before))
    database.write(lambda conn: articles.withdraw(conn, [article_id], reason="error", now=NOW))
    assert database.write(lambda conn: articles.release(conn, [article_id], NOW)) == [article_id]
    assert one(database, "guid:a.md").state is released


def test_release_leaves_alone_what_nobody_holds_back(database: Database) -> None:
    """Published articles and those that their source withdrew are not the operator's to release."""
    a, b, later = stored(
        database,
        new(draft("a.md")),
        new(draft("b.md")),
        new(draft("later.md"), state=ArticleState.QUARANTINED, published_at=NOW + DAY),
    )
    stored(database, WithdrawnArticle(id=b, reason="gone"))
    assert database.write(lambda conn: articles.release(conn, [a, b, later], NOW)) == [later]
    assert one(database, "guid:later.md").state is ArticleState.HELD


def test_release_into_feeds_only(database: Database) -> None:
    """An operator may let a flood into feeds without mailing it (B22)."""
    [article_id] = stored(database, new(draft("a.md"), state=ArticleState.QUARANTINED))
    database.write(lambda conn: articles.release(conn, [article_id], NOW, state=ArticleState.BASELINE))
    assert database.read(lambda conn: articles.window(conn, after_seq=0, to_seq=9)) == []
    assert guids(database.read(lambda conn: articles.for_feed(conn))) == ["guid:a.md"]


# What is known.


def test_articles_are_known_by_guid_key_alias_and_content(database: Database) -> None:
    """Guids count in every source, keys and contents in their own."""
    a, b, c, d, e = stored(
        database,
        new(draft("a.md", guid="A")),
        new(draft("b.md", aliases=("old.md",))),
        new(draft("c.md", content_hash="same")),
        new(draft("d.md")),
        new(draft("e.md")),
    )
    [other] = stored(database, new(draft("b.md", guid="B", content_hash="same")), source="blog")

    def ids(*items: Draft, **options: Any) -> list[int]:
        return [known.id for known in database.read(lambda conn: articles.known(conn, "news", items, **options))]

    assert ids(draft("z.md", guid="A")) == [a]
    assert ids(draft("z.md", guid="B")) == [other]
    assert ids(draft("old.md")) == [b]
    assert ids(draft("z.md", aliases=("b.md",))) == [b]
    assert ids(draft("z.md", content_hash="same")) == [c]
    assert ids(gone=["d.md"]) == [d]
    assert ids(guids=["guid:e.md"]) == [e]
    assert ids(draft("z.md", content_hash="")) == []
    [known] = database.read(lambda conn: articles.known(conn, "news", [draft("b.md")]))
    assert (known.keys, known.source, known.guid) == (("b.md", "old.md"), "news", "guid:b.md")


def test_keys_follow_the_article_that_has_them_now(database: Database) -> None:
    """A file's own key goes to the article in it; an alias never takes another's key away."""
    a, b = stored(database, new(draft("a.md", aliases=("page.txt",))), new(draft("b.md", aliases=("page.txt", "x"))))

    def keys() -> dict[int, tuple[str, ...]]:
        names = ["a.md", "b.md", "c.md", "page.txt", "x"]
        return {known.id: known.keys for known in database.read(lambda conn: articles.known(conn, "news", [], names))}

    assert keys() == {a: ("a.md", "page.txt"), b: ("b.md", "x")}
    stored(database, changed(b, draft("a.md", aliases=("b.md",))), changed(a, draft("c.md", aliases=("a.md",))))
    assert keys() == {a: ("c.md",), b: ("a.md", "b.md")}
    stored(database, changed(b, draft("d.md", aliases=("c.md",))))
    assert keys() == {a: ("c.md",)}


def test_an_article_that_moves_to_another_source_takes_its_keys_along(database: Database) -> None:
    """A source can be exchanged: what the old one no longer holds is not withdrawn from the new one."""
    [a] = stored(database, new(draft("a.md", guid="A")))
    stored(database, changed(a, draft("1", guid="A")), source="wordpress")
    assert database.read(lambda conn: articles.known(conn, "news", [], ["a.md"])) == []
    assert one(database, "A").source == "wordpress"


# The source's row.


def test_a_source_is_remembered_with_its_articles(database: Database) -> None:
    """State, skipped files and counts are those of the last collection; what is usual is kept for 30 days."""
    assert database.read(lambda conn: articles.record(conn, "news")) is None
    skipped = (Skipped("bad.md", "no title"), Skipped("draft.md", "a draft", "draft"))
    broken_name = "caf\udce9.md"  # as Python reads the name of a file that is not UTF-8 (A5)
    collected = Collected(drafts=(), state={"files": {broken_name: [1, 2.5]}, "я": None}, skipped=skipped)
    stored(database, new(draft("a.md")), collected=collected, refused=(Skipped(broken_name, "twice"),))
    record = database.read(lambda conn: articles.record(conn, "news"))
    assert record == SourceRecord(
        name="news",
        kind="folder",
        state=collected.state,
        skipped=(*skipped, Skipped(broken_name, "twice")),
        alarm=None,
        recent_new=(),
        first_collected_at=NOW,
        last_collected_at=NOW,
        last_success_at=NOW,
    )
    quiet = new(draft("d.md"), state=ArticleState.BASELINE), new(draft("e.md"), state=ArticleState.QUARANTINED)
    stored(database, new(draft("b.md")), new(draft("c.md")), *quiet, now=NOW + DAY)
    stored(database, now=NOW + 2 * DAY)
    stored(database, new(draft("f.md")), now=NOW + 31 * DAY)
    record = database.read(lambda conn: articles.record(conn, "news"))
    assert record
    assert record.recent_new == ((NOW + 31 * DAY, 1),)
    assert (record.first_collected_at, record.last_success_at) == (NOW, NOW + 31 * DAY)


def test_a_collection_under_alarm_is_no_success(database: Database) -> None:
    """A12: the operator sees since when the source has not been all right."""
    stored(database, new(draft("a.md")))
    stored(database, now=NOW + DAY, alarm="empty")
    database.write(lambda conn: articles.failed(conn, "other", "pages", "no such folder", NOW))
    database.write(lambda conn: articles.failed(conn, "news", "folder", "not mounted", NOW + 2 * DAY))
    news, other = database.read(lambda conn: [articles.record(conn, name) for name in ("news", "other")])
    assert news
    assert (news.alarm, news.last_collected_at, news.last_success_at) == ("not mounted", NOW + 2 * DAY, NOW)
    assert other == SourceRecord(
        name="other",
        kind="pages",
        state={},
        skipped=(),
        alarm="no such folder",
        recent_new=(),
        first_collected_at=None,
        last_collected_at=NOW,
        last_success_at=None,
    )


def test_summaries_tell_how_each_source_is_doing(database: Database) -> None:
    """`sources list`: as many skipped files as there are problems; drafts are no problem."""
    skipped = (Skipped("bad.md", "no title"), Skipped("draft.md", "a draft", "draft"))
    a, _ = stored(
        database, new(draft("a.md")), new(draft("b.md")), collected=Collected(drafts=(), skipped=skipped), source="z"
    )
    stored(database, WithdrawnArticle(id=a, reason="gone"), collected=Collected(drafts=(), skipped=skipped), source="z")
    database.write(lambda conn: articles.failed(conn, "a", "pages", "unreadable", NOW))
    assert database.read(articles.source_summaries) == [
        articles.SourceSummary(
            name="a",
            kind="pages",
            articles=0,
            skipped=0,
            drafts=0,
            last_collected_at=NOW,
            last_success_at=None,
            alarm="unreadable",
            problems=(),
        ),
        articles.SourceSummary(
            name="z",
            kind="folder",
            articles=1,
            skipped=1,
            drafts=1,
            last_collected_at=NOW,
            last_success_at=NOW,
            alarm=None,
            problems=(Skipped("bad.md", "no title"),),
        ),
    ]


def test_a_failure_in_the_middle_leaves_nothing(database: Database) -> None:
    """Articles and the source's memory are stored together or not at all (J1)."""

    def work(conn: Connection) -> None:
        apply(conn, new(draft("a.md")), collected=Collected(drafts=(), state={"seen": 1}))
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        database.write(work)
    left = database.read(
        lambda conn: (articles.listing(conn), articles.record(conn, "news"), articles.current_seq(conn))
    )
    assert left == ([], None, 0)


# Questions.


def test_feeds_take_the_newest_visible_articles(database: Database) -> None:
    """By (published_at descending, guid), whatever order they came in; baseline is in, the rest is not."""
    stored(
        database,
        new(draft("c.md"), published_at=NOW - DAY),
        new(draft("b.md"), state=ArticleState.BASELINE),
        new(draft("a.md")),
        new(draft("A.md")),
        new(draft("q.md"), state=ArticleState.QUARANTINED),
        new(draft("h.md"), state=ArticleState.HELD, published_at=NOW + DAY),
    )
    found = database.read(lambda conn: articles.for_feed(conn, limit=10))
    assert guids(found) == ["guid:A.md", "guid:a.md", "guid:b.md", "guid:c.md"]
    assert guids(database.read(lambda conn: articles.for_feed(conn, limit=1))) == ["guid:A.md"]


def in_window(conn: Connection, **filters: Any) -> list[Article]:
    return articles.window(conn, after_seq=0, to_seq=99, **filters)


@pytest.mark.parametrize("question", [articles.for_feed, in_window])
def test_feeds_and_issues_select_by_category_language_author_and_source(
    database: Database, question: Callable[..., list[Article]]
) -> None:
    """Any value of a list, every list; authors in any case and script, a language with its regions."""
    ivan, ada = Author("Иван Żuk"), Author("Ada")
    stored(
        database,
        new(draft("a.md", categories=("x", "y"), language="ru", authors=(ivan, ada))),
        new(draft("b.md", categories=("y",), language="ru-BY", authors=(ada,))),
        new(draft("c.md", categories=("z",), language="en")),
    )
    stored(database, new(draft("d.md", language="rum")), source="blog")

    def found(**filters: Any) -> list[str]:
        return sorted(article.slug for article in database.read(lambda conn: question(conn, **filters)))

    assert found() == ["a", "b", "c", "d"]
    assert found(categories=["x", "y"]) == ["a", "b"]
    assert found(languages=["RU"]) == ["a", "b"]
    assert found(languages=["ru-by", "en"]) == ["b", "c"]
    assert found(languages=["r%"]) == []
    assert found(authors=["ИВАН żUK"]) == ["a"]
    assert found(sources=["blog", "news"], categories=["y"], authors=["ada"], languages=["ru-BY"]) == ["b"]
    assert found(sources=["blog"]) == ["d"]
    assert found(categories=["x"], sources=["blog"]) == []


def test_a_window_holds_what_is_mailed_between_two_numbers(database: Database) -> None:
    """After the cursor, up to and including the end, in order; baseline and withdrawn articles are not mailed."""
    ids = stored(database, *(new(draft(f"{n}.md"), published_at=NOW + n * HOUR) for n in range(5)))
    stored(database, new(draft("base.md"), state=ArticleState.BASELINE))
    database.write(lambda conn: articles.withdraw(conn, [ids[2]], reason="error", now=NOW))
    found = database.read(lambda conn: articles.window(conn, after_seq=1, to_seq=4))
    assert [article.seq for article in found] == [2, 4]


def test_listings_are_by_state_source_and_category_with_pages(database: Database) -> None:
    """Newest first; a page goes on where the last one ended."""
    stored(
        database,
        *(new(draft(f"{n}.md", categories=("x",)), published_at=NOW + n * HOUR) for n in range(3)),
        new(draft("q.md"), state=ArticleState.QUARANTINED),
    )
    stored(database, new(draft("o.md")), source="other")

    def found(**options: Any) -> list[str]:
        return [article.slug for article in database.read(lambda conn: articles.listing(conn, **options))]

    assert found() == ["2", "1", "0", "o", "q"]
    assert found(limit=2, offset=1) == ["1", "0"]
    assert found(states=[ArticleState.QUARANTINED, ArticleState.HELD]) == ["q"]
    assert found(source="other") == ["o"]
    assert found(category="x", source="news") == ["2", "1", "0"]
    assert database.read(articles.counts) == {ArticleState.PUBLISHED: 4, ArticleState.QUARANTINED: 1}
    named = database.read(lambda conn: articles.by_guids(conn, ["guid:o.md", "none", "guid:q.md", "guid:o.md"]))
    assert guids(named) == ["guid:o.md", "guid:q.md"]
    chosen = database.read(
        lambda conn: articles.window(conn, after_seq=1, to_seq=9, stories=["guid:o.md", "guid:0.md"])
    )
    assert guids(chosen) == ["guid:o.md"]


def test_related_articles_are_named_by_key_and_shown_when_visible(database: Database) -> None:
    """The other may come later, under an alias, or be withdrawn; nobody is related to itself."""
    [a] = stored(database, new(draft("a.md", aliases=("a2",), related=("c.md", "b.md", "none.md", "a2", "b-alias"))))
    assert one(database, "guid:a.md").related == ()
    _, c = stored(database, new(draft("b.md", aliases=("b-alias",))), new(draft("c.md")))
    assert one(database, "guid:a.md").related == ("guid:c.md", "guid:b.md")
    database.write(lambda conn: articles.withdraw(conn, [c], reason="error", now=NOW))
    assert one(database, "guid:a.md").related == ("guid:b.md",)
    stored(database, changed(a, draft("a.md")))
    assert one(database, "guid:a.md").related == ()
