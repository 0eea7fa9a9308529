"""What hubs are still to be told outlives the process, and is told once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from publisher.store import hub_pings
from publisher.store.database import Database
from publisher.store.hub_pings import Ping

NOW = datetime(2026, 11, 23, 7, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
HUB = "https://hub.example/"
TOPIC = "https://news.example/feeds/all.rss"


def ping(etag: str = "a", **more: object) -> Ping:
    values = {"hub": HUB, "topic": TOPIC, "etag": etag, "attempts": 0, "changed_at": NOW, "next_at": NOW, "problem": ""}
    return Ping(**values | more)  # type: ignore[arg-type]  # a test's shorthand


def plan(database: Database, etag: str, now: datetime = NOW) -> None:
    database.write(lambda conn: hub_pings.plan(conn, [HUB], {TOPIC: etag}, now))


def test_a_change_is_planned_once_for_each_hub_and_topic(database: Database) -> None:
    """FR-W2."""
    other = "https://other.example/"
    topics = {TOPIC: "a", TOPIC.replace("rss", "atom"): "b"}
    for _ in range(2):
        database.write(lambda conn: hub_pings.plan(conn, [HUB, other], topics, NOW))
    assert [(p.hub, p.etag) for p in database.read(lambda conn: hub_pings.due(conn, NOW))] == [
        (HUB, "b"),
        (HUB, "a"),
        (other, "b"),
        (other, "a"),
    ]
    assert database.read(lambda conn: hub_pings.due(conn, NOW - timedelta(seconds=1))) == []
    assert database.read(hub_pings.next_at) == NOW


def test_the_same_bytes_are_never_told_twice(database: Database) -> None:
    """FR-W2: also when they are planned again."""
    plan(database, "a")
    database.write(lambda conn: hub_pings.told(conn, ping()))
    plan(database, "a", LATER)
    assert database.read(hub_pings.waiting) == []
    assert database.read(hub_pings.next_at) is None
    plan(database, "b", LATER)
    assert database.read(hub_pings.waiting) == [ping("b", changed_at=LATER, next_at=LATER)]


def test_a_change_during_a_ping_is_told_too(database: Database) -> None:
    """FR-W2: the hub may have fetched the older bytes."""
    plan(database, "a")
    plan(database, "b", LATER)
    database.write(lambda conn: hub_pings.told(conn, ping("a")))
    assert database.read(hub_pings.waiting) == [ping("b", changed_at=LATER, next_at=LATER)]


def test_a_failing_hub_is_not_pressed_by_more_news(database: Database) -> None:
    """FR-W2: back-off belongs to the hub, not to the change."""
    plan(database, "a")
    again = NOW + timedelta(hours=1)
    database.write(lambda conn: hub_pings.failed(conn, ping(attempts=4), "status 500", again))
    plan(database, "b", LATER)
    assert database.read(hub_pings.waiting) == [
        ping("b", attempts=5, changed_at=LATER, next_at=again, problem="status 500")
    ]


def test_what_was_given_up_begins_anew_with_the_next_change(database: Database) -> None:
    """FR-W2."""
    plan(database, "a")
    database.write(lambda conn: hub_pings.failed(conn, ping(attempts=11), "no answer", None))
    assert database.read(hub_pings.given_up) == [ping(attempts=12, next_at=None, problem="no answer")]
    plan(database, "b", LATER)
    assert database.read(hub_pings.waiting) == [ping("b", changed_at=LATER, next_at=LATER, problem="no answer")]


def test_a_hub_that_is_configured_no_more_is_forgotten(database: Database) -> None:
    plan(database, "a")
    database.write(lambda conn: hub_pings.forget(conn, but=[HUB]))
    assert len(database.read(hub_pings.waiting)) == 1
    database.write(lambda conn: hub_pings.forget(conn, but=[]))
    assert database.read(hub_pings.waiting) == []
