"""How soon an article is live in its feeds, what a full rebuild takes, and how much memory; run it as a module.

    python -m tests.bench.bench_feeds [articles] [runs]

Writes to a temporary folder. Prints milliseconds, medians of several runs.
"""

from __future__ import annotations

import gc
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from publisher.config import Category, Config, Feed, Site, Web
from publisher.feeds.publishing import archive, publish
from publisher.feeds.shelf import Shelf
from publisher.model import ArticleState, Author, Collected, Decision, Draft, NewArticle
from publisher.store import articles
from publisher.store.database import Database

START = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
CATEGORIES = tuple(f"category-{number}" for number in range(40))
FEEDS = 60
ROUNDS = 10
"""Parts of the archives that are built: all of a large one take minutes, and are the same over and over."""
PARAGRAPHS = 5000
"""Different ones; no two in one feed are likely to be the same, or packing would be too easy."""


def _paragraphs() -> list[str]:
    """Return paragraphs of some two hundred characters, in words as frequent as words of a language are."""
    dice = random.Random(7)
    syllables = [first + second for first in "bcdfghjklmnprstvw" for second in ("a", "e", "i", "o", "u", "an", "er")]
    words = ["".join(dice.choices(syllables, k=dice.randint(1, 4))) for _ in range(4000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    texts = (" ".join(dice.choices(words, weights, k=28)) for _ in range(PARAGRAPHS))
    return [f"<p>{text}, <a href='https://example.org/{n}'>link</a>.</p>" for n, text in enumerate(texts)]


TEXTS = _paragraphs()


def text(number: int) -> str:
    """Return the text of an article: some three thousand characters."""
    return "".join(random.Random(number).choices(TEXTS, k=15))


def config(home: Path) -> Config:
    """Return a publication with 60 feeds, ten of them of authors; an article is in four of them."""
    return Config(
        site=Site(title="The Example", url="https://example.org", languages=("en", "ru")),
        categories=tuple(Category(slug=slug, title={"en": slug}) for slug in CATEGORIES),
        feeds=tuple(
            Feed(slug=f"own-{n}", title=f"Own {n}", categories=(CATEGORIES[n],), languages=("ru",)) for n in range(7)
        ),
        web=Web(public_url="https://news.example.org"),
        data_dir=home,
    )


def article(number: int, when: datetime) -> NewArticle:
    """Return one article of some three thousand characters."""
    return NewArticle(
        draft=Draft(
            key=f"{number}.md",
            path=f"{number}.md",
            title=f"Title {number}",
            html=f"<p>Article {number}.</p>{text(number)}",
            summary=f"Summary of article {number}.",
            slug=f"title-{number}",
            language="en",
            categories=(CATEGORIES[number % 40],),
            authors=(Author("Anna" if number % 10 == 0 else f"Author {number % 10}"),),
            content_hash=str(number),
        ),
        guid=f"tag:example.org,2026:{number}",
        state=ArticleState.PUBLISHED,
        reason="",
        published_at=when,
        updated_at=when,
    )


def store(db: Database, new: list[NewArticle]) -> None:
    """Store what a source brought."""
    db.write(lambda conn: articles.apply(conn, "news", "folder", Collected(drafts=()), Decision(new=tuple(new)), START))


def fill(db: Database, number: int) -> None:
    """Store an archive: six a day, so that a week holds fewer than a feed shows."""
    for first in range(0, number, 5000):
        last = min(number, first + 5000)
        store(db, [article(n, START - timedelta(hours=4 * (number - n))) for n in range(first, last)])


def live(db: Database, settings: Config, number: int, runs: int) -> Sequence[float]:
    """Return ms: of the first article on its way into its feeds, then medians.

    Of those after it, of a run with nothing new, of archiving a part. The first finds nothing kept by earlier runs, as
    in a process that has just been started.
    """
    took, idle, parts = [], [], []
    shelf = Shelf(db, settings)
    for run in range(runs + 1):
        now = START + timedelta(hours=4 * run)
        store(db, [article((number // 40 + run + 1) * 40, now)])
        began = time.perf_counter()
        report = publish(db, settings, now, shelf=shelf)
        took.append(time.perf_counter() - began)
        if len(report.built) != 4:
            raise SystemExit(f"expected four feeds, built {report.built}")
        began = time.perf_counter()
        publish(db, settings, now, shelf=shelf)
        idle.append(time.perf_counter() - began)
        began = time.perf_counter()
        archive(db, settings, now)
        parts.append(time.perf_counter() - began)
    first, *later = took
    return [1000 * took for took in (first, *map(statistics.median, (later, idle, parts)))]


def main(number: int = 100_000, runs: int = 9) -> None:
    """Measure a small archive, then a large one."""
    medians = []
    for size in (1000, number):
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            settings = config(home)
            db = Database.open("", data_dir=home)
            try:
                fill(db, size)
                gc.collect()
                began = time.perf_counter()
                report = publish(db, settings, START)
                whole = time.perf_counter() - began
                if len(report.built) != FEEDS:
                    raise SystemExit(f"not all feeds were built: {report.failed}")
                began, documents = time.perf_counter(), 0
                for _ in range(ROUNDS):
                    part = archive(db, settings, START)
                    documents += len(part.changed)
                    if not part.pending:
                        break
                archiving = time.perf_counter() - began
                first, took, idle, parts = live(db, settings, size, runs)
            finally:
                db.close()
        medians.append(took)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{size} articles: live in 4 feeds after {took:.0f} ms (the first {first:.0f} ms), "
            f"nothing new {idle:.1f} ms, all {len(report.built)} feeds {whole * 1000:.0f} ms; "
            f"{documents} archive documents {archiving * 1000:.0f} ms, "
            f"a part after each article {parts:.0f} ms; peak memory {memory:.0f} MB"
        )
    print(f"ratio {medians[1] / medians[0]:.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
