"""What readers were sent of stories of which another version has arrived since."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from publisher.model import DeliveryState
from publisher.store import statements as st
from publisher.store.tables import articles, deliveries, issue_articles, segments
from publisher.store.tables import issues as issue_rows

_REACHED = [DeliveryState.SENT, DeliveryState.UNCERTAIN]


def stories(conn: sa.Connection, latest: Mapping[str, int]) -> dict[int, frozenset[str]]:
    """Return by subscription id which of these stories its reader was sent, also behind "n more".

    `latest`: the number of the newest version of each story. Only issues that a newer version came after are looked at:
    of all others the reader's cursor tells enough, so that in most issues nothing is read of any delivery.
    """
    a, i, s, d = articles.c, issue_articles.c, segments.c, deliveries.c
    story_of = dict(conn.execute(sa.select(a.id, a.story).where(st.one_of(a.story, latest))).all())
    held = sa.select(i.issue_id, i.article_id, issue_rows.c.to_seq).join_from(issue_articles, issue_rows)
    overtaken = {
        row.issue_id
        for row in conn.execute(held.where(st.one_of(i.article_id, story_of)))
        if latest[story_of[row.article_id]] > row.to_seq
    }
    if not overtaken:
        return {}
    content = sa.select(s.id, s.article_ids).where(st.one_of(s.issue_id, overtaken), s.is_web.is_(sa.false()))
    told = {
        row.id: frozenset(story_of[number] for number in row.article_ids if number in story_of)
        for row in conn.execute(content)
    }
    reached = sa.select(d.subscription_id, d.segment_id).where(
        st.one_of(d.issue_id, overtaken), st.among(d.state, _REACHED), d.subscription_id.is_not(None)
    )
    found: dict[int, frozenset[str]] = {}
    for subscription_id, segment_id in conn.execute(reached):
        before = found.get(subscription_id)
        found[subscription_id] = told[segment_id] if before is None else before | told[segment_id]
    return found
