"""How fast a folder of Markdown files is imported, how fast a re-scan with nothing changed is, and in how much memory.

`uv run python -m tests.bench.import_folder [files]`: 10,000 files of about 3 KB unless told otherwise.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from publisher.config import Category, Config, FolderSource, Site
from publisher.ingest import ingest
from publisher.sources import open_source
from publisher.store.database import Database

FILES = 10_000
RESCANS = 5
WORDS = (
    *("the", "council", "voted", "budget", "region", "minister", "talks", "border", "trade", "energy", "reform"),
    *("court", "election", "market", "price", "farmers", "students", "hospital", "railway", "river", "bridge"),
    *("festival", "museum", "report", "figures", "month", "year", "growth", "decline", "agreed", "published"),
)


def main() -> None:
    """Generate the files, then measure each step in a process of its own, so that its memory is its own."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else FILES
    folder = Path(tempfile.mkdtemp(prefix="publisher-bench-"))
    try:
        total = generate(folder / "articles", count)
        print(f"{count:,} files, {total / count / 1024:.1f} KB each")
        for step in ("import", "rescan"):
            subprocess.run([sys.executable, "-m", "tests.bench.import_folder", "--step", step, str(folder)], check=True)
    finally:
        shutil.rmtree(folder)


def generate(folder: Path, count: int) -> int:
    """Write the files in folders by year and month, long enough ago to be settled; return their bytes."""
    dice = random.Random(2)
    total = 0
    start = datetime(2015, 1, 1, 9, tzinfo=UTC)
    for number in range(count):
        day = start + timedelta(hours=9 * number)
        path = folder / f"{day:%Y}" / f"{day:%m}" / f"{day:%Y-%m-%d}-article-{number}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = article(dice, number, day)
        path.write_text(text, encoding="utf-8")
        total += len(text.encode())
    long_ago = start.timestamp()
    for path in folder.rglob("*.md"):
        os.utime(path, (long_ago, long_ago))
    return total


def article(dice: random.Random, number: int, day: datetime) -> str:
    """Return an article of about 3 KB with headings, links, emphasis, a list, and a table or code in some."""

    def sentence(words: int) -> str:
        return " ".join(dice.choices(WORDS, k=words)).capitalize() + "."

    def paragraph() -> str:
        return f"{sentence(22)} {sentence(14)} **{sentence(3)}** See [the report](/reports/{number}). {sentence(18)}"

    head = (
        f'title: "{sentence(6)[:-1]} {number}"',
        f"date: {day:%Y-%m-%d %H:%M:%S} +0300",
        f"author: Reporter {number % 9}",
        f"categories: [{dice.choice(('politics', 'economy', 'culture'))}]",
        f"tags: [{', '.join(dice.choices(WORDS, k=3))}]",
    )
    parts = [
        "\n".join(("---", *head, "---")),
        paragraph(),
        paragraph(),
        f"## {sentence(4)[:-1]}",
        paragraph(),
        "\n".join(f"- {sentence(7)}" for _ in range(4)),
        paragraph(),
        paragraph(),
    ]
    if number % 5 == 0:
        parts.append("| a | b |\n|---|---|\n" + "\n".join(f"| {sentence(2)} | {row} |" for row in range(3)))
    if number % 7 == 0:
        parts.append("```python\nprint('figures')\n```")
    return "\n\n".join(parts) + "\n"


def step(name: str, folder: Path) -> None:
    """Measure one step and print its figures."""
    settings = FolderSource(kind="folder", name="bench", path=folder / "articles")
    categories = tuple(Category(slug=slug, title=slug.title()) for slug in ("politics", "economy", "culture"))
    config = Config(site=Site(title="Bench", url="https://example.org/"), categories=categories, sources=(settings,))
    measure = importing if name == "import" else rescanning
    measure(folder, settings, config, datetime.now(UTC))


def importing(folder: Path, settings: FolderSource, config: Config, now: datetime) -> None:
    """Collect everything, then decide and store it in SQLite."""
    begin = time.perf_counter()
    collected = open_source(settings, config).collect({}, now=now)
    read = time.perf_counter() - begin
    count = len(collected.drafts)
    print(f"collect: {count:,} articles in {read:.1f} s, {count / read:,.0f} articles/s, peak {peak():.0f} MiB")
    state = json.dumps(collected.state, ensure_ascii=False)
    (folder / "state.json").write_text(state, encoding="utf-8")
    print(f"state: {len(state.encode()) / 1024 / 1024:.2f} MiB; skipped: {len(collected.skipped)}")
    (folder / "data").mkdir()
    with closing(Database.open(data_dir=folder / "data")) as db:
        begin = time.perf_counter()
        report = ingest(db, settings, config, collected, now=now)
        stored = time.perf_counter() - begin
    print(f"ingest and store: {report.new:,} articles in {stored:.1f} s, peak {peak():.0f} MiB")
    print(f"import: {count / (read + stored):,.0f} articles/s")


def rescanning(folder: Path, settings: FolderSource, config: Config, now: datetime) -> None:
    """Collect again with nothing changed, the reading and writing of the state included."""
    times = []
    for _ in range(RESCANS):
        begin = time.perf_counter()
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        collected = open_source(settings, config).collect(state, now=now)
        json.dumps(collected.state, ensure_ascii=False)
        times.append(time.perf_counter() - begin)
        assert not collected.drafts
    milliseconds = statistics.median(times) * 1000
    print(f"re-scan, nothing changed: {milliseconds:.0f} ms (median of {RESCANS}), peak {peak():.0f} MiB")


def peak() -> float:
    """Return the largest resident size of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]:
        step(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
