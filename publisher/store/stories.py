"""Which articles are translations of each other: one story, in whatever order its articles arrive."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from publisher.store import statements as st
from publisher.store.tables import article_keys, articles


@dataclass(frozen=True, slots=True)
class _Node:
    id: int
    guid: str
    source: str
    slug: str
    translation_of: str | None
    story: str


def link(conn: sa.Connection, touched: Collection[int], restated: Collection[int]) -> None:
    """Give each article touched, and each that names or follows one of them, the story of the original.

    An article names its original by guid, by a key of the same source (a path or alias), or by slug, in this order. One
    that once found its original keeps the story when that original is renamed; `restated` are the articles that name
    another original than before, or none any more, and keep nothing.
    """
    if (
        not restated
        and conn.scalar(sa.select(articles.c.id).where(articles.c.translation_of.is_not(None)).limit(1)) is None
    ):
        return
    nodes = _affected(conn, touched)
    parents = _parents(conn, nodes, restated)
    changes = [
        {"_id": node.id, "_story": story}
        for node in nodes.values()
        if (story := _root(node, nodes, parents)) != node.story
    ]
    if changes:
        where = articles.c.id == sa.bindparam("_id")
        conn.execute(sa.update(articles).where(where).values(story=sa.bindparam("_story")), changes)


def _affected(conn: sa.Connection, touched: Iterable[int]) -> dict[int, _Node]:
    """Load the articles touched and, over any number of steps, those that name or follow them."""
    a = articles.c
    nodes: dict[int, _Node] = {}
    frontier = set(touched)
    while frontier:
        found = _nodes(conn, a.id, frontier)
        nodes.update(found)
        guids = [node.guid for node in found.values()]
        names = {*guids, *(node.slug for node in found.values()), *_keys(conn, found)}
        naming = sa.select(a.id).where(st.one_of(a.translation_of, names))
        following = sa.select(a.id).where(st.one_of(a.story, guids))
        frontier = {*conn.scalars(naming), *conn.scalars(following)} - nodes.keys()
    return nodes


def _parents(conn: sa.Connection, nodes: dict[int, _Node], restated: Collection[int]) -> dict[int, _Node]:
    """Find the article that each of `nodes` translates, as far as it is known."""
    naming = {node.id: node.translation_of for node in nodes.values() if node.translation_of is not None}
    names = naming.values()
    by_guid = {node.guid: node for node in _nodes(conn, articles.c.guid, names).values()}
    by_key = _by_key(conn, ((nodes[article_id].source, name) for article_id, name in naming.items()))
    by_slug: dict[str, list[_Node]] = {}
    for node in _nodes(conn, articles.c.slug, names).values():
        by_slug.setdefault(node.slug, []).append(node)
    remembered = {
        node.guid: node
        for node in _nodes(conn, articles.c.guid, (nodes[article_id].story for article_id in naming)).values()
    }

    def parent(node: _Node, name: str) -> _Node | None:
        others = [other for other in by_slug.get(name, ()) if other.id != node.id]
        # An original before a translation that shares its slug; the guid only makes the choice the same every time.
        nearest = min(
            others, key=lambda o: (o.source != node.source, o.translation_of is not None, o.guid), default=None
        )
        old = None if node.id in restated else remembered.get(node.story)
        choices = (by_guid.get(name), by_key.get((node.source, name)), nearest, old)
        return next((choice for choice in choices if choice and choice.id != node.id), None)

    found = {article_id: parent(nodes[article_id], name) for article_id, name in naming.items()}
    return {article_id: node for article_id, node in found.items() if node}


def _root(node: _Node, nodes: dict[int, _Node], parents: dict[int, _Node]) -> str:
    """Follow translations of translations to the original; a circle counts as the story of its least guid."""
    path = [node]
    while (parent := parents.get(path[-1].id)) is not None:
        if parent.id not in nodes:
            return parent.story
        if parent.id in (ids := [step.id for step in path]):
            return min(step.guid for step in path[ids.index(parent.id) :])
        path.append(nodes[parent.id])
    return path[-1].guid


def _nodes(
    conn: sa.Connection, column: sa.Column[int] | sa.Column[str], values: Iterable[int | str]
) -> dict[int, _Node]:
    a = articles.c
    columns = (a.id, a.guid, a.source, a.slug, a.translation_of, a.story)
    rows = conn.execute(sa.select(*columns).where(st.one_of(column, values)))
    return {row[0]: _Node(*row) for row in rows}


def _keys(conn: sa.Connection, ids: Iterable[int]) -> set[str]:
    return set(conn.scalars(sa.select(article_keys.c.key).where(st.one_of(article_keys.c.article_id, ids))))


def _by_key(conn: sa.Connection, naming: Iterable[tuple[str, str]]) -> dict[tuple[str, str], _Node]:
    """Find the articles that go by the given keys, each in its own source."""
    names: dict[str, list[str]] = {}
    for source, name in naming:
        names.setdefault(source, []).append(name)
    k = article_keys.c
    columns = sa.select(k.source, k.key, k.article_id)
    rows = [
        row
        for source, keys in names.items()
        for row in conn.execute(columns.where(k.source == source, st.one_of(k.key, keys)))
    ]
    nodes = _nodes(conn, articles.c.id, (row.article_id for row in rows))
    return {(row.source, row.key): nodes[row.article_id] for row in rows}
