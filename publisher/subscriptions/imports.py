"""What an import does with each row: nobody comes back who left or may not be mailed, and nothing happens twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from publisher.config import Config
from publisher.errors import RefusedError
from publisher.model import SubscriptionState
from publisher.store import imports, requests
from publisher.store.database import Connection, Database
from publisher.store.imports import NOBODY, Entry, Standing
from publisher.store.notices import NoticeKind
from publisher.subscriptions.consent import IMPORTED
from publisher.subscriptions.house import House, send_sign_up
from publisher.subscriptions.limits import STRANGER, WEEK, Buckets, wait
from publisher.subscriptions.rows import COLUMNS, CellError, Understanding, Wish


class Taken(StrEnum):
    """What became of a row."""

    ADDED = "added"  # subscribed from now on
    ASKED = "asked"  # gets a mail that asks to confirm
    PENDING = "pending"  # kept, but not mailed: unconfirmed
    UNCHANGED = "unchanged"  # was there already; an import changes no choice
    UNSUBSCRIBED = "unsubscribed"  # taken over as having left
    BARRED = "barred"  # taken over as never to be mailed
    LEFT = "left"  # had left here, and stays out
    SUPPRESSED = "suppressed"  # may not be mailed, and stays out
    REPEATED = "repeated"  # names a person whom an earlier row named
    UNCONFIRMED = "unconfirmed"  # never confirmed there, so not taken
    INVALID = "invalid"  # wrong, and left out


STAYED_OUT = (Taken.LEFT, Taken.SUPPRESSED, Taken.UNCONFIRMED)
"""Rows that are listed one by one (G1)."""


class Numbered(NamedTuple):
    """A row, understood, with its number in the file."""

    number: int
    wish: Wish


@dataclass(frozen=True, slots=True)
class _How:
    """What all rows of a batch share."""

    now: datetime
    house: House
    opt_in: bool
    started_at: datetime | None = None
    """When the import began; None in a dry run."""
    asked: int = 0
    """How many were asked to confirm before."""

    def due_at(self, number: int) -> datetime:
        """Return when the mail with this number of the whole import may go out (G7)."""
        begin = self.started_at or self.now
        return max(self.now, begin + timedelta(hours=1) * number / self.house.config.sign_up.mails_per_hour)


def decide(wish: Wish, known: Standing, *, opt_in: bool = False) -> Taken:
    """Decide what becomes of a row. Leaving is final, and so is a suppression, whatever the row says (P3, G1)."""
    before = known.states.get(wish.newsletter)
    if wish.suppressed:
        return Taken.SUPPRESSED if known.suppressed else Taken.BARRED
    if known.suppressed:
        return Taken.SUPPRESSED
    if before is SubscriptionState.UNSUBSCRIBED:
        return Taken.LEFT
    if wish.state is SubscriptionState.UNSUBSCRIBED:
        return Taken.UNSUBSCRIBED
    if wish.state is SubscriptionState.CONFIRMED:
        return Taken.UNCHANGED if before is SubscriptionState.CONFIRMED else Taken.ADDED
    if before is not None:
        return Taken.UNCHANGED
    return Taken.ASKED if opt_in else Taken.PENDING


def begin(db: Database, *, digest: str, file: str, now: datetime) -> dict[str, Any]:
    """Begin an import, or go on with that of the same file and options which was broken off."""
    begun = db.write(lambda conn: imports.begin(conn, digest=digest, file=file, now=now))
    return {"id": begun.id, "done": begun.done, "counts": dict(begun.counts)}


def take(
    db: Database,
    config: Config,
    *,
    import_id: int | None,
    rows: Sequence[Sequence[Any]],
    upto: int,
    opt_in: bool,
    house: House,
    now: datetime,
) -> dict[str, Any]:
    """Take the rows of one batch in one transaction, and note in it that all rows up to `upto` are done.

    Each row is its number and the cells of COLUMNS. Without `import_id` nothing is written: the numbers are what would
    happen. `opt_in`: who has no consent on record is asked for it by mail. Returns the numbers of this batch, or of the
    whole import so far, and who stayed out. Raises RefusedError when a row is wrong after all: the running service may
    have another configuration than the command.
    """
    understanding = Understanding(config, opt_in=opt_in)
    wishes = [_understood(understanding, row) for row in rows]
    if import_id is None:
        counts, listed = db.read(lambda conn: _take(conn, wishes, _How(now, house, opt_in), dry=True))
        return {"counts": counts, "listed": listed}

    def work(conn: Connection) -> dict[str, Any]:
        so_far = imports.get(conn, import_id)
        if so_far is None:
            raise RefusedError(f"import {import_id} has ended already; run the command again")
        if upto <= so_far.done:  # its answer was lost on the way, not its work
            return {"counts": dict(so_far.counts), "listed": []}
        rest = [row for row in wishes if row.number > so_far.done]
        how = _How(now, house, opt_in, so_far.started_at, so_far.counts.get(Taken.ASKED, 0))
        counts, listed = _take(conn, rest, how, dry=False)
        total = dict(Counter(so_far.counts) + Counter(counts))
        imports.advance(conn, import_id, done=upto, counts=total)
        return {"counts": total, "listed": listed}

    return db.write(work)


def finish(db: Database, *, import_id: int, counts: Mapping[str, int], now: datetime) -> None:
    """End an import."""
    db.write(lambda conn: imports.finish(conn, import_id, counts=counts, now=now))


def _understood(understanding: Understanding, row: Sequence[Any]) -> Numbered:
    try:
        wish = understanding.wish(dict(zip(COLUMNS, row[1:], strict=True)))
    except CellError as error:
        raise RefusedError(
            f"row {row[0]}, column {error.column}: {error}. The service may run with an older configuration: restart "
            "it, and run the same command again"
        ) from error
    return Numbered(row[0], wish)


def _take(
    conn: Connection, rows: Sequence[Numbered], how: _How, *, dry: bool
) -> tuple[dict[str, int], list[tuple[int, str, str]]]:
    """Decide on the rows, and write what follows from it unless it is a `dry` run."""
    counts: Counter[str] = Counter()
    listed: list[tuple[int, str, str]] = []
    for part in _apart(rows):
        known = imports.standing(
            conn, [row.wish.address_key for row in part], hash_of=how.house.pepper.hash, lock=not dry
        )
        entries, reasons = [], {}
        for row in part:
            stands = known.get(row.wish.address_key, NOBODY)
            taken = decide(row.wish, stands, opt_in=how.opt_in)
            counts[str(taken)] += 1
            if taken in STAYED_OUT:
                listed.append((row.number, str(taken), stands.suppressed))
            if taken is Taken.BARRED:
                reasons[row.wish.address_key] = row.wish.suppressed
            if entry := _entry(row.wish, stands, taken):
                if taken is Taken.ASKED:
                    entry = entry._replace(requested_at=how.due_at(how.asked + counts[str(taken)] - 1))
                entries.append(entry)
        if not dry:
            written = imports.write(conn, entries, method=IMPORTED, now=how.now)
            for entry in entries:
                person = written.get((entry.address_key, entry.newsletter))
                if person is not None and entry.requested_at is not None:
                    _ask(conn, how, entry, person, entry.requested_at)
            imports.suppress(conn, reasons, now=how.now)
    return dict(counts), listed


def _ask(conn: Connection, how: _How, entry: Entry, person: int, due_at: datetime) -> None:
    """Queue the mail that asks to confirm, within what a stranger's address may get (P4).

    It does not count among the mails that visitors of the pages ask for, or these would be turned away meanwhile.
    """
    house = how.house
    address = Buckets.of(house.pepper, entry.address_key, None).address
    earlier = requests.times(conn, address, how.now - WEEK, most=max(most for most, _ in STRANGER))
    if wait(earlier, STRANGER, due_at):
        return  # a mail that is on its way, or came today, tells of this newsletter too
    requests.note(conn, [address], due_at)
    language = house.language(entry.languages[0])
    send_sign_up(
        conn,
        house,
        person,
        entry.address_key,
        language=language,
        newsletter=entry.newsletter,
        now=how.now,
        due_at=due_at,
        kind=NoticeKind.OPT_IN,
    )


def _apart(rows: Sequence[Numbered]) -> Iterator[list[Numbered]]:
    """Yield runs of rows in which nobody is named twice: the second row must find what the first one wrote."""
    part: list[Numbered] = []
    keys: set[str] = set()
    for row in rows:
        if row.wish.address_key in keys:
            yield part
            part, keys = [], set()
        part.append(row)
        keys.add(row.wish.address_key)
    if part:
        yield part


def _entry(wish: Wish, stands: Standing, taken: Taken) -> Entry | None:
    """Return what is to be written for a row, None when nothing."""
    before = stands.states.get(wish.newsletter)
    state = wish.state
    if taken is Taken.BARRED:
        # Whoever is new comes as the row says, to be seen in lists; who is here keeps their standing.
        if before is not None:
            return None
    elif taken not in (Taken.ADDED, Taken.ASKED, Taken.PENDING, Taken.UNSUBSCRIBED):
        return None
    return Entry(
        subscriber_id=stands.subscriber_id,
        address=wish.address,
        address_key=wish.address_key,
        name=wish.name,
        languages=wish.languages,
        timezone=wish.timezone,
        format=wish.format,
        newsletter=wish.newsletter,
        frequency=wish.frequency,
        categories=wish.categories,
        content=wish.content,
        hour=wish.hour,
        paused_until=wish.paused_until,
        before=before,
        state=state,
        proof=wish.consent,
    )
