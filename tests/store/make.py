"""Values that tests of the store are made of: each says only what matters to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from publisher.model import (
    ArticleState,
    Attempt,
    ChangedArticle,
    Claimed,
    Collected,
    Decision,
    DeliveryState,
    Draft,
    Format,
    NewArticle,
    NewDelivery,
    NewIssue,
    NewSegment,
    Outcome,
    Recorded,
    SubscriptionState,
    Wishes,
    WithdrawnArticle,
)
from publisher.store import articles, claims, freezing, subscribers
from publisher.store import readers as reading
from publisher.store.database import Connection, Database
from publisher.store.tables import metadata

NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def draft(key: str, **fields: Any) -> Draft:
    """An article as its source found it."""
    stem = key.rpartition("/")[2].partition(".")[0]
    base = Draft(
        key=key,
        path=key,
        title=f"Title of {stem}",
        html=f"<p>{stem}</p>",
        summary=stem,
        slug=stem,
        language="en",
        content_hash=f"hash of {key}",
    )
    return replace(base, **fields)


def new(
    item: Draft,
    *,
    guid: str | None = None,
    state: ArticleState = ArticleState.PUBLISHED,
    published_at: datetime = NOW,
    reason: str = "",
) -> NewArticle:
    """The decision to take an article in; its guid is `guid:key` unless stated."""
    guid = guid or item.guid or f"guid:{item.key}"
    return NewArticle(
        draft=item, guid=guid, state=state, reason=reason, published_at=published_at, updated_at=published_at
    )


def changed(
    id: int,  # noqa: A002 - the field's name
    item: Draft,
    *,
    state: ArticleState = ArticleState.PUBLISHED,
    published_at: datetime = NOW,
    updated_at: datetime = NOW,
    change: str = "edited",
) -> ChangedArticle:
    """The decision that an article known as `id` is now this draft."""
    return ChangedArticle(
        id=id,
        draft=item,
        state=state,
        reason="",
        published_at=published_at,
        updated_at=updated_at,
        change=change,
    )


def apply(
    conn: Connection,
    *items: NewArticle | ChangedArticle | WithdrawnArticle,
    source: str = "news",
    collected: Collected | None = None,
    now: datetime = NOW,
    **decision: Any,
) -> articles.Applied:
    """Store a decision made of these parts."""
    decided = Decision(
        new=tuple(item for item in items if isinstance(item, NewArticle)),
        changed=tuple(item for item in items if isinstance(item, ChangedArticle)),
        withdrawn=tuple(item for item in items if isinstance(item, WithdrawnArticle)),
        **decision,
    )
    return articles.apply(conn, source, "folder", collected or Collected(drafts=()), decided, now)


def stored(
    database: Database, *items: NewArticle | ChangedArticle | WithdrawnArticle, **options: Any
) -> tuple[int, ...]:
    """Store these in a transaction of their own and return the ids of the new ones."""
    return database.write(lambda conn: apply(conn, *items, **options)).new


def reader(
    conn: Connection,
    address: str,
    *,
    newsletter: str = "digest",
    frequency: str = "weekly",
    state: SubscriptionState = SubscriptionState.CONFIRMED,
    categories: Sequence[str] | None = None,
    method: str = "import",
    now: datetime = NOW,
) -> int:
    """Add a person with one subscription and return its id."""
    person = subscribers.add(
        conn,
        address=address,
        address_key=address.lower(),
        name=address.partition("@")[0],
        languages=("en",),
        timezone="Europe/Minsk",
        format=Format.HTML,
        now=now,
    )
    return subscribers.subscribe(
        conn,
        person,
        newsletter=newsletter,
        frequency=frequency,
        categories=categories,
        state=state,
        method=method,
        proof="a signed list",
        now=now,
    ).id


def segment(key: str = "en", **fields: Any) -> NewSegment:
    """A segment whose bytes tell its key."""
    base = NewSegment(
        key=key,
        language="en",
        format=Format.HTML,
        subject=f"Subject {key}",
        html=f"<p>{key}</p>",
        text=key,
        head=b"Subject: " + key.encode() + b"\r\n",
        body=bytes(range(256)) + key.encode(),
    )
    return replace(base, **fields)


def issue(
    conn: Connection,
    subscription_ids: Iterable[int],
    *,
    ref: str = "r1",
    slot: str = "2026-11-23T07:00",
    to_seq: int = 0,
    due_at: datetime = NOW,
    expires_at: datetime = NOW + DAY,
    article_ids: Sequence[int] = (),
    segments: Sequence[NewSegment] | None = None,
    settings: Mapping[str, Any] | None = None,
    cursor: int | None = None,
    newsletter: str = "digest",
    frequency: str = "weekly",
) -> NewIssue:
    """An issue to be frozen for these subscriptions."""
    segments = [segment()] if segments is None else segments
    found = [subscribers.subscription(conn, id_) for id_ in subscription_ids]
    return NewIssue(
        ref=ref,
        newsletter=newsletter,
        frequency=frequency,
        slot=slot,
        slot_at=due_at,
        to_seq=to_seq,
        settings=settings or {"title": "Дайджест"},
        article_ids=tuple(article_ids),
        segments=tuple(segments),
        deliveries=tuple(
            NewDelivery(
                subscription_id=item.id,
                segment_key=segments[0].key,
                to_seq=to_seq,
                due_at=due_at,
                expires_at=expires_at,
                message_id=f"<{ref}.{item.id}@example.org>",
                cursor=cursor,
            )
            for item in found
            if item
        ),
    )


def readers(conn: Connection, newsletter: str, *frequencies: str, now: datetime | None = None) -> dict[int, Wishes]:
    """What each reader wishes, by subscription id."""
    found = reading.of(conn, newsletter, frequencies, now)
    return {id_: found.wishes[kind] for id_, kind in zip(found.ids, found.kinds, strict=True)}


def freeze(conn: Connection, new: NewIssue, now: datetime) -> int | None:
    """Freeze an issue in one transaction, where a test needs it so."""
    issue_id = freezing.begin(conn, new, freezing.parts(new), now)
    while issue_id is not None and freezing.go_on(conn, issue_id, now):
        pass
    return issue_id


def frozen(database: Database, subscription_ids: Iterable[int], *, now: datetime = NOW, **fields: Any) -> int:
    """Freeze an issue in a transaction of its own and return its id."""
    issue_id = database.write(lambda conn: freeze(conn, issue(conn, subscription_ids, **fields), now))
    assert issue_id is not None
    return issue_id


def outcome(
    claimed: Claimed,
    state: DeliveryState = DeliveryState.SENT,
    *,
    next_at: datetime | None = None,
    ambiguous: bool = False,
    epoch: int | None = None,
) -> Recorded:
    """What the worker that claimed a delivery says of it."""
    words = {
        DeliveryState.SENT: Attempt(outcome=Outcome.ACCEPTED, code=250, text="ok", phase="dot"),
        DeliveryState.FAILED: Attempt(outcome=Outcome.REFUSED, code=550, text="no such user", phase="rcpt"),
    }
    attempt = words.get(state, Attempt(outcome=Outcome.DEFERRED, code=451, text="later", phase="rcpt"))
    return Recorded(
        delivery_id=claimed.id,
        epoch=claimed.epoch if epoch is None else epoch,
        state=state,
        reason=attempt.text,
        attempt=attempt,
        next_at=next_at,
        ambiguous=ambiguous,
    )


def claim(conn: Connection, *, epoch: int, limit: int, now: datetime) -> list[Claimed]:
    """Take up to `limit` due deliveries, reading on past those that must not be sent."""
    claimed: list[Claimed] = []
    after = None
    while len(claimed) < limit:
        found = claims.upcoming(conn, epoch=epoch, now=now, limit=limit - len(claimed), after=after)
        if not found.candidates:
            break
        after = found.last
        taken = claims.take(conn, found.candidates, now)
        claimed += [candidate for candidate in found.candidates if candidate.id in taken]
    return claimed


def dump(database: Database) -> dict[str, list[Any]]:
    """Everything that the database holds but the counters of polls."""

    def look(conn: Connection) -> dict[str, list[Any]]:
        return {
            table.name: sorted(map(repr, conn.execute(table.select()).all()))
            for table in metadata.sorted_tables
            if table.name != "feed_pollers"
        }

    return database.read(look)
