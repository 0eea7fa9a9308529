"""Feed files on disk: written whole or not at all, with their compressed forms beside them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from hashlib import sha256
from pathlib import Path

from publisher.threads import spare

SUFFIXES = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}
"""Content codings, the preferred first, and the endings that nginx, Caddy and others look for beside a file."""

# Measured on 130 kB of different texts: brotli 5 takes 4.5 ms for 38.1 % of the size, 4 takes 2.7 ms for 40.7 %; zstd 6
# takes 2.3 ms for 39.6 %, 4 takes 0.9 ms for 41.8 %; gzip 6 takes 6.5 ms for 39.7 %, 5 4.3 ms for 40.1 %, 4 2.8 ms for
# 41.1 %. A changed article is packed twelve times over before it is live; the highest levels take 150 ms each.
_BROTLI, _ZSTD, _GZIP = 4, 4, 4
_PACKERS = 4  # more than the processors of a small server, because they wait for the disk too

# A clock set back by less keeps the order of changes; one that was further ahead was wrong, and so were its times.
_CLOCK_DRIFT = timedelta(hours=1)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Identity:
    """What changes when another file takes the place of a feed file."""

    inode: int
    mtime_ns: int
    size: int


@dataclass(frozen=True, slots=True)
class FeedBytes:
    """A feed file as it lies on disk."""

    body: bytes
    encoded: Mapping[str, bytes]
    """By content coding; only those that were made from this very body."""
    modified_at: datetime
    """When the bytes last changed: the time of the file, which is set, not left to the disk."""
    identity: Identity


def etag_of(body: bytes) -> str:
    """Return the hash that names these bytes, 32 hexadecimal digits."""
    return sha256(body).hexdigest()[:32]


def later(before: datetime | None, now: datetime) -> datetime:
    """Return when bytes changed that had changed at `before`: now, but later than that (FR-H4).

    Later by the seconds that HTTP counts in: nginx tells bytes apart by second and size.
    """
    if before is None:
        return now
    next_second = before.replace(microsecond=0) + timedelta(seconds=1)
    return next_second if now < next_second and before < now + _CLOCK_DRIFT else now


def compress(body: bytes) -> dict[str, bytes]:
    """Return the body in every content coding; the same body gives the same bytes (no time stamps inside)."""
    return {coding: _pack(coding, body) for coding in SUFFIXES}


def write(path: Path, body: bytes, modified_at: datetime) -> None:
    """Put `body` at `path` and its compressed forms beside it, so that a reader always finds a whole file (J18).

    Every file is complete and on the disk before it gets its name. The compressed ones come first and carry the same
    time as the plain one: by it `read` knows that they belong together, whenever we were interrupted.
    Raises OSError; then the file that was there before is there still.
    """
    write_all([(path, body, modified_at)])


def write_all(files: Iterable[tuple[Path, bytes, datetime]]) -> None:
    """Put several files as `write` does: none gets its name before all are on the disk, a folder is synced once.

    Raises OSError; then the files that were there before are there still, unless renaming itself failed.
    """
    writing = Writing(files)
    writing.wait()
    writing.name()
    sync(writing.folders)


class Writing:
    """Files on their way to the disk: they are packed and written from now on, and get their names when told so.

    Raises OSError when a folder cannot be made.
    """

    def __init__(self, files: Iterable[tuple[Path, bytes, datetime]]) -> None:
        files = list(files)
        self.folders = {path.parent for path, _, _ in files}
        for folder in self.folders:
            folder.mkdir(parents=True, exist_ok=True)
        self._targets = [[Path(f"{path}{suffix}") for suffix in (*SUFFIXES.values(), "")] for path, _, _ in files]
        # The packers and the disk work while other threads run.
        self._jobs = [
            _pool().submit(_prepare, target, partial(_pack, coding, body), modified_at)
            for targets, (_, body, modified_at) in zip(self._targets, files, strict=True)
            for target, coding in zip(targets, (*SUFFIXES, "identity"), strict=True)
        ]

    def wait(self) -> None:
        """Wait until all of them are on the disk. Raises OSError when one cannot be; then nothing of them is left."""
        self._settle(self._jobs)

    def name(self) -> None:
        """Give them their names, each file's compressed forms first. Raises OSError."""
        # Side by side: each waits for the journal of the file system.
        self._settle([_pool().submit(_rename, targets) for targets in self._targets])

    def _settle(self, jobs: Sequence[Future[None]]) -> None:
        wait(jobs)
        if errors := [error for job in jobs if (error := job.exception()) is not None]:
            self.discard()
            raise errors[0]

    def discard(self) -> None:
        """Leave nothing of those that have no name yet; to be called after `wait`."""
        for targets in self._targets:
            for target in targets:
                _temporary(target).unlink(missing_ok=True)


def sync(folders: Iterable[Path]) -> None:
    """Make sure that new names in these folders survive a power cut."""
    for folder in folders:
        _sync_folder(folder)


def intact(path: Path, modified_at: datetime) -> bool:
    """Whether the file at `path` and its compressed forms are there with the time they were given; none is read."""
    time, name = _nanoseconds(modified_at), os.fspath(path)
    try:  # asked for every feed file at every run: a Path for each would cost more than the question
        return all(os.stat(f"{name}{suffix}").st_mtime_ns == time for suffix in ("", *SUFFIXES.values()))  # noqa: PTH116
    except FileNotFoundError:
        return False


def remove(path: Path) -> None:
    """Take a feed file away, the plain one first."""
    for suffix in ("", *SUFFIXES.values()):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    _sync_folder(path.parent)


def read(path: Path) -> FeedBytes | None:
    """Return the file at `path` with the compressed forms that belong to it, None when there is none."""
    try:
        body, identity = _load(path)
    except FileNotFoundError:
        return None
    encoded = {}
    for coding, suffix in SUFFIXES.items():
        try:
            data, other = _load(Path(f"{path}{suffix}"))
        except FileNotFoundError:
            continue
        if other.mtime_ns == identity.mtime_ns:
            encoded[coding] = data
    return FeedBytes(body, encoded, _EPOCH + timedelta(microseconds=identity.mtime_ns // 1000), identity)


def identity(path: Path) -> Identity | None:
    """Return the identity of the file at `path` without reading it, None when there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return Identity(found.st_ino, found.st_mtime_ns, found.st_size)


@cache
def _pool() -> Executor:
    return spare(_PACKERS, "publisher-pack")


def _pack(coding: str, body: bytes) -> bytes:
    # Loaded where they are needed: most processes read feeds and pack none.
    match coding:
        case "br":
            import brotli

            compress: Callable[..., bytes] = brotli.compress  # brotli states no types
            return compress(body, quality=_BROTLI, mode=brotli.MODE_TEXT)
        case "zstd":
            import zstandard

            return zstandard.ZstdCompressor(level=_ZSTD, write_content_size=True).compress(body)
        case "gzip":
            import gzip

            return gzip.compress(body, _GZIP, mtime=0)
        case _:
            return body


def _nanoseconds(when: datetime) -> int:
    # Whole microseconds, counted without floats: they would round, and the times of the forms must be equal.
    return (when - _EPOCH) // timedelta(microseconds=1) * 1000


def _prepare(target: Path, pack: Callable[[], bytes], modified_at: datetime) -> None:
    data, time = pack(), _nanoseconds(modified_at)
    with _temporary(target).open("wb") as file:
        file.write(data)
        file.flush()
        os.utime(file.fileno(), ns=(time, time))
        os.fsync(file.fileno())


def _rename(targets: Iterable[Path]) -> None:
    for target in targets:
        _temporary(target).replace(target)


def _temporary(target: Path) -> Path:
    # One writer holds the data directory, so a fixed name suffices, and a crash leaves at most one of each behind.
    return target.with_name(f".{target.name}.tmp")


def _load(path: Path) -> tuple[bytes, Identity]:
    with path.open("rb") as file:
        found = os.fstat(file.fileno())  # of the file that was opened, whatever has its name by now
        return file.read(), Identity(found.st_ino, found.st_mtime_ns, found.st_size)


def _sync_folder(folder: Path) -> None:
    with _opened(folder) as number:
        os.fsync(number)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield number
    finally:
        os.close(number)
