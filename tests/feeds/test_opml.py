"""The list of feeds as feed readers import it (spec §1.5)."""

from __future__ import annotations

from datetime import UTC, datetime

from lxml import etree

from publisher.feeds import feeds_of
from publisher.feeds.opml import opml
from tests.feeds.conftest import make_config

WHEN = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def test_every_feed_is_listed_once_with_what_a_reader_needs() -> None:
    """§1.5."""
    specs = feeds_of(make_config())
    document = opml("Feeds of X & Y", "X & Y", specs, WHEN)
    assert document.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<opml version="2.0">')
    root = etree.fromstring(document)
    assert [(child.tag, child.text) for child in root[0]] == [
        ("title", "Feeds of X & Y"),
        ("dateModified", "Mon, 23 Nov 2026 09:00:00 +0000"),
        ("ownerName", "X & Y"),
    ]
    listed = [dict(outline.attrib) for outline in root.iter("outline") if outline.get("type")]
    assert sorted(outline["xmlUrl"] for outline in listed) == sorted(spec.url("atom") for spec in specs)
    for outline in listed:
        assert outline["type"] == "rss"
        assert all(outline[name] for name in ("text", "title", "htmlUrl", "description", "language"))
    folders = [outline.get("text") for outline in root.iter("outline") if not outline.get("type")]
    assert folders == ["Categories", "Languages", "More feeds"]


def test_the_same_feeds_give_the_same_bytes_in_any_order() -> None:
    """FR-X4: within a folder the order is that of the configuration; folders come in ours."""
    specs = feeds_of(make_config())
    moved = sorted(specs, key=lambda spec: spec.kind)
    assert opml("T", "O", specs, None) == opml("T", "O", moved, None)
    assert b"dateModified" not in opml("T", "O", specs, None)


def test_a_publication_without_feeds_has_a_list_all_the_same() -> None:
    """§1.5: body is there, whatever is in it."""
    assert etree.fromstring(opml("T", "O", [], WHEN)).find("body") is not None
