"""Under which license an article is and where readers discuss it, as front matter says it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from publisher.licenses import address_of
from publisher.markup.urls import absolute
from publisher.model import UNSPECIFIED_LICENSE
from publisher.sources.fields import DISCUSSION, LICENSE, Fields
from publisher.sources.front_matter import folded
from publisher.text import one_line

_URL = ("url", "link", "href")
_NAME = ("name", "title", "id", "type")
_SWITCHED_ON = frozenset({"true", "yes", "on"})  # a theme is to show the publication's
_FIELD = re.compile(r'\s*"?([\w -]{1,40}?)"?\s*[:=]')
_HOST = re.compile(r"[\w-]+(?:\.[\w-]+)+(?::\d+)?\Z")
_USER = re.compile(r"@?([\w.-]+)\Z")
_NUMBER = re.compile(r"[\w-]+\Z")


def license_of(fields: Fields, site_url: str, text: str) -> str | None:
    """Return the address of the license that an article states, UNSPECIFIED_LICENSE for words without one.

    An address, the name of a Creative Commons license, or a mapping with url or name. None: it states nothing. `text`
    is the file, for the number of the line. Raises ValueError for an address that is none.
    """
    stated = [line for name in LICENSE for line in _lines(fields.values.get(name), (*_URL, *_NAME))]
    stated = [line for line in stated if line.lower() not in _SWITCHED_ON]
    try:
        found = [address for line in stated if (address := address_of(line, site_url))]
    except ValueError as error:
        raise ValueError(f"line {_line_of(text, LICENSE)}: {error}") from error
    return found[0] if found else UNSPECIFIED_LICENSE if stated else None


def discussion_of(fields: Fields, url: str | None, site_url: str) -> str | None:
    """Return the address of the page where readers discuss an article; None when no field names one.

    An address, absolute or from the root of the site; `#comments`, of the article's own page; a mapping with url; or
    the post of a Mastodon server by host, username and id. `comments: true` only switches something on elsewhere.
    """
    for name in DISCUSSION:
        value = fields.values.get(name)
        if isinstance(value, dict) and (post := _post({folded(key): item for key, item in value.items()})):
            return post
        for line in _lines(value, _URL):
            base = url if line.startswith("#") else site_url
            if (line.startswith(("/", "#")) or "://" in line) and (address := absolute(line, base)):
                return address
    return None


def _post(stated: Mapping[str, Any]) -> str | None:
    """Return the address of a Mastodon post, as themes for static sites have it."""
    host, user, number = (_line(stated.get(name)) for name in ("host", "username", "id"))
    named = _USER.match(user)
    if named is None or not _HOST.match(host) or not _NUMBER.match(number):
        return None
    return absolute(f"https://{host}/@{named[1]}/{number}", None)


def _lines(value: object, names: tuple[str, ...]) -> list[str]:
    """Return what a field says: itself, or these of its own fields; of a list all."""
    if isinstance(value, dict):
        mapping = {folded(key): item for key, item in value.items()}
        return [line for name in names if (line := _line(mapping.get(name)))]
    items = value if isinstance(value, list) else [value]
    return [
        line for item in items for line in (_lines(item, names) if isinstance(item, dict) else [_line(item)]) if line
    ]


def _line(value: object) -> str:
    return one_line(str(value)) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _line_of(text: str, names: tuple[str, ...]) -> int:
    """Return the number of the line that one of these fields stands in; 1 when it is not found."""
    for number, line in enumerate(text.split("\n"), 1):
        if (field := _FIELD.match(line)) and folded(field[1]) in names:
            return number
    return 1
