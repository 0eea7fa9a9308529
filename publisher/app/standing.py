"""Whether this instance may send: a restored or copied database sends nothing until an operator has looked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from publisher import backups, departures, faults, instances, reports
from publisher.app.readers import Readers
from publisher.app.shared import Shared, Stories, silent
from publisher.clock import hexadecimal, now
from publisher.control import Progress
from publisher.departures import Gone
from publisher.errors import BusyError, RefusedError, StoreError
from publisher.instances import Found, Mark
from publisher.store import meta, replaying
from publisher.store.database import Connection
from publisher.store.departures import Noted

log: structlog.stdlib.BoundLogger = structlog.get_logger()

INSTANCE, TURN, FILE = "instance", "turn", "file"
"""Where the database keeps its random name, how far it has counted, and the file that it was in last."""


def check_before(data_dir: Path, database: Path | None) -> None:
    """Refuse to make a new database where one has been lost: readers, and who left, would be forgotten (J7).

    `database`: the SQLite file. Raises StoreError.
    """
    if database is None or database.exists():
        return
    if (data_dir / backups.FOLDER / backups.DATABASE).exists():
        raise StoreError(f"a restore into {data_dir} was broken off; run `publisher restore` again")
    if instances.read(data_dir) is not None:
        raise StoreError(
            f"{database} is gone, though this data directory has been in use; move the directory aside and restore the "
            f"last backup with `publisher restore`, or delete {data_dir / instances.NAME} to begin anew"
        )


class Standing(Stories):
    """The story of an instance: `begin` before anything is sent, `count` now and then, `end` when all is over."""

    def __init__(self, shared: Shared, readers: Readers) -> None:
        super().__init__(shared)
        self._readers = readers
        self._file = Path(self.database.where) if self.database.dialect == "sqlite" else None
        self._opened = instances.identity(self._file) if self._file is not None else ""
        self.found: dict[str, Any] = {}
        """What the start found and did, when it paused."""

    @property
    def _data_dir(self) -> Path:
        return self.config.data_dir

    async def begin(self) -> None:
        """Compare the database with what the directory remembers, and pause when one may be a copy of the other (K8).

        Whoever left, by the journal, is gone from a database that is not what it was, before anything else happens.
        """
        mark = await asyncio.to_thread(instances.read, self._data_dir)
        journal = self._data_dir / departures.NAME
        gone: Mapping[str, Gone] = {}
        if await self.database.aread(lambda conn: instances.doubt(mark, self._compared(conn))):
            gone = await asyncio.to_thread(lambda: departures.outcome(departures.load(journal)))
        moment = now()
        self.found = await self.database.awrite(lambda conn: self._take_stock(conn, mark, gone, moment))
        if self.found:
            log.error("paused: nothing is sent until `publisher resume`", **self.found)
        self.database.journal = lambda noted: self._append(journal, noted)
        await self.count()

    def _compared(self, conn: Connection) -> Found:
        return Found(
            instance=meta.get(conn, INSTANCE) or "",
            turn=int(meta.get(conn, TURN) or 0),
            backup=meta.get(conn, reports.BACKUP) or "",
            file=meta.get(conn, FILE) or "",
            file_now=self._opened,
        )

    def _take_stock(
        self, conn: Connection, mark: Mark | None, gone: Mapping[str, Gone], moment: datetime
    ) -> dict[str, Any]:
        """Return why nothing may be sent, when that is new, and who is gone since; the reason is kept until a resume.

        In one transaction: a start that is broken off leaves the doubt to the next.
        """
        if not meta.get(conn, INSTANCE):
            meta.put(conn, INSTANCE, hexadecimal())
        found = self._compared(conn)
        meta.put(conn, FILE, self._opened)
        reason = instances.doubt(mark, found)
        if not reason:
            return {}
        meta.put(conn, reports.BACKUP, "")
        if mark is not None:
            meta.put(conn, TURN, str(max(mark.turn, found.turn)))
        earlier = meta.get(conn, reports.PAUSED)
        meta.put(conn, reports.PAUSED, earlier or reason)
        faults.point("standing.compared")
        numbers = replaying.replay(conn, gone, self._readers.pepper.hash, moment)
        faults.point("standing.replayed")
        return {"reason": reason, **numbers}

    def _append(self, journal: Path, noted: Sequence[Noted]) -> None:
        moment, hash_of = now(), self._readers.pepper.hash
        lines = [
            departures.Departure(
                moment, one.event, one.what, hash_of(one.address_key), hash_of(one.other) if one.other else ""
            )
            for one in noted
        ]
        departures.append(journal, lines)

    async def count(self) -> None:
        """Count on, in the database and then in the directory, and learn whether somebody paused or resumed."""

        def work(conn: Connection) -> tuple[Mark, str]:
            turn = int(meta.get(conn, TURN) or 0) + 1
            meta.put(conn, TURN, str(turn))
            return Mark(meta.get(conn, INSTANCE) or "", turn), meta.get(conn, reports.PAUSED) or ""

        mark, self.shared.paused = await self.database.awrite(work)
        await asyncio.to_thread(instances.write, self._data_dir, mark)

    async def end(self) -> None:
        """Count on for the last time: a copy made before this moment is known by it."""
        try:
            await self.count()
        except (StoreError, BusyError, OSError) as error:  # the last count stands, and is a minute old at most
            log.warning("the last turn is not counted", reason=str(error))

    def check(self) -> None:
        """Raise StoreError when the database's file is not the one that was opened: what is written there is lost."""
        if self._file is not None:
            instances.assert_same(self._file, self._opened)

    async def resume(
        self, *, dry_run: bool = False, send_open: bool = False, progress: Progress = silent
    ) -> dict[str, Any]:
        """Leave the paused state; tell why it was, and what is open.

        Deliveries that were open may have been sent by the original since, so that they become uncertain and nobody
        gets a second copy; `send_open`: they were not, send them. Raises RefusedError when nothing is paused.
        """
        progress("looking", 0, None)
        moment = now()

        def work(conn: Connection) -> dict[str, Any]:
            reason = meta.get(conn, reports.PAUSED) or ""
            if not reason:
                raise RefusedError("nothing is paused; `publisher issues resume` lets a paused issue go on")
            held = 0
            number = replaying.count_open(conn)
            if not dry_run:
                held = 0 if send_open else replaying.hold_open(conn, moment)
                meta.put(conn, reports.PAUSED, "")
            return {"reason": reason, "open": number, "uncertain": held, "resumed": not dry_run}

        done = await self.database.awrite(work)
        if not dry_run:
            faults.point("standing.resumed")
            log.warning("resumed", reason=done["reason"], uncertain=done["uncertain"])
            await self.count()
            self.shared.woken.set()
            self._readers.noticed.set()
        return done
