"""How a person comes to receive a newsletter: today by the operator's hand, with a stated proof of consent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from publisher import addresses, slots
from publisher.config import Config, Newsletter
from publisher.errors import RefusedError
from publisher.model import Format, SubscriptionState
from publisher.store import subscribers
from publisher.store.database import Connection, Database
from publisher.text import one_line

COLUMNS = ("email", "name", "languages", "newsletter", "frequency", "categories", "format", "timezone", "consent")
"""What a row may say; `email` and `consent` it must, the others have defaults."""

_SHOWN = 20
"""Problems named in a refusal; the rest are counted."""


class Progress(Protocol):
    """Told of steps."""

    def __call__(self, label: str, done: int, total: int | None) -> None:
        """Note a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One row, understood: who wants which newsletter how, and how we know."""

    address: str
    address_key: str
    name: str
    languages: tuple[str, ...]
    timezone: str
    format: Format
    newsletter: str
    frequency: str
    categories: tuple[str, ...] | None
    consent: str
    stated: frozenset[str]
    """The columns that held something; the others are defaults."""


def add_readers(
    db: Database,
    config: Config,
    rows: Sequence[Mapping[str, Any]],
    *,
    method: str,
    now: datetime,
    progress: Progress,
) -> dict[str, Any]:
    """Subscribe the persons of `rows`, confirmed, or change nothing at all when any row is wrong.

    Whoever left, or may not be mailed, stays out and is counted (P3, G1). Raises RefusedError with the numbers of the
    wrong rows; the first row is row 1.
    """
    wishes, problems = [], []
    for number, row in enumerate(rows, start=1):
        try:
            wishes.append(understand(config, row))
        except ValueError as error:
            problems.append(f"row {number}: {error}")
    if problems:
        more = f"\n… and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise RefusedError("nothing was added:\n" + "\n".join(problems[:_SHOWN]) + more)

    def work(conn: Connection) -> dict[str, Any]:
        counts = {"added": 0, "changed": 0, "unchanged": 0, "left": 0, "suppressed": 0}
        for number, wish in enumerate(wishes, start=1):
            counts[_subscribe(conn, wish, method, now)] += 1
            if number % 100 == 0:
                progress("adding readers", number, len(wishes))
        return counts

    done = db.write(work)
    progress("adding readers", len(wishes), len(wishes))
    return done


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
        return "added"
    return "unchanged" if after == before else "changed"


def understand(config: Config, row: Mapping[str, Any]) -> Wish:
    """Return what a row of COLUMNS asks for. Raises ValueError that says what is wrong and what would be right."""
    if unknown := [str(column) for column in row if column not in COLUMNS]:
        raise ValueError(f"unknown column {unknown[0]!r}; the columns are {', '.join(COLUMNS)}")
    cells = {column: one_line(str(row.get(column) or "")) for column in COLUMNS}
    address = addresses.parse(cells["email"])
    if not cells["consent"]:
        raise ValueError("consent is empty: say how this person agreed, for example 'paper form 2026-05-03'")
    newsletter = _newsletter(config, cells["newsletter"])
    frequency = cells["frequency"] or next(iter(newsletter.frequencies))
    _one_of("frequency", frequency, newsletter.frequencies)
    languages = _words(cells["languages"]) or (config.site.default_language,)
    for language in languages:
        _one_of("language", language, config.site.languages)
    categories = _words(cells["categories"])
    for category in categories:
        _one_of("category", category, newsletter.categories or [c.slug for c in config.categories])
    format_ = cells["format"] or Format.HTML
    _one_of("format", format_, list(Format))
    timezone = cells["timezone"] or config.site.timezone
    slots.zone_named(timezone)
    return Wish(
        address=address.address,
        address_key=address.key,
        name=cells["name"],
        languages=languages,
        timezone=timezone,
        format=Format(format_),
        newsletter=newsletter.slug,
        frequency=frequency,
        categories=categories or None,
        consent=cells["consent"],
        stated=frozenset(column for column, cell in cells.items() if cell),
    )


def _newsletter(config: Config, slug: str) -> Newsletter:
    known = {newsletter.slug: newsletter for newsletter in config.newsletters}
    if not slug and len(known) == 1:
        return next(iter(known.values()))
    _one_of("newsletter", slug, known)
    return known[slug]


def _one_of(what: str, value: str, known: Iterable[str]) -> None:
    if value not in known:
        raise ValueError(f"there is no {what} {value!r}; there are: {', '.join(known) or 'none'}")


def _words(cell: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for word in re.split(r"[\s,;|]+", cell) if word))
