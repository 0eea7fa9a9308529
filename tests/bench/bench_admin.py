"""How fast the admin pages answer beside a large database, in milliseconds.

uv run python -m tests.bench.bench_admin [--articles 100000] [--subscribers 1000000] [--rounds 31] [--dir D]
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

import httpx2

from publisher import config as configuration
from publisher.app import App
from publisher.config import Config
from publisher.service import Listening, Service
from publisher.store.database import Database
from tests.publications import load_publication

ISSUES = 2
"""To every subscriber each: one that was sent, one that is being sent."""
SETTLING = 5
"""Seconds for what a start does beside: feeds, archives."""
MOMENT = "2026-11-23T07:00:00.000000Z"

FILL = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {articles})
INSERT INTO articles (guid, ref, source, title, summary, slug, language, published_at, updated_at, first_seen_at,
  authors, labels, enclosures, story, pinned, content_hash, state, state_reason, seq, changed, html)
SELECT 'guid:' || i, printf('%012x', i), 'articles', 'Title ' || i, 'Summary', 'slug-' || i, 'en', '{moment}',
  '{moment}', '{moment}', '[]', '[]', '[]', 'guid:' || i, 0, 'hash' || i, 'baseline', '', i, i, '<p>Text</p>' FROM n;

WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {subscribers})
INSERT INTO subscribers (id, address, address_key, name, languages, timezone, format, created_at)
SELECT i, 'reader' || i || '@reader.example', 'reader' || i || '@reader.example', '', '["en"]', 'UTC', 'html',
  '{moment}' FROM n;

INSERT INTO subscriptions (subscriber_id, newsletter, frequency, state, start_seq, cursor, created_at, confirmed_at)
SELECT id, 'weekly', 'weekly', CASE WHEN id % 20 = 0 THEN 'unsubscribed' ELSE 'confirmed' END, 0, 0, '{moment}',
  '{moment}' FROM subscribers;

INSERT INTO consents (subscriber_id, newsletter, event, method, proof, form, client, recorded_at)
SELECT id, 'weekly', 'confirmed', 'import', '', '', '',
  strftime('%Y-%m-%dT%H:%M:%S.000000Z', 'now', '-' || (id % 80) || ' days') FROM subscribers;

INSERT INTO issues (ref, newsletter, frequency, slot, state, to_seq, transport, settings, reason, created_at, sent_at)
VALUES ('aaaaaaaaaaaa', 'weekly', 'weekly', '2026-11-16T07:00', 'sent', 1, 'smtp', '{{}}', '', '{moment}', '{moment}'),
       ('bbbbbbbbbbbb', 'weekly', 'weekly', '2026-11-23T07:00', 'paused', 2, 'smtp', '{{}}', '', '{moment}', NULL);
INSERT INTO segments (issue_id, key, language, format, subject, is_web, html, text, head, body, article_ids)
SELECT id, 'en', 'en', 'html', 'The week', 0, '<p>x</p>', 'x', x'', x'', '[]' FROM issues;

INSERT INTO deliveries (issue_id, subscription_id, subscriber_id, segment_id, state, reason, to_seq, due_at, expires_at,
  next_at, attempt, ambiguous, message_id, reply_code, reply_text, finished_at)
SELECT issues.id, s.id, s.subscriber_id, segments.id,
  CASE WHEN s.id % 50 = 0 THEN 'failed' WHEN issues.id = 2 AND s.id % 2 THEN 'queued' ELSE 'sent' END,
  CASE WHEN s.id % 50 = 0 THEN 'no such user' ELSE '' END, 1, '{moment}', '{moment}', '{moment}', 1, 0,
  '<' || s.id || '.' || issues.id || '@x>', CASE WHEN s.id % 50 = 0 THEN 550 ELSE 250 END,
  CASE WHEN s.id % 50 = 0 THEN '5.1.1 <reader' || s.id || '@reader.example> unknown' ELSE '2.0.0 ok' END,
  strftime('%Y-%m-%dT%H:%M:%S.000000Z', '2026-11-23 07:00', '+' || (s.id / 300) || ' seconds')
FROM issues, segments, subscriptions s WHERE segments.issue_id = issues.id;
"""


def fill(config: Config, articles: int, subscribers: int) -> None:
    """Make a large database, unless it is there."""
    Database.open(data_dir=config.data_dir).close()
    with sqlite3.connect(config.data_dir / "publisher.db") as database:
        database.execute("PRAGMA synchronous=OFF")
        if database.execute("SELECT 1 FROM subscribers LIMIT 1").fetchone():
            return
        for statement in FILL.format(articles=articles, subscribers=subscribers, moment=MOMENT).split(";\n"):
            database.execute(statement)
        database.execute("INSERT OR REPLACE INTO meta VALUES ('seq', ?), ('changed', ?)", [str(articles)] * 2)
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("ANALYZE")


async def measure(config: Config, rounds: int) -> None:
    """Ask each page again and again, and print what it took."""
    async with await App.open(config) as app:
        told: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
        running = asyncio.create_task(Service(app).run(told.set_result))
        listening = await told
        link = (await app.entering.invite("bench", "admin"))["link"]
        async with httpx2.AsyncClient(base_url=listening.admin, timeout=60) as client:
            await client.post(link)
            begun = time.perf_counter()
            while "Being counted" in (await client.get("/")).text or app.measuring.last is None:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
            print(f"counted for the first time after {time.perf_counter() - begun:.1f} s")
            await asyncio.sleep(SETTLING)
            for path in ("/", "/issues/", "/issues/bbbbbbbbbbbb", "/readers/", "/readers/500000", "/audit"):
                begun = time.perf_counter()
                answer = await client.get(path)
                first = time.perf_counter() - begun
                times = []
                for _ in range(rounds):
                    begun = time.perf_counter()
                    answer = await client.get(path)
                    times.append(time.perf_counter() - begun)
                    await asyncio.sleep(0.1)
                counting = " (still being counted)" if "Being counted" in answer.text else ""
                median, slowest = 1e3 * statistics.median(times), 1e3 * max(times)
                print(
                    f"{path}: median {median:.0f} ms, slowest {slowest:.0f} ms of {rounds}, "
                    f"first {1e3 * first:.0f} ms, {len(answer.content)} bytes, {answer.status_code}{counting}"
                )
        app.shared.stop.set()
        await running


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--articles", type=int, default=100_000)
    parser.add_argument("--subscribers", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--dir", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = options.dir or Path(folder)
        file = home / "config" / "publisher.toml"
        loaded = configuration.load(file, {}) if file.exists() else load_publication(home, {})
        begun = time.perf_counter()
        fill(loaded, options.articles, options.subscribers)
        print(f"filled in {time.perf_counter() - begun:.0f} s")
        asyncio.run(measure(loaded, options.rounds))
