"""RSS 2.0 and Atom through feedgen, its defects mended by one extension that is registered by its public interface."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit
from xml.sax.saxutils import quoteattr

from feedgen.ext.base import BaseExtension
from feedgen.feed import FeedGenerator
from lxml import etree

from publisher import __version__
from publisher.feeds.around import NOTHING, Around
from publisher.feeds.entry import Entry
from publisher.feeds.pieces import Pieces, pieces_of
from publisher.feeds.spec import MEDIA_TYPES, REFRESH, FeedSpec, Format
from publisher.model import Enclosure, Origin

GENERATOR = "Publisher"

_FEED: Any = FeedGenerator  # feedgen states no types

EMPTY_SINCE = datetime(2000, 1, 1, tzinfo=UTC)
"""`updated` of an Atom feed without articles: the format demands a moment, and "now" would change the bytes."""

AT = "http://purl.org/atompub/tombstones/1.0"
ATOM = "http://www.w3.org/2005/Atom"
CONTENT = "http://purl.org/rss/1.0/modules/content/"
CREATIVE_COMMONS = "http://backend.userland.com/creativeCommonsRssModule"
DC = "http://purl.org/dc/elements/1.1/"
FH = "http://purl.org/syndication/history/1.0"
MEDIA = "http://search.yahoo.com/mrss/"
SY = "http://purl.org/rss/1.0/modules/syndication/"
XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"

# feedgen writes lastBuildDate after setlocale(LC_ALL, "C") and sets it back: for the whole process, and not safe
# against itself in another thread. It cannot be told to leave that date out, so this lock keeps it to one thread at a
# time and once a feed; every date that is read is written by the extension, which asks no locale.
_LOCALE = threading.Lock()


def rss(
    spec: FeedSpec, feed_id: str, entries: Sequence[Entry], around: Around = NOTHING, kept: Pieces | None = None
) -> bytes:
    """Return the RSS 2.0 document of a feed, entries in the order given; the same values give the same bytes.

    `kept` holds what was made of entries before.
    """
    return _document(spec, feed_id, entries, "rss", around, kept)


def atom(
    spec: FeedSpec, feed_id: str, entries: Sequence[Entry], around: Around = NOTHING, kept: Pieces | None = None
) -> bytes:
    """Return the Atom document of a feed, entries in the order given; the same values give the same bytes.

    `kept` holds what was made of entries before.
    """
    return _document(spec, feed_id, entries, "atom", around, kept)


_END: Mapping[Format, bytes] = {"rss": b"</channel></rss>", "atom": b"</feed>"}
# No text and no attribute has a bare `<` in it, and feedgen is never asked for CDATA, so these are the entries' tags.
_ENTRY: Mapping[Format, re.Pattern[bytes]] = {"rss": re.compile(rb"(?=<item>)"), "atom": re.compile(rb"(?=<entry[ >])")}


def _document(
    spec: FeedSpec, feed_id: str, entries: Sequence[Entry], form: Format, around: Around, kept: Pieces | None
) -> bytes:
    """Return a document: what feedgen makes of the feed, and between it what it made of each entry, now or before."""

    def make(missing: Sequence[Entry]) -> list[bytes]:
        # Without what belongs to one document: whatever is around, the pieces are the same.
        generator = _generator(spec, feed_id, missing, form, NOTHING)
        for entry in missing:
            _add(generator, entry, spec.language, form)
        return _ENTRY[form].split(_written(generator, form).removesuffix(_END[form]))[1:]

    envelope = _written(_generator(spec, feed_id, entries, form, around), form)
    pieces = pieces_of(form, spec.language, entries, make, kept)
    return _styled(b"".join((envelope.removesuffix(_END[form]), *pieces, _END[form])), spec)


def _written(generator: Any, form: Format) -> bytes:  # noqa: ANN401 - feedgen states no types
    if form == "atom":
        return declared(bytes(generator.atom_str(xml_declaration=False)))
    with _LOCALE:
        return declared(bytes(generator.rss_str(xml_declaration=False)))


def declared(document: bytes) -> bytes:
    """Put the XML declaration before a document in UTF-8 (FR-X1).

    In double quotes: lxml writes single ones, which readers that look for the encoding by a pattern do not expect.
    """
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + document


def _styled(document: bytes, spec: FeedSpec) -> bytes:
    """Point browsers to a style sheet; feedgen has no way to say it, so it goes in behind the XML declaration."""
    if not spec.stylesheet:
        return document
    declaration, end, rest = document.partition(b"?>")
    instruction = f'\n<?xml-stylesheet type="text/css" href={quoteattr(spec.stylesheet)}?>'
    return declaration + end + instruction.encode() + rest


def updated_at(entries: Sequence[Entry], around: Around = NOTHING) -> datetime:
    """Return when a feed last had news: never the time of building, which would change the bytes (FR-X4)."""
    changes = [entry.updated_at for entry in entries] + [stone.when for stone in around.tombstones]
    return max(changes, default=EMPTY_SINCE)


def rfc822(when: datetime) -> str:
    """Write an aware moment as RSS wants it, four-digit year and numeric zone (FR-R5): no locale is asked."""
    return format_datetime(when.astimezone(UTC))


class FeedExtension(BaseExtension):
    """What feedgen leaves out of or gets wrong around the entries."""

    entries: Sequence[Entry] = ()
    form: Format = "rss"
    hubs: Sequence[str] = ()
    license: str = ""
    around: Around = NOTHING

    def extend_ns(self) -> dict[str, str]:
        """Declare only what this format uses: a namespace without elements is noise to validators."""
        spaces = {"media": MEDIA} if self.form == "atom" else {"dc": DC, "media": MEDIA}
        if self.form == "rss" and not self.around.own:
            spaces["sy"] = SY
        if self.form == "rss" and (self.license or any(entry.license for entry in self.entries)):
            spaces["creativeCommons"] = CREATIVE_COMMONS
        if self.around.archive:
            spaces["fh"] = FH
        if self.around.tombstones and self.form == "atom":
            spaces["at"] = AT
        return spaces

    def extend_rss(self, rss: etree._Element) -> etree._Element:
        """Write the dates and the pace; runs before the items are appended, so all of it stands before them (FR-R3)."""
        channel = rss[0]
        for date in channel.findall("lastBuildDate"):
            channel.remove(date)
        if self.entries:
            _child(channel, "lastBuildDate", rfc822(updated_at(self.entries, self.around)))
            _child(channel, "pubDate", rfc822(max(entry.published_at for entry in self.entries)))
        if not self.around.own:
            # The same pace as ttl and Cache-Control. feedgen's own extension misspells both (D8).
            _child(channel, f"{{{SY}}}updatePeriod", "hourly")
            _child(channel, f"{{{SY}}}updateFrequency", str(round(3600 / REFRESH.total_seconds())))
        if self.around.archive:
            etree.SubElement(channel, f"{{{FH}}}archive")
        if self.license:  # the module takes any license, not those of Creative Commons alone
            _child(channel, f"{{{CREATIVE_COMMONS}}}license", self.license)
        for rel, href in self.links():  # feedgen writes rel=self and drops every other link (D3)
            etree.SubElement(channel, f"{{{ATOM}}}link", href=href, rel=rel)
        return rss

    def links(self) -> list[tuple[str, str]]:
        """Return the further links of the document, by their relation (FR-W1, RFC 5005 §4)."""
        around = self.around
        pages = (
            ("current", around.current),
            ("prev-archive", around.prev_archive),
            ("next-archive", around.next_archive),
        )
        return [("hub", hub) for hub in self.hubs] + [(rel, f"{base}.{self.form}") for rel, base in pages if base]

    def extend_atom(self, feed: etree._Element) -> etree._Element:
        """Write the further links, and what was taken back; runs before the entries are appended."""
        if self.around.archive:
            etree.SubElement(feed, f"{{{FH}}}archive")
        for rel, href in self.links():
            etree.SubElement(feed, "link", rel=rel, href=href)
        if self.license:  # RFC 4946 §2.4: of every entry that states none
            etree.SubElement(feed, "link", rel="license", href=self.license)
        for stone in self.around.tombstones:
            etree.SubElement(feed, f"{{{AT}}}deleted-entry", ref=stone.id, when=stone.when.isoformat())
        return feed


class EntryExtension(BaseExtension):
    """What feedgen leaves out of or gets wrong in an entry."""

    entry: Entry
    feed_language: str = ""

    def extend_rss(self, item: etree._Element) -> etree._Element:
        """Add content, dates, authors and media as RSS knows them."""
        entry = self.entry
        if entry.html and not entry.summary:
            # feedgen puts content without a summary into the description, which is for short text (FR-R6).
            for description in item.findall("description"):
                description.tag = f"{{{CONTENT}}}encoded"
        if entry.enclosures:
            first = entry.enclosures[0]
            etree.SubElement(item, "enclosure", url=first.url, length=str(first.length or 0), type=first.type)
        _child(item, "pubDate", rfc822(entry.published_at))
        for author in entry.authors:
            _child(item, f"{{{DC}}}creator", author.name)  # <author> would need an e-mail address (D6, FR-R7)
        if entry.language != self.feed_language:
            _child(item, f"{{{DC}}}language", entry.language)
        if entry.origin:  # the address of the other feed, as RSS means it; where there is none, of the other site
            address = entry.origin.feed_url or entry.origin.url
            _child(item, "source", entry.origin.title, url=address)
        if entry.license:
            _child(item, f"{{{CREATIVE_COMMONS}}}license", entry.license)
        if entry.discussion:
            _child(item, "comments", entry.discussion)
        for address in entry.related:
            etree.SubElement(item, f"{{{ATOM}}}link", rel="related", type="text/html", href=address)
        _media(item, entry, entry.enclosures[1:])
        return item

    def extend_atom(self, element: etree._Element) -> etree._Element:
        """Write the links, which feedgen strips of all but the address (D1), then language and media."""
        entry = self.entry
        for link in element.findall("link"):
            element.remove(link)
        etree.SubElement(element, "link", rel="alternate", type="text/html", href=entry.url)
        for enclosure in entry.enclosures:
            attributes = {"rel": "enclosure", "type": enclosure.type, "href": enclosure.url}
            if enclosure.length is not None:
                attributes["length"] = str(enclosure.length)
            if enclosure.title:
                attributes["title"] = enclosure.title
            etree.SubElement(element, "link", attributes)
        if entry.language != self.feed_language:
            element.set(XML_LANG, entry.language)
        if entry.origin:
            etree.SubElement(element, "link", rel="via", href=entry.origin.url)
            _origin(element, entry.origin)
        if entry.license:
            etree.SubElement(element, "link", rel="license", href=entry.license)
        if entry.discussion:  # RFC 4685 §4: without a type it would be taken for an Atom feed
            etree.SubElement(element, "link", rel="replies", type="text/html", href=entry.discussion)
        for address in entry.related:
            etree.SubElement(element, "link", rel="related", type="text/html", href=address)
        _media(element, entry, ())
        return element


def _generator(spec: FeedSpec, feed_id: str, entries: Sequence[Entry], form: Format, around: Around) -> Any:  # noqa: ANN401 - likewise
    generator: Any = _FEED()
    generator.register_extension("publisher", FeedExtension, EntryExtension)
    generator.publisher.entries = entries
    generator.publisher.form = form
    # Nobody waits for news of an archive document, so it names no hub.
    generator.publisher.hubs = () if around.own else spec.hubs
    generator.publisher.around = around
    generator.publisher.license = spec.license
    generator.id(feed_id)
    generator.title(spec.title)
    generator.description(spec.description)
    # The last link becomes the link of the RSS channel (D2), so the page comes last.
    generator.link(href=f"{around.own}.{form}" if around.own else spec.url(form), rel="self", type=MEDIA_TYPES[form])
    generator.link(href=spec.page_url, rel="alternate", type="text/html")
    generator.language(spec.language)
    generator.updated(updated_at(entries, around))
    generator.author({"name": spec.publication, "uri": spec.publication_url})
    # The program has no site of its own. What people find under this address tells of the feeds it makes here, and it
    # is served by that very program. RSS has room for text alone.
    if around.own:  # another version of the program, or another pace, must not change what is closed for good
        generator.generator(GENERATOR, uri=spec.directory_url if form == "atom" else None)
    elif form == "atom":
        generator.generator(GENERATOR, version=__version__, uri=spec.directory_url)
    else:
        generator.generator(f"{GENERATOR} {__version__}")
    if not around.own:
        generator.ttl(int(REFRESH.total_seconds()) // 60)
    generator.docs("https://www.rssboard.org/rss-specification")
    if spec.rights:
        generator.rights(spec.rights)
    if form == "atom":
        generator.logo(spec.logo or None)
        generator.icon(spec.icon or None)
    elif picture := next((url for url in (spec.logo, spec.icon) if _in_rss(url)), ""):
        generator.image(picture, title=spec.title, link=spec.page_url)
    return generator


def _in_rss(url: str) -> bool:
    """Whether RSS may show a picture: GIF, JPEG or PNG (FR-R10)."""
    return PurePosixPath(urlsplit(url).path).suffix.lower() in (".gif", ".jpg", ".jpeg", ".png")


def _add(generator: Any, entry: Entry, feed_language: str, form: Format) -> None:  # noqa: ANN401 - likewise
    target = generator.add_entry(order="append")  # feedgen's own order is reversed (D10)
    if form == "atom":  # in RSS feedgen would send each date through the locale; the extension writes it there
        target.published(entry.published_at)
    target.publisher.entry = entry
    target.publisher.feed_language = feed_language
    target.id(entry.id)
    target.title(entry.title)
    target.link(href=entry.url, rel="alternate")
    target.updated(entry.updated_at)
    if entry.authors:
        target.author([_person(author.name, author.url) for author in entry.authors])
    if entry.tags:
        target.category([{"term": tag.term, "label": tag.label, "scheme": tag.scheme} for tag in entry.tags])
    # Always type="html": without it Atom readers show the tags (D4, D5).
    if entry.summary:
        target.summary(entry.summary_html, type="html")
    if entry.html:
        target.content(entry.html, type="html")


def _origin(element: etree._Element, origin: Origin) -> None:
    """Add what is known of the feed that an entry was taken from (FR-A8); feedgen knows title and link alone."""
    source = etree.SubElement(element, "source")
    if origin.id:
        _child(source, "id", origin.id)
    _child(source, "title", origin.title)
    if origin.updated_at:
        _child(source, "updated", origin.updated_at.isoformat())
    etree.SubElement(source, "link", rel="alternate", href=origin.url)
    if origin.feed_url:
        etree.SubElement(source, "link", rel="self", href=origin.feed_url)


def _person(name: str, url: str | None) -> dict[str, str]:
    return {"name": name, "uri": url} if url else {"name": name}


def _media(parent: etree._Element, entry: Entry, enclosures: Sequence[Enclosure]) -> None:
    """Add Media RSS: the image, the photo credit, and the enclosures that RSS has no place for.

    No media:title and media:description, though there is text for them: feedparser, and so every reader built on it,
    takes them for title and summary of the article.
    """
    holder = parent
    if entry.image:
        holder = etree.SubElement(parent, f"{{{MEDIA}}}content", url=entry.image.url, medium="image")
        for name, pixels in (("width", entry.image.width), ("height", entry.image.height)):
            if pixels:
                holder.set(name, str(pixels))
    if entry.credit:  # kept even when there is no image to show
        _child(holder, f"{{{MEDIA}}}credit", entry.credit, role="photographer", scheme="urn:ebu")
    for enclosure in enclosures:
        media = etree.SubElement(parent, f"{{{MEDIA}}}content", url=enclosure.url, type=enclosure.type)
        media.set("medium", _medium(enclosure.type))
        if enclosure.length is not None:
            media.set("fileSize", str(enclosure.length))


def _medium(media_type: str) -> str:
    kind = media_type.partition("/")[0].lower()
    return kind if kind in ("image", "audio", "video") else "document"


def _child(parent: etree._Element, name: str, text: str, **attributes: str) -> None:
    etree.SubElement(parent, name, attributes).text = text
