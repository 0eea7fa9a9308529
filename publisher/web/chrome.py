"""The frame of every page: the reader's language, navigation, feeds to discover, style, and notices."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

from publisher import links
from publisher.config import Config
from publisher.feeds import FeedSpec, feeds_of
from publisher.feeds.spec import LIST, NEWSLETTER_PREFIX
from publisher.files import packaged
from publisher.text import direction
from publisher.web import Parts
from publisher.web.answers import path_of
from publisher.web.languages import choose
from publisher.web.values import FORMAT_NAMES, MEDIA_TYPES, FeedLink, Link, Page, Words, language_name

PRIVATE = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex"}
"""Headers of an answer that is for one person: nobody keeps it, and no search engine lists it."""


class Chrome:
    """The frame of a page in the reader's language."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.config = parts.config
        self.style = _stylesheet(parts.config)
        self.style_url = f"/style.css?v={hashlib.sha256(self.style.encode()).hexdigest()[:12]}"

    def words(self, request: Request) -> Words:
        """Choose the language of the answer and its words."""
        site = self.config.site
        language = choose(
            request.query_params.get("lang"),
            request.headers.get("accept-language", ""),
            site.languages,
            site.default_language,
        )
        return Words(self.config, language, self.parts.renderer.words(language).gettext("Uncategorised"))

    def page(
        self,
        request: Request,
        words: Words,
        title: str,
        *,
        feeds: Iterable[str] = (),
        **more: Any,  # noqa: ANN401 - fields of Page
    ) -> Page:
        """Build the frame: navigation, other languages, feeds to discover, the site's feed first (FR-D1)."""
        gettext = self.parts.renderer.words(words.language).gettext
        path = path_of(request)
        root = links.public_url(self.config)
        others = [code for code in self.config.site.languages if code != words.language]
        site_title = words.pick(self.config.site.title)
        return Page(
            language=words.language,
            direction=direction(words.language),
            title=title,
            site_title=site_title,
            stylesheet=self.style_url,
            home=links.home(self.config),
            navigation=[
                Link(title=gettext("Articles"), url=f"/?lang={words.language}", current=path == "/"),
                Link(title=gettext("Feeds"), url=f"/feeds/?lang={words.language}", current=path == "/feeds/"),
                *self._subscribing(words, path),
            ],
            languages=[Link(title=language_name(c), url=f"{path}?lang={c}", language=c) for c in others],
            alternates=[Link(title="", url=f"{root}{path}?lang={c}", language=c) for c in self.config.site.languages]
            if others
            else [],
            feeds=self.discovery(words, feeds),
            opml=links.feed(self.config, LIST),
            postal_address=self.config.site.postal_address,
            site_url=self.config.site.url if self.config.site.url.rstrip("/") != root else "",
            **more,
        )

    def known_feeds(self) -> Sequence[FeedSpec]:
        """Return every feed there is at this moment; before anything was built, those of the configuration."""
        return self.parts.routes().specs or feeds_of(self.config)

    def _subscribing(self, words: Words, path: str) -> list[Link]:
        """Return the link to the sign-up form, where anything is offered there."""
        if not any(newsletter.signup for newsletter in self.config.newsletters):
            return []
        title = self.parts.renderer.words(words.language).gettext("Newsletters")
        return [Link(title=title, url=f"/subscribe?lang={words.language}", current=path == "/subscribe")]

    def discovery(self, words: Words, slugs: Iterable[str] = ()) -> list[FeedLink]:
        """Return the feeds that a page announces: all articles first, then those of `slugs` that exist."""
        site_title = words.pick(self.config.site.title)
        known = {spec.slug: spec for spec in self.known_feeds()}
        found = []
        for slug in dict.fromkeys(("all", *slugs)):
            if slug not in known:
                continue
            name = site_title if slug == "all" else f"{site_title}: {self.feed_title(words, known[slug])}"
            found += [
                FeedLink(
                    type=kind, title=f"{name} ({FORMAT_NAMES[ending]})", url=links.feed(self.config, f"{slug}.{ending}")
                )
                for ending, kind in MEDIA_TYPES.items()
            ]
        return found

    def feed_title(self, words: Words, spec: FeedSpec) -> str:
        """Return what a feed is called in the reader's language."""
        if spec.kind == "all":
            return self.parts.renderer.words(words.language).gettext("All articles")
        if spec.kind == "category":
            return words.category(spec.slug)["title"]
        if spec.kind == "newsletter":
            slug = spec.slug.removeprefix(NEWSLETTER_PREFIX)
            return next((words.pick(n.title) for n in self.config.newsletters if n.slug == slug), spec.title)
        if spec.kind == "author":
            return spec.title.removeprefix(f"{spec.publication}: ")
        return language_name(spec.language) if spec.kind == "language" else spec.title

    def html(
        self,
        template: str,
        words: Words,
        page: Page,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **values: object,
    ) -> Response:
        """Render a page."""
        body = self.parts.renderer.render(template, words.language, {"page": page, **values})
        # The language may have been chosen by a header, so a cache must keep one copy per choice.
        kept = {
            "Cache-Control": "public, max-age=60",
            "Vary": "Accept-Language, Accept-Encoding",
            "Content-Language": words.language,
        }
        if page.feeds:
            kept["Link"] = ", ".join(f'<{feed.url}>; rel="alternate"; type="{feed.type}"' for feed in page.feeds)
        return HTMLResponse(body, status, headers=kept | dict(headers or {}))

    async def missing(self, request: Request, error: Exception) -> Response:
        """Answer what is not there in the reader's language."""
        words = self.words(request)
        gettext = self.parts.renderer.words(words.language).gettext
        status = error.status_code if isinstance(error, HTTPException) else 404
        more = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
        return self.notice(
            request,
            words,
            heading=_heading(status, gettext),
            text=_explanation(status, gettext),
            status=status,
            headers=more,
        )

    async def stylesheet(self, request: Request) -> Response:
        """Serve the stylesheet; its address changes with its content."""
        return Response(
            self.style, media_type="text/css", headers={"Cache-Control": "public, max-age=31536000, immutable"}
        )

    def notice(
        self,
        request: Request,
        words: Words,
        *,
        heading: str,
        text: str,
        action: Mapping[str, str] | None = None,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Answer in a heading and a sentence, perhaps with a button; kept by no cache."""
        private = PRIVATE | dict(headers or {})
        page = self.page(request, words, heading, noindex=True)
        return self.html(
            "web/notice.html.j2",
            words,
            replace(page, alternates=()),
            status=status,
            headers=private,
            heading=heading,
            text=text,
            action=action,
        )


async def icon(request: Request) -> Response:
    """Serve the picture that browsers put on the tab."""
    return FileResponse(packaged("templates") / "web" / "icon.svg", headers={"Cache-Control": "public, max-age=86400"})


def _heading(status: int, gettext: Callable[[str], str]) -> str:
    return {404: gettext("Not found"), 503: gettext("Please try again later")}.get(
        status, gettext("That is not possible here")
    )


def _explanation(status: int, gettext: Callable[[str], str]) -> str:
    return {
        400: gettext("This form cannot be understood. Nothing was changed."),
        405: gettext("This address takes no such request. Nothing was changed."),
        413: gettext("This form is too large. Nothing was changed."),
        503: gettext("We cannot do this at the moment. Nothing was changed."),
    }.get(status, gettext("There is no page at this address."))


def _stylesheet(config: Config) -> str:
    sheet = (packaged("templates") / "web" / "style.css").read_text(encoding="utf-8")
    colours: Sequence[str] = [f".category-{c.slug} {{ --category: {c.colour}; }}" for c in config.categories]
    return "\n".join([sheet.rstrip(), *colours, ""])
