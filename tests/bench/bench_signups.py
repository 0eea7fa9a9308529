"""How many sign-ups a second get their answer, each durable before it: `python tests/bench/bench_signups.py`.

By default the desk is asked in this process. With `--http` a running service is, over so many connections that stay
open, by a process of its own: forms as a browser sends them, and pages as it gets them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from urllib.parse import urlencode

from publisher.render import Renderer
from publisher.store.database import Database
from publisher.subscriptions.desk import Desk
from publisher.subscriptions.house import House
from publisher.subscriptions.values import AnswerKind, SignUp
from publisher.tokens import Keyring, Pepper
from tests.publications import load_publication, write_publication

UNLIMITED = "[sign_up]\nmails_per_hour = 10000000\n"
PORT = 8917
SERVED = f'trusted_proxies = ["127.0.0.1"]\n{UNLIMITED}'
READABLE = 2.2
"""Seconds after which a form may come back."""


def client_of(number: int) -> str:
    """The address of somebody who signs up once."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


async def measured(number: int, at_once: int, ask: Callable[[int, int], Awaitable[None]]) -> dict[str, float]:
    """Let `number` people ask, `at_once` at a time. `ask` is told who asks and by which of the `at_once` ways."""
    waits: list[float] = []
    names = iter(range(number))

    async def people(way: int) -> None:
        for name in names:
            begun = time.perf_counter()
            await ask(name, way)
            waits.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    await asyncio.gather(*(people(way) for way in range(at_once)))
    seconds = time.perf_counter() - begun
    waits.sort()
    return {
        "sign_ups_per_second": round(number / seconds),
        "median_ms": round(1000 * statistics.median(waits), 1),
        "p99_ms": round(1000 * waits[int(0.99 * len(waits))], 1),
    }


async def at_the_desk(home: Path, url: str, number: int, at_once: int) -> dict[str, float]:
    """Ask the desk, in this process."""
    config = load_publication(home / "publication", {}, more=UNLIMITED)
    keys = Keyring([secrets.token_bytes(32)]), Pepper(secrets.token_bytes(32))
    with Database.open(url, data_dir=home) as database:
        house = House(config, Renderer.for_newsletter(config), *keys, lambda: secrets.token_hex(16))
        desk = Desk(database, house, clock=lambda: datetime.now(UTC), woken=lambda: None, inbox=None)

        async def ask(name: int, _: int) -> None:
            form = SignUp(address=f"reader{name}@example.org", newsletters=("weekly",), language="en")
            answer = await desk.sign_up(form, client=client_of(name))
            assert answer.kind is AnswerKind.TAKEN

        return await measured(number, at_once, ask)


async def over_http(number: int, at_once: int) -> dict[str, float]:
    """Ask a service over connections that stay open."""
    ways = [await asyncio.open_connection("127.0.0.1", PORT) for _ in range(at_once)]
    page = await _exchange(*ways[0], b"GET /subscribe?lang=en HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page.decode())
    form = {name: unescape(value) for name, value in hidden}
    assert "stamp" in form, page
    await asyncio.sleep(READABLE)

    async def ask(name: int, way: int) -> None:
        typed = {"email": f"reader{name}@example.org", "newsletter": "weekly", "language": "en"}
        categories = {"category.weekly": ["economy", "security"]}
        body = urlencode({**form, **typed, **categories}, doseq=True).encode()
        head = (
            "POST /subscribe?lang=en HTTP/1.1\r\nHost: 127.0.0.1\r\nSec-Fetch-Site: same-origin\r\n"
            f"X-Forwarded-For: {client_of(name)}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        answer = await _exchange(*ways[way], head.encode() + body)
        assert b"Look into your mailbox" in answer, answer[:500]

    return await measured(number, at_once, ask)


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 " in head.split(b"\r\n")[0], head
    length = re.search(rb"(?i)content-length: (\d+)", head)
    assert length, head
    return await reader.readexactly(int(length[1]))


@contextlib.contextmanager
def service(home: Path) -> Iterator[None]:
    """Run a service until the block ends; its mail server takes nothing, so that sign-ups have the machine."""
    file = write_publication(home, {}, more=SERVED)
    text = file.read_text().replace("embedded = true", 'host = "127.0.0.1"\nport = 9\nsecurity = "plain"')
    text = text.replace("[site]\n", '[site]\npostal_address = "1 Street"\n')
    text = text.replace('listen = "127.0.0.1:0"', f'listen = "127.0.0.1:{PORT}"', 1)
    file.write_text(text)
    process = subprocess.Popen([sys.executable, "-m", "publisher", "--config", str(file), "run"])
    try:
        while True:
            assert process.poll() is None
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", PORT)).close()
                break
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=3000)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--url", default="", help="of a PostgreSQL; default: SQLite in a temporary folder")
    parser.add_argument("--http", action="store_true", help="ask a running service, on SQLite")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if given.http:
            with service(home):
                print(json.dumps(asyncio.run(over_http(given.number, given.at_once))))
        else:
            print(json.dumps(asyncio.run(at_the_desk(home, given.url, given.number, given.at_once))))


if __name__ == "__main__":
    main()
