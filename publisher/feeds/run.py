"""One run of the story of feeds: what is due is built, put on the disk and live together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from publisher.config import Config
from publisher.feeds import incremental, write
from publisher.feeds.documents import build_entries
from publisher.feeds.found import Material, look, material
from publisher.feeds.places import folder, lasting_id
from publisher.feeds.shelf import Shelf
from publisher.feeds.spec import FORMATS, FeedSpec
from publisher.model import Skipped
from publisher.store import feed_files, feed_states
from publisher.store.database import Database
from publisher.store.feed_files import FeedFile
from publisher.store.feed_states import FeedState

_AT_ONCE = 8 * 2**20
"""Bytes of documents that go live together, so that rebuilding all feeds does not hold all of them in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedsReport:
    """What building the feeds came to, by file name."""

    built: tuple[str, ...] = ()
    """Slugs of the feeds that were built."""
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    """Files of feeds that are configured no more."""
    left_out: tuple[Skipped, ...] = ()
    """Articles that could not be shown, as `feed: guid` (FR-X3)."""
    failed: tuple[Skipped, ...] = ()
    """Feeds that could not be built or written; their last good files are still there."""


class Run:
    """One run: what it found, and the feeds that are on their way to the disk."""

    def __init__(self, db: Database, config: Config, shelf: Shelf, now: datetime) -> None:
        self.found = look(db, config)
        self.reports: list[FeedsReport] = []
        self._db = db
        self._config = config
        self._shelf = shelf
        self._now = now
        self._states: list[FeedState] = []
        self._ready: list[_Ready] = []

    def stays(self, spec: FeedSpec) -> bool:
        """Whether the files of a feed show what they should; then that is noted."""
        state = self.found.states.get(spec.slug)
        due = incremental.is_due(spec, state, self.found.fingerprints[spec.slug], self.found.news, self._now)
        try:
            if due or state is None or not self._intact(spec):
                return False
        except OSError:  # building it says what is wrong
            return False
        self.reports.append(FeedsReport(unchanged=tuple(spec.file(form) for form in FORMATS)))
        self._note(spec, state.next_at, state.oldest_at)
        return True

    def build(self, specs: Sequence[FeedSpec]) -> None:
        """Build feeds and write them: packed and put on the disk while the next is built, live together.

        Whatever fails in one feed, the others are built and it stays as it was (FR-X3, J19).
        """
        materials = self._db.read(lambda conn: {spec.slug: material(conn, spec, self._now) for spec in specs})
        for spec in specs:
            try:
                self._ready.append(self._build_one(spec, materials[spec.slug]))
            except Exception as error:  # noqa: BLE001 - as said above
                self._failed(spec, error)
            if sum(ready.size for ready in self._ready) > _AT_ONCE:
                self._go_live()
        self._go_live()
        # Only now: what was not written, or not all of it, is built again by the next run.
        if self._states:
            self._db.write(lambda conn: feed_states.put(conn, self._states))

    def _build_one(self, spec: FeedSpec, shows: Material) -> _Ready:
        """Build a feed and begin to write it."""
        known, feed_id = self.found.files, lasting_id(self._config, spec, self.found.files)
        entries, left_out = self._shelf.entries(shows.places, spec)
        built = build_entries(
            spec, feed_id, entries, left_out, shows.withdrawn, older=shows.older, kept=self._shelf.pieces
        )
        changed, unchanged, to_record = [], [], []
        for name, body in built.files.items():
            fresh = FeedFile(
                name=name, feed=spec.slug, feed_id=feed_id, etag=write.etag_of(body), modified_at=self._now
            )
            file = remembered(known.get(name), fresh)
            if file != known.get(name):
                to_record.append(file)
            if file == known.get(name) and write.intact(folder(self._config) / name, file.modified_at):
                unchanged.append(name)
            else:
                changed.append(file)
        report = FeedsReport(
            built=(spec.slug,),
            changed=tuple(file.name for file in changed),
            unchanged=tuple(unchanged),
            left_out=built.left_out,
        )
        return _Ready(
            spec=spec,
            report=report,
            to_record=to_record,
            writing=write.Writing(
                [(folder(self._config) / file.name, built.files[file.name], file.modified_at) for file in changed]
            ),
            size=sum(map(len, built.files.values())),
            next_at=shows.next_at,
            oldest_at=built.oldest_at,
        )

    def _go_live(self) -> None:
        """Give the files that were built their names, when all of them are on the disk."""
        ready, self._ready = self._ready, []
        written = [one for one in ready if self._try(one, one.writing.wait)]
        # Remembered first: interrupted here, the next run finds the file still old and writes it with the same time.
        to_record = [file for one in written for file in one.to_record]
        try:
            if to_record:
                self._db.write(lambda conn: feed_files.put_all(conn, to_record))
        except BaseException:
            for one in written:
                one.writing.discard()
            raise
        named = [one for one in written if self._try(one, one.writing.name)]
        write.sync({path for one in named for path in one.writing.folders})
        for one in named:
            self.reports.append(one.report)
            self._note(one.spec, one.next_at, one.oldest_at)

    def _try(self, ready: _Ready, step: Callable[[], None]) -> bool:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - as said in `build`
            self._failed(ready.spec, error)
            return False
        return True

    def _failed(self, spec: FeedSpec, error: Exception) -> None:
        self.reports.append(FeedsReport(failed=(Skipped(spec.slug, f"{type(error).__name__}: {error}"),)))

    def _note(self, spec: FeedSpec, next_at: datetime | None, oldest_at: datetime | None) -> None:
        """Note that the files of a feed show what the articles are by now."""
        fresh = FeedState(
            feed=spec.slug,
            fingerprint=self.found.fingerprints[spec.slug],
            changed=self.found.news.changed,
            next_at=next_at,
            oldest_at=oldest_at,
        )
        if fresh != self.found.states.get(spec.slug):
            self._states.append(fresh)

    def _intact(self, spec: FeedSpec) -> bool:
        """Whether all files of a feed lie there as they were written, as far as their times tell."""
        known, home = self.found.files, folder(self._config)
        files = [(home / name, known.get(name)) for name in map(spec.file, FORMATS)]
        return all(file is not None and write.intact(path, file.modified_at) for path, file in files)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """A feed that was built and is being written."""

    spec: FeedSpec
    report: FeedsReport
    to_record: Sequence[FeedFile]
    writing: write.Writing
    size: int
    """Bytes of its documents."""
    next_at: datetime | None
    oldest_at: datetime | None


def remembered(before: FeedFile | None, file: FeedFile) -> FeedFile:
    """Return what to remember of a file: the time it has when the bytes are the same, else a later one (FR-H4)."""
    if before is not None and before.etag == file.etag:
        return replace(file, modified_at=before.modified_at)
    return replace(file, modified_at=write.later(before.modified_at if before else None, file.modified_at))
