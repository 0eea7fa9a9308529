"""The publication and its categories, as the configuration has them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from publisher.config import values
from publisher.config.models.table import Language, Slug, Table, Texts, Url, Zone


class Site(Table):
    """The publication itself."""

    title: Texts
    url: Annotated[Url, Field(min_length=1)]
    """Address of the publication (not of this service): feeds and mails link to it, guids carry its domain."""
    description: Texts = ""
    languages: tuple[Language, ...] = Field(default=("en",), min_length=1)
    default_language: Language = "en"
    """Language of articles and pages that state none; not given: the first of `languages`."""
    timezone: Annotated[Zone, Field(min_length=1)] = "UTC"
    postal_address: Annotated[str, AfterValidator(values.lines)] = ""
    """Shown in every mail, as the law of most countries asks; required unless smtp.embedded."""
    logo: Url = ""
    icon: Url = ""
    rights: Texts = ""
    license: Url = ""
    """Address of the license of all articles that state none and are not taken from elsewhere."""

    @model_validator(mode="before")
    @classmethod
    def _first_language(cls, given: object) -> object:
        """Without `default_language`, take the first of `languages`."""
        if isinstance(given, dict) and isinstance(given.get("languages"), list | tuple) and given["languages"]:
            return {"default_language": given["languages"][0], **given}
        return given


class Category(Table):
    """A category of articles; the order in the file is the order in digests unless `order` says otherwise."""

    slug: Slug
    title: Texts
    order: int | None = Field(default=None, strict=True)
    colour: Annotated[str, AfterValidator(values.colour)] = "#475569"
    description: Texts = ""
    paths: tuple[str, ...] = ()
    """Glob patterns of source paths whose articles, naming no category, belong here."""
    keywords: tuple[str, ...] = ()
    """Words which, in title or labels of an article that names no category, put it here."""
    aliases: tuple[str, ...] = ()
    """Other names by which articles call it; slug and titles count without saying."""
    former: tuple[Slug, ...] = ()
