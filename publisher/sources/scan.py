"""Walking a source's folder without being led outside it, blocked by it or filled up by it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from publisher.errors import SourceError
from publisher.model import Skipped

MAX_BYTES = 5 * 1024 * 1024
"""A file larger than this is not an article (A6); the longest novel chapters stay under 1 MiB."""

SETTLED_SECONDS = 2.0
"""A file written to within this time may still be growing (A3)."""


Stamp = tuple[int, int, int]
"""Size in bytes, time of the last change in nanoseconds, inode."""


class Found(NamedTuple):
    """A file of the folder as its directory shows it: path relative to the root with `/`, bytes, nanoseconds, inode."""

    path: str
    size: int
    mtime_ns: int
    inode: int

    @property
    def stamp(self) -> Stamp:
        """What must stay the same for the file to count as unchanged."""
        return self.size, self.mtime_ns, self.inode


@dataclass(frozen=True, slots=True)
class Walk:
    """What a walk found: files in order of their paths, refusals, and folders that could not be looked into."""

    files: tuple[Found, ...]
    skipped: tuple[Skipped, ...]
    unknown: tuple[str, ...]
    """Folders and files whose content nobody can tell now; what they held is not gone."""

    def hides(self, path: str) -> bool:
        """Whether the path, or a folder above it, could not be looked into."""
        return any(path == place or place == "" or path.startswith(place + "/") for place in self.unknown)


_MARK = b"\xef\xbb\xbf"


class NotReadableError(Exception):
    """A file cannot be read now; its text is the reason, and the next collection tries again."""


class StillWrittenError(Exception):
    """A file changed while it was read (A3)."""


def shown(path: str) -> str:
    r"""Return the path as a message may show it: control, bidirectional and undecodable characters as `\x…` (A5)."""
    if path.isascii() and path.isprintable():
        return path
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in path)


def open_root(source: str, path: Path) -> tuple[Path, str]:
    """Return the real root folder and the single file to read in it ("" for all). Raises SourceError."""
    try:
        root = path.resolve(strict=True)
        if root.is_file():
            return root.parent, root.name
        with os.scandir(root):
            return root, ""
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SourceError(
            f"source {source!r}: {path} cannot be read: {reason}; is it mounted, spelled rightly and readable?"
        ) from error


def walk(root: Path, wanted: Callable[[str], bool], *, folders: Callable[[str], bool] = lambda _: True) -> Walk:
    """Find the regular files under `root` whose relative path is `wanted`, in order of their paths.

    Hidden files and folders are passed over; `folders` says which others to enter. Symbolic links count only when they
    lead to a regular file inside the root that is not found anyway (A4).
    """
    walker = _Walker(root, wanted)
    pending = [""]
    while pending:
        pending.extend(path for path in walker.look(pending.pop()) if folders(path))
    return walker.walk()


class _Walker:
    """A walk on its way."""

    def __init__(self, root: Path, wanted: Callable[[str], bool]) -> None:
        self._root = root
        self._wanted = wanted
        self._files: list[Found] = []
        self._links: list[str] = []
        self._skipped: list[Skipped] = []
        self._unknown: list[str] = []

    def look(self, folder: str) -> list[str]:
        """Take the files of one folder, and return the folders in it."""
        try:
            with os.scandir(self._root / folder if folder else self._root) as scanned:
                entries = list(scanned)
        except FileNotFoundError:
            return []  # removed since the folder above it was listed
        except OSError as error:
            self._refuse(folder or ".", f"the folder cannot be read: {error.strerror}")
            self._unknown.append(folder)
            return []
        prefix = f"{folder}/" if folder else ""
        below = []
        for entry in entries:
            path = prefix + entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                below.append(path)
            elif self._wanted(path):
                self._take(path, entry)
        return below

    def walk(self) -> Walk:
        """Return what was found, links included."""
        taken = {found.path for found in self._files}
        for path in sorted(self._links):
            try:
                self._files.append(_linked(self._root, path, taken))
            except (OSError, ValueError, RuntimeError) as error:
                self._refuse(path, _why(error))
        self._files.sort()
        return Walk(tuple(self._files), tuple(self._skipped), tuple(self._unknown))

    def _take(self, path: str, entry: os.DirEntry[str]) -> None:
        try:
            if not _is_utf8(entry.name):
                self._refuse(path, "the file name is not UTF-8; rename the file")
            elif entry.is_symlink():
                self._links.append(path)
            else:
                self._files.append(_found(path, entry.stat(follow_symlinks=False)))
        except FileNotFoundError:
            return  # removed since its folder was listed
        except OSError as error:
            self._refuse(path, _why(error))
            self._unknown.append(path)
        except ValueError as error:
            self._refuse(path, str(error))

    def _refuse(self, path: str, reason: str) -> None:
        self._skipped.append(Skipped(shown(path), reason))


def read(root: Path, found: Found) -> bytes:
    """Return the bytes of a found file: exactly those the walk saw, never more than MAX_BYTES.

    Raises ValueError (it will not do, whenever it is read), NotReadableError (not now) and StillWrittenError.
    """
    if found.size > MAX_BYTES:
        raise ValueError(f"{found.size:,} bytes are too many for an article; at most {MAX_BYTES // 1024 // 1024} MiB")
    try:
        real = os.path.realpath(root / found.path)
        if os.path.commonpath((real, root)) != str(root):
            raise ValueError("the link leads outside the folder")
        # O_NONBLOCK: a FIFO put here since the walk must not hang us; it has no meaning for a regular file.
        handle = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise StillWrittenError from error
    except OSError as error:
        raise NotReadableError(_why(error)) from error
    with open(handle, "rb", buffering=0) as file:  # noqa: PTH123 - the descriptor is what was checked
        before = os.fstat(handle)
        if not stat.S_ISREG(before.st_mode):
            raise StillWrittenError
        try:
            data = file.read(found.size + 1)
        except OSError as error:
            raise NotReadableError(_why(error)) from error
        after = os.fstat(handle)
    if len(data) != found.size or after.st_mtime_ns != found.mtime_ns or before.st_ino != found.inode:
        raise StillWrittenError
    return data


def decode(data: bytes) -> str:
    """Return UTF-8 text with single line feeds and no byte order mark; ValueError tells the byte offset (A2)."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError("the file is UTF-16 (byte 0); save it as UTF-8")
    mark = len(_MARK) if data.startswith(_MARK) else 0
    try:
        text = data[mark:].decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {mark + error.start} is not UTF-8; save the file as UTF-8") from error
    if "\0" in text:
        raise ValueError(f"byte {data.index(0)} is NUL; this is not a text file, or it was damaged")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def unsettled(files: Iterable[Found], now: datetime) -> tuple[Found, ...]:
    """Return the files written to less than two seconds before `now` (A3), or after it by a clock that differs."""
    border = int((now.timestamp() - SETTLED_SECONDS) * 1e9)
    return tuple(found for found in files if found.mtime_ns > border)


def stand_still(root: Path, files: Collection[Found]) -> frozenset[str]:
    """Return the paths of those files that look exactly as they did when they were found."""
    same = set()
    for found in files:
        try:
            if _found(found.path, (root / found.path).stat()).stamp == found.stamp:
                same.add(found.path)
        except (OSError, ValueError):
            continue
    return frozenset(same)


class Globs:
    """File patterns as `.gitignore` means them, without its negation.

    `*` and `?` stay within a name, `**` crosses folders. A pattern without `/` may match any part of the path, one with
    `/` starts at the root, and what matches a folder takes everything in it.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._form = re.compile("|".join(_translate(pattern) for pattern in patterns)) if patterns else None

    def __bool__(self) -> bool:
        return self._form is not None

    def match(self, path: str) -> bool:
        """Whether any of the patterns takes this relative path."""
        return self._form is not None and self._form.match(path) is not None


@lru_cache(maxsize=1024)
def _translate(pattern: str) -> str:
    body = pattern.strip("/").removeprefix("./")
    anchored = "/" in pattern.rstrip("/")
    parts = []
    for token in re.findall(r"\*\*/|\*\*|\*|\?|\[[^\]/]+\]|.", body, re.DOTALL):
        match token:
            case "**/":
                parts.append("(?:.*/)?")
            case "**":
                parts.append(".*")
            case "*":
                parts.append("[^/]*")
            case "?":
                parts.append("[^/]")
            case _ if len(token) > 1:
                inside = token[1:-1]
                negated = inside.startswith("!")
                letters = re.sub(r"([\\\[&~|^])", r"\\\1", inside.removeprefix("!"))
                parts.append(f"[{'^/' if negated else ''}{letters}]")
            case _:
                parts.append(re.escape(token))
    start = "" if anchored else "(?:.*/)?"
    return f"(?s:{start}{''.join(parts)}(?:/.*)?)\\Z"


def _is_utf8(name: str) -> bool:
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _found(path: str, status: os.stat_result) -> Found:
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not a regular file (a pipe, socket or device)")
    return Found(path, status.st_size, status.st_mtime_ns, status.st_ino)


def _linked(root: Path, path: str, taken: Collection[str]) -> Found:
    """Return the regular file inside the root behind a symbolic link."""
    target = (root / path).resolve(strict=True)
    if not target.is_relative_to(root):
        raise ValueError("a link that leads outside the folder; put the file itself here")
    if target.is_dir():
        raise ValueError("a link to a folder; links to folders are not followed")
    relative = target.relative_to(root).as_posix()
    if relative in taken:
        raise ValueError(f"a link to {shown(relative)}, which is read itself")
    return _found(path, target.stat())


def _why(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "a link that leads nowhere"
    if isinstance(error, OSError):
        return f"the file cannot be read: {error.strerror}"
    return str(error)


def parents(path: str) -> Iterator[str]:
    """Yield the names of the folders above the file, the innermost first."""
    yield from reversed(path.split("/")[:-1])
