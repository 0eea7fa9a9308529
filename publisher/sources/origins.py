"""Where a republished article first appeared, as front matter says it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from publisher.dates import from_value
from publisher.markup.urls import absolute
from publisher.model import Origin
from publisher.sources.fields import Fields, identifier
from publisher.sources.front_matter import folded
from publisher.text import one_line

# Names as `front_matter.folded` writes them.
FIELDS = ("source", "origin", "syndicatedfrom", "republishedfrom", "originallypublished")
_TITLE = ("title", "name", "publisher", "publication")
_URL = ("url", "link", "href", "address")
_FEED = ("feed", "feedurl", "rss", "atom")
_ID = ("id", "guid")
_UPDATED = ("updated", "updatedat", "lastmod", "modified")
_NAMED_ADDRESS = re.compile(r"(.*?)\s*<\s*([^<>\s]+)\s*>\s*\Z", re.DOTALL)


def origin_of(fields: Fields, site_url: str, zone: ZoneInfo) -> Origin | None:
    """Return the publication that an article is taken from; None when no field names one with an address.

    A mapping with title, url, feed, id and updated; `Title <address>`; an address; `source_url` beside `source_title`,
    `source_name` or `source`. An address of our own site is nobody else. Raises ValueError for a date that is none.
    """
    for name in FIELDS:
        stated = _stated(fields, name)
        if stated is not None and (origin := _origin(stated, name, site_url, zone)) is not None:
            return origin
    return None


def _stated(fields: Fields, name: str) -> Mapping[str, Any] | None:
    """Return what a field and its neighbours (`source_url`) say, as a mapping; None when it is no origin."""
    value = fields.values.get(name)
    if isinstance(value, dict):
        return {folded(key): item for key, item in value.items()}
    text = fields.text(name)
    if (named := _NAMED_ADDRESS.match(text)) is not None:
        return {"title": named[1], "url": named[2]}
    if re.match(r"https?:", text, re.IGNORECASE):
        return {"url": text, "title": fields.text(f"{name}title", f"{name}name")}
    # An address alone is as often that of the file itself, for "edit this page", so it takes a title too.
    title = fields.text(f"{name}title", f"{name}name") or text
    return {"title": title, "url": fields.text(f"{name}url", f"{name}link")} if title else None


def _origin(stated: Mapping[str, Any], name: str, site_url: str, zone: ZoneInfo) -> Origin | None:
    feed_url = _address(stated, _FEED)
    url = _address(stated, _URL) or feed_url
    if url is None or urlsplit(url).hostname == urlsplit(site_url).hostname:
        return None
    updated = _first(stated, _UPDATED)
    try:
        updated_at = from_value(updated, zone) if updated is not None else None
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name}.updated: {error}") from error
    return Origin(
        title=_line(_first(stated, _TITLE)) or urlsplit(url).hostname or url,
        url=url,
        feed_url=feed_url,
        id=identifier(_line(_first(stated, _ID))) or None,
        updated_at=updated_at,
    )


def _first(stated: Mapping[str, Any], names: tuple[str, ...]) -> Any:  # noqa: ANN401 - whatever the author wrote
    return next((value for name in names if (value := stated.get(name)) not in (None, "", [], {})), None)


def _address(stated: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    """Return the first absolute address; nothing is completed, since it is not of our site."""
    return absolute(_line(_first(stated, names)), None)


def _line(value: object) -> str:
    return one_line(str(value)) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
