"""Issues and the slots they answer: one issue a slot."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa

from publisher import faults
from publisher.model import (
    DeliveryState,
    Format,
    Issue,
    IssueState,
    SlotOutcome,
)
from publisher.store import cursors
from publisher.store import statements as st
from publisher.store.numbering import current_seq, number_issues
from publisher.store.tables import Instant, deliveries, issue_articles, schedules
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
    row |= {"to_seq": current_seq(conn)}
    insert = st.insert(conn, schedules).values(row)
    changed = {name: insert.excluded[name] for name in ("fingerprint", "since_at", "to_seq")}
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


def decided_to(conn: sa.Connection, *, newsletter: str, frequency: str, fingerprint: str) -> int | None:
    """Return the last article that is no news any more to a schedule: it was there when a slot was decided.

    Or when the schedule was loaded; None when the service has not loaded this very schedule yet.
    """
    c, s = slot_rows.c, schedules.c
    mine = (s.newsletter == newsletter, s.frequency == frequency, s.fingerprint == fingerprint)
    loaded: int | None = conn.scalar(sa.select(s.to_seq).where(*mine))
    query = sa.select(sa.func.max(c.to_seq)).where(c.newsletter == newsletter, c.frequency == frequency)
    return None if loaded is None else max(loaded, conn.scalar(query) or 0)


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
    to_seq: int | None = None,
) -> bool:
    """Write down the outcome of a slot; False when it has one already, which stays.

    `to_seq`: the last article that was looked at; default: the last there is.
    """
    row = {
        "newsletter": newsletter,
        "frequency": frequency,
        "slot": slot,
        "slot_at": slot_at,
        "outcome": outcome,
        "reason": reason,
        "to_seq": current_seq(conn) if to_seq is None else to_seq,
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
    return in_language(rows, language)


def web_subjects(conn: sa.Connection, issue_ids: Iterable[int], language: str) -> dict[int, str]:
    """Return the subjects of issues as their pages in `language` have them, chosen as in `web_segment`.

    An issue without a page is left out. The pages themselves, a hundred kilobytes each, are not read.
    """
    c = segment_rows.c
    query = sa.select(c.issue_id, c.language, c.subject).where(c.issue_id.in_(issue_ids), c.is_web.is_(sa.true()))
    found: dict[int, dict[str, str]] = {}
    for row in conn.execute(query.order_by(c.id)):
        found.setdefault(row.issue_id, {})[row.language] = row.subject
    return {number: subject for number, rows in found.items() if (subject := in_language(rows, language)) is not None}


def in_language(rows: Mapping[str, T], language: str) -> T | None:
    """Choose the page in `language`, else in its primary subtag's, else the first; None without any."""
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
        faults.point("lane.adopting")
        conn.execute(sa.update(issue_rows).where(c.id == row.id).values(transport=heir))
    return dict(Counter(row.transport for row in rows))


def finish(conn: sa.Connection, now: datetime) -> list[int]:
    """Mark issues as sent whose last open delivery has come to an end; returns their ids.

    The first time that comes to pass, an issue comes into the feed of its newsletter, and stays there as of then.
    """
    c, d = issue_rows.c, deliveries.c
    still = sa.exists().where(d.issue_id == c.id, st.among(d.state, OPEN))
    statement = sa.update(issue_rows).where(c.state == IssueState.SENDING, ~still)
    published_at = sa.func.coalesce(c.published_at, sa.literal(now, Instant))
    done = statement.values(state=IssueState.SENT, sent_at=now, published_at=published_at)
    rows = conn.execute(done.returning(c.id, c.changed)).all()
    number_issues(conn, [row.id for row in rows if row.changed is None])
    faults.point("outbox.finishing")
    return sorted(row.id for row in rows)


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
        published_at=row.published_at,
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
