"""The tables of the configuration: their keys, defaults and what each value must look like."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*\Z")


def _slug(value: str) -> str:
    if not SLUG.match(value) or len(value) > 64:
        raise ValueError("use lower-case letters, digits and single hyphens, at most 64, for example 'foreign-policy'")
    return value


Slug = Annotated[str, AfterValidator(_slug)]
Texts = str | dict[str, str]
"""One text for all languages, or one per language: `{ en = "Politics", ru = "Политика" }`."""


class Table(BaseModel):
    """A table of the file: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Site(Table):
    """The publication itself."""

    title: Texts
    url: str
    """Address of the publication (not of this service): feeds and mails link to it, guids carry its domain."""
    description: Texts = ""
    languages: tuple[str, ...] = ("en",)
    default_language: str = "en"
    timezone: str = "UTC"
    postal_address: str = ""
    """Shown in every mail, as the law of most countries asks; required unless smtp.embedded."""
    logo: str = ""


class Category(Table):
    """A category of articles; the order in the file is the order in digests unless `order` says otherwise."""

    slug: Slug
    title: Texts
    order: int | None = None
    colour: str = "#475569"
    description: Texts = ""
    paths: tuple[str, ...] = ()
    """Glob patterns of source paths whose articles, naming no category, belong here."""
    keywords: tuple[str, ...] = ()
    """Words which, in title or labels of an article that names no category, put it here."""
    aliases: tuple[str, ...] = ()
    """Other names by which articles call it; slug and titles count without saying."""
    former: tuple[Slug, ...] = ()


class PageLabels(Table):
    """Words around the text of a saved page; these are added to the built-in English, Russian and Belarusian ones."""

    status: tuple[str, ...] = ()
    credit: tuple[str, ...] = ()
    similar: tuple[str, ...] = ()
    end: tuple[str, ...] = ()


class _Source(Table):
    name: Slug
    path: Path
    timezone: str = ""
    """Zone of dates that state none; empty: site.timezone."""
    language: str = ""
    """Language of articles that state none; empty: site.default_language."""
    category: str = ""
    """Category of articles that name none and match no rule; empty: uncategorised."""
    every: str = "5m"
    first_collection: Literal["baseline", "mail"] = "baseline"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    url: str = ""
    """Address of an article that states none, a pattern: `https://example.org/{year}/{month}/{day}/{slug}/`."""
    statuses: dict[Literal["improved", "worsened", "unchanged"], tuple[str, ...]] = {}
    """More phrases that state a status, added to the built-in ones."""


class FolderSource(_Source):
    """Markdown or HTML files with YAML, TOML or no front matter."""

    kind: Literal["folder"]


class PagesSource(_Source):
    """Saved text of article pages; `path` is a file or a folder of `.txt` files."""

    kind: Literal["pages"]
    labels: PageLabels = PageLabels()


Source = Annotated[FolderSource | PagesSource, Field(discriminator="kind")]


class Selection(Table):
    """Which articles a feed or newsletter takes; nothing named means all."""

    categories: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


class Feed(Selection):
    """A feed beside the built-in ones (all, one per category, one per language)."""

    slug: Slug
    title: Texts = ""
    description: Texts = ""
    content: Literal["full", "summary"] = "full"
    limit: int = Field(default=50, ge=1, le=500)
    former: tuple[Slug, ...] = ()


class Frequency(Table):
    """When issues of a newsletter appear: `at` with `days` or `day`, or `cron`, or `every`."""

    title: Texts = ""
    at: str = ""
    """Local time `07:00`."""
    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = ()
    day: int | Literal["last"] | None = None
    """Day of the month; a day the month does not have means its last."""
    cron: str = ""
    every: str = ""
    timezone: str = ""
    """Empty: site.timezone. `every` counts in UTC."""
    max_lateness: str = ""
    """A slot older than this is missed, not sent; empty: 6 h, or half the period if shorter."""
    catch_up: Literal["latest", "skip"] = "latest"


class Newsletter(Selection):
    """What people sign up for."""

    slug: Slug
    title: Texts
    description: Texts = ""
    from_name: str = ""
    """Empty: the title."""
    from_address: str
    reply_to: str = ""
    subject: Texts = "{{ title }}: {{ first_title }}"
    """A Jinja2 template; it knows title, date, count, first_title and sections."""
    frequencies: dict[Slug, Frequency]
    """By name; the first is the default."""
    skip_if_empty: bool = True
    min_articles: int = Field(default=1, ge=0)
    max_articles: int = Field(default=50, ge=1, le=500)
    max_per_section: int = Field(default=12, ge=1, le=200)
    content: Literal["summary", "full"] = "summary"
    fallback_languages: bool = True
    """A story that exists in none of a reader's languages is sent in the publication's default language or the first that exists."""
    templates: Path | None = None
    former: tuple[Slug, ...] = ()


class Smtp(Table):
    """Where mail goes out."""

    host: str = ""
    port: int = Field(default=587, ge=1, le=65535)
    security: Literal["starttls", "tls", "plain"] = "starttls"
    username: str = ""
    password: SecretStr = SecretStr("")
    password_file: Path | None = None
    hello_name: str = ""
    """Name given in EHLO; empty: the host of web.public_url."""
    connections: int = Field(default=4, ge=1, le=64)
    embedded: bool = False
    """Deliver into the embedded inbox instead of the world; for trying out."""


class Web(Table):
    """Where the service listens and how the world reaches it."""

    listen: str = "127.0.0.1:8000"
    admin_listen: str = "127.0.0.1:8001"
    public_url: str = ""
    """Address under which readers reach web.listen; links in mail point there. Empty: http:// + web.listen."""


class Ingest(Table):
    """Guards between a source and readers (spec delivery §5.4)."""

    max_age_days: int = Field(default=14, ge=1)
    """An article published longer ago joins feeds but is not mailed."""
    max_new: int = Field(default=20, ge=1)
    """More new articles than this in one collection are quarantined until released."""


class Config(Table):
    """The whole configuration. Paths are absolute once loaded."""

    site: Site
    data_dir: Path = Path("../data")
    templates: Path | None = None
    """A folder whose files replace the built-in templates of the same name."""
    categories: tuple[Category, ...] = ()
    sources: tuple[Source, ...] = ()
    feeds: tuple[Feed, ...] = ()
    newsletters: tuple[Newsletter, ...] = ()
    smtp: Smtp = Smtp()
    web: Web = Web()
    ingest: Ingest = Ingest()


def in_language(texts: Texts, language: str, default: str) -> str:
    """Return the text for `language`, else its primary subtag's, else the default language's, else any."""
    if isinstance(texts, str):
        return texts
    for choice in (language, language.partition("-")[0], default):
        if choice in texts:
            return texts[choice]
    return next(iter(texts.values()), "")
