"""A process that freezes an issue, to be killed in the middle of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import ModuleType

from publisher import faults
from publisher.model import NewIssue
from publisher.store import freezing
from publisher.store.database import Connection, Database
from tests.sender import _context
from tests.store.make import NOW, issue


def start(
    folder: Path, url: str, readers: Sequence[int], silent: Sequence[int] = (), *, fault: str = "", together: int = 3
) -> ForkServerProcess:
    """Begin the issue `r2` for these subscriptions, or go on with it where it stands. `together`: mails a part."""
    process = _context.Process(target=_work, args=(folder, url, list(readers), list(silent), fault, together))
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")  # as in tests.sender
    try:
        process.start()
    finally:
        sys.modules["__main__"] = main
    return process


def second(conn: Connection, readers: Sequence[int], silent: Sequence[int]) -> NewIssue:
    """The issue that is frozen."""
    whole = issue(conn, readers, ref="r2", slot="2026-11-30T07:00", to_seq=2, cursor=0)
    return NewIssue(**{name: getattr(whole, name) for name in whole.__slots__} | {"without_news": tuple(silent)})


def _work(folder: Path, url: str, readers: Sequence[int], silent: Sequence[int], fault: str, together: int) -> None:
    freezing._TOGETHER = together
    faults.arm(fault)
    with Database.open(url, data_dir=folder) as db:
        freeze(db, readers, silent)


def freeze(db: Database, readers: Sequence[int], silent: Sequence[int]) -> None:
    """Do as the service does: go on with what is unfinished, else begin."""
    for issue_id in db.read(freezing.unfinished):
        freezing.complete(db, issue_id, NOW)
    new = db.read(lambda conn: second(conn, readers, silent))
    packed = freezing.parts(new)
    begun = db.write(lambda conn: freezing.begin(conn, new, packed, NOW))
    if begun is not None:
        freezing.complete(db, begun, NOW)
