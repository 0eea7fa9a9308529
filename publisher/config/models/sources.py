"""Where articles come from, as the configuration has it: a table a kind of source."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from publisher.config import values
from publisher.config.models.table import FilePath, Interval, Slug, Table, Zone
from publisher.slots import parse_duration


class PageLabels(Table):
    """Words around the text of a saved page; these are added to the built-in English, Russian and Belarusian ones."""

    status: tuple[str, ...] = ()
    credit: tuple[str, ...] = ()
    similar: tuple[str, ...] = ()
    end: tuple[str, ...] = ()


class _Source(Table):
    name: Slug
    path: FilePath
    timezone: Zone = ""
    """Zone of dates that state none; empty: site.timezone."""
    language: Annotated[str, AfterValidator(values.language_or_none)] = ""
    """Language of articles that state none; empty: site.default_language."""
    category: str = ""
    """Category of articles that name none and match no rule; empty: uncategorised."""
    every: Interval = "5m"
    first_collection: Literal["baseline", "mail"] = "baseline"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    url: Annotated[str, AfterValidator(values.url_pattern)] = ""
    """Address of an article that states none, a pattern: `https://example.org/{year}/{month}/{day}/{slug}/`."""
    statuses: dict[Literal["improved", "worsened", "unchanged"], tuple[str, ...]] = {}  # noqa: RUF012 - pydantic copies it
    """More phrases that state a status, added to the built-in ones."""

    @property
    def interval(self) -> timedelta:
        """Time between two collections."""
        return parse_duration(self.every)


class FolderSource(_Source):
    """Markdown or HTML files with YAML, TOML or no front matter."""

    kind: Literal["folder"]


class PagesSource(_Source):
    """Saved text of article pages; `path` is a file or a folder of `.txt` files."""

    kind: Literal["pages"]
    labels: PageLabels = PageLabels()


Source = Annotated[FolderSource | PagesSource, Field(discriminator="kind")]
