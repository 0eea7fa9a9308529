"""Whether a database is still that of this data directory, and as new as it was: what a start compares before mail."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from publisher.errors import StoreError

NAME = "instance"
"""The file in the data directory that says which database was here last."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What the data directory remembers of its database."""

    instance: str
    """The random name of the database."""
    turn: int
    """How often the database had counted on when this was written."""
    restored: str = ""
    """When the backup was made that was put here, until the first start; "" when none was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A database as it was found."""

    instance: str
    turn: int
    backup: str
    """When it was copied by a backup and not resumed since; "" when it was not."""
    file: str
    """The file that it was in last; "" when it is none, or new."""
    file_now: str
    """The file that it is in now."""


def doubt(mark: Mark | None, found: Found) -> str:
    """Return why a database may be a copy, or older than what was done with it; "" when it is what it was."""
    if found.backup:
        return f"this database is a backup made at {found.backup}"
    if found.file and found.file != found.file_now:
        return "the database file was copied or moved here"
    if mark is None:
        return ""
    if mark.restored:
        return f"the keys were restored from a backup made at {mark.restored}"
    if mark.instance != found.instance:
        return "this is not the database that was here before"
    if found.turn < mark.turn:
        return "an older copy of the database was put in its place"
    return ""


def identity(file: Path) -> str:
    """Return what tells a file from its copies. Raises OSError.

    Its inode alone: the number of its device may be another one after each start of the machine.
    """
    return str(file.stat().st_ino)


def assert_same(file: Path, opened: str) -> None:
    """Raise StoreError when `file` is not what it was when it was opened, by its `identity`.

    What is written to a file that lost its name is lost with it. And a new connection would take the log of the old
    file, which has the same name, for that of the new one: SQLite then finds the database damaged.
    """
    try:
        found = identity(file)
    except FileNotFoundError:
        found = ""
    if found != opened:
        raise StoreError(
            f"{file} was deleted or replaced while the service ran, and what was written since is not in it; "
            f"start again: nothing is sent then until `publisher resume`"
        )


def read(data_dir: Path) -> Mark | None:
    """Return what the directory remembers, None when nothing, or nothing that can be read."""
    try:
        value = json.loads((data_dir / NAME).read_text(encoding="ascii"))
        return Mark(str(value["instance"]), int(value["turn"]), str(value.get("restored", "")))
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
        return None


def write(data_dir: Path, mark: Mark) -> None:
    """Remember; whole or not at all. Raises OSError."""
    draft = data_dir / f".{NAME}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, json.dumps(asdict(mark)).encode("ascii"))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    draft.replace(data_dir / NAME)
