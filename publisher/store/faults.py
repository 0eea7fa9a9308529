"""Database errors that an operator can act on become ours; those that are our own mistakes stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from publisher.errors import BusyError, DamageError, PublisherError, StoreError

_DAMAGED = "the database is damaged, and nothing is sent from it; restore the last backup with `publisher restore`"
_SQLITE: dict[str, tuple[type[PublisherError], str]] = {
    "SQLITE_BUSY": (BusyError, "another process holds the database; try again when it has finished"),
    "SQLITE_LOCKED": (BusyError, "another process holds the database; try again when it has finished"),
    "SQLITE_NOTADB": (StoreError, "this file is not a database; move it away or restore a backup"),
    "SQLITE_CORRUPT": (DamageError, _DAMAGED),
    "SQLITE_FULL": (StoreError, "the disk is full; make room, nothing is lost"),
    "SQLITE_IOERR": (StoreError, "the disk reports an error; look at its health and at the space left"),
    "SQLITE_READONLY": (StoreError, "the database cannot be written; look at owner and permissions of file and folder"),
    "SQLITE_CANTOPEN": (StoreError, "the database cannot be opened; look at the path, owner and permissions"),
}
_POSTGRESQL: dict[str, tuple[type[PublisherError], str]] = {
    "55P03": (BusyError, "another session holds a lock; try again"),
    "40": (BusyError, "other sessions were in the way; try again"),
    "53": (BusyError, "the server has run out of connections, memory or disk; try again or give it more"),
    "57014": (StoreError, "a statement took longer than statement_timeout"),
    "57P": (BusyError, "the server is stopping or starting; try again"),
    "42501": (StoreError, "this user may not do that; grant it the rights on the schema"),
    "XX001": (DamageError, "the database is damaged, and nothing is sent from it; restore the last dump"),
}
_OUT_OF_REACH = (
    StoreError,
    "the database is out of reach; look at its address, name and password, and whether it runs",
)


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Raise StoreError or BusyError, naming the database and the way out, for what its surroundings did to it.

    Anything else passes through: a broken constraint or a wrong statement says that this program is wrong, not the
    world.
    """
    try:
        yield
    except sa.exc.DBAPIError as error:
        if (fault := _fault(error)) is None:
            raise
        kind, remedy = fault
        words = str(error.orig).strip().splitlines() or [_state(error)]
        raise kind(f"{where}: {remedy} ({words[0]})") from error
    except sa.exc.TimeoutError as error:
        raise BusyError(f"{where}: all connections are in use; try again") from error


def may_run_again(error: sa.exc.DBAPIError) -> bool:
    """Whether PostgreSQL rolled this transaction back only because of others: a deadlock or a serialisation failure."""
    return _state(error) in ("40P01", "40001")


def _fault(error: sa.exc.DBAPIError) -> tuple[type[PublisherError], str] | None:
    state = _state(error)
    for prefix, fault in (_SQLITE if state.startswith("SQLITE") else _POSTGRESQL).items():
        if state.startswith(prefix):
            return fault
    # A connection that could not be made, or broke, has no state of the server's or one of class 08.
    lost = state.startswith("08") or (not state and isinstance(error, sa.exc.OperationalError))
    return _OUT_OF_REACH if lost else None


def _state(error: sa.exc.DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", None) or "")
