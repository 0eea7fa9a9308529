"""What front matter says, in our words: the field names of Hugo, Jekyll, Pelican and Eleventy, and their forms."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from publisher.dates import from_value
from publisher.markup.urls import absolute
from publisher.model import Author, Enclosure, Image
from publisher.sources.front_matter import folded
from publisher.text import clean, one_line

# Names as `front_matter.folded` writes them; the first that has a value counts.
DATE = ("date", "dateposted", "datepublished")
PUBLISH_DATE = ("publishdate", "pubdate", "publishedat", "publisheddate", "publishedon")
UPDATED = (
    "lastmod",
    "updated",
    "modified",
    "lastmodified",
    "lastmodifiedat",
    "updatedat",
    "dateupdated",
    "datemodified",
)
NAMES = ("category", "categories", "tags", "tag", "keywords")
AUTHORS = ("authors", "author")
SUMMARY = ("summary", "description", "excerpt")
IMAGE = ("image", "cover", "featuredimage", "featureimage", "thumbnail", "images")
CREDIT = ("credit", "imagecredit", "photocredit", "photo")
LANGUAGE = ("lang", "language", "locale")
GUID = ("guid", "id", "uuid")
ADDRESS = ("canonical", "canonicalurl", "url", "permalink", "link")
LICENSE = ("licenseurl", "licenceurl", "license", "licence")
DISCUSSION = ("discussionurl", "discussion", "commentsurl", "commenturl", "comments", "discuss", "replies")
ENCLOSURES = ("enclosures", "enclosure", "audio", "podcast")
TRANSLATION_OF = ("translationof",)
TRANSLATION_KEY = ("translationkey",)
STATUS = ("categorystatus", "status")

# What Pelican, Jekyll and WordPress exports call an article that is not to be shown in lists.
_UNPUBLISHED = frozenset({"draft", "hidden", "private", "pending", "unpublished", "skip"})
_YES = frozenset({"true", "yes", "on", "1", "y"})
_NO = frozenset({"false", "no", "off", "0", "n"})

# Not the module's functions: those read the machine's own tables, and the same file must give the same type everywhere.
_TYPES = mimetypes.MimeTypes()
_NAMED_ADDRESS = re.compile(r"(.*?)\s*<\s*([^<>\s]+)\s*>\s*\Z", re.DOTALL)


class Fields:
    """The fields of one file, whatever the letters and hyphens of their names, with readers for each kind of value.

    A reader returns nothing for a value of an unexpected form; only dates are refused, by ValueError.
    """

    def __init__(self, written: Mapping[str, Any]) -> None:
        self.values = {folded(name): value for name, value in written.items()}

    def first(self, names: tuple[str, ...]) -> Any:  # noqa: ANN401 - whatever the author wrote
        """Return the first of these fields that has a value, None when none has."""
        for name in names:
            value = self.values.get(name)
            if value not in (None, "", [], {}):
                return value
        return None

    def text(self, *names: str) -> str:
        """Return the first of these fields that is text or a number, on one line; "" when none is."""
        for name in names:
            if (text := _text(self.values.get(name))) and (line := one_line(text)):
                return line
        return ""

    def flag(self, name: str) -> bool | None:
        """Return whether a yes-or-no field is set, None when it is not there or says something else."""
        word = str(self.values.get(name, "")).strip().lower()
        return True if word in _YES else False if word in _NO else None

    def unpublished(self) -> str:
        """Return which field says that the author does not want this published yet, "" when none does."""
        if self.flag("draft"):
            return "draft: true"
        if self.flag("published") is False:
            return "published: false"
        status = self.text("status").lower()
        return f"status: {status}" if status in _UNPUBLISHED else ""

    def published_at(self, zone: ZoneInfo) -> datetime | None:
        """Return when the article appeared: its date, or its publish date when that is later, as Hugo means it."""
        written = self.moment(DATE, zone)
        released = self.moment(PUBLISH_DATE, zone)
        if released is None and self.flag("published") is None:
            released = self.moment(("published",), zone)
        return max((moment for moment in (written, released) if moment is not None), default=None)

    def moment(self, names: tuple[str, ...], zone: ZoneInfo) -> datetime | None:
        """Return the first of these dates as aware UTC. Raises ValueError with the field's name (A7)."""
        for name in names:
            value = self.values.get(name)
            if value is None or value == "":
                continue
            try:
                return from_value(value, zone)
            except (ValueError, OverflowError) as error:
                raise ValueError(f"{name}: {error}") from error
        return None

    def names(self, known: Callable[[str], object]) -> Iterator[str]:
        """Yield what the article calls its categories and tags, in the order of the fields and as written."""
        seen = set()
        taxonomies = self.values.get("taxonomies")  # where Zola keeps them
        for holder in (self.values, taxonomies if isinstance(taxonomies, dict) else {}):
            for field in NAMES:
                for name in _names(holder.get(field), known, whole=field == "category"):
                    line = one_line(name)
                    if line and line.casefold() not in seen:
                        seen.add(line.casefold())
                        yield line

    def authors(self) -> tuple[Author, ...]:
        """Return who wrote it: text, `Name <address>`, lists and mappings with name, email and url."""
        found: dict[str, Author] = {}
        for field in AUTHORS:
            value = self.values.get(field)
            if isinstance(value, str) and (field == "authors" or ";" in value):
                value = re.split(r"\s*;\s*" if ";" in value else r"\s*,\s*", value)
            for item in value if isinstance(value, list) else [value]:
                if (author := _author(item)) is not None:
                    found.setdefault(author.name.casefold(), author)
        return tuple(found.values())

    def image(self, base_url: str) -> Image | None:
        """Return the picture: an address, or a mapping with url (src, path, image), alt, width, height and credit."""
        value = self.first(IMAGE)
        if isinstance(value, list):
            value = value[0]
        mapping = _folded(value) if isinstance(value, dict) else {"url": value}
        address = next(
            (text for name in ("url", "src", "path", "image", "feature", "file") if (text := _text(mapping.get(name)))),
            "",
        )
        url = absolute(address, base_url)
        if url is None:
            return None
        alt = _line(mapping.get("alt") or mapping.get("imagealt")) or self.text("imagealt", "alt")
        credit = _line(mapping.get("credit") or mapping.get("caption")) or self.text(*CREDIT)
        return Image(url, alt, _pixels(mapping.get("width")), _pixels(mapping.get("height")), credit or None)

    def enclosures(self, base_url: str) -> tuple[Enclosure, ...]:
        """Return attached media: addresses, "address bytes type" lines, mappings with url, type, length and title."""
        found: dict[str, Enclosure] = {}
        for field in ENCLOSURES:
            value = self.values.get(field)
            for item in value if isinstance(value, list) else [value]:
                enclosure = _enclosure(
                    item, base_url, "audio/mpeg" if field in ("audio", "podcast") else "application/octet-stream"
                )
                if enclosure is not None:
                    found.setdefault(enclosure.url, enclosure)
        return tuple(found.values())

    def address(self, site_url: str) -> str | None:
        """Return the article's own address; None for what is only a pattern, as Jekyll's and Eleventy's may be."""
        for field in ADDRESS:
            value = _text(self.values.get(field)).strip()
            pattern = "{{" in value or "/:" in value.replace("://", "") or value.startswith(":")
            if value and not pattern and ("/" in value or "." in value):
                url = absolute(value, site_url)
                if url is not None:
                    return url
        return None

    def list(self, *names: str) -> tuple[str, ...]:
        """Return the first of these fields as lines of text."""
        value = self.first(names)
        items = value if isinstance(value, list) else [value]
        return tuple(line for item in items if (line := _line(item)))


def _text(value: object) -> str:
    """Return what was written for text, numbers and dates, "" for everything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return ""
    return str(value) if isinstance(value, int | float | date) else ""


def _line(value: object) -> str:
    return one_line(_text(value))


def _folded(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {folded(name): value for name, value in mapping.items()}


def _names(value: object, known: Callable[[str], object], *, whole: bool) -> Iterator[str]:
    """Yield names from a list, or from text divided by commas, or by spaces unless the whole is one name."""
    if isinstance(value, list):
        for item in value:
            yield _text(_folded(item).get("name") if isinstance(item, dict) else item)
        return
    text = _text(value)
    if "," in text:
        yield from text.split(",")
    elif whole or known(text):
        yield text
    else:
        yield from text.split()


def _author(value: object) -> Author | None:
    if isinstance(value, dict):
        mapping = _folded(value)
        name = _line(mapping.get("name"))
        url = next(
            (text for key in ("url", "uri", "homepage", "link", "website") if (text := _line(mapping.get(key)))), ""
        )
        return Author(name, _line(mapping.get("email")) or None, absolute(url, None)) if name else None
    text = _line(value)
    match = _NAMED_ADDRESS.match(text)
    if match is None:
        return Author(text) if text else None
    name, address = match[1].strip(' "'), match[2]
    if "@" in address:
        return Author(name or address.partition("@")[0], address)
    return Author(name, None, absolute(address, None)) if name else None


def _enclosure(value: object, base_url: str, fallback: str) -> Enclosure | None:
    mapping = _folded(value) if isinstance(value, dict) else {}
    words = _text(value).split()
    if words and ("/" in words[0] or "." in words[0]):
        # WordPress writes the three on lines of their own, Jekyll podcasts on one.
        mapping = {"url": words[0]}
        for word in words[1:3]:
            mapping["length" if word.isdecimal() else "type"] = word
    url = absolute(_text(mapping.get("url") or mapping.get("src") or mapping.get("file")), base_url)
    if url is None:
        return None
    given = _line(mapping.get("type") or mapping.get("mimetype"))
    guessed = _TYPES.guess_type(url.partition("?")[0])[0]
    length = _pixels(mapping.get("length") or mapping.get("size") or mapping.get("bytes"))
    return Enclosure(url, given if "/" in given else guessed or fallback, length, _line(mapping.get("title")) or None)


def _pixels(value: object) -> int | None:
    """Return a count, also one written `640px` or `1,024`."""
    digits = re.fullmatch(r"(\d{1,15})(?:px)?", _text(value).strip().replace(",", ""), re.ASCII)
    return int(digits[1]) if digits else None


def identifier(text: str) -> str:
    """Return an id as the store may keep it: on one line, at most 500 characters."""
    return clean(text)[:500]
