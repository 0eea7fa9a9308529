"""Freezing an issue: decided at once with its segments, then its deliveries are queued part by part, then it is sent.

A million deliveries are half a minute's writing. In one transaction nobody could sign up or leave meanwhile. So the
first transaction decides the slot, and holds everything that the issue is made of: its readers too, packed and not yet
queued. Each of the next ones queues some thousand of them. Until the last one has, the issue is `planned`: nothing of
it is sent or shown. Whoever finds a planned issue goes on with it where it stands, so that a crash in between costs
nothing but time.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

import sqlalchemy as sa

from publisher import faults
from publisher.model import DeliveryState, IssueState, NewIssue, SlotOutcome
from publisher.store import statements as st
from publisher.store.database import Connection, Database
from publisher.store.issues import OPEN, WAITING, decide_slot
from publisher.store.tables import deliveries, issue_articles, planned_deliveries, subscriptions
from publisher.store.tables import issues as issue_rows
from publisher.store.tables import segments as segment_rows

_TOGETHER = 5_000
"""Deliveries queued by one transaction: enough for its speed, and over in a fraction of a second."""


class Part(NamedTuple):
    """Some deliveries of an issue, packed: a million of them as values would fill a gigabyte."""

    mails: str
    """What several of them share, as the statement takes it but for the id of its segment."""
    rows: bytes
    """Subscription, number of its mail, Message-ID of each."""
    without_news: Sequence[int] = ()
    """Subscriptions for which there is nothing."""


def parts(new: NewIssue) -> list[Part]:
    """Return all that `begin` keeps of an issue's readers; made before its transaction, because packing takes time."""
    return [*_packed(new), *_silent(new)]


def begin(conn: Connection, new: NewIssue, packed: Sequence[Part], now: datetime) -> int | None:
    """Decide the slot and store the planned issue whole; returns its id, None when the slot was decided before.

    `packed`: its `parts`. `complete` does the rest.
    """
    decided = decide_slot(
        conn,
        newsletter=new.newsletter,
        frequency=new.frequency,
        slot=new.slot,
        slot_at=new.slot_at,
        outcome=SlotOutcome.HELD if new.held else SlotOutcome.DISPATCHED,
        reason=new.held or f"{len(new.article_ids)} articles to {len(new.deliveries)} readers",
        now=now,
        to_seq=new.to_seq,
    )
    if not decided:
        return None
    issue_id = _insert_issue(conn, new, now)
    st.insert_all(conn, issue_articles, [{"issue_id": issue_id, "article_id": id_} for id_ in new.article_ids])
    _insert_segments(conn, issue_id, new)
    rows = [{"issue_id": issue_id} | part._asdict() | {"without_news": list(part.without_news)} for part in packed]
    st.insert_all(conn, planned_deliveries, rows)
    faults.point("freezing.begun")
    return issue_id


def unfinished(conn: Connection) -> list[int]:
    """Return the ids of planned issues, oldest first: somebody is at work on them, or was when it ended."""
    return list(conn.scalars(sa.select(issue_rows.c.id).where(issue_rows.c.state == IssueState.PLANNED).order_by("id")))


def complete(db: Database, issue_id: int, now: datetime) -> None:
    """Queue what is left of a planned issue, in transactions that are soon over, and let it be sent; blocking.

    Several may do this at once, and from wherever another one stopped.
    """
    while db.write(lambda conn: go_on(conn, issue_id, now)):
        faults.point("freezing.committed")


def go_on(conn: Connection, issue_id: int, now: datetime) -> bool:
    """Queue the next deliveries of a planned issue; False when it is planned no more.

    Older deliveries of these readers that still wait expire, because their articles come along in this issue. Left to
    the next issue is who would get an article twice: whose delivery is being sent just now or may have been sent, or
    whose cursor has moved since this was composed.
    """
    i, p = issue_rows.c, planned_deliveries.c
    # Locked, so that of several who do this each has a part of its own, and none goes on with what was cancelled.
    issue = conn.execute(sa.select(issue_rows).where(i.id == issue_id).with_for_update(key_share=True)).one_or_none()
    if issue is None or issue.state != IssueState.PLANNED:
        conn.execute(sa.delete(planned_deliveries).where(p.issue_id == issue_id))
        return False
    part = conn.execute(
        sa.select(planned_deliveries).where(p.issue_id == issue_id).order_by(p.id).limit(1)
    ).one_or_none()
    if part is not None:
        others = _others(conn, issue)
        _queue(conn, issue, part.mails, zlib.decompress(part.rows).decode(), others, now)
        _catch_up(conn, part.without_news, issue.to_seq, others)
        conn.execute(sa.delete(planned_deliveries).where(p.id == part.id))
        faults.point("freezing.queued")
    if conn.scalar(sa.select(sa.exists().where(p.issue_id == issue_id))):
        return True
    state = IssueState.HELD if issue.reason else IssueState.SENDING
    conn.execute(sa.update(issue_rows).where(i.id == issue_id).values(state=state))
    faults.point("freezing.opened")
    _cancel_empty(conn, issue)
    return False


def _packed(new: NewIssue) -> Iterator[Part]:
    # Stored by subscription, which keeps the indices in order, but sent segment by segment, so that the outbox reads
    # the bytes of each once: a segment stands a microsecond before the next, the last at the moment its mails are due.
    ahead = {one.key: timedelta(microseconds=turn) for turn, one in enumerate(reversed(new.segments))}
    waiting = iter(new.deliveries)
    while together := list(islice(waiting, _TOGETHER)):
        mails: dict[tuple[Any, ...], int] = {}
        rows = []
        for one in together:
            mail = (one.segment_key, one.to_seq, one.cursor, one.due_at, one.expires_at)
            rows.append((one.subscription_id, mails.setdefault(mail, len(mails)), one.message_id))
        kinds = (
            (number, key, to_seq, cursor, due_at, expires_at, due_at - ahead[key])
            for (key, to_seq, cursor, due_at, expires_at), number in mails.items()
        )
        yield Part(st.as_given(kinds), _pack(st.as_given(rows)))


def _silent(new: NewIssue) -> Iterator[Part]:
    for first in range(0, len(new.without_news), _TOGETHER):
        yield Part("[]", _pack("[]"), new.without_news[first : first + _TOGETHER])


def _pack(rows: str) -> bytes:
    return zlib.compress(rows.encode(), 1)


def _insert_issue(conn: Connection, new: NewIssue, now: datetime) -> int:
    row = {
        "ref": new.ref,
        "newsletter": new.newsletter,
        "frequency": new.frequency,
        "slot": new.slot,
        "state": IssueState.PLANNED,
        "reason": new.held,
        "to_seq": new.to_seq,
        "transport": new.transport,
        "settings": dict(new.settings),
        "created_at": now,
    }
    return int(conn.execute(sa.insert(issue_rows).values(row).returning(issue_rows.c.id)).scalar_one())


def _insert_segments(conn: Connection, issue_id: int, new: NewIssue) -> None:
    """Store the segments in order."""
    rows = [
        {
            "issue_id": issue_id,
            "key": segment.key,
            "language": segment.language,
            "format": segment.format,
            "subject": segment.subject,
            "html": segment.html,
            "text": segment.text,
            "head": segment.head,
            "body": segment.body,
            "is_web": segment.is_web,
            "article_ids": list(segment.article_ids),
        }
        for segment in new.segments
    ]
    st.insert_all(conn, segment_rows, rows)


def _others(conn: Connection, issue: st.AnyRow) -> list[int]:
    """Return the other issues of a newsletter that are not over."""
    i, d = issue_rows.c, deliveries.c
    opened = sa.exists().where(d.issue_id == i.id, st.among(d.state, OPEN))
    return list(conn.scalars(sa.select(i.id).where(i.newsletter == issue.newsletter, i.id != issue.id, opened)))


def _queue(conn: Connection, issue: st.AnyRow, mails: str, rows: str, others: Sequence[int], now: datetime) -> None:
    """Queue deliveries whose readers are still here, are sent nothing just now and have received nothing since."""
    s = segment_rows.c
    ids: Mapping[str, int] = dict(conn.execute(sa.select(s.key, s.id).where(s.issue_id == issue.id)).all())
    kinds = st.as_given((number, ids[key], *rest) for number, key, *rest in json.loads(mails))
    busy = [id_ for id_, *_ in st.run(conn, _doubtful, rows=rows, others=others)] if others else []
    st.run(conn, _queued, issue=issue.id, rows=rows, mails=kinds, busy=busy)
    if others:
        reason = f"superseded by issue {issue.ref}"
        st.run(conn, _supersede, issue=issue.id, rows=rows, others=others, reason=reason, now=now)


def _catch_up(conn: Connection, without_news: Sequence[int], to_seq: int, others: Sequence[int]) -> None:
    """Move the cursors of readers for whom there is nothing: what they choose later does not reach back behind today.

    And the window, which begins at the lowest cursor, does not grow for ever because of one reader of a rare category.
    Who has a mail waiting keeps the cursor: should that mail expire, its articles come again.
    """
    if not without_news:
        return
    s, d = subscriptions.c, deliveries.c
    waits = sa.exists().where(
        st.one_of(d.issue_id, others), d.subscriber_id == s.subscriber_id, st.among(d.state, OPEN)
    )
    behind = sa.update(subscriptions).where(st.one_of(s.id, without_news), s.cursor < to_seq, ~waits)
    conn.execute(behind.values(cursor=to_seq))


def _cancel_empty(conn: Connection, issue: st.AnyRow) -> None:
    """Cancel issues that wait for approval and of which nothing is left: approving them would send nothing."""
    i, d = issue_rows.c, deliveries.c
    still = sa.exists().where(d.issue_id == i.id, st.among(d.state, OPEN))
    empty = sa.update(issue_rows).where(i.state == IssueState.HELD, i.id != issue.id, ~still)
    conn.execute(empty.values(state=IssueState.CANCELLED, reason=f"superseded by issue {issue.ref}"))


def _given_rows() -> Mapping[str, sa.ColumnElement[Any]]:
    return st.given(subscriptions.c.id, sa.column("number", sa.BigInteger()), deliveries.c.message_id)


_older = deliveries.alias("older")


def _of_others(states: Sequence[DeliveryState]) -> Sequence[sa.ColumnElement[bool]]:
    """Say which deliveries are those of the readers in `rows` in other issues of the newsletter.

    By issue and subscriber, of which there is one: by subscription SQLite would look at years of deliveries.
    """
    d, s, own = _older.c, subscriptions.c, _given_rows()
    of_reader = (s.id == own["id"], d.subscriber_id == s.subscriber_id)
    return (st.one_of(d.issue_id, "others"), *of_reader, st.among(d.state, states))


def _select_doubtful() -> sa.Select[Any]:
    """Select the subscriptions among `rows` of which a mail is under way, or may have been sent.

    Their open deliveries are locked, so that a claim at the same moment has either happened and is seen here, or finds
    them expired.
    """
    d = _older.c
    open_ones = sa.select(subscriptions.c.id, d.state, d.ambiguous).where(*_of_others(OPEN))
    held = open_ones.order_by(d.id).with_for_update(of=_older).cte("held")
    return sa.select(held.c.id).where((held.c.state == DeliveryState.SENDING) | (held.c.ambiguous > 0))


def _update_superseded() -> sa.Update:
    """Expire what still waits for those of `rows` that are in the issue now."""
    d, mine = _older.c, deliveries.alias("mine")
    here = mine.c.issue_id == st.parameter("issue", sa.BigInteger())
    again = sa.exists().where(here, mine.c.subscriber_id == d.subscriber_id)
    return (
        sa.update(deliveries)
        .where(deliveries.c.id.in_(sa.select(d.id).where(*_of_others(WAITING), again)))
        .values(
            state=sa.literal_column(f"'{DeliveryState.EXPIRED}'"),
            reason=st.parameter("reason", sa.Text()),
            finished_at=st.parameter("now", deliveries.c.finished_at.type),
        )
    )


def _insert_queued() -> sa.Insert:
    """Insert the deliveries of `rows`, each with what it shares with others in `mails`, but for those who are `busy`.

    Readers are still here, with the cursor that their mail was composed for. They stay until this is committed.
    """
    d, s = deliveries.c, subscriptions.c
    mail = st.given(
        sa.column("number", sa.BigInteger()),
        *(d.segment_id, d.to_seq, s.cursor, d.due_at, d.expires_at, d.next_at),
        name="mails",
    )
    mails = sa.select(*(value.label(name) for name, value in mail.items())).cte("mails").prefix_with("MATERIALIZED")
    own = _given_rows()
    m = mails.c
    values = {
        "issue_id": st.parameter("issue", sa.BigInteger()),
        "subscription_id": s.id,
        "subscriber_id": s.subscriber_id,
        "message_id": own["message_id"],
        **{name: m[name] for name in ("segment_id", "to_seq", "due_at", "expires_at", "next_at")},
        "state": sa.literal_column(f"'{DeliveryState.QUEUED}'"),
        "reason": sa.literal_column("''"),
        **{name: sa.literal_column("0") for name in ("attempt", "ambiguous")},
    }
    as_composed = sa.or_(m.cursor.is_(None), m.cursor == s.cursor)
    query = (
        sa.select(*(value.label(name) for name, value in values.items()))
        .where(s.id == own["id"], m.number == own["number"], as_composed, sa.not_(st.one_of(s.id, "busy")))
        .order_by(own["id"])
        .with_for_update(read=True, key_share=True, of=subscriptions)
    )
    return sa.insert(deliveries).from_select(list(values), query)


# Made once, because they run for every five thousand readers.
_doubtful = _select_doubtful()
_queued = _insert_queued()
_supersede = _update_superseded()
