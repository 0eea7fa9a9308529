"""How sending stands, as plain values: each transport with what waits for it, how fast it goes and what slows it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from publisher.config import Config
from publisher.mail import progress
from publisher.mail.pace import FRESH, Limit, Pace, rate_now
from publisher.store import deliveries, paces
from publisher.store.database import Connection

WINDOW = timedelta(minutes=1)
"""What was sent in this time tells how fast it goes."""


def standing(config: Config, conn: Connection, now: datetime, rests: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return each transport. `rests`: why nothing is sent over one until an operator wants it, by name."""
    known = paces.load(conn)
    sent = deliveries.sent_since(conn, now - WINDOW)
    listed = []
    for name, server in config.servers.items():
        waiting = deliveries.waiting(conn, transport=name)
        key = paces.key_of_transport(name)
        rate = rate_now(server.limit, known.get(key, FRESH), now)
        listed.append(
            {
                "name": name,
                "host": "the embedded inbox" if config.smtp.embedded else server.host,
                "waiting": waiting.open,
                "next_at": _iso(waiting.next_at),
                "rests": rests.get(name) or None,
                "limit": str(rate) if rate else None,
                **speed(sum(one.sent for one in sent if one.transport == name), waiting.open),
                "slow": _slow(known, name, now),
            }
        )
    return listed


def speeds(conn: Connection, now: datetime) -> dict[str, dict[str, Any]]:
    """Return how fast each issue goes that is being sent, by its ref."""
    return {one.ref: speed(one.sent, one.open) for one in deliveries.sent_since(conn, now - WINDOW)}


def speed(sent: int, waiting: int) -> dict[str, Any]:
    """Return mails a second over the last minute, and how many seconds what waits will take at that rate."""
    rate = progress.per_second(sent, WINDOW)
    left = progress.time_left(waiting, rate) if rate else None
    return {"per_second": round(rate, 4) if rate else 0, "seconds_left": round(left.total_seconds()) if left else None}


def _slow(known: Mapping[str, Pace], transport: str, now: datetime) -> list[dict[str, Any]]:
    """Return the providers that said "too fast", and what they get until they are forgotten."""
    mine = paces.key_of_provider(transport, "")
    found = []
    for key, pace in known.items():
        rate = rate_now(Limit(), pace, now)
        if key.startswith(mine) and pace.slow is not None and rate is not None:
            rests = pace.slow.rests_until if pace.slow.rests_until > now else None
            entry = {"provider": key.removeprefix(mine), "rests_until": _iso(rests), "limit": str(rate)}
            found.append(entry | {"reason": pace.slow.reason})
    return found


def _iso(when: datetime | None) -> str | None:
    return when.isoformat(timespec="seconds").replace("+00:00", "Z") if when else None
