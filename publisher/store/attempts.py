"""The history of deliveries: each attempt that came to nothing, in the server's words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from publisher.model import Outcome, Recorded
from publisher.store import statements as st
from publisher.store.tables import attempts, deliveries


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """One attempt, for the operator."""

    number: int
    outcome: Outcome
    phase: str
    code: int | None
    text: str
    ended_at: datetime


def note(conn: sa.Connection, records: Sequence[Recorded], now: datetime) -> None:
    """Remember attempts that were not accepted; the successful one is told by its delivery, so that it costs nothing.

    In the transaction that records them.
    """
    failed = [record for record in records if record.attempt.outcome is not Outcome.ACCEPTED]
    if not failed:
        return
    d = deliveries.c
    numbers = dict(
        conn.execute(sa.select(d.id, d.attempt).where(st.one_of(d.id, [r.delivery_id for r in failed]))).all()
    )
    _insert(
        conn,
        [
            {
                "delivery_id": record.delivery_id,
                "number": numbers[record.delivery_id],
                "outcome": record.attempt.outcome,
                "phase": record.attempt.phase,
                "code": record.attempt.code,
                "text": record.attempt.text,
                "ended_at": now,
            }
            for record in failed
            if record.delivery_id in numbers
        ],
    )


def note_lost(conn: sa.Connection, numbers: Iterable[tuple[int, int]], now: datetime) -> None:
    """Remember attempts, (delivery, number), whose worker died: nobody knows what came of them."""
    lost = {"outcome": Outcome.AMBIGUOUS, "phase": "dot", "code": None, "text": "the worker died while sending"}
    _insert(conn, [{"delivery_id": id_, "number": number, "ended_at": now} | lost for id_, number in numbers])


def listing(conn: sa.Connection, delivery_id: int) -> list[AttemptRow]:
    """Return the attempts of a delivery that came to nothing, in order."""
    query = sa.select(attempts).where(attempts.c.delivery_id == delivery_id).order_by(attempts.c.id)
    return [
        AttemptRow(
            number=row.number,
            outcome=Outcome(row.outcome),
            phase=row.phase,
            code=row.code,
            text=row.text,
            ended_at=row.ended_at,
        )
        for row in conn.execute(query)
    ]


def _insert(conn: sa.Connection, rows: Sequence[dict[str, object]]) -> None:
    st.insert_all(conn, attempts, rows)
