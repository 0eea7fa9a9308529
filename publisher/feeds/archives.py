"""The story of archives: a document a month behind each feed, so that walking back finds every article (RFC 5005)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from publisher.config import Config
from publisher.feeds import incremental, stock, write
from publisher.feeds.around import Around
from publisher.feeds.documents import Built, StoppedError, build_month
from publisher.feeds.entry import Entry
from publisher.feeds.months import bounds, open_until
from publisher.feeds.places import folder, lasting_id
from publisher.feeds.spec import FORMATS, FeedSpec
from publisher.model import Skipped
from publisher.store import feed_files, feed_months, feed_states
from publisher.store.database import Connection, Database
from publisher.store.feed_months import Archive, Month
from publisher.store.numbering import forget_traces, forgotten, last_change

BUDGET = 500
"""Articles a run writes before it ends: half a second, for which a new article waits at the most."""
MAX_BYTES = 4 * 2**20
"""Of text in one document; a larger month shows summaries. CommaFeed reads no more than 5 MB."""
_DOCUMENT = 10  # articles that a document costs by itself: three formats in four forms, each put on the disk
_READ = 100  # articles in memory at once
_MARKS = 500  # months noted in one transaction
_MOST = 200  # months looked at in one run; many hold a single article


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivesReport:
    """What a run came to."""

    changed: tuple[str, ...] = ()
    """Names of files: `all/2026-10.rss`."""
    left_out: tuple[Skipped, ...] = ()
    """Articles that could not be shown."""
    failed: tuple[Skipped, ...] = ()
    """Documents that could not be built or written; they stay as they were, and the next round tries again."""
    pending: bool = False
    """Whether there is more to do than one run should: then another one is wanted soon."""


def archive(
    db: Database,
    config: Config,
    specs: Sequence[FeedSpec],
    now: datetime,
    *,
    thorough: bool = False,
    stopped: Callable[[], bool] = lambda: False,
) -> ArchivesReport:
    """Bring the archives of feeds up to date, as much of it as one run may do; the newest months come first.

    What is to be built is stored before anything is built, so a run that is killed is made good by the next.
    `thorough`: look also whether all documents lie there as they were written. Once `stopped` says so, what is begun is
    left to the next run.
    """
    kept = {spec.slug: spec for spec in specs if spec.is_archived}
    _note(db, specs, config)
    if thorough:
        _look_after(db, config, kept)
    waiting = [month for month in db.read(partial(feed_months.stale, limit=_MOST)) if month.feed in kept]
    known = {file.name: file for file in db.read(feed_files.listing)} if waiting else {}
    ready, left_out, failed, written = list[tuple[Month, dict[str, bytes]]](), list[Skipped](), list[Skipped](), 0
    looked = 0
    for month in waiting:
        if written >= BUDGET or stopped():
            break
        looked += 1
        spec = kept[month.feed]
        try:
            built, count = _built(db, config, spec, lasting_id(config, spec, known), month.month, stopped)
        except StoppedError:
            looked -= 1
            break
        except Exception as error:  # noqa: BLE001 - whatever fails in one document, the others are built (FR-X3)
            failed.append(Skipped(f"{month.feed}/{month.month}", f"{type(error).__name__}: {error}"))
            continue
        written += count
        left_out += built.left_out
        ready.append((month, dict(built.files)))
    changed: list[str] = []
    try:
        changed = _write(db, config, ready, now)
    except OSError as error:  # what is not on the disk stays marked
        failed += [Skipped(f"{month.feed}/{month.month}", f"{type(error).__name__}: {error}") for month, _ in ready]
        ready = []
    more = looked < len(waiting) or len(waiting) == _MOST
    # A round in which nothing succeeded would be followed by the same one.
    pending = more and len(ready) > 0
    return ArchivesReport(changed=tuple(changed), left_out=tuple(left_out), failed=tuple(failed), pending=pending)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What is to be noted about the archive of one feed."""

    spec: FeedSpec
    fingerprint: str
    changed: int
    months: Mapping[str, bool]
    """Those to be built again, and whether they have a visible article: only that makes a new one."""


def _note(db: Database, specs: Sequence[FeedSpec], config: Config) -> None:
    """Mark the months that are to be built again, and remember up to which change that is known.

    All that takes long is read before the writer is asked: whatever changes meanwhile has a higher number, and is seen
    by the next run. A few feeds a transaction, so that nobody waits for an archive that is new.
    """
    plans = db.read(partial(_plans, specs=specs, config=config))
    while plans:
        some = [plans.pop()]
        while plans and sum(len(plan.months) for plan in some) + len(plans[-1].months) <= _MARKS:
            some.append(plans.pop())
        db.write(partial(_remember, plans=some))
    db.write(partial(_forget, specs=specs))


def _plans(conn: Connection, specs: Sequence[FeedSpec], config: Config) -> list[_Plan]:
    """Return what is to be noted about each archive."""
    changed, before = last_change(conn), feed_months.archives(conn)
    common = incremental.common_of_archives(config)
    kept = [spec for spec in specs if spec.is_archived]
    fingerprints = {spec.slug: incremental.fingerprint(_settings(spec), common) for spec in kept}
    followed = {
        slug: archive.changed
        for slug, archive in before.items()
        if archive.fingerprint == fingerprints.get(slug) and archive.changed >= forgotten(conn)
    }
    behind = [number for number in followed.values() if number < changed]
    touched = feed_states.touched(conn, min(behind), limit=incremental.MANY) if behind else []
    traces = feed_states.traces(conn, min(behind)) if behind and touched is None else []
    plans = []
    for spec in kept:
        slug, months = spec.slug, dict[str, bool]()
        if slug not in followed:
            there = [month.month for month in feed_months.listing(conn, slug)]
            months = dict.fromkeys(there, True) | stock.months(conn, spec, 0)
        elif followed[slug] < changed:
            news = touched if touched is not None else traces
            of_issues = spec.kind == "newsletter"
            left = {one.month: False for one in news if not of_issues and incremental.takes(spec.selection, one)}
            if touched is None or left or of_issues:
                months = left | stock.months(conn, spec, followed[slug])
        plans.append(_Plan(spec=spec, fingerprint=fingerprints[slug], changed=changed, months=months))
    return plans


def _remember(conn: Connection, plans: Sequence[_Plan]) -> None:
    """Mark the months of these plans, and note how far their archives have followed."""
    before, states = feed_months.archives(conn), feed_states.listing(conn)
    for plan in plans:
        if plan.months:
            _mark(conn, plan.spec.slug, plan.months)
    newest, fresh = feed_months.newest(conn), []
    for plan in plans:
        slug, state, known = plan.spec.slug, states.get(plan.spec.slug), before.get(plan.spec.slug)
        until = open_until(newest[slug], state.oldest_at if state else None) if slug in newest else None
        if until is not None and (known is None or until != known.until_at):
            feed_months.mark(conn, slug, [newest[slug]])
        now_known = Archive(feed=slug, fingerprint=plan.fingerprint, changed=plan.changed, until_at=until)
        if now_known != known:
            fresh.append(now_known)
    feed_months.put_archives(conn, fresh)


def _forget(conn: Connection, specs: Sequence[FeedSpec]) -> None:
    """Forget the archives of feeds that are no more, and the traces of changes that everybody has followed."""
    kept = {spec.slug for spec in specs if spec.is_archived}
    archived, states = feed_months.archives(conn), feed_states.listing(conn)
    if gone := archived.keys() - kept:
        feed_months.forget(conn, gone)
    # A feed that was never built, or not for long, does not hold the traces back: it is built as a whole when it comes.
    following = [states[spec.slug].changed for spec in specs if spec.slug in states and spec.kind != "newsletter"]
    noted = [archive.changed for slug, archive in archived.items() if slug in kept]
    if number := min([*following, *noted], default=0):
        forget_traces(conn, number)


def _mark(conn: Connection, feed: str, months: Mapping[str, bool]) -> None:
    """Mark months as out of date; `months` says which have a visible article, for only that makes a new one."""
    known = [month.month for month in feed_months.listing(conn, feed)]
    new = [month for month, visible in months.items() if visible and month not in known]
    chain = sorted([*known, *new])
    places = {month: index for index, month in enumerate(chain)}
    beside = [chain[at] for month in new for at in (places[month] - 1, places[month] + 1) if 0 <= at < len(chain)]
    feed_months.mark(conn, feed, dict.fromkeys([*(month for month in months if month in places), *beside]))


def _settings(spec: FeedSpec) -> FeedSpec:
    """Leave out of a feed's settings what its archive does not show."""
    return replace(spec, limit=0, window=spec.window * 0, max_bytes=0, hubs=(), former=())


def _built(
    db: Database, config: Config, spec: FeedSpec, feed_id: str, month: str, stopped: Callable[[], bool]
) -> tuple[Built, int]:
    """Build the documents of a month; return them, and what that cost, in articles."""
    start, end = bounds(month)

    def look(conn: Connection) -> tuple[str, str, Archive | None]:
        return *feed_months.neighbours(conn, spec.slug, month), feed_months.archives(conn).get(spec.slug)

    before, after, state = db.read(look)
    if not after and state is not None and state.until_at is not None:
        end = state.until_at
    places = db.read(lambda conn: stock.between(conn, spec, start, end))

    def read() -> Iterator[stock.Item]:
        ids = [place.id for place in places]
        for first in range(0, len(ids), _READ):
            if stopped():
                raise StoppedError
            yield from db.read(partial(stock.read, spec=spec, ids=ids[first : first + _READ])).values()

    def entry(item: stock.Item, spec: FeedSpec) -> Entry:
        return stock.entry(item, spec, config)

    around = Around(
        archive=bool(after),
        own=spec.archive_url(month),
        current=spec.base_url,
        prev_archive=spec.archive_url(before) if before else "",
        next_archive=spec.archive_url(after) if after else "",
    )
    cost = len(places) * (stock.ISSUE_COSTS if spec.kind == "newsletter" else 1) + _DOCUMENT
    return build_month(spec, feed_id, month, read(), entry, around, MAX_BYTES, stopped), cost


def _write(db: Database, config: Config, ready: Sequence[tuple[Month, dict[str, bytes]]], now: datetime) -> list[str]:
    """Write the documents whose bytes changed, or that are not there as they were written; return their names."""
    moment = now.astimezone(UTC).replace(microsecond=0)  # whole seconds, as Last-Modified states them
    to_write, to_record, names = list[tuple[Path, bytes, datetime]](), list[Month](), list[str]()
    for month, files in ready:
        etag = write.etag_of(b"".join(write.etag_of(body).encode() for body in files.values()))
        when = month.modified_at
        if when is None or etag != month.etag:
            when = write.later(when, moment)
            to_record.append(replace(month, etag=etag, modified_at=when))
        home = folder(config) / month.feed
        lost = not all(write.intact(home / name, when) for name in files)
        if lost:
            to_write += [(home / name, body, when) for name, body in files.items()]
            names += [f"{month.feed}/{name}" for name in files]
    # Remembered first: interrupted here, the next run finds the file still old and writes it with the same time.
    if to_record:
        db.write(partial(feed_months.put, months=to_record))
    write.write_all(to_write)
    if ready:
        db.write(partial(feed_months.done, months=[month for month, _ in ready]))
    return names


def _look_after(db: Database, config: Config, kept: Mapping[str, FeedSpec]) -> None:
    """Mark the months whose files are lost or have another time than they were given."""
    for slug in kept:
        months = db.read(partial(feed_months.listing, feed=slug))
        home = folder(config) / slug
        lost = [m.month for m in months if m.modified_at is None or not _there(home, m.month, m.modified_at)]
        if lost:
            db.write(partial(feed_months.mark, feed=slug, months=lost))


def _there(home: Path, month: str, modified_at: datetime) -> bool:
    return all(write.intact(home / f"{month}.{form}", modified_at) for form in FORMATS)


def remove_others(config: Config, specs: Sequence[FeedSpec]) -> list[str]:
    """Remove the archives of feeds that are there no more; return the names of their folders."""
    kept = {spec.slug for spec in specs if spec.is_archived}
    home = folder(config)
    if not home.is_dir():
        return []
    with os.scandir(home) as found:
        gone = sorted(entry.name for entry in found if entry.is_dir() and entry.name not in kept)
    for name in gone:
        shutil.rmtree(home / name)
    return gone
