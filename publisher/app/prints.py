"""How a change of files is seen: by what the file system tells of them, without reading any."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from publisher.config import Config

Prints = Mapping[str, tuple[int, int, int]]
"""Time of change in nanoseconds, size and inode of each file by its path; of one that cannot be seen, nothing."""


def prints_of(places: Iterable[Path]) -> Prints:
    """Return the prints of these files, and of all files below those that are folders. Blocking.

    Links are followed, so that a link that is moved from one folder to another counts as a change. Hidden files are
    left out: editors keep their own there.
    """
    return {path: print_ for place in places for path in _files(place) if (print_ := _print(path)) is not None}


def configuration_files(config: Config) -> Iterator[Path]:
    """Yield what a configuration was read from: its file, the folder beside it, and the files with secrets."""
    yield from config.files[:1]
    for file in config.files[:1]:
        yield file.parent / "newsletters"
    yield from (server.password_file for server in config.servers.values() if server.password_file)
    yield from key_files(config)


def key_files(config: Config) -> Iterator[Path]:
    """Yield the files with the keys that sign."""
    dkim = config.dkim
    yield from (file for file in (dkim.key_file, dkim.former_key_file, dkim.ed25519_key_file) if file)


def template_folders(config: Config) -> Iterator[Path]:
    """Yield the operator's own folders of templates."""
    folders = [config.templates, *(newsletter.templates for newsletter in config.newsletters)]
    yield from dict.fromkeys(folder for folder in folders if folder is not None)


def _files(place: Path) -> Iterator[str]:
    if not place.is_dir():
        yield str(place)
        return
    for folder, folders, names in os.walk(place):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.join(folder, name) for name in names if not name.startswith("."))  # noqa: PTH118 - many


def _print(path: str) -> tuple[int, int, int] | None:
    try:
        seen = os.stat(path)  # noqa: PTH116 - asked of every file several times a second
    except OSError:
        return None
    # The time of the inode, which also a copy with old dates and a change of rights move on.
    return (seen.st_ctime_ns, seen.st_size, seen.st_ino)
