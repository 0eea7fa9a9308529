"""How long an issue takes from the store's answer to all its deliveries, by distinct choices and readers."""

from __future__ import annotations

import argparse
import itertools
import resource
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from publisher.config import Category, Config, Frequency, Newsletter, Site, Web
from publisher.digests.compose import Frame, Skip
from publisher.digests.issue import Draft, draft
from publisher.digests.material import Material, anybody
from publisher.model import Article, ArticleState, Author, Format, Image, Reader, Status
from publisher.render import Renderer

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
CATEGORIES = ("politics", "economy", "society", "culture", "security")
TEXTS = {
    "en": ("After two days of talks both sides named dates for the next rounds", "Ministers agree on a timetable {}"),
    "ru": ("После двух дней переговоров стороны назвали даты следующих раундов", "Министры согласовали график {}"),
}


def news(stories: int) -> Iterator[Article]:
    """Stories in two languages over five categories; every third has a picture."""
    for number, (language, (sentence, title)) in itertools.product(range(stories), TEXTS.items()):
        seq = number * len(TEXTS) + (language == "ru") + 1
        when = NOW - timedelta(hours=number)
        yield Article(
            id=seq,
            guid=f"{number}-{language}",
            ref=f"{seq:012x}",
            source="bench",
            title=title.format(number),
            html=f"<p>{sentence}.</p>" * 8,
            summary=f"{sentence}. " * 4,
            slug=f"story-{number}",
            language=language,
            url=f"https://news.example/{number}/{language}/",
            published_at=when,
            updated_at=when,
            authors=(Author("Anna Kavalenka"),),
            categories=(CATEGORIES[number % len(CATEGORIES)],),
            labels=(),
            status=Status.IMPROVED if number % 4 == 0 else None,
            image=Image("https://news.example/p.jpg", "A picture", 1200, 800, "Somebody") if number % 3 == 0 else None,
            credit=None,
            enclosures=(),
            story=str(number),
            related=(),
            state=ArticleState.PUBLISHED,
            state_reason="",
            seq=seq,
            content_hash="",
        )


def audience(readers: int, choices: int, articles: int) -> Iterator[Reader]:
    """Readers spread over distinct choices: languages, format, sets of categories, and cursors."""
    subsets = [s for n in range(1, len(CATEGORIES) + 1) for s in itertools.combinations(CATEGORIES, n)]
    kinds = itertools.product(range(0, articles, 2), (("en",), ("ru",), ("ru", "en")), list(Format), subsets)
    distinct = list(itertools.islice(kinds, choices))
    for number in range(readers):
        cursor, languages, format_, categories = distinct[number % len(distinct)]
        yield replace(
            anybody(languages[0], cursor=cursor, address=f"r{number}@example.net", format_=format_),
            subscription_id=number,
            subscriber_id=number,
            languages=languages,
            categories=categories,
        )


def main() -> None:
    """Print seconds, documents and megabytes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=100_000)
    parser.add_argument("--choices", type=int, default=1_000)
    parser.add_argument("--stories", type=int, default=25)
    options = parser.parse_args()
    newsletter = Newsletter(
        slug="week",
        title={"en": "The Week", "ru": "Неделя"},
        from_address="editors@news.example",
        frequencies={"weekly": Frequency(at="07:00", days=("mon",))},
    )
    config = Config(
        site=Site(
            title="News", url="https://news.example/", languages=("en", "ru"), postal_address="4 Mill Lane, Berlin"
        ),
        categories=tuple(Category(slug=slug, title=slug.capitalize()) for slug in CATEGORIES),
        newsletters=(newsletter,),
        web=Web(public_url="https://letters.news.example"),
    )
    window = tuple(news(options.stories))
    material = Material(tuple(audience(options.readers, options.choices, len(window))), len(window), window)
    frame = Frame(config, newsletter, "weekly", "0123456789ab", NOW, Renderer())
    numbers = itertools.count()
    started, cpu = time.perf_counter(), time.process_time()
    made = draft(
        material,
        frame,
        slot="2026-11-23T07:00",
        slot_at=NOW,
        period=timedelta(days=7),
        now=NOW,
        ids=lambda: f"{next(numbers):032x}",
    )
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    if isinstance(made, Skip):
        raise SystemExit(made.reason)
    report(made, options.choices, seconds, cpu)


def report(made: Draft, choices: int, seconds: float, cpu: float) -> None:
    """Say it in three lines."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sizes = made.sizes.values()
    print(f"{len(made.issue.deliveries)} deliveries, {choices} choices, {len(made.mailed)} segments")
    print(f"{seconds:.2f} s ({cpu:.2f} s of processor), peak {peak:.0f} MB")
    print(f"mails of {min(sizes) // 1024} to {max(sizes) // 1024} KB, {sum(sizes) / 1e6:.0f} MB in all")


if __name__ == "__main__":
    main()
