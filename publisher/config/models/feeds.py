"""Which articles are taken, and the feeds that an operator adds."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from publisher.config.models.table import Language, Slug, Table, Texts


class Selection(Table):
    """Which articles a feed or newsletter takes; nothing named means all."""

    categories: tuple[str, ...] = ()
    languages: tuple[Language, ...] = ()
    authors: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


class Feed(Selection):
    """A feed beside the built-in ones (all, one per category, one per language)."""

    slug: Slug
    title: Texts = ""
    description: Texts = ""
    content: Literal["full", "summary"] = "full"
    limit: int = Field(default=50, ge=1, le=500, strict=True)
    window_days: int = Field(default=7, ge=0, le=366, strict=True)
    """Everything this young is in it, even beyond `limit`; counted back from its newest change."""
    max_kilobytes: int = Field(default=512, ge=16, le=5000, strict=True)
    """No document of it is larger: the oldest articles then give their summary, or are left to the archive."""
    former: tuple[Slug, ...] = ()
