"""Issues from when they were first sent, as feeds show them: whatever is sent again later, they stay."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from publisher.store import statements as st
from publisher.store.articles import Place
from publisher.store.expressions import month_of
from publisher.store.issues import WebSegment, in_language
from publisher.store.tables import issues, segments


@dataclass(frozen=True, slots=True, kw_only=True)
class SentIssue:
    """An issue as everybody may see it."""

    id: int
    ref: str
    published_at: datetime
    """When it was first sent."""
    page: WebSegment

    @property
    def guid(self) -> str:
        """What names it in messages."""
        return self.ref


def places(conn: sa.Connection, newsletter: str, limit: int) -> list[Place]:
    """Return where the newest issues of a newsletter stand in its feed, newest first, ties by ref."""
    return _places(conn, _of(newsletter).limit(limit))


def places_between(conn: sa.Connection, newsletter: str, since: datetime, before: datetime) -> list[Place]:
    """Return where the issues stand that were first sent in [since, before), in the same order."""
    i = issues.c
    return _places(conn, _of(newsletter).where(i.published_at >= since, i.published_at < before))


def months(conn: sa.Connection, newsletter: str, after: int) -> dict[str, bool]:
    """Return the UTC months (`2026-10`) of the issues that were first sent by a change after this number."""
    i = issues.c
    month = month_of(conn, i.published_at)
    query = sa.select(month.label("month")).where(i.newsletter == newsletter, i.changed > after)
    return dict.fromkeys(conn.scalars(query.distinct()), True)


def by_ids(conn: sa.Connection, ids: Iterable[int], language: str) -> dict[int, SentIssue]:
    """Return issues with their page in `language`, as `issues.web_segment` chooses it; without a page there is none."""
    i, c = issues.c, segments.c
    ids = list(ids)
    query = sa.select(c.issue_id, c.language, c.subject, c.html, c.text).where(
        st.one_of(c.issue_id, ids), c.is_web.is_(sa.true())
    )
    pages: dict[int, dict[str, WebSegment]] = defaultdict(dict)
    for row in conn.execute(query.order_by(c.id)):
        pages[row.issue_id][row.language] = WebSegment(
            language=row.language, subject=row.subject, html=row.html, text=row.text
        )
    rows = conn.execute(sa.select(i.id, i.ref, i.published_at).where(st.one_of(i.id, ids), i.published_at.is_not(None)))
    return {
        row.id: SentIssue(id=row.id, ref=row.ref, published_at=row.published_at, page=page)
        for row in rows
        if (page := in_language(pages[row.id], language)) is not None
    }


def totals(conn: sa.Connection, newsletter: str) -> tuple[int, datetime | None]:
    """Return how many issues of a newsletter were sent, and when the newest was; this changes with its feed."""
    i = issues.c
    query = sa.select(sa.func.count(), sa.func.max(i.published_at))
    count, newest = conn.execute(query.where(i.newsletter == newsletter, i.published_at.is_not(None))).one()
    return count, newest


def _of(newsletter: str) -> sa.Select[Any]:
    i = issues.c
    found = sa.select(i.id, i.changed, i.published_at).where(i.newsletter == newsletter, i.published_at.is_not(None))
    return found.order_by(i.published_at.desc(), i.ref)


def _places(conn: sa.Connection, query: sa.Select[Any]) -> list[Place]:
    return [Place(row.id, row.changed, row.published_at, row.published_at) for row in conn.execute(query)]
