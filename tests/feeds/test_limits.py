"""How much a feed shows: enough for readers who look seldom, never more than readers take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher.config import Config
from publisher.feeds import feeds_of, limits
from publisher.feeds.documents import build_feed
from publisher.feeds.entry import Entry, entry_of
from publisher.feeds.spec import FeedSpec
from publisher.model import Article
from tests.feeds.conftest import PUBLISHED as START
from tests.feeds.conftest import make_article, make_config


def days_old(*ages: float, since: datetime = START) -> list[Article]:
    """Articles published so many days before `since`, newest first."""
    times = [since - timedelta(days=age) for age in sorted(ages)]
    return [make_article(number, published_at=when, updated_at=when) for number, when in enumerate(times, start=1)]


def test_the_newest_are_shown_however_old() -> None:
    """FR-X9: at least N."""
    articles = days_old(100, 200, 300)
    assert list(limits.chosen(articles, 2, timedelta(days=7))) == articles[:2]
    assert list(limits.chosen(articles, 5, timedelta(days=7))) == articles
    assert list(limits.chosen([], 5, timedelta(days=7))) == []


def test_everything_young_is_shown_even_beyond_the_number() -> None:
    """FR-X9: counted back from the newest change in the feed, not from now."""
    articles = days_old(0, 1, 2, 7, 7.01, 30)
    assert list(limits.chosen(articles, 2, timedelta(days=7))) == articles[:4]
    assert list(limits.chosen(articles, 2, timedelta(0))) == articles[:2]
    old = days_old(0, 1, 2, 7, 7.01, 30, since=START - timedelta(days=999))
    assert list(limits.chosen(old, 2, timedelta(days=7))) == old[:4]


def sized(number: int, html: int) -> Entry:
    article = make_article(number, html=f"<p>{'x' * html}</p>", summary=f"Summary {number}")
    return entry_of(article, spec_of(), make_config())


def spec_of() -> FeedSpec:
    return feeds_of(make_config())[0]


def written(entries: Sequence[Entry]) -> dict[str, bytes]:
    return {"a": b"".join(f"{e.id}{e.html}{e.summary}|".encode() for e in entries)}


@given(st.lists(st.integers(0, 300), min_size=0, max_size=30), st.integers(0, 6000))
def test_a_feed_gives_up_the_oldest_texts_and_then_the_oldest_articles(sizes: list[int], cap: int) -> None:
    """FR-X9: as much as fits, and an entry is whole or not there."""
    entries = [sized(number, size) for number, size in enumerate(sizes)]
    shown = written(entries)["a"] if not entries else limits.fitted(entries, cap, written)["a"]
    parts = shown.split(b"|")[:-1]
    assert len(shown) <= cap or len(parts) <= 1
    full = [f"{e.id}{e.html}{e.summary}".encode() for e in entries]
    short = [f"{e.id}{e.summary}".encode() for e in entries]
    kept = sum(part == whole for part, whole in zip(parts, full, strict=False))
    assert parts == [*full[:kept], *short[kept : len(parts)]]
    if len(parts) < len(entries):
        assert kept <= 1  # nothing is left out while a text could still be shortened
    elif kept < len(entries):
        assert len(shown) - len(short[kept]) + len(full[kept]) > cap  # one more text would not have fitted


def test_a_day_of_two_thousand_articles_stays_below_the_cap_with_the_same_entries_in_every_format(
    article: Callable[..., Article], config: Config, spec: FeedSpec
) -> None:
    """FR-X9."""
    text = "<p>" + "word " * 200 + "</p>"
    many = [article(n, html=text, published_at=START - n * timedelta(seconds=40)) for n in range(2000)]
    built = build_feed(spec, "urn:x", many, config)
    assert max(len(body) for body in built.files.values()) <= spec.max_bytes
    marks = (b"<item>", b"<entry>", b'"content_text"', b'"content_html"')
    counts = {sum(body.count(mark) for mark in marks) for body in built.files.values()}
    assert len(counts) == 1
    assert counts.pop() > 300
    assert max(len(body) for body in built.files.values()) > 0.9 * spec.max_bytes


@pytest.mark.parametrize("number", [0, 1])
def test_one_article_stays_however_large(number: int) -> None:
    entries = [sized(n, 5000) for n in range(number)]
    whole = written(entries)["a"]
    assert limits.fitted(entries, 10, written)["a"] == whole.replace(b"<p>" + b"x" * 5000 + b"</p>", b"")
