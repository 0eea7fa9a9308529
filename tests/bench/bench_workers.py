"""Figure (c): one worker and two workers on one PostgreSQL, the same issue, a server of our own on loopback.

`uv run python -m tests.bench.bench_workers [readers]`: 4,000 unless told otherwise. The ledgers are compared after each
run: nothing is lost or repeated. PostgreSQL syncs every commit here.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from publisher.store.database import Database
from tests import sender
from tests.conftest import administer, emptied, run_postgresql
from tests.crashes import PIPELINING, ended
from tests.ledgers import assert_invariants
from tests.office import Office
from tests.smtp_server import Script, smtp_server

CONNECTIONS = 8


async def rate(url: str, readers: int, workers: int) -> float:
    """Return mails a second, from the first that arrives to the last."""
    with tempfile.TemporaryDirectory() as folder, Database.open(url, data_dir=Path(folder)) as database:
        office = Office(database)
        office.fill([f"person{number:06d}" for number in range(readers)])
        async with smtp_server(Script(extensions=PIPELINING)) as server:
            office.ledger.received = server.received
            running = [
                sender.start(Path(folder), server.port, url=url, connections=CONNECTIONS) for _ in range(workers)
            ]
            assert [await ended(one) for one in running] == [0] * workers
            assert max(Counter(message.message_id for message in server.received).values()) == 1
            seconds = server.received[-1].began_at - server.received[0].began_at
        assert_invariants(office.ledger, database, at_risk=0)
    return readers / seconds


async def main() -> None:
    """Measure three times each and print the medians."""
    readers = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    with run_postgresql() as server:
        for setting in ("fsync", "full_page_writes"):
            administer(server, f"ALTER SYSTEM SET {setting} = on")
        administer(server, "SELECT pg_reload_conf()")
        for workers in (1, 2):
            began = time.monotonic()
            rates = sorted([await rate(emptied(server), readers, workers) for _ in range(3)])
            print(
                f"{workers} worker(s): {rates[1]:.0f} mails/s (of three: {rates[0]:.0f}–{rates[2]:.0f}), "
                f"0 lost, 0 repeated, {time.monotonic() - began:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    asyncio.run(main())
