"""What a source remembers between two collections, and what that tells about the files found now."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from publisher.config import Config, FolderSource, PagesSource
from publisher.model import Draft, Skipped
from publisher.sources.scan import SETTLED_SECONDS, Found, Stamp, Walk, shown, stand_still, unsettled

FORMAT = 1
"""Raised whenever files would be understood differently: then all of them are read again."""

UNSEEN: Stamp = (0, 0, 0)
"""The stamp of a file to be read again at the next collection whatever it looks like then."""

AGAIN = "again"
"""Kind of a refusal that may end without the file changing; told as a problem."""

Row = list[Any]
"""What is remembered of one file: its stamp (size, mtime_ns, inode), then what its kind of source adds. JSON."""


@dataclass(frozen=True, slots=True)
class Memory:
    """The state of the last collection; empty at the first, with unseen files when the settings have changed since."""

    rows: Mapping[str, Row]
    gone: frozenset[str]
    waiting: Mapping[str, list[int]]
    """Files postponed: stamp and the second they were first seen so."""
    more: Mapping[str, Any]
    """What the kind of source keeps beside its files."""

    @classmethod
    def recall(cls, state: Mapping[str, Any], fingerprint: str) -> Memory:
        """Read a state that `remember` returned."""
        rows: Mapping[str, Row] = state.get("files", {})
        if state.get("settings") != fingerprint:
            rows = {path: [*UNSEEN, *row[3:]] for path, row in rows.items()}
        return cls(rows, frozenset(state.get("gone", ())), state.get("waiting", {}), state.get("more", {}))


def remember(
    fingerprint: str,
    *,
    rows: Mapping[str, Row],
    gone: Iterable[str],
    waiting: Mapping[str, list[int]],
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the state to keep; equal collections give equal states."""
    return {
        "settings": fingerprint,
        "files": {path: rows[path] for path in sorted(rows)},
        "gone": sorted(gone),
        "waiting": dict(waiting),
        "more": dict(more),
    }


def ask_again(state: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return a state after which the next collection brings these articles again, though nothing may have changed.

    `names` are the keys and paths of articles that were brought but not taken.
    """
    files = {path: [*UNSEEN, *row[3:]] if path in names else row for path, row in state.get("files", {}).items()}
    return {**state, "files": files, "gone": sorted({*state.get("gone", ()), *names})}


@dataclass(frozen=True, slots=True)
class Survey:
    """The files found now, sorted by what has to be done with them; each in order of their paths."""

    fresh: tuple[Found, ...]
    """New, changed or unreadable last time: to be read."""
    kept: tuple[str, ...]
    """Unchanged, postponed though known, or out of sight: what is remembered of them holds."""
    lost: tuple[str, ...]
    """Remembered, and not there any more."""
    waiting: Mapping[str, list[int]]
    """Postponed (A3)."""


def survey(
    root: Path,
    found: Walk,
    memory: Memory,
    *,
    now: datetime,
    settle: Callable[[float], None] | None,
    again: Collection[str] = (),
) -> Survey:
    """Compare what was found with what is remembered.

    `settle` waits so many seconds: files just written to are then looked at once more, instead of being left to the
    next collection. `again` are paths to read though they are unchanged.
    """
    rows = memory.rows
    changed = [
        file
        for file in found.files
        if (row := rows.get(file.path)) is None or tuple(row[:3]) != file.stamp or file.path in again
    ]
    seconds = int(now.timestamp())
    # A clock that runs ahead of ours must not postpone a file for ever: having stood still for two seconds is enough.
    moving = [
        file
        for file in unsettled(changed, now)
        if tuple((seen := memory.waiting.get(file.path, [*UNSEEN, seconds]))[:3]) != file.stamp
        or seconds - seen[3] <= SETTLED_SECONDS
    ]
    if moving and settle is not None:
        settle(SETTLED_SECONDS)
        still = stand_still(root, moving)
        moving = [file for file in moving if file.path not in still]
    postponed = {file.path for file in moving}
    waiting = {file.path: _waiting(memory, file, seconds) for file in moving}
    fresh = tuple(file for file in changed if file.path not in postponed)
    present = {file.path for file in found.files}
    to_read = {file.path for file in fresh}
    kept = tuple(path for path in rows if path not in to_read and (path in present or found.hides(path)))
    lost = tuple(path for path in rows if path not in present and not found.hides(path))
    return Survey(fresh, kept, lost, waiting)


def _waiting(memory: Memory, file: Found, seconds: int) -> list[int]:
    seen = memory.waiting.get(file.path)
    return seen if seen is not None and tuple(seen[:3]) == file.stamp else [*file.stamp, seconds]


def fingerprint(config: Config, settings: FolderSource | PagesSource) -> str:
    """Return a digest of every setting that decides how files are understood; another one means reading all again."""
    said = {
        "format": FORMAT,
        "source": settings.model_dump(mode="json", exclude={"name", "every", "first_collection"}),
        "site": config.site.model_dump(mode="json", include={"url", "languages", "default_language", "timezone"}),
        "categories": [
            category.model_dump(mode="json", exclude={"order", "colour", "description"})
            for category in config.categories
        ],
    }
    return _digest(json.dumps(said, sort_keys=True, ensure_ascii=True))


def draft_digest(draft: Draft) -> str:
    """Return a digest of everything a draft says: a file may change without changing its article (A11)."""
    return _digest(repr(draft))


def _digest(text: str) -> str:
    # 64 bits: compared only with the digest of the same file before.
    return hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()


def problem(path: str, reason: str, kind: str = "problem") -> Skipped:
    """Return why a file gave no article, its name safe to show."""
    return Skipped(shown(path), reason, kind)
