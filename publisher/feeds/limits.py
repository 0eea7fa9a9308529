"""How much of the archive a feed shows: at least so many, everything young, and never more bytes than readers take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar
from xml.sax.saxutils import escape

from publisher.feeds.entry import Entry
from publisher.model import Article
from publisher.store.articles import Place

Dated = TypeVar("Dated", Article, Place)


def chosen(articles: Sequence[Dated], limit: int, window: timedelta) -> Sequence[Dated]:
    """Return the articles a feed shows: the `limit` newest and all published in the window.

    `articles` come newest first. The window is counted back from the newest change among the articles shown, never
    from now, so that the same articles always give the same bytes (FR-X4, FR-X9).
    """
    newest = articles[:limit]
    if not newest:
        return newest
    border = max(article.updated_at for article in newest) - window
    young = sum(article.published_at >= border for article in articles)
    return articles[: max(limit, young)]


def fitted(
    entries: Sequence[Entry], max_bytes: int, write: Callable[[Sequence[Entry]], Mapping[str, bytes]]
) -> Mapping[str, bytes]:
    """Return the documents `write` makes of as much as fits: the same entries in every format.

    When they would be too large, the oldest entries give their summary instead of their text; when that is not enough,
    the oldest are left out. Nothing is ever cut inside an entry. One entry stays, however large.
    """
    shown = list(entries)
    documents = write(shown)
    full = len(shown)
    while full and (excess := _excess(documents, max_bytes)) > 0:
        # What is too much is counted off by the size of the texts, so that two or three attempts suffice.
        while full and excess > 0:
            full -= 1
            if shown[full].summary:
                excess -= len(escape(shown[full].html).encode())
                shown[full] = replace(shown[full], html="")
        documents = write(shown)
    while len(shown) > 1 and (excess := _excess(documents, max_bytes)) > 0:
        # Entries of summaries are much alike: their mean size says how many to leave out.
        mean = max(len(body) for body in documents.values()) / len(shown)
        shown = shown[: max(1, len(shown) - max(1, round(excess / mean)))]
        documents = write(shown)
    return documents


def _excess(documents: Mapping[str, bytes], max_bytes: int) -> int:
    return max((len(body) for body in documents.values()), default=0) - max_bytes
