"""Where feeds are, and under which lasting identity."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from publisher.config import Config
from publisher.feeds.spec import FeedSpec, feed_id
from publisher.store.feed_files import FeedFile


def folder(config: Config) -> Path:
    """Return where the feed files are; `site/` can be served by any web server as it is."""
    return config.data_dir / "site" / "feeds"


def lasting_id(config: Config, spec: FeedSpec, known: Mapping[str, FeedFile]) -> str:
    """Return the id the feed got when it was first built, under this slug or one it had before (FR-X6)."""
    ids = {file.feed: file.feed_id for file in known.values()}
    return next((ids[slug] for slug in (spec.slug, *spec.former) if slug in ids), feed_id(config, spec.slug))


class Selected(TypedDict):
    """The filters by which the store chooses articles."""

    categories: tuple[str, ...]
    languages: tuple[str, ...]
    authors: tuple[str, ...]
    sources: tuple[str, ...]


def selected(spec: FeedSpec) -> Selected:
    """Return what the feed takes, as the store is asked for it."""
    chosen = spec.selection
    return {
        "categories": chosen.categories,
        "languages": chosen.languages,
        "authors": chosen.authors,
        "sources": chosen.sources,
    }
