"""What was taken back is said so in Atom, and is simply not there in RSS and JSON Feed (RFC 6721)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from lxml import etree

from publisher.app import App
from publisher.feeds import feeds_of
from publisher.feeds.around import KEPT, Around, Tombstone, recent
from publisher.feeds.build import atom, rss
from publisher.feeds.documents import build_feed
from publisher.feeds.jsonfeed import jsonfeed
from tests.feeds.conftest import PUBLISHED, make_article, make_config
from tests.publications import load_publication

AT = "{http://purl.org/atompub/tombstones/1.0}"
NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
SPEC = feeds_of(make_config())[0]


def test_atom_names_what_was_taken_back_and_when() -> None:
    """§1.8, RFC 6721 §3: ref and when; the feed's own date moves with it."""
    stone = Tombstone("urn:uuid:1", PUBLISHED + timedelta(days=2))
    built = build_feed(SPEC, "urn:x", [make_article()], make_config(), [stone])
    root = etree.fromstring(built.files["all.atom"])
    assert [dict(found.attrib) for found in root.iter(f"{AT}deleted-entry")] == [
        {"ref": "urn:uuid:1", "when": "2017-05-24T10:45:00+00:00"}
    ]
    assert root.findtext("{*}updated") == "2017-05-24T10:45:00+00:00"
    assert b"tombstones" not in built.files["all.rss"]
    assert b"Wed, 24 May 2017 10:45:00 +0000</lastBuildDate>" in built.files["all.rss"]
    assert b"urn:uuid:1" not in built.files["all.json"]


def test_a_feed_without_deletions_does_not_speak_of_them() -> None:
    """Validators warn at the mere declaration (spec §1.8)."""
    assert b"tombstones" not in build_feed(SPEC, "urn:x", [make_article()], make_config()).files["all.atom"]


def test_a_deletion_is_told_for_thirty_days_of_the_feed_s_own_time() -> None:
    """Counted from the newest change, so that the same articles give the same bytes whenever they are built."""
    old, young = Tombstone("a", NOW - KEPT - timedelta(seconds=1)), Tombstone("b", NOW - KEPT)
    assert recent([old, young], [NOW]) == (young,)
    assert recent([old, young], [NOW - timedelta(days=5)]) == (young, old)
    assert recent([old, young], []) == (young, old)
    assert recent([], []) == ()


def test_an_archive_document_says_that_it_is_one_and_where_its_neighbours_are() -> None:
    """RFC 5005 §4, in three formats; nobody waits for news of it, so it names no hub."""
    base = "https://news.example.org/feeds/all"
    around = Around(
        archive=True,
        own=f"{base}/2017-05",
        current=base,
        prev_archive=f"{base}/2017-04",
        next_archive=f"{base}/2017-06",
    )
    wanted = {
        "self": f"{base}/2017-05",
        "current": base,
        "prev-archive": f"{base}/2017-04",
        "next-archive": f"{base}/2017-06",
    }
    for form, build in (("rss", rss), ("atom", atom)):
        root = etree.fromstring(build(SPEC, "urn:x", [], around))
        found = {link.get("rel"): link.get("href") for link in root.iter("{http://www.w3.org/2005/Atom}link")}
        assert {rel: found[rel] for rel in wanted} == {rel: f"{address}.{form}" for rel, address in wanted.items()}
        assert "hub" not in found
        assert len(list(root.iter("{http://purl.org/syndication/history/1.0}archive"))) == 1
    document = jsonfeed(SPEC, "urn:x", [], around)
    assert f'"feed_url":"{base}/2017-05.json","next_url":"{base}/2017-04.json"'.encode() in document


@pytest.mark.anyio
async def test_withdrawing_an_article_leaves_a_tombstone_with_its_id(tmp_path: Path) -> None:
    """Issue 3, point 5: through the store; releasing it takes the tombstone away again."""
    async with await App.open(load_publication(tmp_path)) as app:
        await app.publishing.collect()
        path = tmp_path / "data" / "site" / "feeds" / "all.atom"
        before = etree.fromstring(path.read_bytes())
        entry = next(e for e in before.iter("{*}entry") if e.findtext("{*}title") == "The border is quiet")
        link = entry.find("{*}link[@rel='alternate']")
        assert link is not None
        ref = str(link.get("href")).split("/")[-2]
        await app.publishing.withdraw([ref])
        after = etree.fromstring(path.read_bytes())
        assert [stone.get("ref") for stone in after.iter(f"{AT}deleted-entry")] == [entry.findtext("{*}id")]
        assert entry.findtext("{*}id") not in [e.findtext("{*}id") for e in after.iter("{*}entry")]
        await app.publishing.release([ref])
        assert b"deleted-entry" not in path.read_bytes()
