"""Sending beside the plain way, over a long way, with a full queue in memory, and after a crash.

`uv run python -m tests.bench.bench_delivery plain` (needs dkimpy): against rendering, `EmailMessage`, dkimpy and
aiosmtplib's `send_message` for each reader, with as many connections.
`… far`: through a proxy that is 40 ms away, beside Postfix's client over as many connections.
`… memory`: what a sending process needs with 10,000 and with 1,000,000 deliveries queued.
`… crash`: from a kill with 1,000,000 queued to the first message of the process that follows.

All need `smtp-sink` (Debian: `apt install postfix`), and the same durable ledger as in service.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import multiprocessing
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiosmtplib
import dkim
import jinja2
import uvloop
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from publisher.app.worker import Worker
from publisher.cli import GARBAGE
from publisher.mail import outbox
from publisher.mail.compose import Composer
from publisher.mail.dkim import Key, Signer
from publisher.mail.smtp import Transport
from publisher.store.database import Database
from tests.bench.bench_outbox import KEYRING, octets, publisher, queue, sink, smtp_source

ROUND_TRIP = 0.04
ITEMS = 60
_context = multiprocessing.get_context("spawn")

SUMMARY = "Two days of talks, and both sides name a date; readers ask what it means for them and for their towns. " * 3
HTML = """<!DOCTYPE html><html lang="en"><body><h1>The week</h1><p>Dear {{ name }},</p>
{% for item in items %}<h2><a href="{{ item.url }}">{{ item.title }}</a></h2>
<p>{{ item.summary }}</p>
{% endfor %}<p><a href="{{ leave }}">Leave</a></p></body></html>"""
TEXT = """The week\n\nDear {{ name }},\n\n{% for item in items %}{{ item.title }}
{{ item.summary }}
{{ item.url }}\n\n{% endfor %}Leave: {{ leave }}\n"""


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["plain", "far", "memory", "crash", "work"])
    parser.add_argument("--messages", type=int, default=3_000)
    parser.add_argument("--queued", type=int, default=1_000_000)
    parser.add_argument("--connections", type=int, default=0, help="8 unless told otherwise; 32 for `far`")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--database", default="", help="an empty PostgreSQL database; else SQLite")
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--port", type=int, default=0)
    chosen = parser.parse_args()
    gc.set_threshold(*GARBAGE)  # as the program does
    chosen.connections = chosen.connections or (32 if chosen.what == "far" else 8)
    chosen.signed = chosen.what == "plain"
    {"plain": plain, "far": far, "memory": memory, "crash": crash, "work": work}[chosen.what](chosen)


def plain(chosen: argparse.Namespace) -> None:
    """Print our rate, signatures and ledger included, beside the plain way's, which has no ledger; ratio of medians."""
    ours, theirs = [], []
    for number in range(chosen.rounds):
        with sink() as port:
            theirs.append(asyncio.run(_plainly(port, max(100, chosen.messages // 20), chosen.connections)))
            ours.append(publisher(port, chosen, chosen.connections).rate)
        print(f"round {number + 1}: the plain way {theirs[-1]:.1f}/s, publisher {ours[-1]:.0f}/s", flush=True)
    theirs_, ours_ = statistics.median(theirs), statistics.median(ours)
    print(f"median: the plain way {theirs_:.1f}/s, publisher {ours_:.0f}/s: {ours_ / theirs_:.1f}")


async def _plainly(port: int, messages: int, connections: int) -> float:
    """Send as an application without a newsletter service would: everything done for every reader."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    formats = (serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    pem = private.private_bytes(*formats)
    environment = jinja2.Environment(autoescape=True)
    html, text = environment.from_string(HTML), environment.from_string(TEXT)
    items = [{"title": f"Title {n}", "url": f"https://example.org/{n}", "summary": SUMMARY} for n in range(ITEMS)]
    readers = iter(range(messages))

    async def work() -> None:
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, local_hostname="mail.example.org", start_tls=False)
        await client.connect()
        for number in readers:
            values = {"name": f"Reader {number}", "items": items, "leave": f"https://news.example.org/u/{number}"}
            message = EmailMessage()
            message["From"] = "Weekly <news@example.org>"
            message["To"] = f"Reader {number} <reader{number}@example.net>"
            message["Subject"] = "The week"
            message["Date"] = datetime.now(UTC)
            message["Message-ID"] = f"<{number}.week@example.org>"
            message["List-Unsubscribe"] = f"<{values['leave']}>"
            message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
            message.set_content(text.render(values))
            message.add_alternative(html.render(values), subtype="html")
            signature = dkim.sign(message.as_bytes(), b"bench", b"example.org", pem)
            name, _, value = signature.decode().partition(":")
            message[name] = value.replace("\r\n", "").strip()
            await client.send_message(message)
        await client.quit()

    begin = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(connections)))
    return messages / (time.perf_counter() - begin)


def far(chosen: argparse.Namespace) -> None:
    """Print the rates of Postfix's client and ours to a server 40 ms away, and how many round trips a message costs."""
    ours, theirs = [], []
    for number in range(chosen.rounds):
        with sink() as port, _distant(port) as away:
            theirs.append(smtp_source(away, chosen, chosen.connections, octets(chosen)))
            ours.append(publisher(away, chosen, chosen.connections).rate)
        print(f"round {number + 1}: smtp-source {theirs[-1]:.0f}/s, publisher {ours[-1]:.0f}/s", flush=True)
    rate = statistics.median(ours)
    trips = chosen.connections / rate / ROUND_TRIP
    print(
        f"median over {chosen.connections} connections, {ROUND_TRIP * 1e3:.0f} ms away: smtp-source "
        f"{statistics.median(theirs):.0f}/s, publisher {rate:.0f}/s, {trips:.2f} round trips a message at most"
    )


@contextmanager
def _distant(port: int) -> Iterator[int]:
    """Run a proxy, in its own process, that hands on each octet half a round trip after it came."""
    ours, theirs = _context.Pipe()
    process = _context.Process(target=_proxy, args=(port, theirs), daemon=True)
    process.start()
    try:
        yield int(ours.recv())
    finally:
        process.kill()
        process.join()


def _proxy(port: int, told: Any) -> None:
    async def serve() -> None:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
            await asyncio.gather(_carry(reader, there[1]), _carry(there[0], writer))

        server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=1 << 20, backlog=1000)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError):
        while octets := await reader.read(1 << 18):
            loop.call_later(ROUND_TRIP / 2, writer.write, octets)
    loop.call_later(ROUND_TRIP / 2, writer.close)


def memory(chosen: argparse.Namespace) -> None:
    """Print the most memory that a process needed to send `messages` of a short and of a long queue."""
    needs = []
    for queued in (10_000, chosen.queued):
        with _filled(chosen, queued) as folder, sink() as port:
            needs.append(max(_sent(chosen, folder, port)["memory"] for _ in range(1)))
        print(f"{queued:>9} queued: {needs[-1] / 1024:.1f} MiB at most", flush=True)
    print(f"growth: {(needs[1] - needs[0]) / 1024:.1f} MiB")


def crash(chosen: argparse.Namespace) -> None:
    """Kill a sending process with the whole queue before it; print how long the next takes to its first message."""
    seconds = []
    with _filled(chosen, chosen.queued) as folder, sink() as port:
        for number in range(chosen.rounds):
            _sent(chosen, folder, port, kill=True)
            found = _sent(chosen, folder, port, kill=True)
            seconds.append(found["first"])
            print(f"round {number + 1}: {found['recovered']} on the wire, {seconds[-1]:.2f} s", flush=True)
    print(f"median: {statistics.median(seconds):.2f} s from the start of the process to its first message")


@contextmanager
def _filled(chosen: argparse.Namespace, count: int) -> Iterator[Path]:
    with queue(chosen, count) as database:
        folder = Path(database.where).parent
        database.close()
        yield folder


def _sent(chosen: argparse.Namespace, folder: Path, port: int, *, kill: bool = False) -> dict[str, float]:
    """Run a process that sends, and return what it found out; it ends after `messages`, or is killed."""
    command = [sys.executable, "-m", "tests.bench.bench_delivery", "work", "--folder", str(folder), "--port", str(port)]
    command += ["--messages", str(chosen.messages), "--connections", str(chosen.connections)]
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    found: dict[str, float] = {}
    for line in process.stdout:
        name, _, value = line.strip().partition(" ")
        if name not in ("recovered", "first", "memory"):
            continue  # what the worker logs
        found[name] = float(value)
        if name == "first":
            found["first"] = time.perf_counter() - begin
            if kill:
                time.sleep(0.2)  # so that all its connections have something under way
                process.send_signal(signal.SIGKILL)
    process.wait()
    return found


def work(chosen: argparse.Namespace) -> None:
    """Recover and send until `messages` are sent: what `memory` and `crash` start as a process of its own."""
    with Database.open("", data_dir=chosen.folder) as database:
        uvloop.run(_work(database, chosen))
    print("memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)


async def _work(database: Database, chosen: argparse.Namespace) -> None:
    worker = Worker(database, "retry")
    left = await database.aread(_under_way)
    await worker.begin()
    print("recovered", left, flush=True)
    stop = asyncio.Event()

    def progress(_: str, done: int, __: int | None) -> None:
        if done == 1:
            print("first", 0, flush=True)
        if done >= chosen.messages:
            stop.set()

    await outbox.run(
        database,
        lambda: Transport("127.0.0.1", chosen.port, security="plain", hello_name="mail.example.org"),
        composer=Composer(KEYRING, signer=Signer([Key.of("bench", _key(chosen.folder))])),
        epoch=worker.epoch,
        connections=chosen.connections,
        clock=lambda: datetime.now(UTC),
        dice=lambda: 0.5,
        stop=stop,
        progress=progress,
    )
    await worker.end()


def _under_way(conn: Any) -> int:
    return int(conn.exec_driver_sql("SELECT count(*) FROM deliveries WHERE state = 'sending'").scalar() or 0)


def _key(folder: Path) -> rsa.RSAPrivateKey:
    """Return the folder's key; made once, because making one takes longer than starting."""
    path = folder / "bench.pem"
    if not path.exists():
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        formats = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path.write_bytes(private.private_bytes(*formats))
        path.chmod(0o600)
    found = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(found, rsa.RSAPrivateKey)
    return found


if __name__ == "__main__":
    main()
