"""Names that readers hold: counted, and given new ones without losing a choice, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime

from publisher.config.names import Names
from publisher.model import Format, SlotOutcome, SubscriptionState
from publisher.store import issues, names, subscribers
from publisher.store.database import Connection, Database

NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)


def join(conn: Connection, name: str, newsletter: str, categories: tuple[str, ...] | None) -> int:
    """Let somebody subscribe; returns the person's id."""
    known = subscribers.add(
        conn,
        address=f"{name}@example.net",
        address_key=f"{name}@example.net",
        name="",
        languages=["en"],
        timezone="UTC",
        format=Format.HTML,
        now=NOW,
    )
    subscribers.subscribe(
        conn,
        known,
        newsletter=newsletter,
        frequency="weekly",
        categories=categories,
        state=SubscriptionState.CONFIRMED,
        method="command",
        proof="test",
        now=NOW,
    )
    return known


def test_readers_and_slots_follow_a_new_name(database: Database) -> None:
    """D4, D5: newsletter, frequency and category at once; who holds both names stays with the new one."""

    def work(conn: Connection) -> tuple[names.Held, int, names.Held, object]:
        anna, _ = join(conn, "anna", "weekly", ("security", "economy")), join(conn, "bob", "weekly", None)
        subscribers.subscribe(
            conn,
            anna,
            newsletter="digest",
            frequency="mondays",
            categories=None,
            state=SubscriptionState.CONFIRMED,
            method="command",
            proof="test",
            now=NOW,
        )
        issues.decide_slot(
            conn,
            newsletter="weekly",
            frequency="weekly",
            slot="2026-11-23T07:00",
            slot_at=NOW,
            outcome=SlotOutcome.SKIPPED,
            reason="",
            now=NOW,
        )
        before = names.held(conn)
        renamed = Names({"weekly": "digest"}, {("digest", "weekly"): "mondays"}, {"security": "safety"})
        moved = names.rename(conn, renamed)
        decided = issues.last_decided(conn, newsletter="digest", frequency="mondays")
        return before, moved, names.held(conn), decided

    before, moved, after, decided = database.write(work)
    assert before.frequencies == {("weekly", "weekly"): 2, ("digest", "mondays"): 1}
    assert before.categories == {("weekly", "security"): 1, ("weekly", "economy"): 1}
    assert after.frequencies == {("digest", "mondays"): 2, ("weekly", "weekly"): 1}
    assert after.categories == {("weekly", "safety"): 1, ("weekly", "economy"): 1}
    assert (moved, decided) == (2, NOW)  # bob's newsletter, then its frequency
