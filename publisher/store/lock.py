"""The data directory has one owner at a time, known by its process id."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from publisher.errors import BusyError, StoreError


class DirectoryLock:
    """A lock on `<data_dir>/lock` that the operating system releases when its holder ends, however it ends (J10)."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "lock"
        self._file: int | None = None

    def acquire(self) -> None:
        """Take the lock and write our process id; BusyError with the holder's id when it is taken."""
        if self._file is not None:
            raise RuntimeError(f"{self._path} is already held by this object")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"{self._path}: cannot be opened ({error.strerror}); look at the data directory"
            ) from error
        if not _take(file):
            pid = _pid(file)
            os.close(file)
            raise BusyError(
                f"{self._path.parent} is in use by {f'process {pid}' if pid else 'another process'}; "
                "stop it first, or give this one another data directory"
            )
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        self._file = file

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held."""
        if self._file is not None:
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    @staticmethod
    def holder_of(data_dir: Path) -> int | None:
        """Return the process id of whoever holds the lock of `data_dir` now, None when nobody does."""
        try:
            file = os.open(data_dir / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None  # another user's directory tells nobody else who holds it
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _pid(file)
        else:
            return None
        finally:
            os.close(file)


def _take(file: int) -> bool:
    """Try for a tenth of a second, so that a passing look by `holder_of` does not count as a holder."""
    for pause in (0.05, 0.05, 0.0):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(pause)
        else:
            return True
    return False


def _pid(file: int) -> int | None:
    text = os.pread(file, 32, 0).decode("ascii", "replace").strip()
    return int(text) if text.isdigit() else None
