"""The story of feeds: articles from the store become files, and only what changed is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from publisher.config import Config, in_language
from publisher.errors import NotFoundError
from publisher.feeds import archives, opml, write
from publisher.feeds.archives import ArchivesReport
from publisher.feeds.authors import all_feeds
from publisher.feeds.places import folder
from publisher.feeds.run import FeedsReport, Run, remembered
from publisher.feeds.shelf import Shelf
from publisher.feeds.spec import FORMATS, LIST, FeedSpec
from publisher.store import feed_files
from publisher.store.database import Database
from publisher.store.feed_files import FeedFile


def publish(
    db: Database, config: Config, now: datetime, *, only: Iterable[str] | None = None, shelf: Shelf | None = None
) -> FeedsReport:
    """Build the feeds that may have changed, or those named in `only` in any case; write files whose bytes changed.

    What decides is stored: the number of the last change each feed has in its files. So it makes no difference whether
    the process was restarted, or killed between storing and building. `shelf` is what earlier runs with the same
    configuration have made. Raises NotFoundError when `only` names a feed that does not exist.
    """
    run = Run(db, config, shelf or Shelf(db, config), now)
    chosen = run.found.specs if only is None else _named(run.found.specs, only)
    run.build([spec for spec in chosen if only is not None or not run.stays(spec)])
    if only is None:
        known = run.found
        run.reports.append(_publish_list(db, config, known.specs, known.files.get(LIST), now))
        run.reports.append(FeedsReport(removed=_remove_others(folder(config), known.specs)))
    return _joined(run.reports)


def archive(
    db: Database,
    config: Config,
    now: datetime,
    *,
    thorough: bool = False,
    stopped: Callable[[], bool] = lambda: False,
) -> ArchivesReport:
    """Bring the archives of the feeds up to date, as much of it as one run may do: to be called after `publish`.

    An article is live before its archive is touched, and building all of a large one is nothing that others wait for.
    `thorough`: look also whether all documents lie there as they were written. `stopped`: whether to leave the rest to
    the next run.
    """
    specs = db.read(partial(all_feeds, config=config))
    archives.remove_others(config, specs)
    return archives.archive(db, config, specs, now, thorough=thorough, stopped=stopped)


def _publish_list(
    db: Database, config: Config, specs: Sequence[FeedSpec], before: FeedFile | None, now: datetime
) -> FeedsReport:
    """Write the OPML list of all feeds; its date is when the list itself last changed, so it is kept out of its tag."""
    site = config.site
    owner = in_language(site.title, site.default_language, site.default_language)
    etag = write.etag_of(opml.opml(owner, owner, specs, None))
    # Whole seconds: the document states its date in them.
    fresh = FeedFile(name=LIST, feed="", feed_id="", etag=etag, modified_at=now.replace(microsecond=0))
    file = remembered(before, fresh)
    body = opml.opml(owner, owner, specs, file.modified_at)
    if _on_disk(folder(config) / file.name, body, file.modified_at):
        return FeedsReport(unchanged=(file.name,))
    if file != before:
        db.write(lambda conn: feed_files.put(conn, file))
    write.write(folder(config) / file.name, body, file.modified_at)
    return FeedsReport(changed=(file.name,))


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
