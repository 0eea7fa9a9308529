"""Copies of a SQLite database, made while it is in use, whole, checked and marked as copies."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from publisher.errors import StoreError

_BUSY = 30.0  # seconds to wait for a writer, as everywhere


def copy(database: Path, target: Path, marks: dict[str, str]) -> None:
    """Write a copy of the database as it is at this moment to `target`, which must not exist; writers go on meanwhile.

    `marks` are put into the copy's `meta`. Blocking. Raises StoreError when the database is damaged or the disk full.
    """
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))  # before anybody's eyes
    try:
        with _opened(database) as source:
            source.execute("VACUUM INTO ?", (str(target),))
        with _opened(target) as made:
            made.executemany("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", marks.items())
    except sqlite3.Error as error:
        raise StoreError(
            f"{database}: cannot be copied ({error}); look at the disk, then at the last backup"
        ) from error


def damage(database: Path) -> str:
    """Return what is wrong with a database file, "" when nothing is; every page of it is read. Blocking."""
    try:
        with _opened(database) as connection:
            found = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
    except sqlite3.Error as error:
        return str(error)
    return "" if found == ["ok"] else "; ".join(found)


class _opened:  # noqa: N801 - used as a function
    """A connection that is closed at the end, which sqlite3's own `with` does not do."""

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(file, timeout=_BUSY, isolation_level=None)

    def __enter__(self) -> sqlite3.Connection:
        return self._connection

    def __exit__(self, *exc_info: object) -> None:
        self._connection.close()
