"""A newsletter's feed holds its sent issues, and nothing before they are sent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from publisher.app import App
from publisher.store import issues
from tests.feeds.test_build import read_feedparser
from tests.publications import BORDER, load_publication, write_article

pytestmark = pytest.mark.anyio

ANNA = {"email": "anna@reader.example", "consent": "paper form"}


async def test_an_issue_is_an_entry_when_it_is_sent_and_keeps_its_id(tmp_path: Path) -> None:
    """Issue 3, point 3; FR-X5: not before it is sent, in three formats, under the same id for ever."""
    site = tmp_path / "data" / "site" / "feeds"

    def ids() -> list[str]:
        rss = read_feedparser((site / "newsletter-weekly.rss").read_bytes())
        atom = read_feedparser((site / "newsletter-weekly.atom").read_bytes())
        found = [item["id"] for item in json.loads((site / "newsletter-weekly.json").read_bytes())["items"]]
        assert [entry["id"] for entry in rss] == [entry["id"] for entry in atom] == found
        return found

    async with await App.open(load_publication(tmp_path)) as app:
        await app.import_subscribers([ANNA])
        await app.publishing.collect()
        await app.dispatching.dispatch("weekly")
        await app.publishing.feeds()
        assert ids() == []
        await app.sending.send()
        (first,) = ids()
        write_article(tmp_path, "tax.md", BORDER.replace("The border is quiet", "A new tax").replace("-19", "-21"))
        await app.publishing.collect()
        made = await app.dispatching.dispatch("weekly")
        if made["outcome"] == "dispatched":  # by hand there is one slot a minute
            await app.sending.send()
            assert ids()[1:] == [first]
        assert ids()[-1] == first


async def test_the_entry_is_the_issue_as_everybody_may_see_it(tmp_path: Path) -> None:
    """L6: nobody's links, nobody's address; the articles and the way to the page."""
    async with await App.open(load_publication(tmp_path)) as app:
        await app.import_subscribers([ANNA])
        await app.publishing.collect()
        await app.dispatching.dispatch("weekly")
        await app.sending.send()
        (issue,) = app.database.read(lambda conn: issues.listing(conn))
        path = tmp_path / "data" / "site" / "feeds" / "newsletter-weekly.json"
        (item,) = json.loads(path.read_bytes())["items"]
        assert item["url"] == f"https://mail.ledger.example/issues/{issue.ref}?lang=en"
        assert item["title"].startswith("The week: ")
        assert "A good harvest" in item["content_html"]
        for secret in ("anna@", "/u/", app.shared.keyring.unsubscribe_token(1)):
            assert secret not in path.read_text(encoding="utf-8")
