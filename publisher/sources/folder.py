"""A folder of Markdown and HTML files, each of them one article."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from publisher.config import Config, FolderSource
from publisher.model import Collected, Skipped
from publisher.sources.documents import ENDINGS, Documents, Reading
from publisher.sources.memory import AGAIN, UNSEEN, Memory, Row, draft_digest, fingerprint, problem, remember, survey
from publisher.sources.scan import (
    Found,
    Globs,
    NotReadableError,
    Stamp,
    StillWrittenError,
    decode,
    open_root,
    read,
    shown,
    walk,
)


class Folder:
    """Collects from one folder source. An article's key is the path of its file."""

    kind: ClassVar[str] = "folder"

    def __init__(self, settings: FolderSource, config: Config) -> None:
        self.name = settings.name
        self._path = settings.path
        self._include = Globs(settings.include)
        self._exclude = Globs(settings.exclude)
        self._documents = Documents(settings, config)
        self._fingerprint = fingerprint(config, settings)

    def collect(
        self, state: Mapping[str, Any], *, now: datetime, settle: Callable[[float], None] | None = None
    ) -> Collected:
        """Read what is new or changed since `state`. Raises SourceError when the folder itself cannot be read."""
        root, single = open_root(self.name, self._path)
        memory = Memory.recall(state, self._fingerprint)
        found = walk(root, lambda path: path == single if single else self._wanted(path), folders=self._enters(single))
        originals = self._documents.languages.originals(file.path for file in found.files)
        moved = {path for path, row in memory.rows.items() if _original(row) != originals.get(path, "")}
        files = survey(root, found, memory, now=now, settle=settle, again=moved)
        if not files.fresh and not files.lost and memory.gone.isdisjoint(memory.rows):
            return self._as_before(memory, found.skipped, files.waiting)
        kept = {path: _Row(*row) for path, row in memory.rows.items()}
        rows = {path: kept[path] for path in files.kept}
        waiting = dict(files.waiting)
        results: dict[str, Reading | Skipped] = {}
        for file in files.fresh:
            try:
                results[file.path] = self._read(root, file, originals.get(file.path))
            except StillWrittenError:
                waiting[file.path] = [*file.stamp, int(now.timestamp())]
                if file.path in kept:
                    rows[file.path] = kept[file.path].stamped(UNSEEN)
            except NotReadableError as error:
                results[file.path] = problem(file.path, str(error), AGAIN)
        return self._told(memory, kept, rows, files.fresh, results, originals, found.skipped, waiting)

    def _as_before(self, memory: Memory, refused: tuple[Skipped, ...], waiting: Mapping[str, list[int]]) -> Collected:
        """Say again what was said last time: the usual case, and so the one that must not look into every row."""
        told = {path: _Row(*row) for path, row in memory.rows.items() if len(row) > _REASON}
        return Collected(
            drafts=(),
            gone=memory.gone,
            present=sum(1 for row in memory.rows.values() if len(row) > _DIGEST and row[_DIGEST]),
            skipped=_skipped(told, refused),
            state=remember(self._fingerprint, rows=memory.rows, gone=memory.gone, waiting=waiting, more={}),
            postponed=tuple(shown(path) for path in sorted(waiting)),
        )

    def _told(
        self,
        memory: Memory,
        before: Mapping[str, _Row],
        rows: dict[str, _Row],
        fresh: tuple[Found, ...],
        results: Mapping[str, Reading | Skipped],
        originals: Mapping[str, str],
        refused: tuple[Skipped, ...],
        waiting: Mapping[str, list[int]],
    ) -> Collected:
        """Settle who may claim what (A8), and put together what was found."""
        owners = {claim: path for path, row in rows.items() for claim in row.claims}
        drafts = []
        # Who had an article before keeps its claims; among newcomers the first path wins.
        for file in sorted(fresh, key=lambda file: (not before.get(file.path, _NOTHING).digest, file.path)):
            result = results.get(file.path)
            if result is None:
                continue
            old = before.get(file.path, _NOTHING)
            row = self._row(file, result, old, originals.get(file.path, ""), owners)
            rows[file.path] = row
            if isinstance(result, Reading) and not row.reason:
                owners.update(dict.fromkeys(row.claims, file.path))
                if row.digest != old.digest or file.path in memory.gone:
                    drafts.append(result.draft)
        held = {key for path, row in rows.items() if row.digest for key in (path, *row.aliases)}
        known = {key for path, row in before.items() if row.digest for key in (path, *row.aliases)}
        gone = (memory.gone | known) - held
        return Collected(
            drafts=tuple(sorted(drafts, key=lambda draft: draft.key)),
            gone=frozenset(gone),
            present=sum(1 for row in rows.values() if row.digest),
            skipped=_skipped(rows, refused),
            state=remember(
                self._fingerprint,
                rows={path: row.json() for path, row in rows.items()},
                gone=gone,
                waiting=waiting,
                more={},
            ),
            postponed=tuple(shown(path) for path in sorted(waiting)),
        )

    @staticmethod
    def _row(file: Found, result: Reading | Skipped, old: _Row, original: str, owners: Mapping[str, str]) -> _Row:
        """Return what to remember of a file just read."""
        if isinstance(result, Skipped):
            if result.kind == "draft":
                # Taken back by its author: unlike a mistake in the file, that withdraws the article.
                return _Row(*file.stamp, original=original, reason=result.reason, kind=result.kind)
            stamp = UNSEEN if result.kind == AGAIN else file.stamp
            return old.stamped(stamp)._replace(original=original, reason=result.reason, kind="")
        claims = {_short(claim): said for claim, said in result.claims.items()}
        for claim, said in claims.items():
            if claim in owners:
                reason = f"{shown(owners[claim])} has {said} already; change one of the two files"
                return old.stamped(UNSEEN)._replace(original=original, reason=reason, kind="")
        return _Row(*file.stamp, draft_digest(result.draft), list(result.draft.aliases), list(claims), original)

    def _read(self, root: Path, file: Found, original: str | None) -> Reading | Skipped:
        """Return what one file holds, or the reason why it is skipped: one bad file never stops the others."""
        try:
            return self._documents.read(file.path, decode(read(root, file)), original)
        except ValueError as error:
            return problem(file.path, str(error))
        except (NotReadableError, StillWrittenError):
            raise
        except Exception as error:  # noqa: BLE001 - foreign parsers fail in ways of their own on hostile text; it costs one file
            return problem(file.path, f"it cannot be understood ({type(error).__name__}: {error})")

    def _wanted(self, path: str) -> bool:
        name = path.rpartition("/")[2].lower()
        # Hugo describes a section, not an article, in `_index.md`.
        if not name.endswith(ENDINGS) or name.startswith("_index."):
            return False
        return (not self._include or self._include.match(path)) and not self._exclude.match(path)

    def _enters(self, single: str) -> Callable[[str], bool]:
        if single:
            return lambda _: False
        return lambda folder: folder.rpartition("/")[2] != "_drafts" and not self._exclude.match(folder)


class _Row(NamedTuple):
    """What is remembered of one file."""

    size: int
    mtime_ns: int
    inode: int
    digest: str = ""
    """Of the draft last returned; empty: the file holds no article now."""
    aliases: Sequence[str] = ()
    claims: Sequence[str] = ()
    original: str = ""
    reason: str = ""
    """Why the file is skipped; an article it held before stays as it was, unless its author took it back."""
    kind: str = ""

    def stamped(self, stamp: Stamp) -> _Row:
        """Return it for a file that looks like this now."""
        return self._replace(size=stamp[0], mtime_ns=stamp[1], inode=stamp[2])

    def json(self) -> Row:
        """Return it short: what is empty at the end is left out."""
        row = [list(value) if isinstance(value, tuple) else value for value in self]
        while len(row) > len(UNSEEN) and not row[-1]:
            row.pop()
        return row


_NOTHING = _Row(*UNSEEN)
_DIGEST, _ORIGINAL, _REASON = map(_Row._fields.index, ("digest", "original", "reason"))


def _original(row: Row) -> str:
    """Return the path a remembered file translates by its place; most rows are too short to name one."""
    return str(row[_ORIGINAL]) if len(row) > _ORIGINAL else ""


def _skipped(rows: Mapping[str, _Row], refused: tuple[Skipped, ...]) -> tuple[Skipped, ...]:
    """Return every file now skipped: those never read, and those read in vain."""
    read_in_vain = (problem(path, row.reason, row.kind or "problem") for path, row in rows.items() if row.reason)
    return tuple(sorted((*read_in_vain, *refused), key=lambda skip: (skip.path, skip.reason)))


def _short(claim: str) -> str:
    return hashlib.blake2b(claim.encode("utf-8", "backslashreplace"), digest_size=6).hexdigest()
