"""Kill sending workers at random moments and compare the server's ledger with ours after each issue.

`uv run python -m tests.bench.kill_outbox [kills] [seed]`: 10,000 unless told otherwise, about four a second. No
violation in n kills bounds their rate below 3/n (95 %).
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from publisher.store.database import Database
from tests.office import Office
from tests.smtp_server import Script, smtp_server
from tests.test_mail_crashes import PIPELINING, check, killed

KILLS = 10_000
CONNECTIONS = 8
READERS = 400


async def main() -> None:
    """Freeze an issue, kill its workers until it is sent, compare; again until there were so many kills."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else KILLS
    dice = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns())
    kills = repeated = 0
    states: Counter[str] = Counter()
    while kills < wanted:
        with tempfile.TemporaryDirectory() as folder, Database.open(data_dir=Path(folder)) as database:
            office = Office(database)
            office.fill([f"person{number:03d}" for number in range(READERS)])
            async with smtp_server(Script(extensions=PIPELINING)) as server:
                died = await killed(
                    office, Path(folder), server, kills=wanted - kills, dice=dice, connections=CONNECTIONS
                )
                check(office, server.received, crashes=died, hold=False, connections=CONNECTIONS)
            kills += died
            repeated += len(server.received) - len({message.message_id for message in server.received})
            states.update(str(state) for state in office.states().values())
        print(f"{kills} kills: {dict(states)}, {repeated} repeated, {repeated / kills:.2f} a kill, 0 lost", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
