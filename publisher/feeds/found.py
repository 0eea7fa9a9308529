"""What the store knows before feeds are built: which there are, what changed, what each of them shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from publisher.config import Config
from publisher.feeds import authors, incremental, limits, stock
from publisher.feeds.around import Tombstone
from publisher.feeds.authors import all_feeds
from publisher.feeds.spec import FeedSpec
from publisher.store import feed_files, feed_states, published
from publisher.store.articles import Place
from publisher.store.database import Connection, Database
from publisher.store.feed_files import FeedFile
from publisher.store.feed_states import FeedState


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the store knew before anything was built."""

    specs: tuple[FeedSpec, ...]
    """Every feed there is."""
    files: Mapping[str, FeedFile]
    states: Mapping[str, FeedState]
    news: incremental.News
    fingerprints: Mapping[str, str]
    authors: authors.Changes
    """Authors that came or left; nothing when nobody asked for feeds of theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a feed shows at a moment: articles, or issues."""

    places: Sequence[Place]
    """Newest first."""
    older: Sequence[datetime]
    """When the next were published that it does not show."""
    next_at: datetime | None
    """When it will show something else, though nothing changes."""
    withdrawn: Sequence[Tombstone]


def look(db: Database, config: Config) -> Found:
    """Return what the store knows, after authors that came got their feeds and those without an article lost theirs."""
    known = db.read(lambda conn: _known(conn, config))
    if not known.authors:
        return known
    db.write(lambda conn: authors.follow(conn, known.authors))
    return db.read(lambda conn: _known(conn, config))


def _known(conn: Connection, config: Config) -> Found:
    specs, states = all_feeds(conn, config), feed_states.listing(conn)
    following = [states[spec.slug].changed for spec in specs if spec.slug in states]
    news = incremental.news(conn, min(following, default=0))
    fingerprints, common = {}, incremental.common(config)
    for spec in specs:
        sent = published.totals(conn, slug) if (slug := stock.newsletter(spec)) else ""
        fingerprints[spec.slug] = incremental.fingerprint(spec, common, str(sent))
    changes = authors.look(conn, news, is_new=not following) if config.web.author_feeds else authors.Changes((), ())
    return Found(
        specs=specs,
        files={file.name: file for file in feed_files.listing(conn)},
        states=states,
        news=news,
        fingerprints=fingerprints,
        authors=changes,
    )


def material(conn: Connection, spec: FeedSpec, now: datetime) -> Material:
    """Return what a feed shows."""
    # The store holds back what is dated ahead; no reader can cope with it, so no slip gets through (FR-X8).
    places, older = _places(conn, spec)
    return Material(
        places=[place for place in places if place.published_at <= now],
        older=older,
        next_at=min((place.published_at for place in places if place.published_at > now), default=None),
        withdrawn=stock.withdrawn(conn, spec),
    )


def _places(conn: Connection, spec: FeedSpec) -> tuple[Sequence[Place], list[datetime]]:
    """Return where that stands which the feed shows, newest first, and when the next older were published.

    More is looked at only while all that was looked at is young (FR-X9).
    """
    # An entry is never smaller than this many bytes, so more rows could not be shown, whatever the window says.
    most = max(spec.limit, spec.max_bytes // 256)
    number = spec.limit + 1
    while True:
        places = stock.newest(conn, spec, number)
        shown = limits.chosen(places, spec.limit, spec.window)
        if len(shown) < number or len(places) < number or number >= most:
            return shown, [place.published_at for place in places[len(shown) :]]
        number = min(number * 4, most)
