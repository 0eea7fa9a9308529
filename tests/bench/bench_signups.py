"""How many sign-ups a second get their answer, each durable before it: `python tests/bench/bench_signups.py`."""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from publisher.render import Renderer
from publisher.store.database import Database
from publisher.subscriptions.desk import Desk
from publisher.subscriptions.house import House
from publisher.subscriptions.values import AnswerKind, SignUp
from publisher.tokens import Keyring, Pepper
from tests.publications import load_publication


async def run(home: Path, url: str, number: int, at_once: int) -> dict[str, float]:
    """Sign up `number` people, `at_once` at a time, each from a client of their own."""
    config = load_publication(home / "publication", {}, more="[sign_up]\nmails_per_hour = 10000000\n")
    keys = Keyring([secrets.token_bytes(32)]), Pepper(secrets.token_bytes(32))
    with Database.open(url, data_dir=home) as database:
        house = House(config, Renderer.for_newsletter(config), *keys, lambda: secrets.token_hex(16))
        desk = Desk(database, house, clock=lambda: datetime.now(UTC), woken=lambda: None, inbox=None)
        waits: list[float] = []
        names = iter(range(number))

        async def people() -> None:
            for name in names:
                begun = time.perf_counter()
                form = SignUp(address=f"reader{name}@example.org", newsletters=("weekly",), language="en")
                answer = await desk.sign_up(form, client=f"10.{name >> 16 & 255}.{name >> 8 & 255}.{name & 255}")
                assert answer.kind is AnswerKind.TAKEN
                waits.append(time.perf_counter() - begun)

        begun = time.perf_counter()
        await asyncio.gather(*(people() for _ in range(at_once)))
        seconds = time.perf_counter() - begun
    waits.sort()
    return {
        "sign_ups_per_second": round(number / seconds),
        "median_ms": round(1000 * statistics.median(waits), 1),
        "p99_ms": round(1000 * waits[int(0.99 * len(waits))], 1),
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=3000)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--url", default="", help="of a PostgreSQL; default: SQLite in a temporary folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(asyncio.run(run(Path(folder), given.url, given.number, given.at_once))))


if __name__ == "__main__":
    main()
