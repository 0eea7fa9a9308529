"""A small publication, and articles made for one test each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from publisher.config import Category, Config, Feed, Site, Web
from publisher.feeds.spec import FeedSpec, feeds_of
from publisher.model import Article, ArticleState, Author, Enclosure, Image, Origin, Status

PUBLISHED = datetime(2017, 5, 22, 10, 45, tzinfo=UTC)

PLAIN = Article(
    id=1,
    guid="tag:example.org,2017:1",
    ref="0123456789ab",
    source="news",
    title="Minsk seeks additional security guarantees",
    html="<p>The first paragraph.</p>",
    summary="The first paragraph.",
    slug="minsk-seeks",
    language="en",
    url="https://example.org/2017/minsk-seeks",
    published_at=PUBLISHED,
    updated_at=PUBLISHED,
    authors=(),
    categories=("security",),
    labels=(),
    status=None,
    image=None,
    credit=None,
    enclosures=(),
    story="tag:example.org,2017:1",
    related=(),
    state=ArticleState.PUBLISHED,
    state_reason="",
    seq=1,
    content_hash="",
)


def make_article(number: int = 1, **changes: Any) -> Article:
    """One article; each number has its own guid and address and is a minute older than the one before."""
    guid = f"tag:example.org,2017:{number}"
    when = PUBLISHED - timedelta(minutes=number - 1)
    base = replace(
        PLAIN,
        id=number,
        guid=guid,
        story=guid,
        ref=f"{number:012x}",
        url=f"https://example.org/2017/{number}",
        published_at=when,
        updated_at=when,
        seq=number,
    )
    return replace(base, **changes)


RICH = (
    make_article(
        1,
        title="AT&T: 1 < 2, “quoted” ]]> and 😀",
        html='<p>Full &amp; <a href="https://example.org/a?b=1&amp;c=2">linked</a>.</p><p>]]&gt;</p>',
        summary="Short: 1 < 2 & more.",
        authors=(Author("Anna Kowal", email="anna@example.org", url="https://example.org/anna"), Author("Ivan Petrov")),
        categories=("security", "economy"),
        labels=("NATO", "drills"),
        status=Status.WORSENED,
        image=Image("https://example.org/i.jpg", alt="Soldiers & tanks", width=800, height=600),
        credit="4esnok.by",
        enclosures=(
            Enclosure("https://example.org/talk.mp3", "audio/mpeg", 1234, "The talk"),
            Enclosure("https://example.org/paper.pdf", "application/pdf"),
        ),
        updated_at=PUBLISHED + timedelta(hours=3),
        origin=Origin(
            "Rivers & Ports",
            "https://rivers.example/2017/05?a=1&b=2",
            feed_url="https://rivers.example/feed.atom",
            id="tag:rivers.example,2001:feed",
            updated_at=PUBLISHED - timedelta(hours=1),
        ),
        license="https://creativecommons.org/licenses/by-sa/4.0/",
        discussion="https://forum.example.org/t/1?a=1&b=2",
        linked=("00000000000b", "00000000000c"),
    ),
    make_article(
        2,
        language="ru",
        title="Минск ищет гарантии",
        html="<p>Первый абзац.</p>",
        summary="Первый абзац.",
        origin=Origin("Речной порт", "https://port.example/"),
    ),
    make_article(
        3, language="he", title="כותרת", html="<p>פסקה ראשונה.</p>", summary="פסקה ראשונה.", categories=("economy",)
    ),
    make_article(4, title="", html="<p>No title, but a text.</p>", summary="", url=None, credit="Catholic.by"),
    make_article(5, title="Nothing but a picture", html='<img src="https://example.org/p.png">', summary=""),
    make_article(6, title="", html="", summary="", categories=("uncategorised",)),
)
"""Everything that an article can have, and everything it can lack."""


@pytest.fixture(scope="session")
def article() -> Callable[..., Article]:
    """Make an article: `article(2, title="…")`."""
    return make_article


@pytest.fixture(scope="session")
def rich() -> tuple[Article, ...]:
    """Six articles that have everything or lack it."""
    return RICH


def make_config() -> Config:
    """A publication in three languages with two categories and one feed of its own; it has no folder."""
    return Config(
        site=Site(
            title={"en": "The Example", "ru": "Пример"},
            url="https://example.org",
            description="News & analysis",
            languages=("en", "ru", "he"),
        ),
        categories=(
            Category(slug="security", title={"en": "Security", "ru": "Безопасность"}),
            Category(slug="economy", title={"en": "Economy", "ru": "Экономика"}, description="Money."),
        ),
        feeds=(Feed(slug="brief", title="In brief", content="summary", limit=2, window_days=0, languages=("ru",)),),
        web=Web(public_url="https://news.example.org"),
        data_dir=Path("/nowhere"),
    )


@pytest.fixture(scope="session")
def config() -> Config:
    """That publication."""
    return make_config()


@pytest.fixture(scope="session")
def spec(config: Config) -> FeedSpec:
    """The feed of everything."""
    return feeds_of(config)[0]
