"""What reports say of the feeds: who reads them, and which hubs do not listen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from publisher import reports
from publisher.cli import show_status
from publisher.store import feed_pollers, hub_pings
from publisher.store.database import Connection, Database
from publisher.store.feed_pollers import Poller
from tests.publications import load_publication

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
HUB, SLOW = "https://hub.example/", "https://slow.example/"
ALL = "https://mail.ledger.example/feeds/all"


def test_status_shows_the_readers_of_each_feed_and_hubs_that_do_not_answer(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """FR-H15, FR-W2: all formats together, of pollers that still come; a hub that listens is not worth a word."""
    feedly = Poller(name="all.rss", poller="feedly", subscribers=16, seen_at=NOW)
    old = replace(feedly, poller="gone", seen_at=NOW - timedelta(days=15))
    pollers = [feedly, old, replace(feedly, name="all.atom", poller="feedbin", subscribers=2)]

    def happen(conn: Connection) -> None:
        feed_pollers.put(conn, pollers, NOW - timedelta(days=2))
        hub_pings.plan(conn, [HUB, SLOW], {f"{ALL}.rss": "1", f"{ALL}.atom": "1", f"{ALL}.json": "1"}, NOW)
        for ping in hub_pings.due(conn, NOW):
            if ping.hub == HUB:
                hub_pings.told(conn, ping)
            elif ping.topic.endswith("rss"):
                hub_pings.failed(conn, ping, "no answer in 10 seconds", None)
            else:
                hub_pings.failed(conn, ping, "status 503: [busy]", NOW + timedelta(seconds=30))

    database.write(happen)
    config = load_publication(tmp_path / "publication")
    told = database.read(lambda conn: reports.status(config, conn, NOW))
    assert told["feeds"] == {
        "files": 0,
        "changed_at": None,
        "readers": {"all": 18},
        "hubs": [
            {
                "hub": SLOW,
                "waiting": 2,
                "given_up": 1,
                "next_at": "2026-11-23T09:00:30Z",
                "reason": "status 503: [busy]",
            }
        ],
    }
    show_status.status(told | {"service": {"pid": None}})
    said = capsys.readouterr().out.splitlines()
    assert "  all: 18 readers behind services that poll for them" in said
    slow = "2 feeds wait, 1 given up; again at 2026-11-23T09:00:30Z: status 503: [busy]"
    assert f"  HUB {SLOW}: {slow}" in said
