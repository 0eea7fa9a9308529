"""What an issue is made of, for pages: its segments with their readers, and its articles, without their bytes."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from publisher.model import ArticleState, Format
from publisher.store import statements as st
from publisher.store.tables import articles, deliveries, issue_articles, segments


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentReaders:
    """A segment and how many readers share it."""

    id: int
    language: str
    format: Format
    subject: str
    readers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentText:
    """What a segment shows; HTML is empty for readers of plain text."""

    html: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueArticle:
    """An article of an issue as it stands now."""

    ref: str
    title: str
    language: str
    state: ArticleState


def segment_readers(conn: sa.Connection, issue_id: int, *, limit: int) -> tuple[list[SegmentReaders], int]:
    """Return the segments of an issue with the most readers, and how many there are. One pass over the deliveries."""
    d, s = deliveries.c, segments.c
    number = sa.func.count()
    counted = sa.select(d.segment_id, number).where(d.issue_id == issue_id).group_by(d.segment_id)
    rows = conn.execute(counted.order_by(number.desc(), d.segment_id)).all()
    readers = {row[0]: row[1] for row in rows[:limit]}
    about = sa.select(s.id, s.language, s.format, s.subject).where(st.one_of(s.id, readers))
    found = {row.id: row for row in conn.execute(about)}
    listed = [
        SegmentReaders(
            id=id_,
            language=found[id_].language,
            format=Format(found[id_].format),
            subject=found[id_].subject,
            readers=count,
        )
        for id_, count in readers.items()
        if id_ in found
    ]
    return listed, len(rows)


def segment_text(conn: sa.Connection, issue_id: int, segment_id: int) -> SegmentText | None:
    """Return what a segment of this issue shows, None when it has none of this number."""
    s = segments.c
    row = conn.execute(sa.select(s.html, s.text).where(s.issue_id == issue_id, s.id == segment_id)).one_or_none()
    return None if row is None else SegmentText(html=row.html, text=row.text)


def issue_articles_of(conn: sa.Connection, issue_id: int, *, limit: int) -> list[IssueArticle]:
    """Return the articles of an issue, as they were ingested."""
    a, i = articles.c, issue_articles.c
    query = sa.select(a.ref, a.title, a.language, a.state).join_from(issue_articles, articles)
    rows = conn.execute(query.where(i.issue_id == issue_id).order_by(a.id).limit(limit))
    return [
        IssueArticle(ref=row.ref, title=row.title, language=row.language, state=ArticleState(row.state)) for row in rows
    ]
