"""What an issue is made of: its readers, and the articles that they have not received yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from publisher.config import Newsletter
from publisher.model import Article, Format, Readers, Wishes
from publisher.slots import Schedule, Slot
from publisher.store import articles, issues, received
from publisher.store import readers as reading
from publisher.store.database import Connection

MANUAL = "manual"
"""The frequency of an issue dispatched by hand, to readers of all frequencies; its slot is the minute."""

NOBODY = Readers((), (), ())


@dataclass(frozen=True, slots=True)
class Material:
    """What the store says when an issue is composed: consistent, because it is read at once."""

    readers: Readers
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
    readers = reading.of(conn, newsletter.slug, names, now)
    to_seq = articles.current_seq(conn)
    if not readers:
        return Material(NOBODY, to_seq, ())
    window = articles.window(
        conn,
        after_seq=min(wishes.cursor for wishes in readers.wishes),
        to_seq=to_seq,
        categories=newsletter.categories,
        languages=newsletter.languages,
        authors=newsletter.authors,
        sources=newsletter.sources,
    )
    earlier = articles.window(
        conn,
        after_seq=0,
        to_seq=max(wishes.cursor for wishes in readers.wishes),
        stories={article.story for article in window},
        categories=newsletter.categories,
        languages=newsletter.languages,
        authors=newsletter.authors,
        sources=newsletter.sources,
    )
    had = received.stories(conn, {article.story: article.seq or 0 for article in window})
    return Material(readers, to_seq, tuple(window), tuple(earlier), related_of(conn, window), had)


def pending(conn: Connection, newsletter: Newsletter, frequency: str, schedule: Schedule) -> Slot | None:
    """Return the slot of a schedule that follows news: of what came since its last slot was decided.

    None for a schedule by the clock, without news, and before the service has loaded the schedule.
    """
    if schedule.delay is None:
        return None
    known = issues.decided_to(conn, newsletter=newsletter.slug, frequency=frequency, fingerprint=schedule.fingerprint)
    if known is None:
        return None
    first = articles.news_since(
        conn,
        known,
        categories=newsletter.categories,
        languages=newsletter.languages,
        authors=newsletter.authors,
        sources=newsletter.sources,
    )
    return schedule.following(first)


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


def anybody(language: str, *, cursor: int = 0, format_: Format = Format.HTML) -> Wishes:
    """Return the wishes of nobody in the store: everything in a language, for pages and trials."""
    return Wishes(languages=(language,), timezone="UTC", format=format_, categories=None, cursor=cursor)
