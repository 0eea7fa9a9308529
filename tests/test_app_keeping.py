"""House-keeping of a service: old mails are forgotten as the configuration says, by the hourly sweep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from publisher.app import App, keeping
from publisher.store import deliveries
from tests.publications import load_publication
from tests.test_issuing import ANNA, BORIS

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("more", "days", "words", "named"),
    [
        ("", 29, True, True),
        ("", 31, False, True),
        ("", 91, False, False),
        ('\n[keeping]\nwords = "60d"\nreaders = "200d"\n', 91, False, True),
        ('\n[keeping]\nreaders = "14d"\n', 15, False, False),
    ],
)
async def test_a_round_forgets_what_is_old_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, days: int, words: bool, named: bool
) -> None:
    """§8: the servers' words after 30 days, the readers after 90, both as configured; the sums stay."""
    async with await App.open(load_publication(tmp_path, more=more)) as app:
        await app.import_subscribers([ANNA, BORIS])
        await app.publishing.collect()
        await app.dispatching.dispatch("weekly")
        assert (await app.sending.send())["sent"] == 2
        monkeypatch.setattr(keeping, "now", lambda: datetime.now(UTC) + timedelta(days=days))
        await app.cycle()
        rows = await app.database.aread(deliveries.listing)
        counts = await app.database.aread(lambda conn: deliveries.counts(conn, rows[0].issue_id))
    assert [row.reply_text is not None for row in rows] == [words, words]
    assert [row.subscriber_id is not None and row.address is not None for row in rows] == [named, named]
    assert counts == {"sent": 2}
