"""How fast deliveries are claimed with a million of them queued, from the first to the last.

`uv run python -m tests.bench.bench_claims [--postgresql]`: reads ahead in blocks as the outbox does and claims in
batches, each with a durable commit; prints the rate of each tenth, and how long a claim takes (J17). On PostgreSQL a
server of its own is started, and the queue is filled just before, so that its statistics know nothing of it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

from publisher.mail.ahead import BLOCK
from publisher.store import claims, deliveries
from publisher.store.claims import Position
from publisher.store.database import Database
from tests.bench.bench_outbox import NOW, queue
from tests.conftest import administer, emptied, run_postgresql

MOMENT = NOW + timedelta(hours=1)


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--postgresql", action="store_true", help="instead of SQLite")
    parser.add_argument("--queued", type=int, default=1_000_000)
    parser.add_argument("--together", type=int, default=64, help="deliveries claimed in one transaction")
    parser.add_argument("--only", type=int, default=0, metavar="N", help="claim N of them, in tenths of N; 0: all")
    parser.add_argument("--folder", type=Path, default=None, help="for the SQLite file, on the disk to be measured")
    chosen = parser.parse_args()
    with run_postgresql() if chosen.postgresql else nullcontext() as server:
        chosen.database = ""
        if server is not None:
            for setting in ("fsync", "full_page_writes"):
                administer(server, f"ALTER SYSTEM SET {setting} = on")
            administer(server, "SELECT pg_reload_conf()")
            chosen.database = emptied(server)
        with queue(chosen, chosen.queued) as database:
            print(f"{chosen.queued} queued on {database.dialect}", flush=True)
            measure(database, chosen.only or chosen.queued, chosen.together)


def measure(database: Database, wanted: int, together: int) -> None:
    """Claim so many deliveries and print the rates."""
    epoch = database.write(lambda conn: deliveries.new_epoch(conn, NOW))
    after: Position | None = None
    done, told, tenth = 0, 0, max(1, wanted // 10)
    reads, takes = [0.0], [0.0]
    all_takes: list[float] = []
    begin = begin_all = time.perf_counter()
    while done < wanted:
        start = time.perf_counter()
        found = database.read(
            lambda conn, after=after: claims.upcoming(conn, epoch=epoch, now=MOMENT, limit=BLOCK, after=after)  # type: ignore[misc]  # a default argument
        )
        reads.append(time.perf_counter() - start)
        assert found.candidates, done
        after = found.last
        for first in range(0, len(found.candidates), together):
            batch = found.candidates[first : first + together]
            start = time.perf_counter()
            taken = database.write(lambda conn, batch=batch: claims.take(conn, batch, MOMENT))  # type: ignore[misc]  # as above
            takes.append(time.perf_counter() - start)
            all_takes.append(takes[-1])
            assert len(taken) == len(batch)
        done += len(found.candidates)
        if done - told >= tenth:
            now = time.perf_counter()
            print(
                f"{done:>9} claimed, {(done - told) / (now - begin):.0f}/s; a block read in {_spread(reads)}, "
                f"{together} claimed in {_spread(takes)}",
                flush=True,
            )
            told, begin, reads, takes = done, now, [0.0], [0.0]
    print(f"{done / (time.perf_counter() - begin_all):.0f}/s in all; {together} claimed in {_spread(all_takes)}")


def _spread(seconds: list[float]) -> str:
    cuts = statistics.quantiles(seconds, n=100)
    return f"{1e3 * cuts[49]:.1f} ms (of a hundred one takes {1e3 * cuts[98]:.1f})"


if __name__ == "__main__":
    main()
