"""How long an issue takes from its slot to all its deliveries queued in the store, by readers and distinct choices.

uv run python -m tests.bench.bench_digests [--readers 1000000] [--choices 1000] [--folder DIR]
"""

from __future__ import annotations

import argparse
import cProfile
import itertools
import multiprocessing
import pstats
import resource
import secrets
import shutil
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from publisher.config import Category, Config, Frequency, Newsletter, Site, Web
from publisher.digests import dispatch
from publisher.model import Article, ArticleState, Author, Format, Image, Status, SubscriptionState
from publisher.render import Renderer
from publisher.slots import Slot
from publisher.store.database import Connection, Database
from publisher.store.tables import subscribers, subscriptions
from tests.store import make

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


def choices(number: int) -> list[tuple[tuple[str, ...], Format, tuple[str, ...], int]]:
    """Return distinct choices: languages, format, set of categories, and how many articles were there before."""
    subsets = [s for n in range(1, len(CATEGORIES) + 1) for s in itertools.combinations(CATEGORIES, n)]
    kinds = itertools.product(range(0, 50, 2), (("en",), ("ru",), ("ru", "en")), list(Format), subsets)
    taken = itertools.islice(kinds, number)
    return [(languages, format_, subset, cursor) for cursor, languages, format_, subset in taken]


def fill(db: Database, readers: int, distinct: int, stories: int) -> None:
    """Store articles and confirmed readers, spread evenly over the choices."""
    drafts = [
        make.new(
            make.draft(
                article.guid,
                **{name: getattr(article, name) for name in ("title", "html", "summary", "slug", "language", "url")},
                **{name: getattr(article, name) for name in ("authors", "categories", "status", "image")},
                translation_of=None if article.language == "en" else f"{article.story}-en",
            ),
            guid=article.guid,
            published_at=article.published_at,
        )
        for article in news(stories)
    ]
    make.stored(db, *drafts, now=NOW)
    wanted = choices(distinct)

    def work(conn: Connection, first: int, last: int) -> None:
        people, signed = [], []
        for number in range(first, last):
            languages, format_, categories, cursor = wanted[number % len(wanted)]
            address = f"r{number}@example.net"
            person = {"address": address, "address_key": address, "name": "", "languages": list(languages)}
            people.append(person | {"id": number, "timezone": "Europe/Minsk", "format": format_, "created_at": NOW})
            of = {"id": number, "subscriber_id": number, "newsletter": "week", "frequency": "weekly"}
            state = {"state": SubscriptionState.CONFIRMED, "start_seq": 0, "cursor": cursor}
            times = {"created_at": NOW, "confirmed_at": NOW}
            signed.append(of | state | times | {"categories": list(categories)})
        conn.execute(sa.insert(subscribers), people)
        conn.execute(sa.insert(subscriptions), signed)

    for first in range(1, readers + 1, 50_000):
        db.write(partial(work, first=first, last=min(first + 50_000, readers + 1)))


def _sign_up_now_and_then(
    write: Callable[[Callable[[Connection], Any]], Any], over: threading.Event, waited: list[float]
) -> None:
    """Write as a sign-up does, ten times a second, and note how long each waited for its answer."""
    number = 0
    while not over.wait(0.1):
        number += 1
        address = f"new{number}@example.net"
        row: dict[str, Any] = {"address": address, "address_key": address, "name": "", "languages": ["en"]}
        row |= {"timezone": "UTC", "format": Format.HTML, "created_at": NOW}
        began = time.perf_counter()
        write(partial(sa.Connection.execute, statement=sa.insert(subscribers), parameters=row))
        waited.append(time.perf_counter() - began)


def main() -> None:
    """Print seconds, documents and megabytes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=100_000)
    parser.add_argument("--choices", type=int, default=1_000)
    parser.add_argument("--stories", type=int, default=25)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--folder", type=Path, help="fill this once and measure on a copy of it; default: fill anew")
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
    with tempfile.TemporaryDirectory() as folder:
        kept: Path = options.folder or Path(folder)
        if not (kept / "publisher.db").exists():
            kept.mkdir(parents=True, exist_ok=True)
            filling = multiprocessing.get_context("spawn").Process(target=_filled, args=(kept, options))
            filling.start()  # in a process of its own, whose memory is not counted
            filling.join()
        if options.folder:
            shutil.copytree(kept, folder, dirs_exist_ok=True)
        with Database.open(data_dir=Path(folder)) as db:
            measure(db, config, newsletter, profile=options.profile)


def _filled(folder: Path, options: argparse.Namespace) -> None:
    with Database.open(data_dir=folder) as db:
        fill(db, options.readers, options.choices, options.stories)


def measure(db: Database, config: Config, newsletter: Newsletter, *, profile: bool) -> None:
    """Dispatch the slot and say what it took in four lines."""
    renderer = Renderer()
    rendered: Counter[str] = Counter()
    render = renderer.render

    def counted(name: str, language: str, values: Mapping[str, Any]) -> str:
        rendered[name] += 1
        return render(name, language, values)

    renderer.render = counted  # type: ignore[method-assign]  # counts, and does the same
    held: list[float] = []
    waited: list[float] = []
    over = threading.Event()
    write = db.write

    def timed(work: Callable[[Connection], Any]) -> Any:
        began = time.perf_counter()
        try:
            return write(work)
        finally:
            held.append(time.perf_counter() - began)

    db.write = timed  # type: ignore[method-assign]  # measures, and does the same
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    watcher = cProfile.Profile()
    other = threading.Thread(target=_sign_up_now_and_then, args=(write, over, waited))
    other.start()
    started, cpu = time.perf_counter(), time.process_time()
    if profile:
        watcher.enable()
    report = dispatch(
        db,
        config,
        newsletter,
        "weekly",
        Slot(local="2026-11-23T07:00", at=NOW),
        renderer=renderer,
        now=NOW,
        ids=lambda: secrets.token_hex(16),
    )
    watcher.disable()
    over.set()
    other.join()
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{report.deliveries} deliveries queued, {report.segments} segments, {report.outcome}")
    print(f"{seconds:.2f} s ({cpu:.2f} s of processor); {before:.0f} to {peak:.0f} MB")
    print(f"the writer {sum(held):.2f} s in {len(held)} transactions, the longest of {max(held):.2f} s", end="; ")
    print(f"{len(waited)} others waited {statistics.median(waited):.2f} s, the longest {max(waited):.2f} s")
    sizes = report.sizes.values()
    print(f"mails of {min(sizes) // 1024} to {max(sizes) // 1024} KB; templates rendered: {dict(rendered)}")
    if profile:
        pstats.Stats(watcher).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
