"""The story of feeds: articles from the store become files, and only what changed is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from publisher.config import Config, in_language
from publisher.errors import NotFoundError
from publisher.feeds import incremental, limits, newsletters, opml, write
from publisher.feeds.around import NOTHING, Around, Tombstone, recent
from publisher.feeds.build import atom, rss
from publisher.feeds.entry import Entry, entry_id, entry_of
from publisher.feeds.jsonfeed import jsonfeed
from publisher.feeds.spec import FORMATS, MEDIA_TYPES, NEWSLETTER_PREFIX, FeedSpec, Format, feed_id, feeds_of
from publisher.model import Article, Skipped
from publisher.store import articles as stored_articles
from publisher.store import feed_files, feed_states
from publisher.store.database import Connection, Database
from publisher.store.feed_files import FeedFile
from publisher.store.feed_states import FeedState

__all__ = [
    "FORMATS",
    "MEDIA_TYPES",
    "Built",
    "FeedSpec",
    "FeedsReport",
    "Format",
    "build_feed",
    "feeds_of",
    "folder",
    "publish",
]

BUILDERS = {"rss": rss, "atom": atom, "json": jsonfeed}

# A clock set back by less keeps the order of changes; one that was further ahead was wrong, and so were its times.
_CLOCK_DRIFT = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Built:
    """A feed in bytes: its documents by file name, and the articles that could not be shown."""

    files: Mapping[str, bytes]
    left_out: tuple[Skipped, ...]


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


def folder(config: Config) -> Path:
    """Return where the feed files are; `site/` can be served by any web server as it is."""
    return config.data_dir / "site" / "feeds"


def publish(db: Database, config: Config, now: datetime, *, only: Iterable[str] | None = None) -> FeedsReport:
    """Build the feeds that may have changed, or those named in `only` in any case; write files whose bytes changed.

    What decides is stored: the number of the last change each feed has in its files. So it makes no difference whether
    the process was restarted, or killed between storing and building. Raises NotFoundError when `only` names a feed
    that does not exist.
    """
    specs = feeds_of(config)
    chosen = specs if only is None else _named(specs, only)
    found = db.read(partial(_look, specs=chosen, config=config))
    known, done, states = found.files, list[FeedsReport](), list[FeedState]()
    for spec in chosen:
        fingerprint, state = found.fingerprints[spec.slug], found.states.get(spec.slug)
        due = only is not None or incremental.is_due(spec, state, fingerprint, found.news, now)
        try:
            if not due and state is not None and _intact(config, spec, known):
                done.append(FeedsReport(unchanged=tuple(spec.file(form) for form in FORMATS)))
                next_at = state.next_at
            else:
                report, next_at = _publish_one(db, config, spec, known, now)
                done.append(report)
            fresh = FeedState(feed=spec.slug, fingerprint=fingerprint, changed=found.news.changed, next_at=next_at)
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


def build_feed(
    spec: FeedSpec, lasting_id: str, articles: Iterable[Article], config: Config, withdrawn: Sequence[Tombstone] = ()
) -> Built:
    """Return a feed in all its formats, newest article first, ties by id (FR-X7), and say which were taken back.

    An article that cannot be shown is left out of every format and named. Raises what the builder raised when the
    feed cannot be built even without such articles.
    """
    left_out: list[Skipped] = []
    entries: list[Entry] = []
    for article in articles:
        try:
            entries.append(entry_of(article, spec, config))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one article must not cost the feed (FR-X3)
            left_out.append(Skipped(f"{spec.slug}: {article.guid}", f"{type(error).__name__}: {error}"))
    entries.sort(key=lambda entry: entry.id)
    entries.sort(key=lambda entry: entry.published_at, reverse=True)
    around = Around(tombstones=recent(withdrawn, [entry.updated_at for entry in entries]))
    try:
        files = _documents(spec, lasting_id, entries, around)
    except Exception:  # noqa: BLE001 - look for the article that did it; raised again below when it is none (FR-X3)
        bad = {entry.id: reason for entry in entries if (reason := _fault(spec, lasting_id, entry))}
        left_out += [Skipped(f"{spec.slug}: {guid}", reason) for guid, reason in bad.items()]
        files = _documents(spec, lasting_id, [entry for entry in entries if entry.id not in bad], around)
    return Built(files, tuple(left_out))


def _documents(spec: FeedSpec, lasting_id: str, entries: list[Entry], around: Around = NOTHING) -> Mapping[str, bytes]:
    def write_all(shown: Sequence[Entry]) -> dict[str, bytes]:
        return {spec.file(form): BUILDERS[form](spec, lasting_id, shown, around) for form in FORMATS}

    return limits.fitted(entries, spec.max_bytes, write_all)


def _fault(spec: FeedSpec, lasting_id: str, entry: Entry) -> str:
    """Return why this entry cannot be shown, tried alone; empty when it can."""
    try:
        _documents(spec, lasting_id, [entry])
    except Exception as error:  # noqa: BLE001 - the reason is the result
        return f"{type(error).__name__}: {error}"
    return ""


def _publish_one(
    db: Database, config: Config, spec: FeedSpec, known: Mapping[str, FeedFile], now: datetime
) -> tuple[FeedsReport, datetime | None]:
    """Build and write a feed; return also when it will show something else, though no article changes."""
    next_at = None
    lasting_id = _lasting_id(config, spec, known)
    if spec.kind == "newsletter":
        built = _of_issues(db, config, spec, lasting_id)
    else:
        # The store holds back what is dated ahead; no reader can cope with it, so no slip gets through (FR-X8).
        articles = _articles(db, spec)
        next_at = min((article.published_at for article in articles if article.published_at > now), default=None)
        due = [article for article in articles if article.published_at <= now]
        built = build_feed(spec, lasting_id, due, config, db.read(partial(_withdrawn, spec=spec)))

    changed, unchanged, to_record = [], [], []
    for name, body in built.files.items():
        fresh = FeedFile(name=name, feed=spec.slug, feed_id=lasting_id, etag=write.etag_of(body), modified_at=now)
        file = _remembered(known.get(name), fresh)
        if file != known.get(name):
            to_record.append(file)
        if _on_disk(folder(config) / name, body, file.modified_at):
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
    return report, next_at


def _of_issues(db: Database, config: Config, spec: FeedSpec, lasting_id: str) -> Built:
    """Return the feed of a newsletter: its sent issues, newest first."""
    sent = db.read(lambda conn: newsletters.sent_issues(conn, _newsletter(spec), spec.language, spec.limit))
    entries = [newsletters.entry_of_issue(issue, page, spec, config) for issue, page in sent]
    entries.sort(key=lambda entry: (entry.published_at, entry.id), reverse=True)
    return Built(_documents(spec, lasting_id, entries), ())


def _newsletter(spec: FeedSpec) -> str:
    return spec.slug.removeprefix(NEWSLETTER_PREFIX)


def _articles(db: Database, spec: FeedSpec) -> Sequence[Article]:
    """Return what the feed shows, newest first: more is read only while all that was read is young (FR-X9)."""
    # An entry is never smaller than this many bytes, so more rows could not be shown, whatever the window says.
    most = max(spec.limit, spec.max_bytes // 256)
    number = spec.limit + 1
    while True:
        articles = db.read(partial(_newest, spec=spec, number=number))
        shown = limits.chosen(articles, spec.limit, spec.window)
        if len(shown) < number or len(articles) < number or number >= most:
            return shown
        number = min(number * 4, most)


def _withdrawn(conn: Connection, spec: FeedSpec) -> list[Tombstone]:
    selection = spec.selection
    found = stored_articles.withdrawn(
        conn,
        categories=selection.categories,
        languages=selection.languages,
        authors=selection.authors,
        sources=selection.sources,
    )
    return [Tombstone(entry_id(guid), when.astimezone(UTC).replace(microsecond=0)) for guid, when in found]


def _newest(conn: Connection, spec: FeedSpec, number: int) -> list[Article]:
    selection = spec.selection
    return stored_articles.for_feed(
        conn,
        categories=selection.categories,
        languages=selection.languages,
        authors=selection.authors,
        sources=selection.sources,
        limit=number,
    )


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
    """Return what to remember of a file: the time it has when the bytes are the same, else a later one (FR-H4).

    Later by the seconds that HTTP counts in: nginx tells bytes apart by second and size.
    """
    if before is None:
        return file
    if before.etag == file.etag:
        return replace(file, modified_at=before.modified_at)
    next_second = before.modified_at.replace(microsecond=0) + timedelta(seconds=1)
    if file.modified_at < next_second and before.modified_at < file.modified_at + _CLOCK_DRIFT:
        return replace(file, modified_at=next_second)
    return file


def _lasting_id(config: Config, spec: FeedSpec, known: Mapping[str, FeedFile]) -> str:
    """Return the id the feed got when it was first built, under this slug or one it had before (FR-X6)."""
    ids = {file.feed: file.feed_id for file in known.values()}
    return next((ids[slug] for slug in (spec.slug, *spec.former) if slug in ids), feed_id(config, spec.slug))


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
    """Remove files of feeds that are not configured: they would be served for ever and never change."""
    wanted = {spec.file(form) for spec in specs for form in FORMATS}
    removed = sorted(path for form in FORMATS for path in feeds.glob(f"*.{form}") if path.name not in wanted)
    for path in removed:
        write.remove(path)
    return tuple(path.name for path in removed)


def _joined(reports: list[FeedsReport]) -> FeedsReport:
    return FeedsReport(
        built=tuple(slug for report in reports for slug in report.built),
        changed=tuple(name for report in reports for name in report.changed),
        unchanged=tuple(name for report in reports for name in report.unchanged),
        removed=tuple(name for report in reports for name in report.removed),
        left_out=tuple(skipped for report in reports for skipped in report.left_out),
        failed=tuple(skipped for report in reports for skipped in report.failed),
    )
