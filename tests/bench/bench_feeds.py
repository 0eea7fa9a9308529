"""How soon an article is live in its feeds, what a full rebuild takes, and how much memory; run it as a module.

    python -m tests.bench.bench_feeds [articles] [runs]

Writes to a temporary folder. Prints milliseconds, medians of several runs.
"""

from __future__ import annotations

import gc
import resource
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from publisher.config import Category, Config, Feed, Site, Web
from publisher.feeds import archive, publish
from publisher.model import ArticleState, Author, Collected, Decision, Draft, NewArticle
from publisher.store import articles
from publisher.store.database import Database

START = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
CATEGORIES = tuple(f"category-{number}" for number in range(40))
FEEDS = 60
ROUNDS = 10
"""Parts of the archives that are built: all of a large one take minutes, and are the same over and over."""
TEXT = "".join(
    f"<p>Paragraph {number} of an article of the usual length, with a <a href='https://example.org/{number}'>link</a>"
    " and some words more, so that it has what an article has.</p>"
    for number in range(15)
)


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
            html=f"<p>Article {number}.</p>{TEXT}",
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


def live(db: Database, settings: Config, number: int, runs: int) -> tuple[float, float, float]:
    """Return medians in ms: of an article on its way into its feeds, of a run with nothing new, of archiving a part."""
    took, idle, parts = [], [], []
    for run in range(1, runs + 1):
        store(db, [article((number // 40 + run) * 40, START + timedelta(minutes=run))])
        now = START + timedelta(minutes=run)
        began = time.perf_counter()
        report = publish(db, settings, now)
        took.append(time.perf_counter() - began)
        if len(report.built) != 4:
            raise SystemExit(f"expected four feeds, built {report.built}")
        began = time.perf_counter()
        publish(db, settings, now)
        idle.append(time.perf_counter() - began)
        began = time.perf_counter()
        archive(db, settings, now)
        parts.append(time.perf_counter() - began)
    return statistics.median(took) * 1000, statistics.median(idle) * 1000, statistics.median(parts) * 1000


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
                took, idle, parts = live(db, settings, size, runs)
            finally:
                db.close()
        medians.append(took)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{size} articles: live in 4 feeds after {took:.0f} ms, nothing new {idle:.1f} ms, "
            f"all {len(report.built)} feeds {whole * 1000:.0f} ms; {documents} archive documents "
            f"{archiving * 1000:.0f} ms, a part after each article {parts:.0f} ms; peak memory {memory:.0f} MB"
        )
    print(f"ratio {medians[1] / medians[0]:.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
