"""Kill sending workers and compare the server's ledger with ours: at random moments, or at every named point.

`uv run python -m tests.bench.kill_outbox [kills] [--seed N] [--postgresql] [--workers N] [--signed]`: 10,000 kills
at random moments unless told otherwise, several a second. No violation in n kills bounds their rate below 3/n (95 %).
`uv run python -m tests.bench.kill_outbox --sweep`: every named point × {retry, hold} × {SQLite, PostgreSQL, two
workers on PostgreSQL}, at its first, second and third passage.
`uv run python -m tests.bench.kill_outbox --chaos 100000`: so many mails through a server that hangs up, defers and
speaks out of turn: everybody gets their own, once (H29).
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from publisher.store.database import Database
from tests import houses
from tests.conftest import emptied, run_postgresql
from tests.crashes import PIPELINING, NotReachedError, Sweep, crash_at, kill_at_random, sweeps
from tests.office import Office
from tests.smtp_server import Script, smtp_server
from tests.test_mail_hostile import Chaos, send_through_chaos

KILLS = 10_000
CONNECTIONS = 8
READERS = 400

Fresh = Callable[[], str]
"""Returns the address of an empty database; "" is a new SQLite file."""


def _sqlite() -> str:
    return ""


@contextmanager
def _office(url: str) -> Iterator[tuple[Office, Path]]:
    with tempfile.TemporaryDirectory() as folder, Database.open(url, data_dir=Path(folder)) as database:
        yield Office(database), Path(folder)


async def kill(wanted: int, dice: random.Random, fresh: Fresh, together: int, *, signed: bool) -> None:
    """Freeze an issue, kill its workers until it is sent, compare; again until there were so many kills."""
    kills = repeated = 0
    states: Counter[str] = Counter()
    while kills < wanted:
        url = fresh()
        with _office(url) as (office, folder):
            office.fill([f"person{number:03d}" for number in range(READERS)])
            async with smtp_server(Script(extensions=PIPELINING)) as server:
                kills += await kill_at_random(
                    office,
                    folder,
                    server,
                    kills=wanted - kills,
                    dice=dice,
                    connections=CONNECTIONS,
                    url=url,
                    together=together,
                    signed=signed,
                )
            repeated += len(server.received) - len({message.message_id for message in server.received})
            states.update(str(state) for state in office.states().values())
        print(f"{kills} kills: {dict(states)}, {repeated} repeated, {repeated / kills:.2f} a kill, 0 lost", flush=True)


async def sweep(fresh: Fresh, only: str) -> None:
    """Crash at every named point, on both databases and with two workers; stops at the first violation."""
    for where, empty, workers in (("SQLite", _sqlite, 1), ("PostgreSQL", fresh, 1), ("PostgreSQL, two", fresh, 2)):
        if only not in ("", where):
            continue
        began, crashes = time.monotonic(), 0
        for one in sweeps(workers=workers):
            crashes += await _swept(empty, one)
        whole = houses.sweeps(sqlite=empty is _sqlite) if workers == 1 else []
        for one in whole:
            with tempfile.TemporaryDirectory() as folder:
                crashes += await houses.crash_house(Path(folder) / "home", empty(), one)
        number, spent = len(sweeps(workers=workers)) + len(whole), time.monotonic() - began
        print(f"{where}: {number} sweeps, {crashes} crashes, 0 violations, {spent:.0f} s", flush=True)


async def _swept(empty: Fresh, one: Sweep) -> int:
    """Return the crashes at a point; of two workers none may come by it, so that it is tried a few times."""
    left = 1 if one.workers == 1 else 3
    while True:
        url = empty()
        with _office(url) as (office, folder):
            try:
                return await crash_at(office, folder, url, one)
            except NotReachedError:
                left -= 1
                if not left:
                    raise


async def chaos(readers: int) -> None:
    """Send through chaos and compare."""
    began = time.monotonic()
    with _office("") as (office, _):
        async with smtp_server(Chaos(extensions=PIPELINING)) as server:
            await send_through_chaos(office, server, readers)
            print(
                f"{readers} mails over {server.connections} connections, {len(server.received)} final dots: "
                f"0 lost, 0 repeated, 0 to somebody else, {time.monotonic() - began:.0f} s"
            )


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kills", type=int, nargs="?", default=KILLS)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("--postgresql", action="store_true", help="instead of SQLite")
    parser.add_argument("--workers", type=int, default=1, help="work side by side (on PostgreSQL)")
    parser.add_argument("--signed", action="store_true", help="by scribes, which are lost with their worker")
    parser.add_argument("--sweep", action="store_true", help="crash at every named point instead")
    parser.add_argument("--only", default="", help="of a sweep: SQLite, PostgreSQL or 'PostgreSQL, two'")
    parser.add_argument("--chaos", type=int, metavar="MAILS", help="send so many over connections that break instead")
    given = parser.parse_args()
    if given.chaos:
        asyncio.run(chaos(given.chaos))
        return
    if given.workers > 1 and not given.postgresql:
        parser.error("several workers need --postgresql")
    with run_postgresql() if given.sweep or given.postgresql else nullcontext() as server:
        fresh: Fresh = _sqlite if server is None else lambda: emptied(server)
        if given.sweep:
            asyncio.run(sweep(fresh, given.only))
        else:
            asyncio.run(kill(given.kills, random.Random(given.seed), fresh, given.workers, signed=given.signed))


if __name__ == "__main__":
    main()
