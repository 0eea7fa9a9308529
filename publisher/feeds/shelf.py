"""What feeds show, kept from one feed and one run to the next: made once while it is true."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from publisher.config import Config
from publisher.feeds import stock
from publisher.feeds.entry import Entry
from publisher.feeds.kept import Kept
from publisher.feeds.pieces import Pieces
from publisher.feeds.spec import FeedSpec
from publisher.model import Article, Skipped
from publisher.store import articles
from publisher.store.articles import Place
from publisher.store.database import Database

ARTICLES, ENTRIES, PIECES = 4 * 2**20, 16 * 2**20, 28 * 2**20
"""Bytes kept of each. A hundred different articles that a new one comes together with take some 2 MB."""

_SMALL = 2000  # bytes of an article or entry beside its text


class Shelf:
    """Keeps what feeds were made of, for one configuration.

    What changed meanwhile has another number, and is read and made again; no article has that of an issue.
    """

    def __init__(self, db: Database, config: Config) -> None:
        self.config = config
        self.pieces: Pieces = Kept(PIECES)
        self._db = db
        self._articles = Kept[tuple[int, int], Article](ARTICLES)
        self._entries = Kept[tuple[int, int, str, str], Entry](ENTRIES)

    def entries(self, places: Sequence[Place], spec: FeedSpec) -> tuple[list[Entry], list[Skipped]]:
        """Return what a feed shows of what stands at these places, in their order, and what it cannot show."""
        made = {place: self._entries.get((place.id, place.changed, spec.language, spec.content)) for place in places}
        missing = [place for place, entry in made.items() if entry is None]
        left_out: list[Skipped] = []
        for place, item in self._read(missing, spec).items():
            try:
                entry = stock.entry(item, spec, self.config)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one must not cost the feed (FR-X3)
                left_out.append(Skipped(f"{spec.slug}: {item.guid}", f"{type(error).__name__}: {error}"))
                continue
            made[place] = entry
            size = sys.getsizeof(entry.html) + sys.getsizeof(entry.summary) + _SMALL
            self._entries.put((place.id, place.changed, spec.language, spec.content), entry, size)
        return [entry for entry in made.values() if entry is not None], left_out

    def _read(self, places: Sequence[Place], spec: FeedSpec) -> Mapping[Place, stock.Item]:
        if stock.newsletter(spec):  # each is in one feed, so it is not wanted again
            issues = self._db.read(lambda conn: stock.read(conn, spec, [place.id for place in places]))
            return {place: issues[place.id] for place in places if place.id in issues}
        found = {place: self._articles.get((place.id, place.changed)) for place in places}
        missing = [place for place, article in found.items() if article is None]
        if missing:
            read = self._db.read(lambda conn: articles.by_ids(conn, [place.id for place in missing]))
            for place in missing:
                if (article := read.get(place.id)) is not None:
                    found[place] = article
                    self._articles.put((place.id, place.changed), article, sys.getsizeof(article.html) + _SMALL)
        return {place: article for place, article in found.items() if article is not None}
