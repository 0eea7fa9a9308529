"""What an article looks like in every format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from publisher import links
from publisher.config import Config, Site, Web
from publisher.feeds.entry import Tag, entry_id, entry_of
from publisher.feeds.spec import FeedSpec
from publisher.model import Article, Author, Enclosure, Image, Status
from publisher.text import clean

ArticleFactory = Callable[..., Article]


def test_the_guid_is_the_id_whatever_else_changes(article: ArticleFactory, spec: FeedSpec, config: Config) -> None:
    """FR-X5: base URL, slug, title and http → https leave the id alone."""
    before = article(slug="one", title="One", url=None)
    after = replace(before, slug="two", title="Two", url="http://elsewhere.org/2")
    moved = config.model_copy(
        update={"web": Web(public_url="http://other.net"), "site": Site(title="T", url="http://example.com")}
    )
    assert entry_of(before, spec, config).id == entry_of(after, spec, moved).id == before.guid


@pytest.mark.parametrize(
    ("guid", "expected"),
    [
        ("tag:example.org,2017:1", "tag:example.org,2017:1"),
        ("https://example.org/?p=1", "https://example.org/?p=1"),
        ("urn:uuid:6BA7B810-9DAD-11D1-80B4-00C04FD430C8", "urn:uuid:6BA7B810-9DAD-11D1-80B4-00C04FD430C8"),
        ("6BA7B810-9DAD-11D1-80B4-00C04FD430C8", "urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        ("4711", "urn:uuid:c323c8bc-3a48-58d1-8a0f-25cae8a8512a"),
        ("two words: 1", None),
        ("C:\\articles\\1", None),
        ("статья", None),
    ],
)
def test_an_id_is_an_absolute_iri(guid: str, expected: str | None) -> None:
    """FR-A7: a guid that is one stays as it is, any other gives one by itself alone."""
    made = entry_id(guid)
    assert made.startswith("urn:uuid:") if expected is None else made == expected


@given(st.text(), st.text())
def test_different_guids_give_different_ids(one: str, other: str) -> None:
    """FR-R4, FR-A7."""
    assume(clean(one).strip() != clean(other).strip())
    assert entry_id(one) != entry_id(other)


def test_an_article_without_an_address_is_linked_to_its_page_here(
    article: ArticleFactory, spec: FeedSpec, config: Config
) -> None:
    """FR-X10: always absolute."""
    assert entry_of(article(url=None), spec, config).url == (
        "https://news.example.org/articles/000000000001/minsk-seeks"
    )
    for useless in ("/relative", "javascript:alert(1)", "mailto:a@example.org", "https://[::1", "http:///x"):
        assert entry_of(article(url=useless), spec, config).url.startswith("https://news.example.org/articles/")
    assert entry_of(article(url="https://example.org/ä b"), spec, config).url == "https://example.org/%C3%A4%20b"


@pytest.mark.parametrize(
    ("title", "summary", "html", "expected"),
    [
        ("AT&T", "", "", "AT&T"),
        ("1 < 2", "", "", "1 < 2"),
        ("&amp; stays", "", "", "&amp; stays"),
        ("two\nlines ", "", "", "two lines"),
        ("", "From the summary.", "<p>x</p>", "From the summary."),
        ("", "", "<p>From the <b>text</b></p><p>second</p>", "From the text second"),
        ("\x00\ud800", "", "", "(untitled)"),
    ],
)
def test_a_title_is_plain_text_and_never_empty(
    article: ArticleFactory, spec: FeedSpec, config: Config, title: str, summary: str, html: str, expected: str
) -> None:
    """FR-X12, FR-X13."""
    assert entry_of(article(title=title, summary=summary, html=html), spec, config).title == expected


def test_what_xml_forbids_is_gone_and_all_else_is_there(
    article: ArticleFactory, spec: FeedSpec, config: Config
) -> None:
    """FR-X2."""
    entry = entry_of(article(html="<p>a\x00b\x0bc\ufffed\ud800 ]]> 😀 Мінск שלום</p>"), spec, config)
    assert entry.html == "<p>abcd ]]> 😀 Мінск שלום</p>"


def test_times_are_utc_and_updated_is_never_before_published(
    article: ArticleFactory, spec: FeedSpec, config: Config
) -> None:
    """FR-X8, FR-A3, D15: a historic zone with seconds must not reach the feed."""
    when = datetime(1890, 5, 22, 13, 45, 3, 7, tzinfo=timezone(timedelta(hours=2, minutes=30, seconds=17)))
    entry = entry_of(article(published_at=when, updated_at=when - timedelta(days=1)), spec, config)
    assert entry.published_at == entry.updated_at == datetime(1890, 5, 22, 11, 14, 46, tzinfo=UTC)


def test_a_time_without_a_zone_is_refused(article: ArticleFactory, spec: FeedSpec, config: Config) -> None:
    """D18."""
    with pytest.raises(ValueError, match="no zone"):
        entry_of(article(published_at=datetime(2017, 5, 22)), spec, config)  # noqa: DTZ001 - the point of the test


def test_addresses_of_authors_stay_out(article: ArticleFactory, spec: FeedSpec, config: Config) -> None:
    """FR-R7: names only; nobody asked these people whether the world may write to them."""
    authors = (Author("Anna", email="anna@example.org", url="https://example.org/anna"), Author("  "), Author("Ivan"))
    assert entry_of(article(authors=authors), spec, config).authors == (
        Author("Anna", url="https://example.org/anna"),
        Author("Ivan"),
    )


def test_categories_labels_and_status_each_have_their_list(
    article: ArticleFactory, spec: FeedSpec, config: Config
) -> None:
    """FR-A5, FR-R8: the schemes name the domain only, so that no move changes them."""
    entry = entry_of(
        article(categories=("security", "unknown"), labels=("NATO", "NATO", " "), status=Status.IMPROVED), spec, config
    )
    assert entry.tags == (
        Tag("security", "Security", "tag:example.org,2026:categories"),
        Tag("unknown", "unknown", "tag:example.org,2026:categories"),
        Tag("NATO", "NATO", "tag:example.org,2026:labels"),
        Tag("improved", "improved", "tag:example.org,2026:status"),
    )


def test_labels_speak_the_language_of_the_feed(article: ArticleFactory, spec: FeedSpec, config: Config) -> None:
    russian = replace(spec, language="ru")
    assert [tag.label for tag in entry_of(article(), russian, config).tags] == ["Безопасность"]


def test_uncategorised_is_no_category(article: ArticleFactory, spec: FeedSpec, config: Config) -> None:
    assert entry_of(article(categories=("uncategorised",)), spec, config).tags == ()


def test_right_to_left_text_says_so(article: ArticleFactory, spec: FeedSpec, config: Config) -> None:
    """FR-X14."""
    entry = entry_of(article(language="he", html="<p>שלום</p>", summary="a < b"), spec, config)
    assert entry.html == '<div dir="rtl" lang="he"><p>שלום</p></div>'
    assert entry.summary_html == '<div dir="rtl" lang="he">a &lt; b</div>'
    assert entry.summary == "a < b"


def test_a_feed_of_summaries_carries_no_full_text(article: ArticleFactory, spec: FeedSpec, config: Config) -> None:
    short = replace(spec, content="summary")
    entry = entry_of(article(summary=""), short, config)
    assert (entry.html, entry.summary) == ("", "The first paragraph.")


def test_media_without_an_absolute_address_are_left_out(
    article: ArticleFactory, spec: FeedSpec, config: Config
) -> None:
    """FR-X10."""
    entry = entry_of(
        article(
            image=Image("i.jpg", credit="4esnok.by"),
            enclosures=(Enclosure("a.mp3", "audio/mpeg"), Enclosure("https://example.org/b", "", 3)),
        ),
        spec,
        config,
    )
    assert entry.image is None
    assert entry.credit == "4esnok.by"
    assert entry.enclosures == (Enclosure("https://example.org/b", "application/octet-stream", 3),)


@given(title=st.text(st.characters(categories=["L", "N", "P", "S", "Z", "C"])), url=st.text())
def test_any_text_makes_an_entry(article: ArticleFactory, spec: FeedSpec, config: Config, title: str, url: str) -> None:
    """FR-X2: over all of Unicode, lone surrogates included."""
    made = entry_of(article(title=title, url=url), spec, config)
    assert made.title
    assert made.url.startswith(("http://", "https://"))
    made.title.encode()


@pytest.mark.parametrize(
    ("stated", "address"),
    [
        ("https://пример.example/Мінск?ü", "https://xn--e1afmkfd.example/%D0%9C%D1%96%D0%BD%D1%81%D0%BA?%C3%BC"),
        ("https://bücher.example:8080/a", "https://xn--bcher-kva.example:8080/a"),
        ("https://a@bücher.example/", "https://a@xn--bcher-kva.example/"),
        ("https://ü@example.org/", None),
        ("https://\u00ad\u0300.example/", None),
    ],
)
def test_addresses_are_written_in_ascii(
    spec: FeedSpec, config: Config, article: ArticleFactory, stated: str, address: str | None
) -> None:
    """FR-X10: RSS and many readers know no other characters; what cannot be written so is no address."""
    entry = entry_of(article(url=stated, enclosures=(Enclosure(stated, "audio/mpeg"),)), spec, config)
    assert entry.url == (address or links.article_page(config, article()))
    assert [enclosure.url for enclosure in entry.enclosures] == [address] * bool(address)


@given(st.text() | st.from_regex(r"https?://\S{1,20}"))
def test_whatever_is_stated_gives_an_address_in_ascii(
    spec: FeedSpec, config: Config, article: ArticleFactory, stated: str
) -> None:
    """FR-X10, FR-X3."""
    entry = entry_of(article(url=stated), spec, config)
    assert entry.url.isascii()
    assert entry.url.startswith(("http://", "https://"))
