"""Atom documents by a schema of RFC 4287, and by the rules that the RFC has beside it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from lxml import etree

from publisher.config import Config
from publisher.feeds import feeds_of
from publisher.feeds.around import Around, Tombstone
from publisher.feeds.documents import BUILDERS
from publisher.feeds.entry import entry_of
from publisher.feeds.spec import FeedSpec
from publisher.model import Article

SCHEMA = etree.RelaxNG(etree.parse(Path(__file__).parent / "atom.rng"))
NAMES = {"a": "http://www.w3.org/2005/Atom"}
WHEN = datetime(2017, 5, 23, tzinfo=UTC)
AROUND = {
    "alone": Around(),
    "subscribed": Around(
        prev_archive="https://news.example.org/feeds/all/2017-04", tombstones=(Tombstone("urn:uuid:1", WHEN),)
    ),
    "archive": Around(
        archive=True,
        own="https://news.example.org/feeds/all/2017-04",
        current="https://news.example.org/feeds/all",
        prev_archive="https://news.example.org/feeds/all/2017-03",
    ),
}


def atom(spec: FeedSpec, articles: tuple[Article, ...], config: Config, around: Around) -> bytes:
    return BUILDERS["atom"](spec, "urn:uuid:1", [entry_of(article, spec, config) for article in articles], around)


@pytest.mark.parametrize("kind", AROUND)
@pytest.mark.parametrize("count", [0, 1, 6])
def test_every_kind_of_atom_document_keeps_rfc_4287(
    config: Config, rich: tuple[Article, ...], kind: str, count: int
) -> None:
    """FR-A9, FR-A1 to A8: the grammar, and what a grammar cannot say: authors, alternates, addresses and ids."""
    hubs = ("https://hub.example/",)
    for spec in feeds_of(config):
        spec = replace(
            spec,
            hubs=hubs,
            logo="https://example.org/logo.svg",
            icon="https://example.org/i.png",
            rights="© & <x>",
            license="https://license.example/",
        )
        document = etree.fromstring(atom(spec, rich[:count], config, AROUND[kind]))
        SCHEMA.assertValid(document)
        whole_feed_has_author = document.find("a:author", NAMES) is not None
        for holder in (document, *document.findall("a:entry", NAMES)):
            assert whole_feed_has_author or holder.find("a:author", NAMES) is not None  # 4.1.2
            alternates = [
                (link.get("type"), link.get("hreflang")) for link in holder.findall("a:link[@rel='alternate']", NAMES)
            ]
            assert len(alternates) == len(set(alternates)) == 1  # 4.1.1, 4.1.2, FR-A2
        ids = [element.text for element in document.iterfind("a:entry/a:id", NAMES)]
        assert len(set(ids)) == len(ids)


BREAKS: dict[str, Callable[[str], str]] = {
    "no id": lambda text: re.sub("<id>.*?</id>", "", text, count=1),
    "two titles": lambda text: text.replace("<title>", "<title>x</title><title>", 1),
    "a time without a zone": lambda text: text.replace("+00:00</updated>", "</updated>", 1),
    "seconds in a zone": lambda text: text.replace("+00:00</updated>", "+00:00:17</updated>", 1),
    "a type that is none": lambda text: text.replace('content type="html"', 'content type="CDATA"', 1),
    "an element that Atom does not know": lambda text: text.replace("<title>", "<pubDate>x</pubDate><title>", 1),
    "a link to nowhere": lambda text: re.sub(' href="[^"]*"', "", text, count=1),
    "a link within the site": lambda text: re.sub(' href="[^"]*"', ' href="/feeds/all"', text, count=1),
    "a length that is none": lambda text: text.replace('length="1234"', 'length="None"', 1),
    "a category without a term": lambda text: re.sub(' term="[^"]*"', "", text, count=1),
    "an author without a name": lambda text: re.sub("<name>.*?</name>", "", text, count=1),
}


@pytest.mark.parametrize("what", BREAKS)
def test_the_schema_refuses_what_is_no_atom(
    spec: FeedSpec, config: Config, rich: tuple[Article, ...], what: str
) -> None:
    """The check above can fail."""
    text = "<feed" + atom(spec, rich, config, Around()).decode().partition("<feed")[2]
    broken = BREAKS[what](text)
    assert broken != text
    assert not SCHEMA.validate(etree.fromstring(broken))


def test_the_logo_is_in_atom_whatever_its_format(spec: FeedSpec, config: Config) -> None:
    """FR-A8: RSS knows GIF, JPEG and PNG alone."""
    document = etree.fromstring(atom(replace(spec, logo="https://example.org/logo.svg"), (), config, Around()))
    assert document.findtext("a:logo", None, NAMES) == "https://example.org/logo.svg"
    assert document.findtext("a:subtitle", None, NAMES) == "News & analysis"


def test_browsers_are_pointed_to_a_sheet_and_never_to_xslt(
    spec: FeedSpec, config: Config, rich: tuple[Article, ...]
) -> None:
    """FR-D2: CSS shows a feed without XSLT, which browsers are dropping; no entry explains feeds (FR-D3)."""
    entries = [entry_of(article, spec, config) for article in rich]
    for form in ("rss", "atom"):
        document = BUILDERS[form](spec, "urn:uuid:1", entries, Around())
        before = etree.fromstring(document).getroottree().getroot().getprevious()
        assert before is not None
        assert etree.tostring(before).decode() == f'<?xml-stylesheet type="text/css" href="{spec.stylesheet}"?>'
        assert b"xsl" not in document
        assert document.count(b"<item>") + document.count(b"<entry") == len(rich)
