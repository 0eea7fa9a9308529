"""What a source returned becomes new, changed and withdrawn articles: decided here, stored in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from publisher.config import Config, Ingest, Source
from publisher.identity import Matches, derived_guids, likely_moves, match
from publisher.model import (
    ArticleState,
    ChangedArticle,
    Collected,
    Decision,
    Draft,
    Known,
    NewArticle,
    Skipped,
    SourceRecord,
    WithdrawnArticle,
)
from publisher.sources.memory import ask_again
from publisher.store import articles

if TYPE_CHECKING:
    from publisher.store.database import Connection, Database

_HABIT = 3
"""Collections that brought something, before their median says what is usual for a source."""
_BURST = 5  # times that median (spec delivery §5.4)
_MANY = 5  # articles that must go at once before their going is doubted (A12); an empty source is always doubted


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """What one collection changed, for the operator."""

    source: str
    new: int
    changed: int
    withdrawn: int
    states: Mapping[ArticleState, int]
    """The new articles, by state."""
    changes: Mapping[str, int]
    """The changed ones, by what changed: edited, moved, restored, seen."""
    skipped: tuple[Skipped, ...]
    """Files without an article: those the source could not read, and drafts refused here."""
    alarm: str | None
    notes: tuple[str, ...]


def ingest(db: Database, settings: Source, config: Config, collected: Collected, *, now: datetime) -> IngestReport:
    """Decide about what a source returned and store it together with the source's state, in one transaction."""
    domain = urlsplit(config.site.url).hostname or config.site.url
    others = frozenset(source.name for source in config.sources) - {settings.name}
    guids = [
        guid for draft in collected.drafts if not draft.guid for guid in derived_guids(domain, settings.name, draft)
    ]

    def work(conn: Connection) -> Decision:
        decision = decide(
            collected,
            articles.known(conn, settings.name, collected.drafts, collected.gone, guids),
            settings=settings,
            record=articles.record(conn, settings.name),
            limits=config.ingest,
            domain=domain,
            others=others,
            now=now,
        )
        articles.apply(conn, settings.name, settings.kind, _remembering(collected, decision), decision, now)
        return decision

    decision = db.write(work)
    return IngestReport(
        source=settings.name,
        new=len(decision.new),
        changed=len(decision.changed),
        withdrawn=len(decision.withdrawn),
        states=Counter(item.state for item in decision.new),
        changes=Counter(item.change for item in decision.changed),
        skipped=(*collected.skipped, *decision.refused),
        alarm=decision.alarm,
        notes=decision.notes,
    )


def release_due(db: Database, limits: Ingest, *, now: datetime) -> list[int]:
    """Publish the held articles whose date has come; return their ids. After a long outage the old ones are no news."""
    oldest = now - timedelta(days=limits.max_age_days)
    reason = f"its date was more than {limits.max_age_days} days past when it could be published"
    return db.write(lambda conn: articles.release_due(conn, now, oldest=oldest, too_old=reason))


def decide(
    collected: Collected,
    known: Iterable[Known],
    *,
    settings: Source,
    record: SourceRecord | None,
    limits: Ingest,
    domain: str,
    others: Collection[str] = (),
    now: datetime,
) -> Decision:
    """Say what a collection changes. `now` is aware; `others` are the names of the other configured sources.

    `known` holds every article that a draft may be by guid (also one derived for it), key or content, and those whose
    keys are gone.
    """
    known = list(known)
    found = match(settings.name, collected.drafts, collected.gone, known, others)
    alarm = _alarm(settings.name, found, collected.present)
    changed = [_changed(item, draft, settings.name, limits, now) for draft, item in found.known]
    new, noted = _new(found, known, alarm, settings, record, limits, domain, now)
    return Decision(
        new=tuple(new),
        changed=tuple(changed),
        withdrawn=() if alarm else tuple(_withdrawn(item) for item in found.lost),
        refused=found.refused,
        alarm=alarm,
        notes=(*noted, *_moved_and_edited(found), *_redated(found)),
    )


# New articles.


def _new(
    found: Matches,
    known: Iterable[Known],
    alarm: str | None,
    settings: Source,
    record: SourceRecord | None,
    limits: Ingest,
    domain: str,
    now: datetime,
) -> tuple[list[NewArticle], list[str]]:
    """Give new articles their guid and their state (spec delivery §5.4); returns what the operator should read, too."""
    first = record is None or record.first_collected_at is None
    taken = {item.guid for item in known} | {draft.guid for draft in found.new if draft.guid}
    new = []
    for draft in found.new:
        guid = draft.guid or _guid(draft, settings.name, domain, taken, now)
        taken.add(guid)
        published_at = draft.published_at or now  # A7: published when first seen
        state, reason = _standing(published_at, limits, now)
        if first and state is not ArticleState.HELD:
            state, reason = _at_first(settings)
        updated_at = _first_update(draft, published_at, now)
        new.append(
            NewArticle(
                draft=draft, guid=guid, state=state, reason=reason, published_at=published_at, updated_at=updated_at
            )
        )
    doubt = None if first else _doubt(new, alarm, record, limits, now)
    if doubt is None:
        return new, []
    held = [_quarantined(item, doubt) if item.state is not ArticleState.BASELINE else item for item in new]
    number = sum(item.state is ArticleState.QUARANTINED for item in held)
    note = (
        f"{number} new articles are quarantined: {doubt}; look at them with `publisher articles list` and let them out "
        "with `publisher articles release`"
    )
    return held, [note] if number else []


def _guid(draft: Draft, source: str, domain: str, taken: Collection[str], now: datetime) -> str:
    """Derive the guid of an article that states none; the moment makes a third choice that nothing can have taken."""
    for guid in derived_guids(domain, source, draft):
        if guid not in taken:
            return guid
    return next(derived_guids(f"{domain}@{now.isoformat()}", source, draft))


def _standing(published_at: datetime, limits: Ingest, now: datetime) -> tuple[ArticleState, str]:
    """Say where an article stands that readers have never seen, by its date alone."""
    if published_at > now:
        return ArticleState.HELD, "its date is still to come"
    if published_at < now - timedelta(days=limits.max_age_days):
        return ArticleState.BASELINE, f"was published more than {limits.max_age_days} days before it was first seen"
    return ArticleState.PUBLISHED, ""


def _at_first(settings: Source) -> tuple[ArticleState, str]:
    """Say where an article of the first collection stands: `mail` lifts the guards of number and age, once."""
    if settings.first_collection == "mail":
        return ArticleState.PUBLISHED, ""
    return ArticleState.BASELINE, "was there at the first collection"


def _doubt(
    new: Iterable[NewArticle], alarm: str | None, record: SourceRecord | None, limits: Ingest, now: datetime
) -> str | None:
    """Say why what is new may not be news; articles that are not mailed anyway do not count."""
    from statistics import median  # here: it brings fractions and decimals along, which no start needs

    fresh = sum(item.state is not ArticleState.BASELINE for item in new)
    if fresh > limits.max_new:
        return f"{fresh} at once are more than {limits.max_new}"
    recent = [number for when, number in (record.recent_new if record else ()) if when > now - timedelta(days=30)]
    if len(recent) >= _HABIT and fresh > _BURST * median(recent):
        return f"{fresh} at once are more than {_BURST} times what this source usually brings ({median(recent):g})"
    if alarm and not (record and record.alarm):
        return "they came as most others went, so they may be the same ones in another place"
    return None


def _quarantined(item: NewArticle, doubt: str) -> NewArticle:
    return replace(item, state=ArticleState.QUARANTINED, reason=doubt)


def _first_update(draft: Draft, published_at: datetime, now: datetime) -> datetime:
    """When an article not seen yet was updated, if that can be believed: neither before its date nor in the future."""
    stated = draft.updated_at
    return stated if stated is not None and published_at < stated <= now else published_at


# Known articles.


def _changed(item: Known, draft: Draft, source: str, limits: Ingest, now: datetime) -> ChangedArticle:
    """Bring a known article up to date: same guid, same number, no second announcement."""
    restored = item.state is ArticleState.WITHDRAWN and item.withdrawn_by == "source"
    state, reason = (item.state_before or ArticleState.BASELINE, "") if restored else (item.state, item.state_reason)
    # FR-X8: once seen, the date stands; until then the article may still say another one.
    published_at = draft.published_at if draft.published_at and not item.has_seq else item.published_at
    if state is ArticleState.HELD:
        state, reason = _standing(published_at, limits, now)
    return ChangedArticle(
        id=item.id,
        draft=draft,
        state=state,
        reason=reason,
        published_at=published_at,
        updated_at=_update(item, draft, published_at, now),
        change=_change(item, draft, source, restored=restored),
    )


def _update(item: Known, draft: Draft, published_at: datetime, now: datetime) -> datetime:
    """When it was updated (FR-X8): moves only with the content, never back, never into the future."""
    if not item.has_seq:
        return _first_update(draft, published_at, now)
    if draft.content_hash == item.content_hash:
        return item.updated_at
    stated = draft.updated_at
    return stated if stated is not None and item.updated_at < stated <= now else max(now, item.updated_at)


def _change(item: Known, draft: Draft, source: str, *, restored: bool) -> str:
    if restored:
        return "restored"
    if draft.content_hash != item.content_hash:
        return "edited"
    return "moved" if item.source != source or item.keys[:1] != (draft.key,) else "seen"


def _withdrawn(item: Known) -> WithdrawnArticle:
    return WithdrawnArticle(id=item.id, reason=f"{item.keys[0]} is gone from the source")


def _alarm(source: str, found: Matches, present: int) -> str | None:
    """Doubt that so many articles went away (A12): an unmounted disk looks just like that."""
    lost = len(found.lost)
    before = max(present - len(found.new) - len(found.refused), 0) + lost
    if not lost or (present and (lost < _MANY or 2 * lost <= before)):
        return None
    return (
        f"{lost} of {before} articles of {source!r} are gone at once: not believed, nothing is withdrawn; "
        "if they are meant to go, use `publisher articles withdraw`"
    )


# What the operator should read.


def _moved_and_edited(found: Matches) -> list[str]:
    moves = likely_moves(found.new, found.lost)
    paths = {draft.key: draft.path for draft in found.new}
    return [
        f"{paths[key]} may be {item.keys[0]}, moved and edited at once: it counts as a new article"
        for key, item in moves.items()
    ]


def _redated(found: Matches) -> list[str]:
    """Tell of dates that changed by a day or more after readers had seen them."""
    return [
        f"{draft.path} says {draft.published_at:%Y-%m-%d} now; it stays published on {item.published_at:%Y-%m-%d}"
        for draft, item in found.known
        if item.has_seq
        and draft.published_at is not None
        and abs(draft.published_at - item.published_at) >= timedelta(days=1)
    ]


def _remembering(collected: Collected, decision: Decision) -> Collected:
    """Have the source bring refused drafts again, so that they are taken as soon as nothing stands in their way."""
    refused = {skip.path for skip in decision.refused}
    names = {name for draft in collected.drafts if draft.path in refused for name in (draft.key, draft.path)}
    return replace(collected, state=ask_again(collected.state, names)) if names else collected
