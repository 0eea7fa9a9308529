"""JSON Feed 1.1, written directly: no library is needed for what the standard library does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from publisher import __version__
from publisher.feeds.around import NOTHING, Around
from publisher.feeds.entry import Entry
from publisher.feeds.pieces import Pieces, pieces_of
from publisher.feeds.spec import FeedSpec
from publisher.model import Author, Enclosure, Origin

VERSION = "https://jsonfeed.org/version/1.1"


def jsonfeed(
    spec: FeedSpec, feed_id: str, entries: Sequence[Entry], around: Around = NOTHING, kept: Pieces | None = None
) -> bytes:
    """Return the JSON Feed of a feed in UTF-8, entries in the order given; the same values give the same bytes.

    The format has no word for what was taken back: such an article is simply there no more. `kept` holds what was made
    of entries before.
    """
    document = {
        "version": VERSION,
        "title": spec.title,
        "home_page_url": spec.page_url,
        "feed_url": f"{around.own}.json" if around.own else spec.url("json"),
        "next_url": f"{around.prev_archive}.json" if around.prev_archive else "",
        "description": spec.description,
        "language": spec.language,
        "authors": [{"name": spec.publication, "url": spec.publication_url}],
        "icon": spec.icon or spec.logo,
        "hubs": [] if around.own else [{"type": "WebSub", "url": hub} for hub in spec.hubs],
        # Another version of the program must not change what is closed for good.
        "_publisher": {"id": feed_id, "generator": "Publisher" if around.own else f"Publisher {__version__}"}
        | _without_empty({"rights": spec.rights, "license": spec.license}),
    }

    def make(missing: Sequence[Entry]) -> list[bytes]:
        return [_json(_item(entry, spec)) for entry in missing]

    items = b",".join(pieces_of("json", spec.language, entries, make, kept))
    return b"".join((_json(_without_empty(document)).removesuffix(b"}"), b',"items":[', items, b"]}\n"))


def _json(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _item(entry: Entry, spec: FeedSpec) -> dict[str, Any]:
    categories = [tag.label for tag in entry.tags if not tag.scheme.endswith(":status")]
    image = entry.image
    return _without_empty(
        {
            "id": entry.id,
            "url": entry.url,
            "title": entry.title,
            "content_html": entry.html,
            # One of the two contents must be there, whatever the article lacks.
            "content_text": "" if entry.html else entry.summary or entry.title,
            "summary": entry.summary,
            "image": image.url if image else "",
            "date_published": _rfc3339(entry.published_at),
            "date_modified": _rfc3339(entry.updated_at),
            "authors": [_author(author) for author in entry.authors],
            "tags": list(dict.fromkeys(categories)),
            "language": entry.language if entry.language != spec.language else "",
            "attachments": [_attachment(enclosure) for enclosure in entry.enclosures],
            "_publisher": _without_empty(
                {
                    "status": entry.status,
                    "credit": entry.credit,
                    "image_alt": image.alt if image else "",
                    "origin": _origin(entry.origin) if entry.origin else {},
                    "license": entry.license,
                    "discussion_url": entry.discussion,
                    "related": list(entry.related),
                }
            ),
        }
    )


def _author(author: Author) -> dict[str, Any]:
    return _without_empty({"name": author.name, "url": author.url})


def _origin(origin: Origin) -> dict[str, Any]:
    return _without_empty(
        {
            "title": origin.title,
            "url": origin.url,
            "feed_url": origin.feed_url,
            "id": origin.id,
            "date_modified": _rfc3339(origin.updated_at) if origin.updated_at else "",
        }
    )


def _attachment(enclosure: Enclosure) -> dict[str, Any]:
    return _without_empty(
        {
            "url": enclosure.url,
            "mime_type": enclosure.type,
            "title": enclosure.title,
            "size_in_bytes": enclosure.length,
        }
    )


def _rfc3339(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")


def _without_empty(values: dict[str, Any]) -> dict[str, Any]:
    """Leave out what says nothing; but no bytes are a size."""
    return {key: value for key, value in values.items() if value not in ("", None, [], {})}
