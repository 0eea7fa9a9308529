"""Paces in the database: kept through restarts, shared by workers, charged for what goes and nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

from publisher.mail.pace import FRESH, Limit, Pace, Rate, Slow
from publisher.store import paces
from publisher.store.database import Database
from publisher.store.paces import key_of_newsletter, key_of_provider, key_of_transport
from tests.store.make import HOUR, MINUTE, NOW

SMTP, GOOGLE, WEEKLY = key_of_transport("smtp"), key_of_provider("smtp", "google"), key_of_newsletter("weekly")
SECOND = timedelta(seconds=1)


def granted(
    database: Database, mails: Sequence[Sequence[str]], limits: dict[str, Limit], now: datetime = NOW
) -> tuple[bool, ...]:
    return database.write(lambda conn: paces.charge(conn, mails, limits, now)).granted


def test_mail_goes_when_all_its_paces_allow(database: Database) -> None:
    """Issue 4, point 4: by transport, provider and newsletter; what one refuses costs the others nothing."""
    limits = {SMTP: Limit(Rate.parse("2/s")), GOOGLE: Limit(Rate.parse("1/m"))}
    google, other = [SMTP, GOOGLE], [SMTP]
    assert granted(database, [google], limits) == (True,)
    assert granted(database, [google, other], limits, NOW + SECOND) == (False, True)
    assert granted(database, [other, google], limits, NOW + MINUTE) == (True, False)
    assert granted(database, [google], limits, NOW + MINUTE + SECOND) == (True,)


def test_a_restart_keeps_the_level(sqlite_database: Database, tmp_path: Path) -> None:
    """What was sent before a restart counts after it."""
    limits = {SMTP: Limit(Rate.parse("100/h"))}
    assert granted(sqlite_database, [[SMTP]] * 5, limits) == (True, True, False, False, False)
    sqlite_database.close()
    with Database.open(data_dir=tmp_path) as again:
        assert granted(again, [[SMTP]], limits, NOW + SECOND) == (False,)
        assert granted(again, [[SMTP]], limits, NOW + MINUTE) == (True,)


def test_what_is_remembered_comes_back(database: Database) -> None:
    slow = Slow(per_hour=600, since_at=NOW, rests_until=NOW + HOUR, reason="rcpt: 421 4.7.28 slow")
    pace = Pace(full_at=NOW + MINUTE, since_at=NOW - HOUR, slow=slow)
    database.write(lambda conn: paces.change(conn, GOOGLE, pace))
    database.write(lambda conn: paces.locked(conn, WEEKLY))
    assert database.read(paces.load) == {GOOGLE: pace, WEEKLY: FRESH}
    assert granted(database, [[GOOGLE]], {}, NOW + MINUTE) == (False,)
    assert granted(database, [[GOOGLE]], {}, NOW + HOUR) == (True,)
    database.write(lambda conn: paces.change(conn, GOOGLE, FRESH))
    assert database.read(paces.load)[GOOGLE] == FRESH


def test_workers_who_share_a_pace_never_exceed_it_together(postgresql_database: Database) -> None:
    """Issue 4, point 4: four workers, each asking for a few at a time, over one PostgreSQL."""
    rate, ticks = Rate.parse("60/m"), itertools.count()
    limits = {SMTP: Limit(rate), GOOGLE: Limit(Rate.parse("40/m"))}

    def work(number: int) -> list[datetime]:
        gone = []
        for _ in range(60):
            now = NOW + next(ticks) * timedelta(milliseconds=250)
            mails = [[SMTP, GOOGLE], [SMTP]] if number % 2 else [[SMTP], [SMTP, GOOGLE]]
            gone += [now] * sum(granted(postgresql_database, mails, limits, now))
        return gone

    with ThreadPoolExecutor(4) as threads:
        gone = sorted(itertools.chain.from_iterable(threads.map(work, range(4))))
    assert 50 <= len(gone) <= 61
    for index, first in enumerate(gone):
        assert sum(moment < first + rate.period for moment in gone[index:]) <= rate.number
