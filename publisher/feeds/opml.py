"""OPML 2.0: the list of all feeds in one file, which feed readers import."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import groupby

from lxml import etree

from publisher.feeds.build import declared, rfc822
from publisher.feeds.spec import FeedSpec

FOLDERS = {
    "all": "",
    "category": "Categories",
    "language": "Languages",
    "author": "Authors",
    "newsletter": "Newsletters",
    "custom": "More feeds",
}
"""Titles of the folders, in their order; feeds of the kind without a title stand at the top."""


def opml(title: str, owner: str, specs: Iterable[FeedSpec], modified_at: datetime | None) -> bytes:
    """Return the OPML document of the feeds, each once, in its Atom form: every reader takes that.

    `modified_at` is when the list last changed, never the time of building (FR-X4); None leaves the date out.
    """
    root = etree.Element("opml", version="2.0")
    head = etree.SubElement(root, "head")
    etree.SubElement(head, "title").text = title
    if modified_at is not None:
        etree.SubElement(head, "dateModified").text = rfc822(modified_at)
    etree.SubElement(head, "ownerName").text = owner
    body = etree.SubElement(root, "body")
    order = list(FOLDERS)
    for kind, group in groupby(sorted(specs, key=lambda spec: order.index(spec.kind)), key=lambda spec: spec.kind):
        folder = etree.SubElement(body, "outline", text=FOLDERS[kind]) if FOLDERS[kind] else body
        for spec in group:
            # `type="rss"` for Atom too: it says "a feed", not which kind (OPML 2.0, "Subscription lists").
            etree.SubElement(
                folder,
                "outline",
                type="rss",
                text=spec.title,
                title=spec.title,
                description=spec.description,
                language=spec.language,
                xmlUrl=spec.url("atom"),
                htmlUrl=spec.page_url,
            )
    return declared(etree.tostring(root, encoding="UTF-8", xml_declaration=False))
