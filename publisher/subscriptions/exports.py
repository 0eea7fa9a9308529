"""All readers as a table: the columns of an import, so that importing it elsewhere gives the same readers."""

from __future__ import annotations

from collections.abc import Iterator

from publisher.model import SubscriptionState
from publisher.store import exports
from publisher.store.database import Connection
from publisher.store.exports import Exported
from publisher.subscriptions.rows import COLUMNS
from publisher.subscriptions.tables import line_of


def lines(
    conn: Connection, *, newsletter: str | None = None, state: SubscriptionState | None = None
) -> Iterator[tuple[str, int]]:
    """Yield the lines of the table, the header first, each with the number of readers so far; UTF-8 without a BOM.

    No cell is a formula to a spreadsheet (G6).
    """
    yield line_of(COLUMNS), 0
    for number, row in enumerate(exports.stream(conn, newsletter=newsletter, state=state), start=1):
        yield line_of(cells(row)), number


def cells(row: Exported) -> tuple[str, ...]:
    """Return what one reader is in the columns of an import."""
    person, subscription = row.subscriber, row.subscription
    return (
        person.address,
        person.name,
        " ".join(person.languages),
        subscription.newsletter,
        subscription.frequency,
        " ".join(subscription.categories or ()),
        person.format,
        person.timezone,
        subscription.content or "",
        "" if subscription.hour is None else str(subscription.hour),
        subscription.paused_until.isoformat() if subscription.paused_until else "",
        row.consent,
        subscription.state,
        row.suppressed,
    )
