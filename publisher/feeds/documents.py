"""A feed in bytes: articles become entries, entries become the same document in three formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Protocol, TypeVar

from publisher.config import Config
from publisher.feeds import limits
from publisher.feeds.around import NOTHING, Around, Tombstone, recent
from publisher.feeds.build import atom, rss
from publisher.feeds.entry import Entry, entry_of
from publisher.feeds.jsonfeed import jsonfeed
from publisher.feeds.months import prev_archive
from publisher.feeds.pieces import Pieces
from publisher.feeds.spec import FORMATS, FeedSpec
from publisher.model import Article, Skipped


class _Named(Protocol):
    """An article or an issue."""

    @property
    def guid(self) -> str:
        """What names it in messages."""


Item = TypeVar("Item", bound=_Named)

BUILDERS = {"rss": rss, "atom": atom, "json": jsonfeed}


@dataclass(frozen=True, slots=True)
class Built:
    """A feed in bytes: its documents by file name, and the articles that could not be shown."""

    files: Mapping[str, bytes]
    left_out: tuple[Skipped, ...]
    oldest_at: datetime | None = None
    """When the oldest that it shows was published; what is older is in its archive."""


def build_feed(
    spec: FeedSpec,
    lasting_id: str,
    articles: Iterable[Article],
    config: Config,
    withdrawn: Sequence[Tombstone] = (),
    *,
    older: Sequence[datetime] = (),
) -> Built:
    """Return a feed of articles in all its formats; see `build_entries`.

    An article that cannot be shown is left out of every format and named.
    """
    left_out: list[Skipped] = []
    entries = list(_made(spec, articles, partial(_entry, config=config), left_out))
    return build_entries(spec, lasting_id, entries, left_out, withdrawn, older=older)


def build_entries(
    spec: FeedSpec,
    lasting_id: str,
    entries: Sequence[Entry],
    left_out: Sequence[Skipped] = (),
    withdrawn: Sequence[Tombstone] = (),
    *,
    older: Sequence[datetime] = (),
    kept: Pieces | None = None,
) -> Built:
    """Return a feed in all its formats, newest entry first, ties by id (FR-X7), and say which were taken back.

    An entry that cannot be written is left out of every format and named, after those `left_out` before. `older` says
    when the next articles were published that the feed does not show; `kept` holds what was made of entries before.
    Raises what the builder raised when the feed cannot be built even without such entries.
    """
    entries = in_order(entries)
    stones = recent(withdrawn, [entry.updated_at for entry in entries])
    shown: list[Entry] = []

    def write_all(some: Sequence[Entry]) -> dict[str, bytes]:
        rest = [entry.published_at for entry in entries[len(some) :]] + list(older)
        month = prev_archive([entry.published_at for entry in some], rest) if spec.is_archived else ""
        around = Around(tombstones=stones, prev_archive=spec.archive_url(month) if month else "")
        shown[:] = some
        return documents(spec, lasting_id, some, around, kept)

    try:
        files = limits.fitted(entries, spec.max_bytes, write_all)
    except Exception:  # noqa: BLE001 - look for the entry that did it; raised again below when it is none (FR-X3)
        bad = faults(spec, lasting_id, entries)
        left_out = [*left_out, *(Skipped(f"{spec.slug}: {guid}", reason) for guid, reason in bad.items())]
        entries = [entry for entry in entries if entry.id not in bad]
        files = limits.fitted(entries, spec.max_bytes, write_all)
    return Built(files, tuple(left_out), min((entry.published_at for entry in shown), default=None))


class StoppedError(Exception):
    """Whoever builds was told to stop."""


def build_month(
    spec: FeedSpec,
    lasting_id: str,
    month: str,
    items: Iterable[Item],
    entry: Callable[[Item, FeedSpec], Entry],
    around: Around,
    max_bytes: int,
    stopped: Callable[[], bool] = lambda: False,
) -> Built:
    """Return an archive document in all formats, by their names below the feed's folder: `2026-10.rss`.

    None of the articles or issues is left out because there are many: with more text than `max_bytes` all give their
    summary. They may come one after another, so that never all their texts are in memory. Raises StoppedError once
    `stopped` says so: a month of a hundred thousand articles takes half a minute.
    """
    entries, left_out, size = list[Entry](), list[Skipped](), 0
    for made in _made(spec, items, entry, left_out):
        size += len(made.html)
        entries.append(made)
        if size > max_bytes:
            entries = [replace(one, html="") if one.summary else one for one in entries]
    entries = in_order(entries)
    try:
        files = documents(spec, lasting_id, entries, around, stopped=stopped)
    except StoppedError:
        raise
    except Exception:  # noqa: BLE001 - as above
        bad = faults(spec, lasting_id, entries)
        left_out += [Skipped(f"{spec.slug}: {guid}", reason) for guid, reason in bad.items()]
        files = documents(spec, lasting_id, [entry for entry in entries if entry.id not in bad], around)
    return Built({f"{month}.{name.rpartition('.')[2]}": body for name, body in files.items()}, tuple(left_out))


def documents(
    spec: FeedSpec,
    lasting_id: str,
    entries: Sequence[Entry],
    around: Around = NOTHING,
    kept: Pieces | None = None,
    *,
    stopped: Callable[[], bool] = lambda: False,
) -> dict[str, bytes]:
    """Return the document of these entries in all formats, by the names of the feed's own files."""
    found = {}
    for form in FORMATS:
        if stopped():
            raise StoppedError
        found[spec.file(form)] = BUILDERS[form](spec, lasting_id, entries, around, kept)
    return found


def faults(spec: FeedSpec, lasting_id: str, entries: Sequence[Entry]) -> dict[str, str]:
    """Return why which entries cannot be shown, each tried alone, by id."""
    found = {}
    for entry in entries:
        try:
            documents(spec, lasting_id, [entry])
        except Exception as error:  # noqa: BLE001 - the reason is the result
            found[entry.id] = f"{type(error).__name__}: {error}"
    return found


def _made(
    spec: FeedSpec,
    items: Iterable[Item],
    entry: Callable[[Item, FeedSpec], Entry],
    left_out: list[Skipped],
) -> Iterable[Entry]:
    for item in items:
        try:
            made = entry(item, spec)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one must not cost the feed (FR-X3)
            left_out.append(Skipped(f"{spec.slug}: {item.guid}", f"{type(error).__name__}: {error}"))
        else:
            yield made


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """Return entries newest first, ties by id (FR-X7)."""
    by_id = sorted(entries, key=lambda entry: entry.id)
    return sorted(by_id, key=lambda entry: entry.published_at, reverse=True)


def _entry(article: Article, spec: FeedSpec, config: Config) -> Entry:
    return entry_of(article, spec, config)
