"""The story of feeds: articles from the store become files, and only what changed is written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from publisher.config import Config, in_language
from publisher.errors import NotFoundError
from publisher.feeds import archives, authors, incremental, limits, newsletters, opml, write
from publisher.feeds.archives import ArchivesReport
from publisher.feeds.around import Tombstone
from publisher.feeds.authors import all_feeds
from publisher.feeds.documents import BUILDERS, Built, build_feed, documents
from publisher.feeds.entry import entry_id
from publisher.feeds.places import folder, lasting_id, selected
from publisher.feeds.shelf import Shelf
from publisher.feeds.spec import FORMATS, MEDIA_TYPES, NEWSLETTER_PREFIX, FeedSpec, Format, feeds_of
from publisher.model import Skipped
from publisher.store import articles as stored_articles
from publisher.store import feed_files, feed_states
from publisher.store.articles import Place
from publisher.store.database import Connection, Database
from publisher.store.feed_files import FeedFile
from publisher.store.feed_states import FeedState

__all__ = [
    "BUILDERS",
    "FORMATS",
    "MEDIA_TYPES",
    "ArchivesReport",
    "Built",
    "FeedSpec",
    "FeedsReport",
    "Format",
    "all_feeds",
    "archive",
    "build_feed",
    "feeds_of",
    "folder",
    "publish",
]


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


def publish(db: Database, config: Config, now: datetime, *, only: Iterable[str] | None = None) -> FeedsReport:
    """Build the feeds that may have changed, or those named in `only` in any case; write files whose bytes changed.

    What decides is stored: the number of the last change each feed has in its files. So it makes no difference whether
    the process was restarted, or killed between storing and building. Raises NotFoundError when `only` names a feed
    that does not exist.
    """
    if config.web.author_feeds:
        _meet_authors(db, config)
    specs = db.read(partial(all_feeds, config=config))
    chosen = specs if only is None else _named(specs, only)
    found = db.read(partial(_look, specs=chosen, config=config))
    known, done, states = found.files, list[FeedsReport](), list[FeedState]()
    shelf = Shelf(db, config)
    for spec in chosen:
        fingerprint, state = found.fingerprints[spec.slug], found.states.get(spec.slug)
        due = only is not None or incremental.is_due(spec, state, fingerprint, found.news, now)
        try:
            if not due and state is not None and _intact(config, spec, known):
                done.append(FeedsReport(unchanged=tuple(spec.file(form) for form in FORMATS)))
                shows = _Shows(state.next_at, state.oldest_at)
            else:
                report, shows = _publish_one(db, config, spec, known, shelf, now)
                done.append(report)
            fresh = FeedState(
                feed=spec.slug,
                fingerprint=fingerprint,
                changed=found.news.changed,
                next_at=shows.next_at,
                oldest_at=shows.oldest_at,
            )
            if fresh != state:
                states.append(fresh)
        except Exception as error:  # noqa: BLE001 - whatever fails in one feed, the others are built and it stays as it was (FR-X3, J19)
            done.append(FeedsReport(failed=(Skipped(spec.slug, f"{type(error).__name__}: {error}"),)))
    # Only now: what was not written, or not all of it, is built again by the next run.
    if states:
        db.write(lambda conn: feed_states.put(conn, states))
    if only is None:
        done.append(_publish_list(db, config, specs, known.get(opml.FILE), now))
        done.append(FeedsReport(removed=_remove_others(folder(config), specs)))
    return _joined(done)


def archive(db: Database, config: Config, now: datetime, *, thorough: bool = False) -> ArchivesReport:
    """Bring the archives of the feeds up to date, as much of it as one run may do: to be called after `publish`.

    An article is live before its archive is touched, and building all of a large one is nothing that others wait for.
    `thorough`: look also whether all documents lie there as they were written.
    """
    specs = db.read(partial(all_feeds, config=config))
    archives.remove_others(config, specs)
    return archives.archive(db, config, specs, now, thorough=thorough)


def _meet_authors(db: Database, config: Config) -> None:
    """Give authors that came their feeds, and take them from those that have no article left."""
    specs = db.read(partial(all_feeds, config=config))

    def look(conn: Connection) -> authors.Changes:
        states = feed_states.listing(conn)
        following = [states[spec.slug].changed for spec in specs if spec.slug in states]
        return authors.look(conn, incremental.news(conn, min(following, default=0)), is_new=not following)

    if changes := db.read(look):
        db.write(lambda conn: authors.follow(conn, changes))


@dataclass(frozen=True, slots=True)
class _Found:
    """What the store knew before anything was built."""

    files: Mapping[str, FeedFile]
    states: Mapping[str, FeedState]
    news: incremental.News
    fingerprints: Mapping[str, str]


def _look(conn: Connection, specs: Sequence[FeedSpec], config: Config) -> _Found:
    states = feed_states.listing(conn)
    following = [states[spec.slug].changed for spec in specs if spec.slug in states]
    fingerprints, common = {}, incremental.common(config)
    for spec in specs:
        sent = feed_states.sent_issues(conn, _newsletter(spec)) if spec.kind == "newsletter" else ""
        fingerprints[spec.slug] = incremental.fingerprint(spec, common, str(sent))
    return _Found(
        files={file.name: file for file in feed_files.listing(conn)},
        states=states,
        news=incremental.news(conn, min(following, default=0)),
        fingerprints=fingerprints,
    )


def _intact(config: Config, spec: FeedSpec, known: Mapping[str, FeedFile]) -> bool:
    """Whether all files of a feed lie there as they were written, as far as their times tell."""
    files = [(folder(config) / name, known.get(name)) for name in map(spec.file, FORMATS)]
    return all(file is not None and write.intact(path, file.modified_at) for path, file in files)


@dataclass(frozen=True, slots=True)
class _Shows:
    """What a feed was found to show."""

    next_at: datetime | None
    """When it will show something else, though no article changes."""
    oldest_at: datetime | None


def _publish_one(
    db: Database, config: Config, spec: FeedSpec, known: Mapping[str, FeedFile], shelf: Shelf, now: datetime
) -> tuple[FeedsReport, _Shows]:
    """Build and write a feed."""
    next_at = None
    feed_id = lasting_id(config, spec, known)
    if spec.kind == "newsletter":
        built = _of_issues(db, config, spec, feed_id)
    else:
        # The store holds back what is dated ahead; no reader can cope with it, so no slip gets through (FR-X8).
        places, older = _places(db, spec)
        next_at = min((place.published_at for place in places if place.published_at > now), default=None)
        due = shelf.articles([place for place in places if place.published_at <= now])
        withdrawn = db.read(partial(_withdrawn, spec=spec))
        built = build_feed(spec, feed_id, due, config, withdrawn, older=older, entry=shelf.entry)

    changed, unchanged, to_record = [], [], []
    for name, body in built.files.items():
        fresh = FeedFile(name=name, feed=spec.slug, feed_id=feed_id, etag=write.etag_of(body), modified_at=now)
        file = _remembered(known.get(name), fresh)
        if file != known.get(name):
            to_record.append(file)
        if file == known.get(name) and write.intact(folder(config) / name, file.modified_at):
            unchanged.append(name)
        else:
            changed.append(file)
    # Remembered first: interrupted here, the next run finds the file still old and writes it with the same time.
    if to_record:
        db.write(lambda conn: _remember(conn, to_record))
    write.write_all([(folder(config) / file.name, built.files[file.name], file.modified_at) for file in changed])
    report = FeedsReport(
        built=(spec.slug,),
        changed=tuple(file.name for file in changed),
        unchanged=tuple(unchanged),
        left_out=built.left_out,
    )
    return report, _Shows(next_at, built.oldest_at)


def _of_issues(db: Database, config: Config, spec: FeedSpec, feed_id: str) -> Built:
    """Return the feed of a newsletter: its sent issues, newest first."""
    sent = db.read(lambda conn: newsletters.sent_issues(conn, _newsletter(spec), spec.language, spec.limit))
    entries = [newsletters.entry_of_issue(issue, page, spec, config) for issue, page in sent]
    entries.sort(key=lambda entry: (entry.published_at, entry.id), reverse=True)
    return Built(limits.fitted(entries, spec.max_bytes, partial(documents, spec, feed_id)), ())


def _newsletter(spec: FeedSpec) -> str:
    return spec.slug.removeprefix(NEWSLETTER_PREFIX)


def _places(db: Database, spec: FeedSpec) -> tuple[Sequence[Place], list[datetime]]:
    """Return where the articles stand that the feed shows, newest first, and when the next older were published.

    More is looked at only while all that was looked at is young (FR-X9).
    """
    # An entry is never smaller than this many bytes, so more rows could not be shown, whatever the window says.
    most = max(spec.limit, spec.max_bytes // 256)
    number = spec.limit + 1
    while True:
        places = db.read(partial(_newest, spec=spec, number=number))
        shown = limits.chosen(places, spec.limit, spec.window)
        if len(shown) < number or len(places) < number or number >= most:
            return shown, [place.published_at for place in places[len(shown) :]]
        number = min(number * 4, most)


def _newest(conn: Connection, spec: FeedSpec, number: int) -> list[Place]:
    return stored_articles.places(conn, limit=number, **selected(spec))


def _withdrawn(conn: Connection, spec: FeedSpec) -> list[Tombstone]:
    found = stored_articles.withdrawn(conn, **selected(spec))
    return [Tombstone(entry_id(guid), when.astimezone(UTC).replace(microsecond=0)) for guid, when in found]


def _publish_list(
    db: Database, config: Config, specs: Sequence[FeedSpec], before: FeedFile | None, now: datetime
) -> FeedsReport:
    """Write the OPML list of all feeds; its date is when the list itself last changed, so it is kept out of its tag."""
    site = config.site
    owner = in_language(site.title, site.default_language, site.default_language)
    etag = write.etag_of(opml.opml(owner, owner, specs, None))
    # Whole seconds: the document states its date in them.
    fresh = FeedFile(name=opml.FILE, feed="", feed_id="", etag=etag, modified_at=now.replace(microsecond=0))
    file = _remembered(before, fresh)
    body = opml.opml(owner, owner, specs, file.modified_at)
    if _on_disk(folder(config) / file.name, body, file.modified_at):
        return FeedsReport(unchanged=(file.name,))
    if file != before:
        db.write(lambda conn: feed_files.put(conn, file))
    write.write(folder(config) / file.name, body, file.modified_at)
    return FeedsReport(changed=(file.name,))


def _remember(conn: Connection, files: Iterable[FeedFile]) -> None:
    for file in files:
        feed_files.put(conn, file)


def _remembered(before: FeedFile | None, file: FeedFile) -> FeedFile:
    """Return what to remember of a file: the time it has when the bytes are the same, else a later one (FR-H4)."""
    if before is not None and before.etag == file.etag:
        return replace(file, modified_at=before.modified_at)
    return replace(file, modified_at=write.later(before.modified_at if before else None, file.modified_at))


def _on_disk(path: Path, body: bytes, modified_at: datetime) -> bool:
    found = write.read(path)
    return (
        found is not None
        and found.body == body
        and found.modified_at == modified_at
        and found.encoded.keys() == write.SUFFIXES.keys()
    )


def _named(specs: tuple[FeedSpec, ...], only: Iterable[str]) -> tuple[FeedSpec, ...]:
    wanted = list(only)
    slugs = {spec.slug for spec in specs}
    if unknown := [slug for slug in wanted if slug not in slugs]:
        raise NotFoundError(f"there is no feed {', '.join(unknown)}; there are {', '.join(sorted(slugs))}")
    return tuple(spec for spec in specs if spec.slug in wanted)


def _remove_others(feeds: Path, specs: tuple[FeedSpec, ...]) -> tuple[str, ...]:
    """Remove files of feeds that are no more: they would be served for ever and never change."""
    wanted = {spec.file(form) for spec in specs for form in FORMATS}
    endings = tuple(f".{form}" for form in FORMATS)
    with os.scandir(feeds) as found:
        names = [entry.name for entry in found]
    removed = sorted(name for name in names if name.endswith(endings) and name not in wanted and name[0] != ".")
    for name in removed:
        write.remove(feeds / name)
    return tuple(removed)


def _joined(reports: list[FeedsReport]) -> FeedsReport:
    return FeedsReport(
        built=tuple(slug for report in reports for slug in report.built),
        changed=tuple(name for report in reports for name in report.changed),
        unchanged=tuple(name for report in reports for name in report.unchanged),
        removed=tuple(name for report in reports for name in report.removed),
        left_out=tuple(skipped for report in reports for skipped in report.left_out),
        failed=tuple(skipped for report in reports for skipped in report.failed),
    )
