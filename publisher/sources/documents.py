"""One Markdown or HTML file becomes one draft, or a reason why not: pure, from its path and text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from publisher import dates
from publisher.config import Config, FolderSource, in_language
from publisher.markup.commonmark import markdown
from publisher.markup.html import sanitise, title_text
from publisher.markup.jekyll import has_liquid, liquid
from publisher.markup.readable import plain
from publisher.model import Draft, Skipped
from publisher.sources.categories import Categories, Phrases
from publisher.sources.fields import (
    CREDIT,
    GUID,
    LANGUAGE,
    STATUS,
    SUMMARY,
    TRANSLATION_KEY,
    TRANSLATION_OF,
    UPDATED,
    Fields,
    identifier,
)
from publisher.sources.front_matter import Document, divide
from publisher.sources.memory import problem
from publisher.sources.origins import origin_of
from publisher.sources.places import Address, Languages, name_of, title_of, without_ending
from publisher.sources.rights import discussion_of, license_of
from publisher.sources.scan import shown
from publisher.text import content_hash, excerpt, one_line, slugify

HTML_ENDINGS = (".html", ".htm")
ENDINGS = (".md", ".markdown", *HTML_ENDINGS)

_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.+?)(?:[ \t]+#+)?[ \t]*\Z")
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*\Z")
_CODE_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HTML_HEADING = re.compile(r"<h1\b[^>]*>(.*?)</h1\s*>", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reading:
    """A draft, and what no second file of the source may claim: digestible text → how to say it (A8)."""

    draft: Draft
    claims: Mapping[str, str]


class Documents:
    """Reads the files of one folder source as its settings and the site ask."""

    def __init__(self, settings: FolderSource, config: Config) -> None:
        site = config.site
        self._site_url = site.url
        self._zone = ZoneInfo(settings.timezone or site.timezone)
        self._categories = Categories(config.categories, settings.category)
        self._phrases = Phrases(settings.statuses)
        self._address = Address(settings.url, site.url)
        self.languages = Languages(site.languages, site.default_language, settings.language)
        title = in_language(site.title, site.default_language, site.default_language)
        self._liquid_site = {"url": site.url.rstrip("/"), "baseurl": "", "title": title}

    def read(self, path: str, text: str, original: str | None = None) -> Reading | Skipped:
        """Return what the file holds. `original` is the path it translates by its place.

        Raises ValueError, whose text is the reason, for a file that cannot be understood.
        """
        if not text.strip():
            raise ValueError("the file is empty")
        document = divide(text, html=path.lower().endswith(HTML_ENDINGS))
        fields = Fields(document.fields)
        if unpublished := fields.unpublished():
            return problem(path, f"its author does not want it published: {unpublished}", "draft")
        stated_language, neutral = self.languages.of_path(path)
        language = self.languages.tag(fields.text(*LANGUAGE)) or stated_language or self.languages.own
        published_at, day, name = self._published(fields, neutral)
        url = self._url(fields, neutral, language, day, name)
        title, html = self._content(document, path, name, url or self._site_url)
        image = fields.image(url or self._site_url)
        credit = fields.text(*CREDIT) or (image.credit if image else None) or None
        origin = origin_of(fields, self._site_url, self._zone)
        license_, discussion = license_of(fields, self._site_url, text), discussion_of(fields, url, self._site_url)
        status = self._phrases.status(fields.text(*STATUS))
        summary = title_text(str(fields.first(SUMMARY) or "")) or excerpt(plain(html))
        stated_slug = slugify(fields.text("slug"), "")
        categories, labels = self._categories.of(fields.names(self._categories.named), path=path, title=title)
        key_of_translations = fields.text(*TRANSLATION_KEY)
        shared = f"translation:{key_of_translations}" if key_of_translations else None
        leads = language == self.languages.own
        draft = Draft(
            key=path,
            aliases=(shared,) if shared and leads else (),
            path=shown(path),
            guid=identifier(fields.text(*GUID)) or None,
            title=title,
            html=html,
            summary=summary,
            slug=stated_slug or slugify(name, slugify(title, "article")),
            language=language,
            url=url,
            published_at=published_at,
            updated_at=fields.moment(UPDATED, self._zone),
            authors=fields.authors(),
            categories=categories,
            labels=labels,
            status=status,
            image=image,
            credit=credit,
            enclosures=fields.enclosures(url or self._site_url),
            translation_of=self._translated(fields, path) or (None if leads else shared) or original,
            origin=origin,
            license=license_,
            discussion=discussion,
            related=tuple(_relative(path, name) for name in fields.list("related")),
            content_hash=content_hash(
                title=title,
                html=html,
                summary=summary,
                status=status,
                image_url=image.url if image else None,
                credit=credit,
                origin=f"{origin.title}\n{origin.url}" if origin else "",
            ),
        )
        return Reading(draft, _claims(draft, name if not stated_slug else None, day, key_of_translations))

    def _published(self, fields: Fields, neutral: str) -> tuple[datetime | None, date | None, str]:
        """Return moment, local day and name: from the fields, else from the stated path, else from the file's name."""
        stated = fields.text("path").strip("/")
        moment = fields.published_at(self._zone)
        if moment is not None:
            name = _placed(stated)[1] if stated else ""
            return moment, moment.astimezone(self._zone).date(), name or name_of(neutral)
        day, name = _placed(stated) if stated else (None, "")
        if day is None:
            day, placed_name = _placed(neutral)
            name = name or placed_name
        return (dates.local(day, self._zone) if day else None), day, name or name_of(neutral)

    def _url(self, fields: Fields, neutral: str, language: str, day: date | None, name: str) -> str | None:
        """Return the article's own address, else the one the source's pattern gives."""
        stated = fields.address(self._site_url)
        if stated is not None:
            return stated
        path = fields.text("path").strip("/") or without_ending(neutral)
        slug = slugify(fields.text("slug"), "") or slugify(name, "")
        return self._address.of({"slug": slug, "name": name, "path": path, "language": language}, day)

    def _content(self, document: Document, path: str, name: str, base_url: str) -> tuple[str, str]:
        """Return title and safe HTML; a heading that is the title does not stay in the text."""
        written, body = document.fields, document.body
        if has_liquid(body):
            body = liquid(body, site=self._liquid_site, page=written, link=self._link)
        title = title_text(_written(Fields(written).values.get("title")))
        is_html = path.lower().endswith(HTML_ENDINGS)
        heading, rest = (_html_heading if is_html else _heading)(body)
        if heading and (not title or heading == title):
            title, body = heading, rest
        html = sanitise(body if is_html else markdown(body), base_url)
        return title or one_line(title_of(name)) or one_line(shown(path)), html

    def _link(self, name: str) -> str | None:
        """Return the address of a post that Liquid names: `2017-03-02-jekyll-3-4-1-released`."""
        placed = dates.from_path(f"{name}.md")
        day, slug = placed or (None, name)
        return self._address.of({"slug": slugify(slug, ""), "name": slug, "language": self.languages.own}, day)

    @staticmethod
    def _translated(fields: Fields, path: str) -> str | None:
        stated = fields.text(*TRANSLATION_OF)
        return _relative(path, stated) if stated else None


def _placed(path: str) -> tuple[date | None, str]:
    """Return the day and the name a path states. Raises ValueError for a day that does not exist."""
    placed = dates.from_path(path)
    return placed or (None, "")


def _claims(draft: Draft, name: str | None, day: date | None, translations: str) -> dict[str, str]:
    """Return what this article alone may be: an id, a slug on a day, a name in a folder, a translation of a story."""
    claims = {}
    if draft.guid:
        claims[f"id {draft.guid}"] = f"the id {draft.guid!r}"
    if name is None:
        claims[f"slug {draft.language} {day} {draft.slug}"] = f"the slug {draft.slug!r} and the same date"
    else:
        folder = draft.key.rpartition("/")[0]
        claims[f"name {draft.language} {day} {folder}/{name}"] = f"the name {name!r} and the same date"
    if translations:
        claims[f"translation {draft.language} {translations}"] = (
            f"the translationKey {translations!r} in {draft.language}"
        )
    return claims


def _relative(path: str, stated: str) -> str:
    """Return a path that starts with `./` or `../` as the root sees it; everything else as it is."""
    if not stated.startswith(("./", "../")):
        return stated
    parts = path.split("/")[:-1]
    for part in stated.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part not in (".", "..", ""):
            parts.append(part)
    return "/".join(parts)


def _written(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None or isinstance(value, list | dict) else str(value)


def _heading(text: str) -> tuple[str, str]:
    """Return the Markdown heading that can serve as the title, and the text without it; ("", text) when there is none.

    That is the heading the text opens with, else its first one of level 1.
    """
    lines = text.split("\n")
    fence = ""
    opening = True
    for at, line in enumerate(lines):
        code = _CODE_FENCE.match(line)
        if code and (not fence or code[1].startswith(fence)):
            fence = "" if fence else code[1]
        if fence or code or not line.strip():
            opening = opening and not code
            continue
        if (heading := _HEADING.match(line)) and (opening or len(heading[1]) == 1):
            return _without(lines, at, 1, heading[2])
        below = _UNDERLINE.match(lines[at + 1]) if at + 1 < len(lines) else None
        paragraph = at > 0 and lines[at - 1].strip()
        if below and not paragraph and not heading and (opening or below[1][0] == "=") and not _UNDERLINE.match(line):
            return _without(lines, at, 2, line.strip())
        opening = False
    return "", text


def _without(lines: list[str], at: int, count: int, heading: str) -> tuple[str, str]:
    return title_text(markdown(heading)), "\n".join((*lines[:at], *lines[at + count :]))


def _html_heading(text: str) -> tuple[str, str]:
    match = _HTML_HEADING.search(text)
    return (title_text(match[1]), text[: match.start()] + text[match.end() :]) if match else ("", text)
