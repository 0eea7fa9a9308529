"""Backups: a copy of everything that cannot be made again, and the way back from one."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from publisher import __version__, backups, departures, faults, instances, reports
from publisher.app.shared import Shared, Stories, silent
from publisher.backups import DATABASE, FOLDER, Contents
from publisher.clock import now
from publisher.config import Config
from publisher.control import Progress
from publisher.errors import RefusedError
from publisher.instances import Mark
from publisher.store import copies, meta
from publisher.store.engines import locate
from publisher.store.lock import DirectoryLock

if TYPE_CHECKING:
    from publisher.encryption import Recipient

log: structlog.stdlib.BoundLogger = structlog.get_logger()

KEPT = ("secret.key", "erasure.key", departures.NAME, "dkim/*")
"""What a backup holds beside the database; feeds, pages and the embedded inbox are made again or nobody's."""


class Safekeeping(Stories):
    """The story of a backup, told by whoever holds the data directory."""

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self._copying = asyncio.Lock()

    async def copy(self, *, progress: Progress = silent) -> dict[str, Any]:
        """Copy the database while it is in use, and say what belongs into the backup; `packed` packs it.

        On PostgreSQL the database is not copied: pg_dump does that. Raises StoreError when it is damaged.
        """
        progress("copying the database", 0, None)
        async with self._copying:
            return await asyncio.to_thread(self._copy, await self.database.aread(lambda c: meta.get(c, "instance")))

    def _copy(self, instance: str | None) -> dict[str, Any]:
        data_dir, moment = self.config.data_dir, now().isoformat(timespec="seconds").replace("+00:00", "Z")
        folder = data_dir / FOLDER
        shutil.rmtree(folder, ignore_errors=True)  # of a backup that was broken off
        folder.mkdir(mode=0o700)
        files: dict[str, Path] = {}
        if self.database.dialect == "sqlite":
            files[DATABASE] = folder / DATABASE
            copies.copy(Path(self.database.where), files[DATABASE], {reports.BACKUP: moment})
        # After the database, so that the journal knows everybody whom the copy may not.
        for pattern in KEPT:
            for path in sorted(data_dir.glob(pattern)):
                files[path.relative_to(data_dir).as_posix()] = path
        contents = Contents(
            made_at=moment,
            version=__version__,
            database=self.database.dialect,
            instance=instance or "",
            files=backups.digests(files),
        )
        return asdict(contents) | {"folder": str(folder), "places": {name: str(path) for name, path in files.items()}}


def packed(copied: dict[str, Any], target: Path, whom: Sequence[Recipient] = ()) -> dict[str, Any]:
    """Pack what was copied into one file. Blocking. Raises RefusedError when the file exists, OSError.

    It is written by who asks, who may write where the service may not; `whom`: who alone can decrypt it.
    """
    folder = Path(copied["folder"])
    try:
        contents = Contents(**{name: copied[name] for name in Contents.__dataclass_fields__})
        if target.is_dir():
            target /= f"publisher-{contents.made_at.replace(':', '')}.tar{'.age' if whom else ''}"
        backups.write(target, contents, {name: Path(path) for name, path in copied["places"].items()}, whom)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "file": str(target),
        "made_at": contents.made_at,
        "bytes": target.stat().st_size,
        "files": sorted(contents.files),
        "database": contents.database,
        "encrypted": bool(whom),
    }


def restore(config: Config, backup: Path, journal: Path | None, identity: Path | None = None) -> Contents:
    """Put a backup into the data directory, which must be empty. Blocking; whoever starts next finds itself paused.

    `journal`: that of the directory that is lost, whose last lines are newer than the backup. `identity`: the file with
    the key that decrypts the backup.
    Raises RefusedError when the directory is in use or the backup cannot be used, BusyError, StoreError, OSError.
    """
    data_dir = config.data_dir
    location = locate(config.database_url, data_dir)
    newer = departures.load(journal) if journal is not None else []
    with DirectoryLock(data_dir):
        folder = data_dir / FOLDER
        if left := backups.left_in(data_dir, ("lock", FOLDER)):
            raise RefusedError(
                f"{data_dir} is not empty ({', '.join(left[:3])}{' …' if len(left) > 3 else ''}); move it aside (mv "
                f"{data_dir} {data_dir}.before), and name its journal: --journal {data_dir}.before/{departures.NAME}"
            )
        shutil.rmtree(folder, ignore_errors=True)  # of a restore that was broken off before anything was in its place
        folder.mkdir(mode=0o700)
        try:
            contents = backups.unpack(backup, folder, identity)
            faults.point("restore.unpacked")
            if contents.database != location.dialect:
                raise RefusedError(
                    f"the backup is of a {contents.database} database, and database_url names {location.dialect}"
                )
            database = folder / DATABASE
            if database.exists() and (damage := copies.damage(database)):
                raise RefusedError(f"the database in {backup} is damaged ({damage}); take an older backup")
            if newer:
                departures.append(folder / departures.NAME, newer)
            _settle(folder, data_dir, contents, location.path if location.dialect == "sqlite" else None)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return contents


def _settle(folder: Path, data_dir: Path, contents: Contents, database: Path | None) -> None:
    """Move what was unpacked to its place, the database last: until it is there, no start takes this for a publication.

    The mark comes first, because a dump of PostgreSQL has none: whoever starts finds that this was restored.
    """
    instances.write(data_dir, Mark(contents.instance, 0, contents.made_at))
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / DATABASE):
        place = data_dir / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.replace(place)
        backups.sync(place.parent)
        faults.point("restore.moving")
    if database is not None:
        (folder / DATABASE).replace(database)
        backups.sync(database.parent)
        faults.point("restore.settled")
