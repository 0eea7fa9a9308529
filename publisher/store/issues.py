"""Issues and the slots they answer: one issue a slot, frozen whole with its segments and deliveries, or not at all."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa

from publisher.model import (
    DeliveryState,
    Format,
    Issue,
    IssueState,
    NewIssue,
    SlotOutcome,
)
from publisher.store import cursors
from publisher.store import statements as st
from publisher.store.tables import deliveries, issue_articles, schedules, subscriptions
from publisher.store.tables import issues as issue_rows
from publisher.store.tables import segments as segment_rows
from publisher.store.tables import slots as slot_rows

T = TypeVar("T")

WAITING = [DeliveryState.QUEUED, DeliveryState.DEFERRED]
OPEN = [*WAITING, DeliveryState.SENDING]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotRecord:
    """What became of one planned moment, and why."""

    newsletter: str
    frequency: str
    slot: str
    """Local wall time, `2026-11-23T07:00`."""
    slot_at: datetime
    outcome: SlotOutcome
    reason: str
    decided_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSegment:
    """The neutral rendering of an issue in one language, for its page."""

    language: str
    subject: str
    html: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentInfo:
    """A frozen segment without its bytes, and how many readers share it."""

    id: int
    key: str
    language: str
    format: Format
    subject: str
    is_web: bool
    readers: int


def schedule_since(
    conn: sa.Connection, *, newsletter: str, frequency: str, fingerprint: str, now: datetime
) -> datetime:
    """Return when this schedule was first loaded or last changed: `now` when its fingerprint is new."""
    c = schedules.c
    row = {"newsletter": newsletter, "frequency": frequency, "fingerprint": fingerprint, "since_at": now}
    insert = st.insert(conn, schedules).values(row)
    changed = {name: insert.excluded[name] for name in ("fingerprint", "since_at")}
    conn.execute(
        insert.on_conflict_do_update(
            index_elements=["newsletter", "frequency"], set_=changed, where=c.fingerprint != fingerprint
        )
    )
    query = sa.select(c.since_at).where(c.newsletter == newsletter, c.frequency == frequency)
    since: datetime = conn.scalars(query).one()
    return since


def known_since(conn: sa.Connection, *, newsletter: str, frequency: str, fingerprint: str) -> datetime | None:
    """Return since when the service has known this very schedule; None when it has not loaded it yet."""
    c = schedules.c
    query = sa.select(c.since_at).where(c.newsletter == newsletter, c.frequency == frequency)
    since: datetime | None = conn.scalar(query.where(c.fingerprint == fingerprint))
    return since


def last_decided(conn: sa.Connection, *, newsletter: str, frequency: str) -> datetime | None:
    """Return the moment of the latest slot with an outcome, None when there is none yet."""
    c = slot_rows.c
    query = sa.select(sa.func.max(c.slot_at)).where(c.newsletter == newsletter, c.frequency == frequency)
    latest: datetime | None = conn.scalar(query)
    return latest


def decide_slot(
    conn: sa.Connection,
    *,
    newsletter: str,
    frequency: str,
    slot: str,
    slot_at: datetime,
    outcome: SlotOutcome,
    reason: str,
    now: datetime,
) -> bool:
    """Write down the outcome of a slot; False when it has one already, which stays."""
    row = {
        "newsletter": newsletter,
        "frequency": frequency,
        "slot": slot,
        "slot_at": slot_at,
        "outcome": outcome,
        "reason": reason,
        "decided_at": now,
    }
    insert = st.insert(conn, slot_rows).values(row).on_conflict_do_nothing()
    return conn.execute(insert.returning(slot_rows.c.slot)).first() is not None


def slots(
    conn: sa.Connection,
    *,
    newsletter: str | None = None,
    frequency: str | None = None,
    slot: str | None = None,
    limit: int = 50,
) -> list[SlotRecord]:
    """Return decided slots, latest first; `slot` is one (`2026-11-23T07:00`), or all of a day (`2026-11-23`)."""
    c = slot_rows.c
    query = sa.select(slot_rows).order_by(c.slot_at.desc(), c.newsletter, c.frequency, c.slot).limit(limit)
    if newsletter is not None:
        query = query.where(c.newsletter == newsletter)
    if frequency is not None:
        query = query.where(c.frequency == frequency)
    if slot is not None:
        query = query.where(sa.func.substr(c.slot, 1, len(slot)) == slot)
    return [
        SlotRecord(
            newsletter=row.newsletter,
            frequency=row.frequency,
            slot=row.slot,
            slot_at=row.slot_at,
            outcome=SlotOutcome(row.outcome),
            reason=row.reason,
            decided_at=row.decided_at,
        )
        for row in conn.execute(query)
    ]


def ref_of(conn: sa.Connection, record: SlotRecord) -> str | None:
    """Return the ref of the issue that answers a slot, None when there is none."""
    c = issue_rows.c
    mine = (c.newsletter == record.newsletter, c.frequency == record.frequency, c.slot == record.slot)
    return conn.scalar(sa.select(c.ref).where(*mine))


def freeze(conn: sa.Connection, new: NewIssue, now: datetime) -> int | None:
    """Decide the slot and store the issue, its segments and a queued delivery per reader; None when it was decided.

    Older deliveries of these readers that still wait expire, because their articles come along in this issue. Left to
    the next issue is who would get an article twice: whose delivery is being sent just now or may have been sent, or
    whose cursor has moved since this was composed.
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
    )
    if not decided:
        return None
    issue_id = _insert_issue(conn, new, now)
    st.insert_all(conn, issue_articles, [{"issue_id": issue_id, "article_id": id_} for id_ in new.article_ids])
    segment_ids = _insert_segments(conn, issue_id, new)
    _catch_up(conn, new)
    _queue(conn, issue_id, new, segment_ids)
    _supersede(conn, issue_id, new.ref, now)
    return issue_id


def get(
    conn: sa.Connection,
    *,
    id: int | None = None,  # noqa: A002 - the column's name
    ref: str | None = None,
) -> Issue | None:
    """Return one issue by exactly one of the two, None when there is none."""
    [(column, value)] = [(column, value) for column, value in {"id": id, "ref": ref}.items() if value is not None]
    return next(iter(_load(conn, sa.select(issue_rows).where(issue_rows.c[column] == value))), None)


def uncounted(
    conn: sa.Connection, *, ref: str | None = None, newsletter: str | None = None, limit: int = 1
) -> list[Issue]:
    """Return issues, newest first, without the counts of their deliveries: of a million those take a second."""
    query = sa.select(issue_rows).order_by(issue_rows.c.id.desc()).limit(limit)
    if ref is not None:
        query = query.where(issue_rows.c.ref == ref)
    if newsletter is not None:
        query = query.where(issue_rows.c.newsletter == newsletter)
    return [_issue(row, {}) for row in conn.execute(query)]


def listing(
    conn: sa.Connection,
    *,
    newsletter: str | None = None,
    states: Iterable[IssueState] = (),
    limit: int = 50,
    before: str | None = None,
) -> list[Issue]:
    """Return issues of the given states (none given: of any), newest first; `before`: older than this one, by its ref.

    Older than an issue that is not there, there is none.
    """
    query = sa.select(issue_rows).order_by(issue_rows.c.id.desc()).limit(limit)
    if before is not None:
        older = issue_rows.alias()
        query = query.where(issue_rows.c.id < sa.select(older.c.id).where(older.c.ref == before).scalar_subquery())
    if newsletter is not None:
        query = query.where(issue_rows.c.newsletter == newsletter)
    if states := list(states):
        query = query.where(issue_rows.c.state.in_(states))
    return _load(conn, query)


def last_readers(conn: sa.Connection, *, newsletter: str, frequency: str) -> int | None:
    """Return how many readers the last issue went to that was not held back or cancelled; None when there is none."""
    c, d = issue_rows.c, deliveries.c
    went = [IssueState.SENDING, IssueState.PAUSED, IssueState.SENT]
    query = sa.select(c.id).where(c.newsletter == newsletter, c.frequency == frequency, c.state.in_(went))
    last = conn.scalar(query.order_by(c.id.desc()).limit(1))
    return None if last is None else conn.scalar(sa.select(sa.func.count()).where(d.issue_id == last))


def announced(conn: sa.Connection, article_ids: Iterable[int], *, newsletter: str, frequency: str) -> int:
    """Return how many of these articles an issue of this newsletter and frequency held that went out before."""
    c, i = issue_rows.c, issue_articles.c
    went = [IssueState.SENDING, IssueState.PAUSED, IssueState.SENT]
    query = sa.select(sa.func.count(i.article_id.distinct())).join_from(issue_articles, issue_rows)
    mine = (c.newsletter == newsletter, c.frequency == frequency, c.state.in_(went))
    return conn.scalar(query.where(st.one_of(i.article_id, article_ids), *mine)) or 0


def web_segment(conn: sa.Connection, issue_id: int, language: str) -> WebSegment | None:
    """Return the page of an issue in `language`, else in its primary subtag's, else the first; None without any."""
    c = segment_rows.c
    query = sa.select(c.language, c.subject, c.html, c.text).where(c.issue_id == issue_id, c.is_web.is_(sa.true()))
    rows = {row["language"]: WebSegment(**row) for row in conn.execute(query.order_by(c.id)).mappings()}
    return _in_language(rows, language)


def web_subjects(conn: sa.Connection, issue_ids: Iterable[int], language: str) -> dict[int, str]:
    """Return the subjects of issues as their pages in `language` have them, chosen as in `web_segment`.

    An issue without a page is left out. The pages themselves, a hundred kilobytes each, are not read.
    """
    c = segment_rows.c
    query = sa.select(c.issue_id, c.language, c.subject).where(c.issue_id.in_(issue_ids), c.is_web.is_(sa.true()))
    found: dict[int, dict[str, str]] = {}
    for row in conn.execute(query.order_by(c.id)):
        found.setdefault(row.issue_id, {})[row.language] = row.subject
    return {number: subject for number, rows in found.items() if (subject := _in_language(rows, language)) is not None}


def _in_language(rows: Mapping[str, T], language: str) -> T | None:
    for wanted in (language, language.partition("-")[0], *rows):
        if wanted in rows:
            return rows[wanted]
    return None


def segments(conn: sa.Connection, issue_id: int) -> list[SegmentInfo]:
    """Return the segments of an issue in the order they were composed."""
    c, d = segment_rows.c, deliveries.c
    number = sa.select(sa.func.count()).where(d.issue_id == issue_id, d.segment_id == c.id).scalar_subquery()
    query = sa.select(c.id, c.key, c.language, c.format, c.subject, c.is_web, number.label("readers"))
    return [
        SegmentInfo(
            id=row.id,
            key=row.key,
            language=row.language,
            format=Format(row.format),
            subject=row.subject,
            is_web=bool(row.is_web),
            readers=row.readers,
        )
        for row in conn.execute(query.where(c.issue_id == issue_id).order_by(c.id))
    ]


def article_ids(conn: sa.Connection, issue_id: int) -> list[int]:
    """Return the ids of the articles of an issue, in ascending order."""
    c = issue_articles.c
    return list(conn.scalars(sa.select(c.article_id).where(c.issue_id == issue_id).order_by(c.article_id)))


def newsletters(conn: sa.Connection, ids: Iterable[int] | None = None) -> dict[int, str]:
    """Return the newsletter of each of these issues, or of all that are being sent, by id."""
    c = issue_rows.c
    which = c.state == IssueState.SENDING if ids is None else st.one_of(c.id, ids)
    return dict(conn.execute(sa.select(c.id, c.newsletter).where(which)).all())


def adopt(conn: sa.Connection, known: Iterable[str], heir: str, now: datetime) -> dict[str, int]:
    """Give unfinished issues whose transport is gone to another one; returns how many of each transport.

    What the old one may have sent already is not sent again over the new one: it is uncertain, and for the operator to
    decide (H28).
    """
    c, d = issue_rows.c, deliveries.c
    over = [IssueState.SENT, IssueState.CANCELLED]
    lost = sa.select(c.id, c.transport).where(~st.one_of(c.transport, known), c.state.not_in(over)).order_by(c.id)
    rows = conn.execute(lost).all()
    for row in rows:
        doubtful = sa.update(deliveries).where(d.issue_id == row.id, st.among(d.state, WAITING), d.ambiguous > 0)
        reason = f"perhaps sent over {row.transport}, which is configured no more"
        values = {"state": DeliveryState.UNCERTAIN, "reason": reason, "finished_at": now}
        perhaps = conn.execute(doubtful.values(values).returning(d.subscription_id, d.to_seq)).all()
        cursors.move(conn, perhaps)  # else its articles would come again with the next issue
        conn.execute(sa.update(issue_rows).where(c.id == row.id).values(transport=heir))
    return dict(Counter(row.transport for row in rows))


def finish(conn: sa.Connection, now: datetime) -> list[int]:
    """Mark issues as sent whose last open delivery has come to an end; returns their ids."""
    c, d = issue_rows.c, deliveries.c
    still = sa.exists().where(d.issue_id == c.id, st.among(d.state, OPEN))
    statement = sa.update(issue_rows).where(c.state == IssueState.SENDING, ~still)
    return sorted(conn.scalars(statement.values(state=IssueState.SENT, sent_at=now).returning(c.id)))


def _insert_issue(conn: sa.Connection, new: NewIssue, now: datetime) -> int:
    row = {
        "ref": new.ref,
        "newsletter": new.newsletter,
        "frequency": new.frequency,
        "slot": new.slot,
        "state": IssueState.HELD if new.held else IssueState.SENDING,
        "reason": new.held,
        "to_seq": new.to_seq,
        "transport": new.transport,
        "settings": dict(new.settings),
        "created_at": now,
    }
    return int(conn.execute(sa.insert(issue_rows).values(row).returning(issue_rows.c.id)).scalar_one())


def _insert_segments(conn: sa.Connection, issue_id: int, new: NewIssue) -> dict[str, int]:
    """Store the segments in order and return their ids by key."""
    c = segment_rows.c
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
    return dict(conn.execute(sa.select(c.key, c.id).where(c.issue_id == issue_id)).all())


def _catch_up(conn: sa.Connection, new: NewIssue) -> None:
    """Move the cursors of readers for whom there is nothing: what they choose later does not reach back behind today.

    And the window, which begins at the lowest cursor, does not grow for ever because of one reader of a rare category.
    Who has a mail waiting keeps the cursor: should that mail expire, its articles come again.
    """
    s, d = subscriptions.c, deliveries.c
    waiting = sa.select(d.subscription_id).where(st.among(d.state, OPEN), d.subscription_id.is_not(None))
    behind = sa.update(subscriptions).where(
        st.one_of(s.id, new.without_news), s.cursor < new.to_seq, s.id.not_in(waiting)
    )
    conn.execute(behind.values(cursor=new.to_seq))


def _queue(conn: sa.Connection, issue_id: int, new: NewIssue, segment_ids: Mapping[str, int]) -> None:
    """Queue the deliveries whose readers are still here, are sent nothing just now and have received nothing since."""
    busy = {row.subscription_id for row in conn.execute(_doubtful, {"newsletter": new.newsletter})}
    # Stored by subscription, which keeps the indices in order, but sent segment by segment, so that the outbox reads
    # the bytes of each once: a segment stands a microsecond before the next, the last at the moment its mails are due.
    ahead = {key: timedelta(microseconds=turn) for turn, key in enumerate(reversed(list(segment_ids)))}
    waiting = (delivery for delivery in new.deliveries if delivery.subscription_id not in busy)
    while together := list(islice(waiting, _TOGETHER)):
        mails: dict[tuple[Any, ...], int] = {}
        rows = []
        for one in together:
            mail = (one.segment_key, one.to_seq, one.cursor, one.due_at, one.expires_at)
            rows.append((one.subscription_id, mails.setdefault(mail, len(mails)), one.message_id))
        kinds = (
            (number, segment_ids[key], to_seq, cursor, due_at, expires_at, due_at - ahead[key])
            for (key, to_seq, cursor, due_at, expires_at), number in mails.items()
        )
        st.run(conn, _queued, issue=issue_id, rows=st.as_given(rows), mails=st.as_given(kinds))


def _supersede(conn: sa.Connection, issue_id: int, ref: str, now: datetime) -> None:
    """Expire what still waits for readers of this issue: its articles come along in it."""
    d, mine = deliveries.c, deliveries.alias("mine")
    again = sa.exists().where(mine.c.issue_id == issue_id, mine.c.subscriber_id == d.subscriber_id)
    same = sa.exists().where(mine.c.issue_id == issue_id, mine.c.subscription_id == d.subscription_id)
    older = sa.update(deliveries).where(st.among(d.state, WAITING), d.issue_id != issue_id, again, same)
    reason = f"superseded by issue {ref}"
    conn.execute(older.values(state=DeliveryState.EXPIRED, reason=reason, finished_at=now))
    # An issue that waits for approval and of which nothing is left: approving it would send nothing.
    i = issue_rows.c
    still = sa.exists().where(d.issue_id == i.id, st.among(d.state, OPEN))
    empty = sa.update(issue_rows).where(i.state == IssueState.HELD, i.ref != ref, ~still)
    conn.execute(empty.values(state=IssueState.CANCELLED, reason=reason))


def _load(conn: sa.Connection, statement: sa.Select[Any]) -> list[Issue]:
    rows = conn.execute(statement).all()
    counts = _counts(conn, [row.id for row in rows])
    return [_issue(row, counts[row.id]) for row in rows]


def _issue(row: st.AnyRow, counts: Mapping[DeliveryState, int]) -> Issue:
    return Issue(
        id=row.id,
        ref=row.ref,
        newsletter=row.newsletter,
        frequency=row.frequency,
        slot=row.slot,
        state=IssueState(row.state),
        reason=row.reason,
        to_seq=row.to_seq,
        settings=row.settings,
        created_at=row.created_at,
        sent_at=row.sent_at,
        deliveries=counts,
        transport=row.transport,
    )


def _counts(conn: sa.Connection, issue_ids: Iterable[int]) -> Mapping[int, dict[DeliveryState, int]]:
    d = deliveries.c
    found: dict[int, dict[DeliveryState, int]] = defaultdict(dict)
    query = sa.select(d.issue_id, d.state, sa.func.count()).where(st.one_of(d.issue_id, issue_ids))
    for issue_id, state, number in conn.execute(query.group_by(d.issue_id, d.state).order_by(d.issue_id, d.state)):
        found[issue_id][DeliveryState(state)] = number
    return found


_TOGETHER = 5_000
"""Deliveries written by one statement: enough for its speed, and few enough to cost no memory."""


def _select_doubtful() -> sa.Select[Any]:
    """Select the subscriptions of a newsletter of which a mail is under way, or may have been sent.

    Their open deliveries are locked, so that a claim at the same moment has either happened and is seen here, or finds
    them expired.
    """
    d, s = deliveries.c, subscriptions.c
    of = st.parameter("newsletter", sa.Text())
    mine = sa.exists().where(s.id == d.subscription_id, s.newsletter == of)
    open_ones = sa.select(d.subscription_id, d.state, d.ambiguous).where(st.among(d.state, OPEN), mine)
    held = open_ones.order_by(d.id).with_for_update(of=deliveries).cte("held")
    return sa.select(held.c.subscription_id).where((held.c.state == DeliveryState.SENDING) | (held.c.ambiguous > 0))


def _insert_queued() -> sa.Insert:
    """Insert the deliveries of `rows`, each with what it shares with others in `mails`.

    Readers are still here, with the cursor that their mail was composed for. They stay until this is committed.
    """
    d, s = deliveries.c, subscriptions.c
    mail = st.given(
        sa.column("number", sa.BigInteger()),
        *(d.segment_id, d.to_seq, s.cursor, d.due_at, d.expires_at, d.next_at),
        name="mails",
    )
    mails = sa.select(*(value.label(name) for name, value in mail.items())).cte("mails").prefix_with("MATERIALIZED")
    own = st.given(s.id, sa.column("number", sa.BigInteger()), d.message_id)
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
    query = (
        sa.select(*(value.label(name) for name, value in values.items()))
        .where(s.id == own["id"], m.number == own["number"], sa.or_(m.cursor.is_(None), m.cursor == s.cursor))
        .order_by(own["id"])
        .with_for_update(read=True, key_share=True, of=subscriptions)
    )
    return sa.insert(deliveries).from_select(list(values), query)


# Made once, because the second runs for every five thousand readers.
_doubtful = _select_doubtful()
_queued = _insert_queued()
