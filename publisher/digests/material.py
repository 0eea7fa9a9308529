"""What an issue is made of: its readers, and the articles that they have not received yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from publisher.config import Newsletter
from publisher.model import Article, Format, Reader
from publisher.store import articles, received, subscribers
from publisher.store.database import Connection

MANUAL = "manual"
"""The frequency of an issue dispatched by hand, to readers of all frequencies; its slot is the minute."""


@dataclass(frozen=True, slots=True)
class Material:
    """What the store says when an issue is composed: consistent, because it is read at once."""

    readers: tuple[Reader, ...]
    to_seq: int
    window: tuple[Article, ...]
    """Published articles above the lowest cursor, up to `to_seq`, that the newsletter takes."""
    earlier: tuple[Article, ...] = ()
    """Versions of these stories at or below the highest cursor, which count as received."""
    related: Mapping[str, Article] = field(default_factory=dict)
    """Visible articles that those of the window name as related, by guid."""
    received: Mapping[int, frozenset[str]] = field(default_factory=dict)
    """Stories of the window that a reader was sent in an earlier version, by subscription id."""


def gather(conn: Connection, newsletter: Newsletter, frequency: str, now: datetime | None = None) -> Material:
    """Read the material of an issue, from one snapshot; without `now` readers who pause are among the readers."""
    names: Iterable[str] = newsletter.frequencies if frequency == MANUAL else (frequency,)
    readers = tuple(reader for name in names for reader in subscribers.readers(conn, newsletter.slug, name, now))
    to_seq = articles.current_seq(conn)
    if not readers:
        return Material((), to_seq, ())
    window = articles.window(
        conn,
        after_seq=min(reader.cursor for reader in readers),
        to_seq=to_seq,
        categories=newsletter.categories,
        languages=newsletter.languages,
        authors=newsletter.authors,
        sources=newsletter.sources,
    )
    earlier = articles.window(
        conn,
        after_seq=0,
        to_seq=max(reader.cursor for reader in readers),
        stories={article.story for article in window},
        categories=newsletter.categories,
        languages=newsletter.languages,
        authors=newsletter.authors,
        sources=newsletter.sources,
    )
    had = received.stories(conn, {article.story: article.seq or 0 for article in window})
    return Material(readers, to_seq, tuple(window), tuple(earlier), related_of(conn, window), had)


def related_of(conn: Connection, window: Iterable[Article]) -> dict[str, Article]:
    """Return the articles that those of a window name as related, by guid."""
    named = {guid for article in window for guid in article.related}
    return {article.guid: article for article in articles.by_guids(conn, sorted(named)) if article.state.visible}


def newest(conn: Connection, newsletter: Newsletter, limit: int) -> tuple[Article, ...]:
    """Return the newest articles the newsletter takes, mailed or not: for a trial when nothing is new."""
    return tuple(
        articles.for_feed(
            conn,
            categories=newsletter.categories,
            languages=newsletter.languages,
            authors=newsletter.authors,
            sources=newsletter.sources,
            limit=limit,
        )
    )


def anybody(language: str, *, cursor: int = 0, address: str = "", format_: Format = Format.HTML) -> Reader:
    """Return a reader who is nobody in the store and wants everything in a language: for pages and trials."""
    return Reader(
        subscription_id=0,
        subscriber_id=0,
        address=address,
        name="",
        languages=(language,),
        timezone="UTC",
        format=format_,
        categories=None,
        cursor=cursor,
    )
