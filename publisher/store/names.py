"""Names of newsletters, frequencies and categories in the database: how many readers hold each, and giving new ones."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from publisher.config.names import Names
from publisher.model import SubscriptionState
from publisher.store.numbering import number_issues
from publisher.store.tables import issues, notices, schedules, slots, subscriptions


@dataclass(frozen=True, slots=True)
class Held:
    """How many readers hold each name; who has unsubscribed holds none."""

    frequencies: Mapping[tuple[str, str], int]
    """By newsletter and frequency."""
    categories: Mapping[tuple[str, str], int]
    """By newsletter and slug of a category that readers chose."""


def held(conn: sa.Connection) -> Held:
    """Return the names that readers hold."""
    s = subscriptions.c
    frequencies: Counter[tuple[str, str]] = Counter()
    categories: Counter[tuple[str, str]] = Counter()
    # Choices are few where readers are many: grouped as text, because PostgreSQL compares no JSON.
    as_text = sa.cast(s.categories, sa.Text)
    query = sa.select(s.newsletter, s.frequency, sa.func.min(as_text), sa.func.count())
    query = query.where(s.state != SubscriptionState.UNSUBSCRIBED).group_by(s.newsletter, s.frequency, as_text)
    for newsletter, frequency, chosen, number in conn.execute(query):
        frequencies[newsletter, frequency] += number
        for slug in json.loads(chosen) if chosen else ():
            categories[newsletter, slug] += number
    return Held(frequencies, categories)


def rename(conn: sa.Connection, renamed: Names) -> int:
    """Let readers, slots and issues have the new names; returns how many subscriptions moved.

    Who is a reader under both names of a newsletter stays so. Cursors stay as they are: nobody loses or repeats an
    article. What is in flight keeps the settings that it was frozen with.
    """
    moved, i = 0, issues.c
    for old, new in renamed.newsletters.items():
        moved += _move(conn, {"newsletter": old}, {"newsletter": new})
        # They are new in the feed of the other.
        number_issues(conn, conn.scalars(sa.select(i.id).where(i.newsletter == new, i.changed.is_not(None))).all())
    for (newsletter, old), new in renamed.frequencies.items():
        moved += _move(conn, {"newsletter": newsletter, "frequency": old}, {"frequency": new})
    if renamed.categories:
        _rename_categories(conn, renamed.categories)
    return moved


_OWN = {
    subscriptions: ("subscriber_id",),
    schedules: ("frequency",),
    slots: ("frequency", "slot"),
    issues: ("frequency", "slot"),
}
"""What is unique together with the name of a newsletter."""


def _move(conn: sa.Connection, old: Mapping[str, str], new: Mapping[str, str]) -> int:
    moved = 0
    for table, own in _OWN.items():
        other = table.alias()
        # A row that stands under the new name already stays the one that counts.
        target = {"newsletter": old["newsletter"], **old, **new}
        keys = {key: target[key] for key in ("newsletter", "frequency") if key in target}
        if table is subscriptions:
            keys.pop("frequency", None)
        same = [other.c[key] == table.c[key] for key in own if key not in keys]
        taken = sa.exists().where(*same, *(other.c[key] == value for key, value in keys.items()))
        clash = () if table is subscriptions and "newsletter" not in new else (~taken,)
        query = sa.update(table).where(*(table.c[key] == value for key, value in old.items()), *clash).values(**new)
        found = conn.execute(query).rowcount
        moved += found if table is subscriptions else 0
    if "newsletter" in new:
        conn.execute(sa.update(notices).where(notices.c.newsletter == old["newsletter"]).values(**new))
    return moved


def _rename_categories(conn: sa.Connection, renamed: Mapping[str, str]) -> None:
    s = subscriptions.c
    as_text = sa.cast(s.categories, sa.Text)
    for chosen in conn.scalars(sa.select(as_text).where(s.categories.is_not(None)).distinct()).all():
        before = json.loads(chosen)
        after = list(dict.fromkeys(renamed.get(slug, slug) for slug in before or ()))
        if before and after != before:
            conn.execute(sa.update(subscriptions).where(as_text == chosen).values(categories=after))
