"""The sheet by which browsers show a feed: all of it can be read, and nothing is shown that is meant for programs."""

from __future__ import annotations

import re

import pytest
from lxml import etree

from publisher import colours
from publisher.config import Config
from publisher.feeds.documents import documents
from publisher.feeds.entry import entry_of
from publisher.feeds.spec import FeedSpec, Format
from publisher.files import packaged
from publisher.model import Article

SHEET = re.sub(r"/\*.*?\*/", "", packaged("templates/web/feed.css").read_text(encoding="utf-8"), flags=re.DOTALL)
DAY, _, NIGHT = SHEET.partition("@media (prefers-color-scheme: dark) {")
SHOWN = {"title", "description", "subtitle", "item", "entry", "pubDate", "published", "summary"}


def said(block: str, what: str) -> dict[str, str]:
    """What rules say of one property, by selector."""
    return {
        selector.strip(): found[1]
        for selectors, rule in re.findall(r"([^{}]+)\{([^{}]*)\}", block)
        if (found := re.search(rf"(?:^|[ ;]){what}: (#[0-9a-f]{{6}}|\w+)", rule))
        for selector in selectors.split(",")
    }


@pytest.mark.parametrize("night", [False, True])
def test_every_text_of_a_feed_can_be_read(night: bool) -> None:
    """FR-D2, WCAG 2.2 §1.4.3: by day and by night."""
    texts, grounds = said(DAY, "color"), said(DAY, "background")
    if night:
        texts, grounds = texts | said(NIGHT, "color"), grounds | said(NIGHT, "background")
    (ground,) = set(grounds.values())
    assert len(texts) > 6
    assert {selector for selector, colour in texts.items() if colours.contrast(colour, ground) < 4.5} == set()


@pytest.mark.parametrize("form", ["rss", "atom"])
def test_a_sheet_hides_what_is_meant_for_programs(
    spec: FeedSpec, config: Config, rich: tuple[Article, ...], form: Format
) -> None:
    """FR-D2: all is hidden but what is named, so that new elements of a feed do not show."""
    displays = said(DAY, "display")
    assert all(displays[selector] == "none" for selector in ("channel > *", "feed > *", "item > *", "entry > *"))
    named = {re.split(r"[ >:]+", selector)[-1] for selector, display in displays.items() if display == "block"}
    assert named - {"rss", "feed", "before"} == SHOWN
    body = documents(spec, "urn:x", [entry_of(article, spec, config) for article in rich])[spec.file(form)]
    names = {etree.QName(element).localname for element in etree.fromstring(body).iter("{*}*")}
    assert {"title", "pubDate" if form == "rss" else "published"} <= names & SHOWN
    assert {"guid", "comments", "encoded"} <= names if form == "rss" else {"id", "link", "content"} <= names
