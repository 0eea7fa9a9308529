"""How long a service takes from its start to READY, and from an edit to its effect, with a large database behind it.

uv run python -m tests.bench.bench_start [--articles 100000] [--readers 1000000] [--deliveries 0] [--rounds 7]

The publication is built once in the folder and used again. Times are of the whole process, by the clock on the wall;
beside it the processor time until READY, which says more on a busy machine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from publisher.config import load
from publisher.errors import ConfigurationError, StoreError
from publisher.store.database import Connection, Database
from tests.publications import CONFIGURATION, write_publication

ARTICLE = """
INSERT INTO articles (id, guid, ref, source, title, summary, slug, language, published_at, updated_at, first_seen_at,
    authors, labels, enclosures, story, pinned, content_hash, state, state_reason, seq, changed, html)
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {number})
SELECT i, 'guid-' || i, printf('%012x', i), 'articles', 'Title of story ' || i, 'A sentence about it. ',
    'story-' || i, CASE i % 3 WHEN 0 THEN 'ru' ELSE 'en' END, at, at, at, '[]', '[]', '[]',
    'guid-' || i, 0, 'hash' || i, 'published', '', i, i, '<p>' || printf('%.*c', 2400, 'x') || '</p>'
FROM (SELECT i, strftime('%Y-%m-%dT%H:%M:%S', '2026-11-20', '-' || ((:last - i) * 20) || ' minutes') || '.000000Z' AS at
    FROM n, (SELECT {number} AS last))
"""
STATEMENTS = (
    ARTICLE.replace(":last", "last"),
    """INSERT INTO article_categories (article_id, category, position)
    SELECT id, CASE id % 2 WHEN 0 THEN 'economy' ELSE 'security' END, 0 FROM articles""",
    """INSERT INTO meta (key, value) VALUES ('seq', '{number}'), ('changed', '{number}')
    ON CONFLICT (key) DO UPDATE SET value = excluded.value""",
)
READERS = (
    """INSERT INTO subscribers (id, address, address_key, name, languages, timezone, format, created_at)
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {number})
    SELECT i, 'r' || i || '@reader.example', 'r' || i || '@reader.example', '', '["en"]', 'Europe/Minsk', 'html',
        '2026-01-01T00:00:00.000000Z' FROM n""",
    """INSERT INTO subscriptions (id, subscriber_id, newsletter, frequency, state, start_seq, cursor, created_at,
        confirmed_at)
    SELECT id, id, 'weekly', 'weekly', 'confirmed', 0, 0, created_at, created_at FROM subscribers""",
)
DELIVERIES = (
    """INSERT INTO issues (id, ref, newsletter, frequency, slot, state, to_seq, transport, settings, reason, created_at)
    VALUES (1, 'bench', 'weekly', 'weekly', '2026-01-05T07:00', 'paused', 1, 'smtp', '{{}}', '',
        '2026-01-05T04:00:00.000000Z')""",
    """INSERT INTO segments (id, issue_id, "key", language, format, subject, is_web, html, text, head, body,
        article_ids)
    VALUES (1, 1, 'en', 'en', 'html', 'x', 0, '', '', x'', x'', '[]')""",
    """INSERT INTO deliveries (id, issue_id, subscription_id, subscriber_id, segment_id, state, reason, to_seq, due_at,
        expires_at, next_at, attempt, ambiguous, message_id)
    SELECT id, 1, id, id, 1, 'queued', '', 1, created_at, '2030-01-01T00:00:00.000000Z', created_at, 0, 0,
        'm' || id || '@news.example' FROM subscribers WHERE id <= {number}""",
)


def build(folder: Path, articles: int, readers: int, deliveries: int) -> Path:
    """Write a publication with so much in its database, unless it is there; return the configuration file."""
    file = folder / "config" / "publisher.toml"
    # One that another make of the program wrote cannot be opened.
    with contextlib.suppress(ConfigurationError, StoreError):
        found = Database.look("", data_dir=load(file, {}).data_dir)
        if found is not None:
            found.close()
            return file
    shutil.rmtree(folder, ignore_errors=True)
    write_publication(folder, configuration=CONFIGURATION)
    config = load(file, {})

    def fill(conn: Connection) -> None:
        for statements, number in ((STATEMENTS, articles), (READERS, readers), (DELIVERIES, deliveries)):
            for statement in statements if number else ():
                conn.exec_driver_sql(statement.format(number=number))

    with Database.open(data_dir=config.data_dir) as database:
        database.write(fill)
    return file


@contextmanager
def ears() -> Iterator[tuple[str, socket.socket]]:
    """The socket that a supervisor would listen on."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        name = f"{folder}/notify"
        listener.bind(name)
        listener.settimeout(600)
        yield name, listener


def heard(listener: socket.socket, wanted: str) -> float:
    """Return when a message that begins so came, by a clock that only goes forward."""
    while not listener.recv(4096).decode().startswith(wanted):
        pass
    return time.perf_counter()


def processor(pid: int) -> float:
    """Return the seconds of processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def once(file: Path) -> tuple[float, float, float]:
    """Start a service, edit its configuration; return the seconds of each, and the processor time of the start."""
    with ears() as (name, listener):
        command = [sys.executable, "-m", "publisher", "--config", str(file), "run"]
        begun = time.perf_counter()
        process = subprocess.Popen(command, env=os.environ | {"NOTIFY_SOCKET": name}, stderr=subprocess.DEVNULL)
        ready = heard(listener, "READY=1") - begun
        taken = processor(process.pid)
        time.sleep(2)  # what a start leaves to be done afterwards
        text = file.read_text(encoding="utf-8")
        old, new = ("07:00", "07:30") if 'at = "07:00"' in text else ("07:30", "07:00")
        edited = time.perf_counter()
        file.write_text(text.replace(f'at = "{old}"', f'at = "{new}"'), encoding="utf-8")
        heard(listener, "RELOADING=1")
        effect = heard(listener, "READY=1") - edited
        process.send_signal(signal.SIGTERM)
        process.wait()
    return ready, effect, taken


def main() -> None:
    """Build, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--articles", type=int, default=100_000)
    parser.add_argument("--readers", type=int, default=1_000_000)
    parser.add_argument("--deliveries", type=int, default=0, help="queued deliveries of a paused issue")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "publisher-bench-start")
    given = parser.parse_args()
    file = build(given.folder, given.articles, given.readers, given.deliveries)
    times = [once(file) for _ in range(given.rounds)]
    size = sum(path.stat().st_size for path in (given.folder / "data").glob("publisher.db*"))
    sys.stdout.write(f"database: {size / 2**20:,.0f} MiB\n")
    names = ("start to ready", "edit to effect", "processor until ready")
    for name, column in zip(names, zip(*times, strict=True), strict=True):
        middle, least, most = statistics.median(column), min(column), max(column)
        sys.stdout.write(f"{name}: median {middle:.2f} s of {len(column)} ({least:.2f} to {most:.2f})\n")


if __name__ == "__main__":
    main()
