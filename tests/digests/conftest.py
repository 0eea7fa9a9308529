"""A small publication with news in English, Russian and Hebrew, to compose digests of."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from publisher.config import Category, Config, Frequency, Newsletter, Site, Web
from publisher.digests.compose import Frame
from publisher.model import Article, ArticleState, Author, Format, Image, Reader, Status
from publisher.render import Renderer

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)

MakeArticle = Callable[..., Article]
MakeReader = Callable[..., Reader]
MakeFrame = Callable[..., Frame]

# (guid, language, category, status, hours ago, title, summary, author, image)
STORIES: tuple[tuple[str, str, str, str, int, str, str, str, str], ...] = (
    ("talks", "en", "foreign-policy", "improved", 14, "Ministers agree on a timetable for border talks",
     "After two days in Vienna both delegations named dates for the next three rounds. The first meets in January; water rights come before trade, and observers from four countries will sit at the table.",
     "Anna Kavalenka", "border.jpg"),
    ("talks-ru", "ru", "foreign-policy", "improved", 13, "Министры согласовали график переговоров о границе",
     "После двух дней в Вене обе делегации назвали даты следующих трёх раундов. Первый пройдёт в январе: сначала вопрос о воде, затем торговля; за столом будут наблюдатели из четырёх стран.",
     "Анна Коваленко", "border.jpg"),
    ("consulate", "en", "foreign-policy", "", 39, "A consulate reopens after eleven years",
     "Visas for students and drivers will be issued from December; queues are expected.", "", ""),
    ("visas-ru", "ru", "foreign-policy", "unchanged", 45, "Визовый режим останется прежним до весны",
     "Решение отложено до заседания в марте.", "Пётр Лис", ""),
    ("budget", "en", "economy", "worsened", 20, "The budget gap widens to 3.1 % of output",
     "Revenue from exports fell for the third quarter in a row, while pensions rose with inflation. The ministry plans to borrow at home, at rates that banks call “uncomfortable but bearable”.",
     "Maryna Hlushko, Piotr Lis", "chart.png"),
    ("budget-ru", "ru", "economy", "worsened", 19, "Дефицит бюджета вырос до 3,1 % ВВП",
     "Доходы от экспорта снижаются третий квартал подряд, а пенсии растут вместе с инфляцией. Министерство намерено занимать внутри страны.",
     "Марина Глушко, Пётр Лис", "chart.png"),
    ("harvest", "en", "economy", "", 60, "Late harvest, early frost: what farmers expect from the market",
     "Prices for rapeseed and barley will decide whether small farms sow again in spring.", "Maryna Hlushko", ""),
    ("court", "en", "society", "unchanged", 26, "Court keeps the ban on two associations",
     "The judges read the verdict in eleven minutes. The lawyers have ten days for an appeal.", "Piotr Lis", ""),
    ("court-ru", "ru", "society", "unchanged", 25, "Суд оставил в силе запрет двух объединений",
     "Судьи зачитали решение за одиннадцать минут. У адвокатов есть десять дней на обжалование.", "Пётр Лис", ""),
    ("libraries", "en", "culture", "improved", 51, "Village libraries lend tools, seeds and sewing machines",
     "Forty libraries joined in the first year; the longest waiting list is for a hedge trimmer.", "Anna Kavalenka", "library.jpg"),
    ("libraries-ru", "ru", "culture", "improved", 50, "Сельские библиотеки выдают инструменты, семена и швейные машины",
     "За первый год присоединились сорок библиотек; самая длинная очередь — за кусторезом.", "Анна Коваленко", "library.jpg"),
    ("cyber", "en", "security", "", 32, "Power companies rehearse a day without computers",
     "Operators switched three substations by hand and radio. It took nine hours instead of four minutes.", "", ""),
    ("chess", "en", "uncategorised", "", 72, "Chess: a draw after 154 moves", "Neither side wanted it.", "", ""),
    ("rain-he", "he", "society", "improved", 16, "הגשמים מילאו את המאגרים: עונת השקיה ראשונה ללא קיצוצים",
     "לאחר שלוש שנות בצורת נפתחו הסכרים בצפון. החקלאים מספרים על יבול כפול, ורשות המים מזהירה: “עדיין מוקדם לחגוג”.",
     "דנה לוי", "rain.jpg"),
    ("talks-he", "he", "foreign-policy", "worsened", 15, "השיחות על הגבול נדחו לינואר",
     "שתי המשלחות בווינה יצאו ללא הצהרה משותפת.", "יואב כהן", ""),
)  # fmt: skip

PICTURES = {
    "border.jpg": ("A long table with flags, seen from above", 1600, 900, "Vienna Press Pool"),
    "chart.png": ("Chart: the gap in each quarter since 2023", 1200, 800, None),
    "library.jpg": ("A woman carries a drill past bookshelves", 1200, 900, "Catholic.by"),
    "rain.jpg": ("סכר פתוח ומים זורמים", 1600, 1000, "רשות המים"),
}


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
    for guid, language, category, status, hours, title, summary, authors, image in STORIES:
        alt, width, height, credit = PICTURES.get(image, ("", None, None, None))
        found.append(
            make_article(
                guid,
                language=language,
                categories=(category,),
                status=Status(status) if status else None,
                published_at=NOW - timedelta(hours=hours),
                title=title,
                summary=summary,
                html=f"<p>{summary}</p>",
                authors=tuple(Author(name) for name in authors.split(", ") if name),
                image=Image(f"https://news.example/media/{image}", alt, width, height, credit) if image else None,
                url=f"https://news.example/2026/11/{guid}/",
                story=guid.removesuffix("-ru") if guid != "visas-ru" else guid,
            )
        )
    return tuple(found)


@pytest.fixture
def make_reader() -> MakeReader:
    """Make a reader of everything in English; anything may be given."""
    numbers = count(1)

    def make(**given: Any) -> Reader:
        number = next(numbers)
        values: dict[str, Any] = {
            "subscription_id": number,
            "subscriber_id": number,
            "address": f"reader{number}@example.net",
            "name": "",
            "languages": ("en",),
            "timezone": "Europe/Minsk",
            "format": Format.HTML,
            "categories": None,
            "cursor": 0,
        }
        return Reader(**(values | given))

    return make


@pytest.fixture
def newsletter() -> Newsletter:
    return Newsletter(
        slug="week",
        title={"en": "The Week in Review", "ru": "Обзор недели", "he": "סיכום השבוע"},
        from_address="editors@news.example",
        reply_to="editors@news.example",
        frequencies={"weekly": Frequency(title={"en": "every Monday", "ru": "по понедельникам"}, at="07:00", days=("mon",))},
    )  # fmt: skip


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
