"""How fast the outbox sends beside Postfix's own client; how fast it claims is measured by `bench_claims`.

`uv run python -m tests.bench.bench_outbox send` needs `smtp-sink` and `smtp-source` (Debian: `apt install postfix`),
and with `--signed` `openssl`. Postfix's client has 8 connections; ours has each number of them that is given, in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from operator import truediv
from pathlib import Path
from threading import enumerate as enumerate_
from typing import NamedTuple

import sqlalchemy as sa
import uvloop
from cryptography.hazmat.primitives.asymmetric import rsa

from publisher.cli import GARBAGE
from publisher.mail import outbox
from publisher.mail.compose import Composer
from publisher.mail.dkim import Key, Signer
from publisher.mail.message import SLOT_UNSUBSCRIBE, SegmentHeaders, encode_segment
from publisher.mail.smtp import Transport
from publisher.model import DeliveryState, Format, IssueState
from publisher.store import claims, deliveries
from publisher.store.database import Connection, Database
from publisher.store.tables import Instant, issues, segments
from publisher.tokens import Keyring

NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
SIZE = 45_000
RIVALS_HEADER = 114
"""Octets that smtp-source adds to the length it is given."""
KEYRING = Keyring([bytes(range(32))])


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["send"])
    parser.add_argument("--messages", type=int, default=20_000, help="many, so that starting scribes costs nothing")
    parser.add_argument("--connections", type=int, nargs="+", default=[64], help="ours; several are measured in turn")
    parser.add_argument("--rival-connections", type=int, default=8, help="those of smtp-source")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--database", default="", help="an empty PostgreSQL database; else SQLite")
    parser.add_argument(
        "--folder", type=Path, default=None, help="where SQLite is; else the folder for temporary files"
    )
    parser.add_argument("--signed", action="store_true", help="sign each message, RSA of 2048 bits")
    parser.add_argument("--profile", action="store_true", help="print where the time of the first round goes")
    chosen = parser.parse_args()
    gc.set_threshold(*GARBAGE)  # as the program does
    measure_sending(chosen)


def measure_sending(chosen: argparse.Namespace) -> None:
    """Alternate Postfix's client and ours against the same sink; print the rate of each round and the medians."""
    rates: dict[str, list[float]] = defaultdict(list)
    length = octets(chosen)
    print(f"{chosen.messages} messages of {length} octets")
    for number in range(chosen.rounds):
        told = []
        with sink() as port:
            rates["smtp-source"].append(smtp_source(port, chosen, chosen.rival_connections, length))
            told.append(f"smtp-source {rates['smtp-source'][-1]:.0f}/s")
            if chosen.signed:
                rates["openssl"].append(openssl())
                told.append(f"openssl {rates['openssl'][-1]:.0f}/s")
            for connections in chosen.connections:
                run = publisher(port, chosen, connections, profile=chosen.profile and not number)
                rates[f"publisher {connections}"].append(run.rate)
                told.append(f"publisher with {connections} {run.rate:.0f}/s ({run.processor})")
        print(f"round {number + 1}: {', '.join(told)}", flush=True)
    # Ratios of each round, because a machine that others use is another one from round to round.
    print(f"medians of {chosen.rounds}, also of the ratios; smtp-source with {chosen.rival_connections} connections:")
    for name, found in rates.items():
        told = [
            f"{statistics.median(map(truediv, found, rates[rival])):.2f} of {rival}"
            for rival in ("smtp-source", "openssl")
            if name.startswith("publisher") and rival in rates
        ]
        print(f"  {name}: {statistics.median(found):.0f}/s", *([", ".join(told)] if told else []), sep=": ")


@contextmanager
def sink() -> Iterator[int]:
    """Run Postfix's SMTP sink on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    program = shutil.which("smtp-sink", path=f"{os.environ['PATH']}:/usr/sbin") or sys.exit(
        "smtp-sink is not installed"
    )
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    running = subprocess.Popen([program, *user, f"127.0.0.1:{port}", "1000"])
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        yield port
    finally:
        running.terminate()
        running.wait()


def octets(chosen: argparse.Namespace) -> int:
    """Return how long a message of ours is, with its header and signature: the rival's are as long."""
    with queue(chosen, 1) as database:
        [claimed] = database.read(lambda conn: claims.upcoming(conn, epoch=1, now=NOW, limit=1)).candidates
        segment = database.read(lambda conn: deliveries.segment(conn, claimed.segment_id))
    draft = composer(chosen).draft(claimed, segment)
    return draft.parcel([each.signature() for each in draft.unsigned]).envelope.size


def composer(chosen: argparse.Namespace) -> Composer:
    """Return what makes our messages, with a new key if they are signed."""
    if not chosen.signed:
        return Composer(KEYRING)
    key = Key.of("bench", rsa.generate_private_key(public_exponent=65537, key_size=2048))
    return Composer(KEYRING, signer=Signer([key]))


def smtp_source(port: int, chosen: argparse.Namespace, connections: int, length: int) -> float:
    """Return the messages a second of Postfix's client, which keeps its connections (-d) as we do."""
    program = shutil.which("smtp-source", path=f"{os.environ['PATH']}:/usr/sbin") or sys.exit("no smtp-source")
    settings = ["-d", "-s", str(connections), "-m", str(chosen.messages), "-l", str(length - RIVALS_HEADER)]
    begin = time.perf_counter()
    subprocess.run([program, *settings, "-f", "a@x.org", "-t", "b@x.org", f"127.0.0.1:{port}"], check=True)
    return float(chosen.messages / (time.perf_counter() - begin))


def openssl() -> float:
    """Return the RSA-2048 signatures a second of `openssl speed` on one core."""
    program = shutil.which("openssl") or sys.exit("no openssl")
    ran = subprocess.run(
        [program, "speed", "-mr", "-seconds", "1", "rsa2048"], check=True, capture_output=True, text=True
    )
    [line] = [line for line in ran.stdout.splitlines() if line.startswith("+F2:")]
    return float(line.split(":")[3])


class Run(NamedTuple):
    """What a run of ours came to: messages a second, and milliseconds of processor for a message by thread."""

    rate: float
    processor: str


def publisher(port: int, chosen: argparse.Namespace, connections: int, *, profile: bool = False) -> Run:
    """Send all messages, durable ledger included."""
    with queue(chosen, chosen.messages) as database:
        epoch = database.write(lambda conn: deliveries.new_epoch(conn, NOW))
        before = _processor()
        after: dict[str, float] = {}

        def progress(_: str, done: int, __: int | None) -> None:
            if done == chosen.messages:
                after.update(_processor())

        begin = time.perf_counter()
        story = outbox.run(
            database,
            lambda: Transport("127.0.0.1", port, security="plain", hello_name="mail.example.org"),
            composer=composer(chosen),
            epoch=epoch,
            connections=connections,
            clock=lambda: datetime.now(UTC),
            dice=lambda: 0.5,
            stop=asyncio.Event(),
            progress=progress,
        )
        if profile:
            import cProfile
            import pstats

            profiler = cProfile.Profile()
            report = profiler.runcall(uvloop.run, story)
            pstats.Stats(profiler).sort_stats("tottime").print_stats(35)
        else:
            report = uvloop.run(story)
        seconds = time.perf_counter() - begin
        assert report == outbox.OutboxReport(sent=chosen.messages), report
    each = {name: (spent - before.get(name, 0.0)) / chosen.messages * 1e3 for name, spent in after.items()}
    words = ", ".join(f"{name} {spent:.3f}" for name, spent in each.items() if spent >= 0.0005)
    return Run(chosen.messages / seconds, f"{words}: {sum(each.values()):.3f} ms of processor a message")


def _processor() -> Mapping[str, float]:
    """Return the seconds of processor that each kind of thread of this process has used, and its scribes."""
    spent: dict[str, float] = defaultdict(float)
    names = {thread.native_id: thread.name.removeprefix("publisher-").partition("_")[0] for thread in enumerate_()}
    for task in Path("/proc/self/task").iterdir():
        nanoseconds = int((task / "schedstat").read_text().split()[0])
        spent[names.get(int(task.name), "other").removesuffix("Thread").lower()] += nanoseconds / 1e9
    for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        if "scribe" in Path(f"/proc/{child}/cmdline").read_text():
            spent["scribe"] += int(Path(f"/proc/{child}/schedstat").read_text().split()[0]) / 1e9
    return spent


@contextmanager
def queue(chosen: argparse.Namespace, count: int) -> Iterator[Database]:
    """Open a new database with one issue and `count` deliveries queued."""
    folder = Path(tempfile.mkdtemp(prefix="publisher-bench-", dir=chosen.folder))
    try:
        with Database.open(chosen.database, data_dir=folder) as database:
            database.write(lambda conn: fill(conn, count))
            yield database
    finally:
        shutil.rmtree(folder)


def fill(conn: Connection, count: int) -> None:
    """Store an issue of one segment of 45 KB and its readers."""
    if conn.dialect.name == "postgresql":
        conn.exec_driver_sql("TRUNCATE issues, subscribers, workers CASCADE")
    paragraphs = "<p>Two days of talks, and both sides name a date; readers ask what it means. </p>\n"
    html = f'{paragraphs * (SIZE // 2 // len(paragraphs) - 20)}<a href="{SLOT_UNSUBSCRIBE}">Leave</a>'
    text = f"{'Two days of talks, and both sides name a date for more.' * (SIZE // 2 // 57)}\n{SLOT_UNSUBSCRIBE}\n"
    headers = SegmentHeaders(
        from_name="Weekly",
        from_address="news@example.org",
        subject="The week",
        language="en",
        list_name="Weekly",
        list_id="weekly.example.org",
    )
    head, body = encode_segment(headers=headers, text=text, html=html)
    settings = {"from_address": "news@example.org", "public_url": "https://news.example.org"}
    issue = {"id": 1, "ref": "r", "newsletter": "n", "frequency": "w", "slot": "s", "state": IssueState.SENDING}
    conn.execute(sa.insert(issues).values(**issue, to_seq=0, transport="smtp", settings=settings, created_at=NOW))
    segment = {"id": 1, "issue_id": 1, "key": "en", "language": "en", "format": Format.HTML, "subject": "The week"}
    conn.execute(
        sa.insert(segments).values(**segment, is_web=False, article_ids=[], html=html, text=text, head=head, body=body)
    )
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)"
    now, until = sa.bindparam("now", NOW, Instant), sa.bindparam("until", NOW + timedelta(days=3650), Instant)
    if conn.dialect.name == "postgresql":
        conn.exec_driver_sql("SET LOCAL statement_timeout = 0")
    for statement in (
        (
            "INSERT INTO subscribers (id, address, address_key, name, languages, timezone, format, created_at) "
            f"{numbers} SELECT i, 'reader' || i || '@example.net', 'reader' || i || '@example.net', 'Reader ' || i, "
            "'[]', 'UTC', 'html', :now FROM n"
        ),
        (
            "INSERT INTO subscriptions (id, subscriber_id, newsletter, frequency, state, start_seq, cursor, "
            "created_at) "
            f"{numbers} SELECT i, i, 'n', 'w', 'confirmed', 0, 0, :now FROM n"
        ),
        (
            "INSERT INTO deliveries (id, issue_id, subscription_id, subscriber_id, segment_id, state, reason, to_seq, "
            "due_at, expires_at, next_at, attempt, ambiguous, message_id) "
            f"{numbers} SELECT i, 1, i, i, 1, '{DeliveryState.QUEUED}', '', 1, :now, :until, :now, 0, 0, "
            "'<r.' || (100000000000000 + i) || 'x@example.org>' FROM n"
        ),
    ):
        bound = [parameter for parameter in (now, until) if f":{parameter.key}" in statement]
        conn.execute(sa.text(statement).bindparams(*bound, count=count))


if __name__ == "__main__":
    main()
