"""The sums always match: whatever servers answer, each delivery is in one state, and the history tells each attempt."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from datetime import timedelta
from functools import partial
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from publisher.mail.pace import Limit, Rate
from publisher.mail.pacing import Pacer, Paces
from publisher.store import attempts, issues
from publisher.store.database import Database
from tests.office import NAMES, Office, S, check_ledgers
from tests.smtp_server import Action, Script, smtp_server

READERS = NAMES[:6]

answers = st.lists(
    st.sampled_from(
        [
            None,
            None,
            "250 2.1.5 ok",
            "450 4.2.0 greylisted",
            "421 4.7.28 slow down",
            "451 4.7.650 busy",
            "550 5.1.1 no such user",
            "552 5.2.2 full",
            "554 5.7.1 spam",
            "530 5.7.0 authenticate",
            "close",
        ]
    ),
    max_size=10,
)


@settings(max_examples=6)
@given(answers, answers, st.booleans(), st.integers(1, 3))
def test_the_sum_of_states_is_the_number_of_deliveries(
    sqlite_template: Path, tmp_path_factory: object, rcpt: list[Action], dot: list[Action], limited: bool, runs: int
) -> None:
    """Issue 4, point 7 and V1: also while paces and throttling providers keep mail waiting."""
    folder = Path(tmp_path_factory.mktemp("sums"))  # type: ignore[attr-defined]  # pytest's own
    shutil.copy(sqlite_template, folder / "publisher.db")
    with Database.open(data_dir=folder) as database:
        asyncio.run(_send_and_check(database, rcpt, dot, limited, runs))
    shutil.rmtree(folder)


async def _send_and_check(database: Database, rcpt: list[Action], dot: list[Action], limited: bool, runs: int) -> None:
    office = Office(database)
    office.fill(READERS)
    configured = Paces(transports={"smtp": Limit(Rate.parse("3/m"))} if limited else {})
    tally: Counter[str] = Counter()

    async def nap(seconds: float) -> None:
        office.clock.now += timedelta(seconds=max(0.001, seconds))
        await asyncio.sleep(0.001)

    async with smtp_server(Script(rcpt=rcpt, dot=dot)) as server:
        for _ in range(runs):
            report = await office.send(server, pacer=Pacer("smtp", configured), tally=tally, over="smtp", pause=nap)
            issue = database.read(partial(issues.get, ref="0a1b2c3d4e5f"))
            assert issue is not None
            assert sum(issue.deliveries.values()) == len(READERS)
            assert report.waiting == sum(issue.deliveries.get(state, 0) for state in (S.QUEUED, S.DEFERRED, S.SENDING))
            assert S.SENDING not in issue.deliveries
            office.clock.now += timedelta(minutes=31)
        check_ledgers(office, server.received)
    for row in office.rows():
        history = database.read(partial(attempts.listing, delivery_id=row.id))
        assert len(history) + (row.state is S.SENT) == row.attempt
        assert [one.number for one in history] == sorted({one.number for one in history})
