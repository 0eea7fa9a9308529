"""A few readers added at once, by the operator's hand: all of them or, when any is wrong, none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from publisher.config import Config
from publisher.errors import RefusedError
from publisher.model import SubscriptionState
from publisher.store import erasures, subscribers
from publisher.store.database import Connection, Database
from publisher.subscriptions.rows import CellError, Wish, understand

_SHOWN = 20
"""Problems named in a refusal; the rest are counted."""
_OF_THE_PERSON = ("name", "languages", "format", "timezone")


class Progress(Protocol):
    """Told of steps."""

    def __call__(self, label: str, done: int, total: int | None) -> None:
        """Note a step."""


def add_readers(
    db: Database,
    config: Config,
    rows: Sequence[Mapping[str, Any]],
    *,
    method: str,
    now: datetime,
    progress: Progress,
    hash_of: Callable[[str], str],
) -> dict[str, Any]:
    """Subscribe the persons of `rows`, confirmed, or change nothing at all when any row is wrong.

    Whoever left, or may not be mailed, stays out and is counted (P3, G1). Of somebody known, `command` changes what the
    row states and nothing else. `hash_of` makes the keyed hash by which erased people are known.
    Raises RefusedError with the numbers of the wrong rows; the first row is row 1.
    """
    wishes, problems = [], []
    for number, row in enumerate(rows, start=1):
        try:
            wishes.append(_confirmed(understand(config, row)))
        except CellError as error:
            problems.append(f"row {number}: {error}")
    if problems:
        more = f"\n… and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise RefusedError("nothing was added:\n" + "\n".join(problems[:_SHOWN]) + more)

    def work(conn: Connection) -> dict[str, Any]:
        counts = {"added": 0, "changed": 0, "unchanged": 0, "left": 0, "suppressed": 0}
        for number, wish in enumerate(wishes, start=1):
            if erasures.erased(conn, [hash_of(wish.address_key)]):
                counts["suppressed"] += 1
            else:
                counts[_subscribe(conn, wish, method, now)] += 1
            if number % 100 == 0:
                progress("adding readers", number, len(wishes))
        return counts

    done = db.write(work)
    progress("adding readers", len(wishes), len(wishes))
    return done


def _confirmed(wish: Wish) -> Wish:
    if wish.suppressed or wish.state is not SubscriptionState.CONFIRMED:
        raise CellError("state", "only readers who agreed can be added; `subscribers import` takes the others")
    return wish


def _subscribe(conn: Connection, wish: Wish, method: str, now: datetime) -> str:
    if subscribers.suppressed(conn, wish.address_key):
        return "suppressed"
    person = subscribers.add(
        conn,
        address=wish.address,
        address_key=wish.address_key,
        name=wish.name,
        languages=wish.languages,
        timezone=wish.timezone,
        format=wish.format,
        now=now,
    )
    before = {s.newsletter: s for s in subscribers.subscriptions_of(conn, person)}.get(wish.newsletter)
    # Naming somebody again without saying more resets nothing that they chose.
    frequency = wish.frequency if before is None or "frequency" in wish.stated else before.frequency
    categories = wish.categories if before is None or "categories" in wish.stated else before.categories
    after = subscribers.subscribe(
        conn,
        person,
        newsletter=wish.newsletter,
        frequency=frequency,
        categories=categories,
        state=SubscriptionState.CONFIRMED,
        method=method,
        proof=wish.consent,
        now=now,
    )
    if after.state is SubscriptionState.UNSUBSCRIBED:
        return "left"
    if before is None or before.state is not SubscriptionState.CONFIRMED:
        if method == "command":
            _describe(conn, person, wish)
        return "added"
    changed = method == "command" and _describe(conn, person, wish)
    return "changed" if changed or after != before else "unchanged"


def _describe(conn: Connection, person: int, wish: Wish) -> bool:
    """Write what the row states about a person; whether that changes anything."""
    stated = {column: getattr(wish, column) for column in _OF_THE_PERSON if column in wish.stated}
    known = subscribers.get(conn, id=person)
    changes = {column: value for column, value in stated.items() if getattr(known, column) != value}
    if changes:
        subscribers.describe(conn, person, changes)
    return bool(changes)
