"""Articles and entries that several feeds of one run show: each is read and made once."""

from __future__ import annotations

from collections.abc import Sequence

from publisher.config import Config
from publisher.feeds.entry import Entry, entry_of
from publisher.feeds.spec import FeedSpec
from publisher.model import Article
from publisher.store import articles
from publisher.store.articles import Place
from publisher.store.database import Database

MOST = 2000
"""Articles kept: with those that a run of the usual feeds shows, some 20 MB."""


class Shelf:
    """Keeps what a run has read and made; an article that changed meanwhile has another number and is read again."""

    def __init__(self, db: Database, config: Config) -> None:
        self._db = db
        self._config = config
        self._articles: dict[tuple[int, int], Article] = {}
        self._entries: dict[tuple[int, str, str, str], tuple[Article, Entry]] = {}

    def articles(self, places: Sequence[Place]) -> list[Article]:
        """Return the articles at these places, in their order."""
        if len(self._articles) > MOST:
            self._articles.clear()
            self._entries.clear()
        missing = [place for place in places if (place.id, place.changed) not in self._articles]
        if missing:
            found = self._db.read(lambda conn: articles.by_ids(conn, [place.id for place in missing]))
            self._articles |= {(p.id, p.changed): found[p.id] for p in missing if p.id in found}
        known = [self._articles.get((place.id, place.changed)) for place in places]
        return [article for article in known if article is not None]

    def entry(self, article: Article, spec: FeedSpec) -> Entry:
        """Return what a feed shows of an article. Raises ValueError as `entry_of` does."""
        key = (article.id, spec.language, spec.content, article.content_hash)
        before = self._entries.get(key)
        if before is not None and before[0] is article:
            return before[1]
        entry = entry_of(article, spec, self._config)
        self._entries[key] = article, entry
        return entry
