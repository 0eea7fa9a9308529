"""What the service knows, as plain values: the reading stories behind `status` and the listing commands."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from publisher import links, slots, transports
from publisher.config import DEFAULT_TRANSPORT, Config
from publisher.errors import NotFoundError
from publisher.model import Article, ArticleState, DeliveryState, Issue, IssueState, Outcome, SubscriptionState
from publisher.store import (
    accounts,
    articles,
    attempts,
    deliveries,
    feed_files,
    feed_pollers,
    hub_pings,
    issues,
    meta,
    subscribers,
)
from publisher.store.database import Connection

if TYPE_CHECKING:  # composing is not imported to tell how things stand
    from publisher.digests.planning import Planned

LAST_SEEN = "last_seen_at"
"""Where the database keeps when the service was last alive."""

SENDING_RESTS = "sending_rests"
"""Where it keeps why nothing is sent until an operator wants it; empty when it is."""


PAUSED = "paused"
"""Where it keeps why this instance sends nothing at all; empty when it may."""

BACKUP = "backup"
"""Where a backup says when it was made; empty in a database that is none."""


def rests_key(transport: str) -> str:
    """Return where the database keeps why nothing is sent over a transport."""
    return SENDING_RESTS if transport == DEFAULT_TRANSPORT else f"{SENDING_RESTS} {transport}"


def source_list(config: Config, conn: Connection) -> list[dict[str, Any]]:
    """Return every configured source, collected or not, with every skipped file and its reason (DESIGN §6)."""
    known = {summary.name: summary for summary in articles.source_summaries(conn)}
    listed = []
    for source in config.sources:
        summary = known.pop(source.name, None)
        listed.append(
            {
                "name": source.name,
                "kind": source.kind,
                "articles": summary.articles if summary else 0,
                "skipped": summary.skipped if summary else 0,
                "drafts": summary.drafts if summary else 0,
                "last_success_at": _iso(summary.last_success_at if summary else None),
                "alarm": summary.alarm if summary else None,
                "problems": [{"path": s.path, "reason": s.reason} for s in summary.problems] if summary else [],
            }
        )
    return listed


def article_list(
    config: Config,
    conn: Connection,
    *,
    states: Iterable[str] = (),
    source: str | None = None,
    category: str | None = None,
    limit: int = 50,
) -> list[dict[str, Any]]:
    """Return articles newest first. Raises NotFoundError for a state that does not exist."""
    try:
        chosen = [ArticleState(state) for state in states]
    except ValueError as error:
        raise NotFoundError(f"there is no such state; the states are {', '.join(ArticleState)}") from error
    found = articles.listing(conn, states=chosen, source=source, category=category, limit=limit)
    return [article_value(config, article) for article in found]


def article_value(config: Config, article: Article) -> dict[str, Any]:
    """Return an article as `articles list --json` prints it."""
    return {
        "ref": article.ref,
        "guid": article.guid,
        "title": article.title,
        "language": article.language,
        "source": article.source,
        "categories": list(article.categories),
        "status": article.status,
        "state": article.state,
        "reason": article.state_reason,
        "published_at": _iso(article.published_at),
        "updated_at": _iso(article.updated_at),
        "pinned": article.pinned,
        "seq": article.seq,
        "url": links.article(config, article),
    }


def subscriber_list(
    conn: Connection, *, newsletter: str | None = None, state: str | None = None
) -> list[dict[str, Any]]:
    """Return subscriptions with their persons. Raises NotFoundError for a state that does not exist."""
    try:
        chosen = SubscriptionState(state) if state else None
    except ValueError as error:
        raise NotFoundError(f"there is no such state; the states are {', '.join(SubscriptionState)}") from error
    return [
        {
            "address": row.subscriber.address,
            "name": row.subscriber.name,
            "languages": list(row.subscriber.languages),
            "format": row.subscriber.format,
            "newsletter": row.subscription.newsletter,
            "frequency": row.subscription.frequency,
            "categories": None if row.subscription.categories is None else list(row.subscription.categories),
            "state": row.subscription.state,
            "suppressed": row.suppressed,
        }
        for row in subscribers.listing(conn, newsletter=newsletter, state=chosen)
    ]


def delivery_list(
    conn: Connection, *, states: Iterable[str] = (), issue: str | None = None, limit: int = 50
) -> list[dict[str, Any]]:
    """Return deliveries with the server's words. Raises NotFoundError for a state or issue that does not exist."""
    try:
        chosen = [DeliveryState(state) for state in states]
    except ValueError as error:
        raise NotFoundError(f"there is no such state; the states are {', '.join(DeliveryState)}") from error
    refs: dict[int, str] = {}
    issue_id = None
    if issue is not None:
        found = issues.get(conn, ref=issue)
        if found is None:
            raise NotFoundError(f"there is no issue {issue!r}; `publisher status` shows the latest")
        issue_id = found.id
    rows = deliveries.listing(conn, issue_id=issue_id, states=chosen, limit=limit)
    for row in rows:
        if row.issue_id not in refs and (one := issues.get(conn, id=row.issue_id)):
            refs[row.issue_id] = one.ref
    return [_delivery_value(row, refs[row.issue_id]) for row in rows]


def delivery_show(conn: Connection, id: int) -> dict[str, Any]:  # noqa: A002 - the column's name
    """Return one delivery with its history, attempt by attempt. Raises NotFoundError."""
    row = deliveries.get(conn, id)
    issue = issues.get(conn, id=row.issue_id) if row else None
    if row is None or issue is None:
        raise NotFoundError(f"there is no delivery {id}; `publisher deliveries list` shows their numbers")
    history = [
        {
            "attempt": one.number,
            "ended_at": _iso(one.ended_at),
            "outcome": one.outcome,
            "phase": one.phase,
            "reply_code": one.code,
            "reply": one.text,
        }
        for one in attempts.listing(conn, id)
    ]
    if row.state is DeliveryState.SENT:
        accepted = {"outcome": Outcome.ACCEPTED, "phase": "dot", "reply_code": row.reply_code, "reply": row.reply_text}
        history.append({"attempt": row.attempt, "ended_at": _iso(row.finished_at)} | accepted)
    about = {
        "newsletter": issue.newsletter,
        "slot": issue.slot,
        "transport": issue.transport,
        "due_at": _iso(row.due_at),
        "expires_at": _iso(row.expires_at),
        "history": history,
    }
    return _delivery_value(row, issue.ref) | about


def _delivery_value(row: deliveries.DeliveryRow, issue: str) -> dict[str, Any]:
    return {
        "id": row.id,
        "issue": issue,
        "address": row.address,
        "state": row.state,
        "reason": row.reason,
        "attempts": row.attempt,
        "unknown": row.ambiguous,
        "message_id": row.message_id,
        "reply_code": row.reply_code,
        "reply": row.reply_text,
        "next_at": _iso(row.next_at) if row.state is DeliveryState.DEFERRED else None,
        "finished_at": _iso(row.finished_at),
    }


CONFIGURATION = "configuration"
"""Key of what is to be told of the configuration of the running service: why an edit has no effect."""


def status(config: Config, conn: Connection, now: datetime) -> dict[str, Any]:
    """Return the state of the whole service. The sums of an issue's deliveries always match its readers (P1)."""
    waiting = deliveries.waiting(conn)
    files = feed_files.listing(conn)
    confirmed: dict[str, int] = {}
    for (newsletter, _, state), count in subscribers.counts(conn).items():
        if state is SubscriptionState.CONFIRMED:
            confirmed[newsletter] = confirmed.get(newsletter, 0) + count
    speeds = transports.speeds(conn, now)
    recent = [issue_value(issue) | speeds.get(issue.ref, {}) for issue in issues.listing(conn, limit=5)]
    rests = {name: meta.get(conn, rests_key(name)) or "" for name in config.servers}
    return {
        "site": config.site.url,
        "articles": {str(state): count for state, count in articles.counts(conn).items()},
        "sources": source_list(config, conn),
        "feeds": {
            "files": len(files),
            "changed_at": _iso(max((f.modified_at for f in files), default=None)),
            "readers": feed_pollers.readers(conn, now - feed_pollers.KEPT),
            "hubs": _hubs(conn),
        },
        "newsletters": [
            {"slug": n.slug, "readers": confirmed.get(n.slug, 0), "next": _next_slots(config, n.slug, now)}
            for n in config.newsletters
        ],
        "issues": recent,
        "outbox": {
            "waiting": waiting.open,
            "next_at": _iso(waiting.next_at),
            "rests": rests[DEFAULT_TRANSPORT] or None,
            "transports": transports.standing(config, conn, now, rests),
            "reasons": [{"reason": reason, "deliveries": count} for reason, count in deliveries.reasons(conn)],
        },
        "paused": meta.get(conn, PAUSED) or None,
        "clock": slots.clock_problem(last_seen(conn), now) or None,
        "configuration": meta.get(conn, CONFIGURATION) or None,
    }


def _hubs(conn: Connection) -> list[dict[str, Any]]:
    """Return the hubs that did not take all they were told, each with the first reason it gave and when it is asked."""
    found: dict[str, dict[str, Any]] = {}
    for ping in [*hub_pings.waiting(conn), *hub_pings.given_up(conn)]:
        if ping.problem:
            new = {"hub": ping.hub, "waiting": 0, "given_up": 0, "next_at": _iso(ping.next_at), "reason": ping.problem}
            entry = found.setdefault(ping.hub, new)
            entry["given_up" if ping.next_at is None else "waiting"] += 1
    return list(found.values())


def last_seen(conn: Connection) -> datetime | None:
    """Return when the service last noted that it was alive, None when it never ran."""
    text = meta.get(conn, LAST_SEEN)
    return datetime.fromisoformat(text) if text else None


def _next_slots(config: Config, slug: str, now: datetime) -> list[dict[str, Any]]:
    newsletter = next(n for n in config.newsletters if n.slug == slug)
    found = []
    for name, frequency in newsletter.frequencies.items():
        schedule = frequency.schedule(config.site.timezone)
        slot = schedule.next(now)
        if slot or schedule.delay:  # what follows news has no slot by the clock
            local, at = (slot.local, _iso(slot.at)) if slot else (None, None)
            found.append({"frequency": name, "slot": local, "at": at, "schedule": schedule.describe()})
    return sorted(found, key=lambda entry: str(entry["at"]))


def _iso(when: datetime | None) -> str | None:
    return when.isoformat(timespec="seconds").replace("+00:00", "Z") if when else None


def planned_value(config: Config, planned: Planned) -> dict[str, Any]:
    """Return a coming slot: when, for how many readers and articles, and why it would be skipped."""
    report = planned.report
    return {
        "newsletter": planned.newsletter,
        "frequency": planned.frequency,
        "slot": planned.slot.local if planned.slot else None,
        "at": _iso(planned.slot.at) if planned.slot else None,
        "schedule": planned.schedule,
        "timezone": _zone(config, planned),
        "readers": planned.readers,
        "articles": report.articles if report else None,
        "segments": report.segments if report else None,
        "bytes": max(report.sizes.values(), default=0) if report else None,
        "skipped": planned.skipped or (report.reason if report and not report.issue else "") or None,
        "held": report.reason or None if report and report.issue else None,
        "late": planned.late or None,
        "warnings": list(report.warnings) if report else [],
        "left_out": {str(number): reason for number, reason in report.left_out.items()} if report else {},
    }


def issue_list(
    conn: Connection, *, newsletter: str | None = None, states: Iterable[str] = (), limit: int = 20
) -> list[dict[str, Any]]:
    """Return issues, newest first. Raises NotFoundError for a state that does not exist."""
    try:
        chosen = [IssueState(state) for state in states]
    except ValueError as error:
        raise NotFoundError(f"there is no such state; the states are {', '.join(IssueState)}") from error
    return [issue_value(issue) for issue in issues.listing(conn, newsletter=newsletter, states=chosen, limit=limit)]


def issue_value(issue: Issue) -> dict[str, Any]:
    """Return an issue as `status` and `issues list` print it; the counts add up to its deliveries (P1)."""
    return {
        "ref": issue.ref,
        "newsletter": issue.newsletter,
        "frequency": issue.frequency,
        "slot": issue.slot,
        "state": issue.state,
        "reason": issue.reason or None,
        "deliveries": {str(state): count for state, count in sorted(issue.deliveries.items()) if count},
    }


def issue_show(config: Config, conn: Connection, ref: str) -> dict[str, Any]:
    """Return an issue with its segments and articles. Raises NotFoundError."""
    issue = issues.get(conn, ref=ref)
    if issue is None:
        raise NotFoundError(f"there is no issue {ref!r}; `publisher issues list` shows their refs")
    held = [articles.get(conn, id=id_) for id_ in issues.article_ids(conn, issue.id)]
    return issue_value(issue) | {
        "created_at": _iso(issue.created_at),
        "sent_at": _iso(issue.sent_at),
        "page": links.issue(config, issue.ref, config.site.default_language),
        "segments": [
            {"key": s.key, "language": s.language, "format": s.format, "subject": s.subject, "readers": s.readers}
            for s in issues.segments(conn, issue.id)
            if not s.is_web
        ],
        "articles": [{"ref": a.ref, "title": a.title, "state": a.state} for a in held if a],
    }


def account_list(conn: Connection, now: datetime) -> list[dict[str, Any]]:
    """Return the accounts of the admin pages, by name, with their open sessions."""
    return [
        {
            "name": one.account.name,
            "role": one.account.role,
            "created_at": _iso(one.account.created_at),
            "entered_at": _iso(one.account.entered_at),
            "sessions": one.sessions,
            "seen_at": _iso(one.seen_at),
        }
        for one in accounts.listing(conn, now)
    ]


def slot_explained(config: Config, conn: Connection, newsletter: str, slot: str) -> list[dict[str, Any]]:
    """Return what became of a slot (`2026-11-23T07:00`), or of all of a day (`2026-11-23`). Raises NotFoundError."""
    wanted = slot.strip().replace(" ", "T")
    found = issues.slots(conn, newsletter=newsletter, slot=wanted)
    if not found:
        last = issues.slots(conn, newsletter=newsletter, limit=3)
        known = ", ".join(f"{record.slot} ({record.frequency})" for record in last) or "none yet"
        raise NotFoundError(
            f"no slot {wanted!r} of {newsletter} was decided; the last ones: {known}. "
            "`publisher plan` shows those that are late or to come"
        )
    return [
        {
            "newsletter": record.newsletter,
            "frequency": record.frequency,
            "slot": record.slot,
            "at": _iso(record.slot_at),
            "decided_at": _iso(record.decided_at),
            "outcome": record.outcome,
            "reason": record.reason,
            "issue": issue_show(config, conn, ref) if (ref := issues.ref_of(conn, record)) else None,
        }
        for record in found
    ]


def _zone(config: Config, planned: Planned) -> str:
    newsletter = next(n for n in config.newsletters if n.slug == planned.newsletter)
    frequency = newsletter.frequencies[planned.frequency]
    return "UTC" if frequency.every or frequency.after else frequency.timezone or config.site.timezone
