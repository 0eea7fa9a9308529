"""Whatever an article says, two parsers that others wrote read it back as it was, from RSS, Atom and JSON Feed."""

from __future__ import annotations

import html
import io
import json
from calendar import timegm
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import fastfeedparser
import feedparser
import jsonschema
from hypothesis import example, given
from hypothesis import strategies as st

from publisher.config import Config
from publisher.feeds.documents import build_feed
from publisher.feeds.entry import Entry, entry_of
from publisher.feeds.spec import FeedSpec
from publisher.model import Article, Author, Enclosure, Image, Origin, Status
from tests.feeds.conftest import RICH, make_article

parse: Callable[..., Any] = getattr(feedparser, "parse")  # noqa: B009 - it states no types
SCHEMA = json.loads((Path(__file__).parent / "jsonfeed-1.1.schema.json").read_text(encoding="utf-8"))

Read = dict[str, Any]
"""What was read of an entry, in the words of `whole`."""


def whole(entry: Entry) -> Read:
    """Everything that a reader must find, in any format."""
    return {
        "id": entry.id,
        "title": entry.title,
        "link": entry.url,
        "published": entry.published_at,
        "updated": entry.updated_at,
        "authors": [author.name for author in entry.authors],
        "categories": [(tag.term, tag.label, tag.scheme) for tag in entry.tags],
        "content": entry.html,
        "enclosures": [(e.url, e.type, e.length or None) for e in entry.enclosures],
        "origin": entry.origin,
        "license": entry.license,
        "discussion": entry.discussion,
        "related": list(entry.related),
    }


def as_rss(read: Read) -> Read:
    """What RSS has room for: one enclosure, labels without terms, no time of an edit."""
    categories = [(label, label, scheme) for _, label, scheme in read["categories"]]
    rss = read | {"categories": categories, "enclosures": read["enclosures"][:1], "updated": None}
    if origin := read.get("origin"):
        rss["origin"] = Origin(origin.title, origin.feed_url or origin.url)
    return rss


def as_json(read: Read, entry: Entry) -> Read:
    """What JSON Feed has room for: labels without lists, each once, the status apart; a text where there is no HTML."""
    labels = dict.fromkeys(label for _, label, scheme in read["categories"] if not scheme.endswith(":status"))
    content = entry.html or entry.summary or entry.title
    return read | {"categories": [(label, label, None) for label in labels], "content": content}


def by_feedparser(document: bytes) -> list[Read]:
    parsed = parse(io.BytesIO(document), sanitize_html=False, resolve_relative_uris=False)
    assert parsed.bozo is False
    return [
        {
            "id": entry.id,
            "title": entry.title,
            "link": entry.link,
            "published": datetime.fromtimestamp(timegm(entry.published_parsed), UTC),
            "updated": datetime.fromtimestamp(timegm(entry.updated_parsed), UTC) if "updated" in entry else None,
            "authors": [author.name for author in entry.get("authors", [])],
            "categories": [(tag.term, tag.label or tag.term, tag.scheme) for tag in entry.get("tags", [])],
            "content": entry.content[0].value if "content" in entry else "",
            "enclosures": [
                (e.href, e.type, int(e.get("length", 0)) or None)
                for e in entry.get("links", [])
                if e.rel == "enclosure"
            ],
            "origin": _origin(entry.source) if "source" in entry else None,
            "license": entry.get("license", ""),
            "discussion": entry.get("comments") or _links(entry, "replies", ""),
            "related": [link.href for link in entry.links if link.rel == "related"],
        }
        for entry in parsed.entries
    ]


def _links(entry: Any, rel: str, otherwise: str) -> str:
    return next((link.href for link in entry.links if link.rel == rel), otherwise)


def _origin(source: Any) -> Origin:
    links = {link.rel: link.href for link in source.get("links", [])}
    updated = datetime.fromtimestamp(timegm(source.updated_parsed), UTC) if "updated" in source else None
    return Origin(source.title, links.get("alternate") or source.href, links.get("self"), source.get("id"), updated)


def by_fastfeedparser(document: bytes) -> list[Read]:
    return [
        {
            "id": entry["id"],
            "title": entry["title"],
            "link": entry["link"],
            "published": datetime.fromisoformat(entry["published"]),
            "updated": datetime.fromisoformat(entry["updated"]) if entry.get("updated") else None,
            "authors": [author["name"] for author in entry.get("authors", [])],
            "categories": [(tag["term"], tag["label"] or tag["term"], tag["scheme"]) for tag in entry.get("tags", [])],
            "content": entry["content"][0]["value"] if entry.get("content") else "",
            "enclosures": [(e["url"], e["type"], e.get("length") or None) for e in entry.get("enclosures", [])]
            or [(e["href"], e["type"], None) for e in entry["links"] if e["rel"] == "enclosure"],
        }
        for entry in fastfeedparser.parse(document).entries
    ]


# Without what feedparser mends: it takes C1 control characters for Windows-1252, and "Â¡" for UTF-8 that was read as
# Latin-1, which needs one of U+00A0 to U+00BF. Our own readers (test_build) find all of them whole.
CHARACTERS = st.characters(exclude_characters=[chr(code) for code in range(0x80, 0xC0)])
NAMES = st.text(CHARACTERS, max_size=15)
ADDRESSES = st.sampled_from(["https://example.org/a?b=1&c=2", "https://example.org/Мінск", "https://пример.example/x"])
ARTICLES = st.builds(
    make_article,
    title=st.text(CHARACTERS),
    html=st.text(CHARACTERS).map(lambda text: f"<p>{html.escape(text)}</p>") | st.just(""),
    summary=st.text(CHARACTERS),
    url=ADDRESSES | st.none(),
    published_at=st.datetimes(
        datetime(1971, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
        datetime(2100, 1, 1),  # noqa: DTZ001 - likewise
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-11))]),
    ),
    authors=st.lists(st.builds(Author, NAMES, url=ADDRESSES | st.none()), max_size=3).map(tuple),
    categories=st.lists(st.sampled_from(["security", "economy", "unknown"]), min_size=1, unique=True).map(tuple),
    labels=st.lists(NAMES, max_size=3).map(tuple),
    status=st.sampled_from([None, *Status]),
    image=st.none() | st.builds(Image, ADDRESSES, alt=NAMES, credit=NAMES),
    credit=st.none() | NAMES,
    enclosures=st.lists(
        st.builds(
            Enclosure,
            ADDRESSES,
            st.sampled_from(["audio/mpeg", "application/pdf"]),
            st.none() | st.integers(0, 2**40),
            st.none() | NAMES,
        ),
        max_size=3,
    ).map(tuple),
    language=st.sampled_from(["en", "ru", "ar"]),
    license=st.none() | ADDRESSES,
    discussion=st.none() | ADDRESSES,
    linked=st.lists(st.from_regex(r"[0-9a-f]{12}", fullmatch=True), max_size=3).map(tuple),
    origin=st.none()
    | st.builds(
        Origin,
        NAMES,
        ADDRESSES,
        st.none() | ADDRESSES,
        st.none() | st.sampled_from(["tag:rivers.example,2001:feed", "4711"]),
        st.none() | st.just(datetime(2020, 2, 29, 12, 30, 1, 5, tzinfo=UTC)),
    ),
)


@given(ARTICLES)
@example(RICH[0])
def test_every_entry_is_read_back_equal_by_two_independent_parsers(
    spec: FeedSpec, config: Config, odd: Article
) -> None:
    """FR-X1, FR-X2, FR-X12, FR-R4 to R9, FR-R14, FR-A1 to A8: everything that an entry says."""
    entry = entry_of(odd, spec, config)
    built = build_feed(spec, "urn:x", (odd,), config)
    assert built.left_out == ()
    rss, atom = built.files["all.rss"], built.files["all.atom"]

    assert by_feedparser(atom) == [whole(entry)]
    assert by_feedparser(rss) == [as_rss(whole(entry))]
    # The other shows the first of several authors, and in Atom no length.
    one_author = whole(entry) | {"authors": whole(entry)["authors"][:1]}
    for name in ("origin", "license", "discussion", "related"):
        del one_author[name]  # it takes no notice of these, so test_build reads them a second time
    assert by_fastfeedparser(atom) == [
        one_author | {"enclosures": [(url, kind, None) for url, kind, _ in one_author["enclosures"]]}
    ]
    if not entry.html:  # it shows the summary in its place
        one_author["content"] = by_fastfeedparser(rss)[0]["content"]
    assert by_fastfeedparser(rss) == [as_rss(one_author)]

    document = json.loads(built.files["all.json"])
    jsonschema.validate(document, SCHEMA)
    assert by_fastfeedparser(built.files["all.json"]) == [as_json(one_author, entry)]
