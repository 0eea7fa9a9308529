"""Where feeds are for the doors that serve them: addresses, links, former names and names that are no more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from publisher.feeds.spec import FORMATS, FeedSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """What a door must know of the feeds beside their files."""

    topics: Mapping[str, str] = field(default_factory=dict)
    """Address of each feed by the name of its file: `all.rss`."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Value of the Link header by the name of the file; the addresses are those inside the file (FR-W1)."""
    moved: Mapping[str, str] = field(default_factory=dict)
    """Former slug → address of the feed now, without the dot and the format."""
    gone: frozenset[str] = frozenset()
    """Slugs of feeds that were once published and are no more."""
    unfinished: frozenset[str] = frozenset()
    """Names of the archive documents whose month goes on: `all/2026-11.rss`. The others hardly ever change."""
    specs: tuple[FeedSpec, ...] = ()
    """The feeds themselves."""
    as_xml: bool = False
    """Whether RSS and Atom are sent as application/xml."""


NOWHERE = Routes()
"""Of a publication without feeds."""


def routes_of(
    specs: Iterable[FeedSpec],
    published: Iterable[str],
    hubs: Iterable[str] = (),
    open_months: Mapping[str, str] = MappingProxyType({}),
    *,
    as_xml: bool = False,
) -> Routes:
    """Return the routes of the feeds in `specs`.

    `published` are the slugs of all that ever had a file, `open_months` says up to which month archives go.
    """
    specs, hubs = tuple(specs), tuple(hubs)
    now = {spec.slug for spec in specs}
    moved = {old: spec.base_url for spec in specs for old in spec.former if old not in now}
    return Routes(
        topics={spec.file(form): spec.url(form) for spec in specs for form in FORMATS},
        links={spec.file(form): _links(spec.url(form), hubs, spec.base_url) for spec in specs for form in FORMATS},
        moved=moved,
        gone=frozenset(published) - now - moved.keys(),
        unfinished=frozenset(f"{slug}/{month}.{form}" for slug, month in open_months.items() for form in FORMATS),
        specs=specs,
        as_xml=as_xml,
    )


def _links(own: str, hubs: Iterable[str], page: str) -> str:
    """Write a Link header (RFC 8288): exactly one `self`, each hub, and the page for people (FR-W1, FR-W4, FR-D1)."""
    found = [f'<{own}>; rel="self"', *(f'<{hub}>; rel="hub"' for hub in hubs)]
    return ", ".join([*found, f'<{page}>; rel="alternate"; type="text/html"'])
