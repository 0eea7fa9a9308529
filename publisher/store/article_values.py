"""An article on its way between the values of the model and the columns of its tables."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from publisher.model import Article, ArticleState, Author, Draft, Enclosure, Image, Origin, Status
from publisher.store import statements as st
from publisher.store.tables import article_authors, article_categories, article_keys, article_related, articles


def ref_of(guid: str, attempt: int = 0) -> str:
    """Make the 12 hex digits of an article's address from its guid; `attempt` counts collisions, so nearly always 0."""
    return hashlib.sha256(f"{guid}\n{attempt}".encode() if attempt else guid.encode()).hexdigest()[:12]


def columns_of(draft: Draft) -> dict[str, Any]:
    """Return the columns that a draft alone decides."""
    return {
        "title": draft.title,
        "html": draft.html,
        "summary": draft.summary,
        "slug": draft.slug,
        "language": draft.language,
        "url": draft.url,
        "authors": [asdict(author) for author in draft.authors],
        "labels": list(draft.labels),
        "status": draft.status,
        "image": asdict(draft.image) if draft.image else None,
        "credit": draft.credit,
        "enclosures": [asdict(enclosure) for enclosure in draft.enclosures],
        "origin": _origin_row(draft.origin),
        "license": draft.license,
        "discussion": draft.discussion,
        "translation_of": draft.translation_of,
        "content_hash": draft.content_hash,
    }


def attach(conn: sa.Connection, source: str, drafts: Mapping[int, Draft]) -> None:
    """Write keys, categories, authors and related keys of the articles with these ids, replacing what they had.

    What feeds link for a related key stays while the article names it.
    """
    r = article_related.c
    noted = sa.select(r.article_id, r.key, r.ref).where(r.ref.is_not(None), st.one_of(r.article_id, drafts))
    linked = {(row.article_id, row.key): row.ref for row in conn.execute(noted)}
    for table in (article_categories, article_authors, article_related):
        st.delete_in(conn, table.c.article_id, drafts)
    st.insert_all(
        conn,
        article_categories,
        [
            {"article_id": article_id, "category": category, "position": position}
            for article_id, draft in drafts.items()
            for position, category in enumerate(dict.fromkeys(draft.categories))
        ],
    )
    st.insert_all(
        conn,
        article_authors,
        [
            {"article_id": article_id, "author_key": name}
            for article_id, draft in drafts.items()
            for name in dict.fromkeys(author.name.casefold() for author in draft.authors)
        ],
    )
    st.insert_all(
        conn,
        article_related,
        [
            {"article_id": article_id, "key": key, "position": position, "ref": linked.get((article_id, key))}
            for article_id, draft in drafts.items()
            for position, key in enumerate(dict.fromkeys(draft.related))
        ],
    )
    _attach_keys(conn, source, drafts)


def _attach_keys(conn: sa.Connection, source: str, drafts: Mapping[int, Draft]) -> None:
    """Give each article its keys: its own key from whoever held it, an alias only when nobody else goes by it."""
    k = article_keys.c
    st.delete_in(conn, k.article_id, drafts)
    own = {draft.key: (article_id, 0) for article_id, draft in reversed(list(drafts.items()))}
    st.delete_in(conn, k.key, own, k.source == source)
    aliases: dict[str, tuple[int, int]] = {}
    for article_id, draft in drafts.items():
        for position, alias in enumerate(dict.fromkeys(draft.aliases), 1):
            if alias not in own:
                aliases.setdefault(alias, (article_id, position))
    for taken in conn.scalars(sa.select(k.key).where(k.source == source, st.one_of(k.key, aliases))).all():
        del aliases[taken]
    st.insert_all(
        conn,
        article_keys,
        [
            {"source": source, "key": key, "article_id": article_id, "position": position}
            for key, (article_id, position) in (own | aliases).items()
        ],
    )


def load(conn: sa.Connection, statement: sa.Select[Any]) -> list[Article]:
    """Run a SELECT of whole rows of `articles` and return them as values: three statements, however many rows."""
    rows = conn.execute(statement).all()
    ids = [row.id for row in rows]
    categories, related = _categories(conn, ids), _related(conn, ids)
    return [_article(row, categories[row.id], related[row.id]) for row in rows]


def _article(row: st.AnyRow, categories: Sequence[str], related: Sequence[_Related]) -> Article:
    return Article(
        id=row.id,
        guid=row.guid,
        ref=row.ref,
        source=row.source,
        title=row.title,
        html=row.html,
        summary=row.summary,
        slug=row.slug,
        language=row.language,
        url=row.url,
        published_at=row.published_at,
        updated_at=row.updated_at,
        authors=tuple(Author(**author) for author in row.authors),
        categories=tuple(categories),
        labels=tuple(row.labels),
        status=Status(row.status) if row.status else None,
        image=Image(**row.image) if row.image else None,
        credit=row.credit,
        enclosures=tuple(Enclosure(**enclosure) for enclosure in row.enclosures),
        origin=_origin(row.origin),
        license=row.license,
        discussion=row.discussion,
        story=row.story,
        related=tuple(dict.fromkeys(guid for guid, _ in related if guid)),
        linked=tuple(dict.fromkeys(ref for _, ref in related if ref)),
        state=ArticleState(row.state),
        state_reason=row.state_reason,
        seq=row.seq,
        content_hash=row.content_hash,
        pinned=bool(row.pinned),
    )


def _origin_row(origin: Origin | None) -> dict[str, Any] | None:
    if origin is None:
        return None
    return asdict(origin) | {"updated_at": origin.updated_at.isoformat() if origin.updated_at else None}


def _origin(row: Mapping[str, Any] | None) -> Origin | None:
    if row is None:
        return None
    updated_at = row["updated_at"]
    return Origin(**{**row, "updated_at": datetime.fromisoformat(updated_at) if updated_at else None})


def _categories(conn: sa.Connection, ids: Iterable[int]) -> dict[int, list[str]]:
    c = article_categories.c
    found: dict[int, list[str]] = defaultdict(list)
    query = sa.select(c.article_id, c.category).where(st.one_of(c.article_id, ids)).order_by(c.article_id, c.position)
    for article_id, category in conn.execute(query):
        found[article_id].append(category)
    return found


_Related = tuple[str | None, str | None]
"""guid of the visible article that is named as related, if there is one by now, and the ref that feeds link."""


def _related(conn: sa.Connection, ids: Iterable[int]) -> dict[int, list[_Related]]:
    """Find whom others name by key, in the order named; who is not here yet, or not shown, has no guid."""
    naming, other = articles.alias("naming"), articles.alias("other")
    r, k = article_related.c, article_keys.c
    joined = (
        article_related.join(naming, naming.c.id == r.article_id)
        .outerjoin(article_keys, (k.source == naming.c.source) & (k.key == r.key))
        .outerjoin(other, (other.c.id == k.article_id) & (other.c.id != r.article_id))
    )
    found: dict[int, list[_Related]] = defaultdict(list)
    # The state is looked at here, not there: offered its index, SQLite would begin with all visible articles.
    query = sa.select(r.article_id, other.c.guid, other.c.state, r.ref).select_from(joined)
    query = query.where(st.one_of(r.article_id, ids)).order_by(r.article_id, r.position)
    for article_id, guid, state, ref in conn.execute(query):
        found[article_id].append((guid if state and ArticleState(state).visible else None, ref))
    return found
