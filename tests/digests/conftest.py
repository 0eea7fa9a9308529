"""A small publication with news in English, Russian and Hebrew, to compose digests of."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from publisher.config import Category, Config, Frequency, Newsletter, Site, Web
from publisher.digests.compose import Frame
from publisher.model import Article, ArticleState, Author, Format, Image, Readers, Status, Wishes
from publisher.render import Renderer

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)

MakeArticle = Callable[..., Article]
MakeWishes = Callable[..., Wishes]
MakeFrame = Callable[..., Frame]

NEWS = Path(__file__).parent.parent / "data" / "digests" / "news.json"

PICTURES = {
    "border.jpg": ("A long table with flags, seen from above", 1600, 900, "Vienna Press Pool"),
    "chart.png": ("Chart: the gap in each quarter since 2023", 1200, 800, None),
    "library.jpg": ("A woman carries a drill past bookshelves", 1200, 900, "Catholic.by"),
    "rain.jpg": ("סכר פתוח ומים זורמים", 1600, 1000, "רשות המים"),
}


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def ids() -> Callable[[], str]:
    """Give 32 hexadecimal digits, different at each call."""
    numbers = count(1)
    return lambda: f"{next(numbers):08x}" * 4


@pytest.fixture
def make_article() -> MakeArticle:
    """Make an article; `seq` and `id` count up, everything else may be given."""
    numbers = count(1)

    def make(guid: str = "", **given: Any) -> Article:
        number = next(numbers)
        guid = guid or f"urn:article:{number}"
        when = given.pop("published_at", NOW - timedelta(hours=number))
        values: dict[str, Any] = {
            "id": number,
            "guid": guid,
            "ref": f"{number:012x}",
            "source": "news",
            "title": f"Title {number}",
            "html": f"<p>Text {number}</p>",
            "summary": f"Summary {number}.",
            "slug": f"title-{number}",
            "language": "en",
            "url": f"https://news.example/{number}",
            "published_at": when,
            "updated_at": when,
            "authors": (),
            "categories": ("foreign-policy",),
            "labels": (),
            "status": None,
            "image": None,
            "credit": None,
            "enclosures": (),
            "story": guid,
            "related": (),
            "state": ArticleState.PUBLISHED,
            "state_reason": "",
            "seq": number,
            "content_hash": "",
        }
        return Article(**(values | given))

    return make


@pytest.fixture
def news(make_article: MakeArticle) -> tuple[Article, ...]:
    """Fifteen articles of a weekend; some are translations of each other."""
    found = []
    for given in json.loads(NEWS.read_text("utf-8")):
        guid, image = given["guid"], given["image"]
        alt, width, height, credit = PICTURES.get(image, ("", None, None, None))
        found.append(
            make_article(
                guid,
                language=given["language"],
                categories=(given["category"],),
                status=Status(given["status"]) if given["status"] else None,
                published_at=NOW - timedelta(hours=given["hours"]),
                title=given["title"],
                summary=given["summary"],
                html=f"<p>{given['summary']}</p>",
                authors=tuple(Author(name) for name in given["authors"].split(", ") if name),
                image=Image(f"https://news.example/media/{image}", alt, width, height, credit) if image else None,
                url=f"https://news.example/2026/11/{guid}/",
                story=guid if guid == "visas-ru" else guid.removesuffix("-ru"),
            )
        )
    return tuple(found)


@pytest.fixture
def make_wishes() -> MakeWishes:
    """Make the wishes of a reader of everything in English; anything may be given."""

    def make(**given: Any) -> Wishes:
        values: dict[str, Any] = {
            "languages": ("en",),
            "timezone": "Europe/Minsk",
            "format": Format.HTML,
            "categories": None,
            "cursor": 0,
        }
        return Wishes(**(values | given))

    return make


def together(*wishes: Wishes) -> Readers:
    """Return a reader for each of these, numbered from 1."""
    kinds = list(dict.fromkeys(wishes))
    return Readers(tuple(kinds), range(1, len(wishes) + 1), [kinds.index(one) for one in wishes])


@pytest.fixture
def newsletter() -> Newsletter:
    return Newsletter(
        slug="week",
        title={"en": "The Week in Review", "ru": "Обзор недели", "he": "סיכום השבוע"},
        from_address="editors@news.example",
        reply_to="editors@news.example",
        frequencies={
            "weekly": Frequency(
                title={"en": "every Monday", "ru": "по понедельникам", "he": "בכל יום שני"}, at="07:00", days=("mon",)
            )
        },
    )


@pytest.fixture
def config(newsletter: Newsletter) -> Config:
    def category(slug: str, colour: str, **titles: str) -> Category:
        return Category(slug=slug, title=titles, colour=colour)

    return Config(
        site=Site(
            title={"en": "Borderland News", "ru": "Новости пограничья", "he": "חדשות הגבול"},
            url="https://news.example/",
            languages=("en", "ru", "he"),
            default_language="en",
            timezone="Europe/Minsk",
            postal_address="Borderland News, 4 Mill Lane, 10115 Berlin, Germany",
        ),
        categories=(
            category("foreign-policy", "#1d4ed8", en="Foreign policy", ru="Внешняя политика", he="מדיניות חוץ"),
            category("security", "#7c3aed", en="Security", ru="Безопасность", he="ביטחון"),
            category("economy", "#0f766e", en="Economy", ru="Экономика", he="כלכלה"),
            category("society", "#b45309", en="Society", ru="Общество", he="חברה"),
            category("culture", "#be185d", en="Culture", ru="Культура", he="תרבות"),
        ),
        newsletters=(newsletter,),
        web=Web(public_url="https://letters.news.example"),
    )


@pytest.fixture(scope="session")
def renderer() -> Renderer:
    return Renderer()


@pytest.fixture
def make_frame(config: Config, newsletter: Newsletter, renderer: Renderer) -> MakeFrame:
    """Make what the digests of one issue share; keywords change keys of the newsletter."""

    def make(*, renderer: Renderer = renderer, **changes: Any) -> Frame:
        changed = newsletter.model_copy(update=changes)
        whole = config.model_copy(update={"newsletters": (changed,)})
        return Frame(whole, changed, "weekly", "0123456789ab", NOW, renderer)

    return make
