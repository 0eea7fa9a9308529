"""How much there is of everything, for metrics: counted from indexes alone, so that a million rows cost little."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from publisher.model import ArticleState, DeliveryState
from publisher.store import hub_pings
from publisher.store import statements as st
from publisher.store.issues import OPEN
from publisher.store.tables import articles, deliveries, issues, slots, sources, subscriptions, suppressions


@dataclass(frozen=True, slots=True)
class CountedSource:
    """How a source is doing."""

    articles: int
    """Withdrawn ones too."""
    skipped: int
    """Files or items with a problem."""
    alarm: bool
    last_success_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Numbers of one moment; what there is none of is left out or 0."""

    articles: Mapping[str, int]
    """By state."""
    sources: Mapping[str, CountedSource]
    subscriptions: Mapping[tuple[str, str], int]
    """By newsletter and state."""
    suppressions: int
    slots: Mapping[tuple[str, str], datetime]
    """The latest slot that was decided, by newsletter and frequency."""
    issues: Mapping[str, int]
    """By state."""
    deliveries: Mapping[str, int]
    """Open ones, by state."""
    uncertain: int
    """Deliveries that may have been sent, and that nobody has decided about yet."""
    hubs: Mapping[str, int]
    """Feeds that hubs have yet to be told of (`waiting`), and of which they never will be (`given_up`)."""


def everything(conn: sa.Connection, frequencies: Iterable[tuple[str, str]]) -> Counted:
    """Count; `frequencies` are (newsletter, frequency) whose latest slots are wanted."""
    a, s, d = articles.c, subscriptions.c, deliveries.c
    in_states, in_sources = dict.fromkeys(map(str, ArticleState), 0), Counter[str]()
    for source, state, number in conn.execute(
        sa.select(a.source, a.state, sa.func.count()).group_by(a.source, a.state)
    ):
        in_states[state] += number
        in_sources[source] += number
    held = sa.select(s.newsletter, s.state, sa.func.count()).group_by(s.newsletter, s.state)
    opened = sa.select(d.state, sa.func.count()).where(st.among(d.state, OPEN)).group_by(d.issue_id, d.state)
    numbers = dict.fromkeys(map(str, OPEN), 0)
    for state, number in conn.execute(opened):
        numbers[state] += number
    doubtful = sa.select(sa.func.count(d.issue_id)).where(st.among(d.state, [DeliveryState.UNCERTAIN]))
    by_state = sa.select(issues.c.state, sa.func.count()).group_by(issues.c.state)
    latest = {key: found for key in frequencies if (found := _latest_slot(conn, *key)) is not None}
    return Counted(
        articles=in_states,
        sources=_sources(conn, in_sources),
        subscriptions={(newsletter, state): number for newsletter, state, number in conn.execute(held)},
        suppressions=conn.scalar(sa.select(sa.func.count()).select_from(suppressions)) or 0,
        slots=latest,
        issues=dict(conn.execute(by_state).all()),
        deliveries=numbers,
        uncertain=conn.scalar(doubtful) or 0,
        hubs={"waiting": len(hub_pings.waiting(conn)), "given_up": len(hub_pings.given_up(conn))},
    )


def _sources(conn: sa.Connection, numbers: Mapping[str, int]) -> dict[str, CountedSource]:
    s = sources.c
    rows = conn.execute(sa.select(s.name, s.skipped, s.alarm, s.last_success_at).order_by(s.name))
    return {
        row.name: CountedSource(
            numbers.get(row.name, 0),
            sum(item["kind"] == "problem" for item in row.skipped),
            row.alarm is not None,
            row.last_success_at,
        )
        for row in rows
    }


def _latest_slot(conn: sa.Connection, newsletter: str, frequency: str) -> datetime | None:
    c = slots.c
    query = sa.select(c.slot_at).where(c.newsletter == newsletter, c.frequency == frequency)
    latest: datetime | None = conn.scalar(query.order_by(c.slot.desc()).limit(1))
    return latest
