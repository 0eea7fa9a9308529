"""One collection of a source in one transaction: its articles, its skipped files and the source's own memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

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
from publisher.store import related, stories
from publisher.store import statements as st
from publisher.store.article_values import attach, columns_of, ref_of
from publisher.store.numbering import current_seq, number_changes, number_visible
from publisher.store.tables import (
    Instant,
    Words,
    article_authors,
    article_categories,
    article_keys,
    article_traces,
    articles,
    sources,
)

_RECENT = timedelta(days=30)  # what a source's usual number of new articles is measured over
_NEWS = (ArticleState.PUBLISHED, ArticleState.HELD)  # the others are not mailed, so they are no measure of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What a collection changed: ids in the order of the decision."""

    new: tuple[int, ...]
    changed: tuple[int, ...]
    withdrawn: tuple[int, ...]
    numbered: int
    """How many articles became visible for the first time."""
    seq: int
    """The last number given, after this collection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSummary:
    """How a source is doing, for the operator."""

    name: str
    kind: str
    articles: int
    """Not counting withdrawn ones."""
    skipped: int
    """Files with a problem; as many as `problems`."""
    drafts: int
    """Files that their author does not want published."""
    last_collected_at: datetime | None
    last_success_at: datetime | None
    alarm: str | None
    problems: tuple[Skipped, ...]


def record(conn: sa.Connection, source: str) -> SourceRecord | None:
    """Return what the store remembers of a source, None before its first collection."""
    row = conn.execute(sa.select(sources).where(sources.c.name == source)).one_or_none()
    if row is None:
        return None
    return SourceRecord(
        name=row.name,
        kind=row.kind,
        state=row.state,
        skipped=tuple(Skipped(**skipped) for skipped in row.skipped),
        alarm=row.alarm,
        recent_new=tuple((datetime.fromisoformat(when), number) for when, number in row.recent_new),
        first_collected_at=row.first_collected_at,
        last_collected_at=row.last_collected_at,
        last_success_at=row.last_success_at,
    )


def known(
    conn: sa.Connection, source: str, drafts: Iterable[Draft], gone: Iterable[str] = (), guids: Iterable[str] = ()
) -> list[Known]:
    """Return every article that one of `drafts` may be, or that goes by one of the keys in `gone`, ordered by id.

    Matched by guid in any source, by key and by content hash in this one. `guids` are further ones to look for, for
    example those about to be given to new articles.
    """
    drafts = list(drafts)
    keys = [*gone, *(key for draft in drafts for key in (draft.key, *draft.aliases))]
    a, k = articles.c, article_keys.c
    own = [draft.guid for draft in drafts if draft.guid is not None]
    hashes = [draft.content_hash for draft in drafts if draft.content_hash]
    ids = {
        *conn.scalars(sa.select(a.id).where(st.one_of(a.guid, [*guids, *own]))),
        *conn.scalars(sa.select(k.article_id).where(k.source == source, st.one_of(k.key, keys))),
        *conn.scalars(sa.select(a.id).where(a.source == source, st.one_of(a.content_hash, hashes))),
    }
    return _known(conn, ids)


def apply(
    conn: sa.Connection, source: str, kind: str, collected: Collected, decision: Decision, now: datetime
) -> Applied:
    """Store what was decided about a collection, and the source's memory: neither is there without the other."""
    restated = _restated(conn, decision.changed)
    left = _left(conn, source, decision.changed)
    new = _insert(conn, source, decision.new, now)
    _update(conn, source, decision.changed, now)
    withdrawn = _withdraw(conn, decision.withdrawn, now)
    drafts = dict(zip(new, (item.draft for item in decision.new), strict=True))
    drafts |= {item.id: item.draft for item in decision.changed}
    attach(conn, source, drafts)
    stories.link(conn, drafts, restated)
    numbered = number_visible(conn, now)
    number = number_changes(conn, [*drafts, *related.note(conn, drafts)])
    st.insert_all(conn, article_traces, [{"changed": number} | trace for trace in left])
    brought = sum(item.state in _NEWS for item in decision.new)
    _remember(conn, source, kind, collected, decision, brought, now)
    return Applied(
        new=new,
        changed=tuple(item.id for item in decision.changed),
        withdrawn=withdrawn,
        numbered=numbered,
        seq=current_seq(conn),
    )


def failed(conn: sa.Connection, source: str, kind: str, error: str, now: datetime) -> None:
    """Note that a source could not be collected; its articles, its state and its last success stay as they were."""
    row: dict[str, Any] = {"name": source, "kind": kind, "alarm": error, "last_collected_at": now}
    empty: dict[str, Any] = {"state": {}, "skipped": [], "recent_new": []}
    insert = st.insert(conn, sources).values(row | empty)
    changes = {name: insert.excluded[name] for name in ("kind", "alarm", "last_collected_at")}
    conn.execute(insert.on_conflict_do_update(index_elements=["name"], set_=changes))


def source_summaries(conn: sa.Connection) -> list[SourceSummary]:
    """Return how each source ever collected is doing, by name."""
    a = articles.c
    shown = sa.select(a.source, sa.func.count()).where(a.state != ArticleState.WITHDRAWN).group_by(a.source)
    numbers: dict[str, int] = dict(conn.execute(shown).all())
    summaries = []
    for name in conn.scalars(sa.select(sources.c.name).order_by(sources.c.name)).all():
        source = record(conn, name)
        if source is None:  # cannot be: one transaction sees one state
            continue
        problems = tuple(item for item in source.skipped if item.kind == "problem")
        summaries.append(
            SourceSummary(
                name=name,
                kind=source.kind,
                articles=numbers.get(name, 0),
                skipped=len(problems),
                drafts=len(source.skipped) - len(problems),
                last_collected_at=source.last_collected_at,
                last_success_at=source.last_success_at,
                alarm=source.alarm,
                problems=problems,
            )
        )
    return summaries


def _known(conn: sa.Connection, ids: Iterable[int]) -> list[Known]:
    k = article_keys.c
    keys: dict[int, list[str]] = defaultdict(list)
    ids = list(ids)
    query = sa.select(k.article_id, k.key).where(st.one_of(k.article_id, ids)).order_by(k.article_id, k.position, k.key)
    for article_id, key in conn.execute(query):
        keys[article_id].append(key)
    return [
        Known(
            id=row.id,
            guid=row.guid,
            source=row.source,
            keys=tuple(keys[row.id]),
            title=row.title,
            content_hash=row.content_hash,
            published_at=row.published_at,
            updated_at=row.updated_at,
            state=ArticleState(row.state),
            state_before=ArticleState(row.state_before) if row.state_before else None,
            withdrawn_by=row.withdrawn_by,
            has_seq=row.seq is not None,
            state_reason=row.state_reason,
        )
        for row in conn.execute(sa.select(articles).where(st.one_of(articles.c.id, ids)).order_by(articles.c.id))
    ]


def _insert(conn: sa.Connection, source: str, new: Sequence[NewArticle], now: datetime) -> tuple[int, ...]:
    """Insert new articles and return their ids in the same order."""
    refs = _free_refs(conn, [item.guid for item in new])
    st.insert_all(
        conn,
        articles,
        [
            columns_of(item.draft)
            | {
                "guid": item.guid,
                "ref": refs[item.guid],
                "source": source,
                "published_at": item.published_at,
                "updated_at": item.updated_at,
                "first_seen_at": now,
                "story": item.guid,
                "state": item.state,
                "state_reason": item.reason,
            }
            for item in new
        ],
    )
    stored = sa.select(articles.c.guid, articles.c.id).where(st.one_of(articles.c.guid, refs))
    ids = dict(conn.execute(stored).all())
    return tuple(ids[item.guid] for item in new)


def _free_refs(conn: sa.Connection, guids: Sequence[str]) -> dict[str, str]:
    """Choose each new article's ref; two guids with the same first 48 bits are rare, but must not stop a collection."""
    refs: dict[str, str] = {}
    taken: set[str] = set()
    attempt, open_guids = 0, list(dict.fromkeys(guids))
    while open_guids:
        wanted = {guid: ref_of(guid, attempt) for guid in open_guids}
        taken.update(conn.scalars(sa.select(articles.c.ref).where(st.one_of(articles.c.ref, wanted.values()))))
        for guid, ref in wanted.items():
            if ref not in taken:
                refs[guid] = ref
                taken.add(ref)
        attempt, open_guids = attempt + 1, [guid for guid in open_guids if guid not in refs]
    return refs


def _update(conn: sa.Connection, source: str, changed: Sequence[ChangedArticle], now: datetime) -> None:
    """Rewrite known articles: guid, ref, number and first sight stay."""
    rows = [
        columns_of(item.draft)
        | {
            "_id": item.id,
            "source": source,
            "published_at": item.published_at,
            "updated_at": item.updated_at,
            "state": item.state,
            "state_reason": item.reason,
        }
        for item in changed
    ]
    away = [row for row in rows if row["state"] is ArticleState.WITHDRAWN]
    here = [row for row in rows if row["state"] is not ArticleState.WITHDRAWN]
    back: Mapping[str, Any] = {"state_before": None, "withdrawn_by": None, "withdrawn_at": None}
    _update_rows(conn, here, back)
    _update_rows(conn, away, _withdrawal("source", now))


def _update_rows(conn: sa.Connection, rows: Sequence[Mapping[str, Any]], also: Mapping[str, Any]) -> None:
    if rows:
        binds = {name: sa.bindparam(name, type_=articles.c[name].type) for name in rows[0] if name != "_id"}
        statement = sa.update(articles).where(articles.c.id == sa.bindparam("_id"))
        conn.execute(statement.values(binds | dict(also)), rows)


def _withdrawal(by: str, now: datetime) -> dict[str, Any]:
    """What an article remembers of its withdrawal; the first one counts."""
    a = articles.c
    return {
        "state_before": sa.func.coalesce(a.state_before, a.state),
        "withdrawn_by": sa.func.coalesce(a.withdrawn_by, sa.literal(by, Words)),
        "withdrawn_at": sa.func.coalesce(a.withdrawn_at, sa.literal(now, Instant)),
    }


def _withdraw(conn: sa.Connection, withdrawn: Sequence[WithdrawnArticle], now: datetime) -> tuple[int, ...]:
    done = (withdraw(conn, [item.id], reason=item.reason, by="source", now=now) for item in withdrawn)
    return tuple(article_id for ids in done for article_id in ids)


def withdraw(conn: sa.Connection, ids: Sequence[int], *, reason: str, by: str = "operator", now: datetime) -> list[int]:
    """Take articles back: out of feeds and of mail to come. Returns the ids that were not withdrawn before.

    `by` is `source` or `operator`; what an operator withdrew no source brings back. An operator who withdraws what its
    source took away makes the withdrawal his own.
    """
    a = articles.c
    changes = _withdrawal(by, now) | {"state": ArticleState.WITHDRAWN, "state_reason": reason}
    named = st.one_of(a.id, ids)
    statement = sa.update(articles).where(named, a.state != ArticleState.WITHDRAWN).values(changes)
    done = set(conn.scalars(statement.returning(a.id)))
    number_changes(conn, done)
    if by == "operator":
        taken_over = sa.update(articles).where(named, a.withdrawn_by == "source")
        conn.execute(taken_over.values(withdrawn_by=by, state_reason=reason))
    return [article_id for article_id in dict.fromkeys(ids) if article_id in done]


def _restated(conn: sa.Connection, changed: Sequence[ChangedArticle]) -> set[int]:
    """Find the changed articles that name another original than before."""
    a = articles.c
    ids = [item.id for item in changed]
    before = dict(conn.execute(sa.select(a.id, a.translation_of).where(st.one_of(a.id, ids))).all())
    return {item.id for item in changed if before.get(item.id) != item.draft.translation_of}


def _left(conn: sa.Connection, source: str, changed: Sequence[ChangedArticle]) -> list[dict[str, Any]]:
    """Return where changed articles stood that leave a feed or a month: no article will show it any more."""
    a, c, w = articles.c, article_categories.c, article_authors.c
    ids = [item.id for item in changed]
    rows = conn.execute(sa.select(a.id, a.source, a.language, a.published_at).where(st.one_of(a.id, ids)))
    before = {row.id: row for row in rows}
    categories: dict[int, set[str]] = defaultdict(set)
    authors: dict[int, set[str]] = defaultdict(set)
    for article_id, category in conn.execute(sa.select(c.article_id, c.category).where(st.one_of(c.article_id, ids))):
        categories[article_id].add(category)
    for article_id, author in conn.execute(sa.select(w.article_id, w.author_key).where(st.one_of(w.article_id, ids))):
        authors[article_id].add(author)
    left = {}
    for item in changed:
        if (row := before.get(item.id)) is None:
            continue
        stays = (row.source, row.language, row.published_at) == (source, item.draft.language, item.published_at)
        labels, names = categories[item.id], authors[item.id]
        written = {author.name.casefold() for author in item.draft.authors}
        if not (stays and labels <= set(item.draft.categories) and names <= written):
            place = (row.source, row.language, f"{row.published_at.year:04}-{row.published_at.month:02}")
            # Many articles stood in the same place: an import that moves all of them leaves few traces.
            left[*place, frozenset(labels), frozenset(names)] = {
                **dict(zip(("source", "language", "month"), place, strict=True)),
                "categories": sorted(labels),
                "authors": sorted(names),
            }
    return list(left.values())


def _remember(
    conn: sa.Connection, source: str, kind: str, collected: Collected, decision: Decision, brought: int, now: datetime
) -> None:
    """Write the source's row. An alarm is no success; a first collection says nothing of what is usual."""
    before = record(conn, source)
    first = before.first_collected_at if before else None
    recent = [(when, number) for when, number in (before.recent_new if before else ()) if when > now - _RECENT]
    if brought and first is not None:
        recent.append((now, brought))
    row = {
        "name": source,
        "kind": kind,
        "state": dict(collected.state),
        "skipped": [asdict(item) for item in (*collected.skipped, *decision.refused)],
        "alarm": decision.alarm,
        "recent_new": [[when.isoformat(), number] for when, number in recent],
        "first_collected_at": first or now,
        "last_collected_at": now,
        "last_success_at": (before.last_success_at if before else None) if decision.alarm else now,
    }
    st.upsert(conn, sources, [row], keys=["name"])
