"""Public pages: home, feeds, categories, articles, newsletters, issues, leaving, and the service's own health."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from publisher import links
from publisher.config import Config, Newsletter
from publisher.feeds import FeedSpec, feeds_of, folder
from publisher.feeds.spec import REFRESH
from publisher.files import packaged
from publisher.model import Article, IssueState
from publisher.store import articles, issues, subscribers
from publisher.text import direction, excerpt
from publisher.web import Parts
from publisher.web.feeds import FeedsApp
from publisher.web.languages import choose
from publisher.web.security import MAIL_POLICY, Guard
from publisher.web.values import FORMAT_NAMES, MEDIA_TYPES, FeedLink, Link, Page, Words, language_name

LATEST = 20
"""Articles on the home page and on a category's page."""

# One-click unsubscribing comes from mail providers, which are other sites by design (RFC 8058 §3.2).
_ONE_CLICK = "/u/"


def application(parts: Parts) -> ASGIApp:
    """Build the public listener's app: feeds first and raw, pages behind the guard."""
    pages = Pages(parts)
    routes: list[Any] = [
        Route("/", pages.home),
        Route("/feeds/", pages.feeds),
        Route("/feeds/{slug}", pages.feed),
        Route("/feed.css", pages.feed_stylesheet),
        Route("/categories/{slug}", pages.category),
        Route("/articles/{ref}", pages.article),
        Route("/articles/{ref}/{slug}", pages.article),
        Route("/newsletters/{slug}", pages.newsletter),
        Route("/issues/{ref}", pages.issue),
        Route(_ONE_CLICK + "{token}", pages.leaving, methods=["GET"]),
        Route(_ONE_CLICK + "{token}", pages.leave, methods=["POST"]),
        Route("/style.css", pages.stylesheet),
        Route("/icon.svg", icon),
        Route("/favicon.ico", icon),  # what a browser asks for by itself, beside a mail for example
        Route("/robots.txt", robots),
        Route("/livez", live),
        Route("/readyz", pages.ready),
    ]
    if media := parts.config.web.media:
        routes.append(Mount("/media", StaticFiles(directory=media)))
    app = Starlette(routes=routes, exception_handlers={404: pages.missing, 405: pages.missing})
    # A feed is polled a thousand times for one page view, so it meets neither the router nor the guard.
    return FeedsApp(Guard(app, (_ONE_CLICK,)), folder(parts.config), parts.clock)


async def live(request: Request) -> Response:
    """Say that the process answers."""
    return PlainTextResponse("ok\n", headers={"Cache-Control": "no-store"})


async def icon(request: Request) -> Response:
    """Serve the picture that browsers put on the tab."""
    return FileResponse(packaged("templates") / "web" / "icon.svg", headers={"Cache-Control": "public, max-age=86400"})


async def robots(request: Request) -> Response:
    """Keep crawlers off the pages that carry a reader's token."""
    return PlainTextResponse(f"User-agent: *\nDisallow: {_ONE_CLICK}\n", headers={"Cache-Control": "max-age=86400"})


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

    def page(self, request: Request, words: Words, title: str, **more: Any) -> Page:  # noqa: ANN401 - fields of Page
        """Build the frame: navigation, other languages, feeds to discover, the site's feed first (FR-D1)."""
        gettext = self.parts.renderer.words(words.language).gettext
        path = request.url.path
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
            ],
            languages=[Link(title=language_name(c), url=f"{path}?lang={c}", language=c) for c in others],
            alternates=[Link(title="", url=f"{root}{path}?lang={c}", language=c) for c in self.config.site.languages]
            if others
            else [],
            feeds=self.discovery(site_title),
            postal_address=self.config.site.postal_address,
            site_url=self.config.site.url if self.config.site.url.rstrip("/") != root else "",
            **more,
        )

    def discovery(self, site_title: str) -> list[FeedLink]:
        """Return the feeds that every page announces: all articles, in the three formats."""
        return [
            FeedLink(
                type=kind, title=f"{site_title} ({FORMAT_NAMES[ending]})", url=links.feed(self.config, f"all.{ending}")
            )
            for ending, kind in MEDIA_TYPES.items()
        ]

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
        return HTMLResponse(body, status, headers=kept | dict(headers or {}))


class Pages(Chrome):
    """One method a page."""

    async def home(self, request: Request) -> Response:
        """Show newsletters, feeds and the latest articles."""
        words = self.words(request)
        found = await self.parts.database.aread(lambda conn: articles.for_feed(conn, limit=LATEST * 3))
        newsletters = [await self._newsletter(words, newsletter) for newsletter in self.config.newsletters]
        page = self.page(
            request,
            words,
            words.pick(self.config.site.title),
            description=words.pick(self.config.site.description),
            canonical=links.home(self.config),
        )
        return self.html(
            "web/home.html.j2",
            words,
            page,
            articles=[words.article(article) for article in one_per_story(found, words.language)[:LATEST]],
            newsletters=newsletters,
            main_feeds=[{"format": FORMAT_NAMES[e], "url": links.feed(self.config, f"all.{e}")} for e in MEDIA_TYPES],
            feeds_url=f"/feeds/?lang={words.language}",
        )

    async def feeds(self, request: Request) -> Response:
        """List every feed with its formats."""
        words = self.words(request)
        gettext = self.parts.renderer.words(words.language).gettext
        titles = {
            "all": gettext("Everything"),
            "category": gettext("By category"),
            "language": gettext("By language"),
            "custom": gettext("More feeds"),
        }
        groups: dict[str, list[dict[str, Any]]] = {kind: [] for kind in titles}
        for spec in feeds_of(self.config):
            groups[spec.kind].append(await self._feed(words, spec))
        page = self.page(request, words, gettext("Feeds"), canonical=f"{links.public_url(self.config)}/feeds/")
        shown = [{"id": kind, "title": titles[kind], "feeds": listed} for kind, listed in groups.items() if listed]
        return self.html("web/feeds.html.j2", words, page, groups=shown)

    async def feed(self, request: Request) -> Response:
        """Show one feed to people: what it holds, how to subscribe, its latest articles, its addresses to copy."""
        words = self.words(request)
        slug = request.path_params["slug"]
        spec = next((spec for spec in feeds_of(self.config) if spec.slug == slug), None)
        if spec is None:
            raise HTTPException(404)
        gettext = self.parts.renderer.words(words.language).gettext
        about = await self._feed(words, spec)
        selection = spec.selection
        found = await self.parts.database.aread(
            lambda conn: articles.for_feed(
                conn,
                categories=selection.categories,
                languages=selection.languages,
                authors=selection.authors,
                sources=selection.sources,
                limit=LATEST,
            )
        )
        own = [
            FeedLink(type=file["type"], title=f"{about['title']} ({file['format']})", url=file["url"])
            for file in about["files"]
        ]
        page = self.page(
            request, words, about["title"], description=about["says"], canonical=links.feed_page(self.config, slug)
        )
        return self.html(
            "web/feed.html.j2",
            words,
            replace(page, title=f"{about['title']}: {gettext('feed')}", feeds=_distinct([*own, *page.feeds])),
            feed=about,
            articles=[words.article(article) for article in found],
            feeds_url=f"/feeds/?lang={words.language}",
        )

    async def category(self, request: Request) -> Response:
        """List a category's articles."""
        words = self.words(request)
        slug = request.path_params["slug"]
        found = await self.parts.database.aread(
            lambda conn: articles.for_feed(conn, categories=(slug,), limit=LATEST * 3)
        )
        known = {category.slug: category for category in self.config.categories}
        if not found and slug not in known:
            raise HTTPException(404)
        about = words.category(slug)
        named = [e for e in MEDIA_TYPES if slug in known]
        own = [
            FeedLink(
                type=MEDIA_TYPES[e],
                title=f"{about['title']} ({FORMAT_NAMES[e]})",
                url=links.feed(self.config, f"{slug}.{e}"),
            )
            for e in named
        ]
        page = self.page(
            request,
            words,
            about["title"],
            description=words.pick(known[slug].description) if slug in known else "",
            canonical=about["url"],
        )
        return self.html(
            "web/category.html.j2",
            words,
            replace(page, feeds=[*page.feeds, *own]),
            category=about,
            files=[{"format": FORMAT_NAMES[e], "url": links.feed(self.config, f"{slug}.{e}")} for e in named],
            articles=[words.article(article) for article in one_per_story(found, words.language)[:LATEST]],
        )

    async def article(self, request: Request) -> Response:
        """Show an article that lives here; one with an address of its own is read there."""
        ref = request.path_params["ref"]
        article = await self.parts.database.aread(lambda conn: articles.get(conn, ref=ref))
        if article is None or not article.state.visible:
            raise HTTPException(404)
        if article.url is not None:
            return RedirectResponse(article.url, 302)
        canonical = links.article_page(self.config, article)
        if request.path_params.get("slug") != article.slug:
            return RedirectResponse(canonical, 301)
        siblings = await self.parts.database.aread(lambda conn: articles.translations(conn, article.story))
        named = await self.parts.database.aread(
            lambda conn: [other for guid in article.related if (other := articles.get(conn, guid=guid))]
        )
        words = self.words(request)
        page = self.page(request, words, article.title, description=excerpt(article.summary, 160), canonical=canonical)
        return self.html(
            "web/article.html.j2",
            words,
            page,
            article=words.full_article(article),
            translations=[words.article(other) for other in siblings if other.id != article.id and other.state.visible],
            related=[words.article(other) for other in named if other.state.visible],
        )

    async def newsletter(self, request: Request) -> Response:
        """Show what a newsletter is, and its issues."""
        words = self.words(request)
        slug = request.path_params["slug"]
        newsletter = next((n for n in self.config.newsletters if n.slug == slug), None)
        if newsletter is None:
            raise HTTPException(404)
        about = await self._newsletter(words, newsletter)
        page = self.page(
            request,
            words,
            about["title"],
            description=about["description"],
            canonical=links.newsletter(self.config, slug, words.language),
        )
        return self.html("web/archive.html.j2", words, page, newsletter=about, issues=about["issues"])

    async def issue(self, request: Request) -> Response:
        """Show an issue as it was sent, in the copy that holds nobody's links; not before it is sent (L5, L6)."""
        words = self.words(request)
        ref = request.path_params["ref"]

        def read(conn: Any) -> Any:  # noqa: ANN401 - the store's connection
            issue = issues.get(conn, ref=ref)
            if issue is None or issue.state not in (IssueState.SENDING, IssueState.SENT):
                return None
            return issues.web_segment(conn, issue.id, words.language)

        segment = await self.parts.database.aread(read)
        if segment is None:
            raise HTTPException(404)
        headers = {
            "Content-Security-Policy": MAIL_POLICY,
            "Content-Language": segment.language,
            "Cache-Control": "public, max-age=300",
            "Vary": "Accept-Language, Accept-Encoding",
        }
        return HTMLResponse(segment.html, headers=headers)

    async def leaving(self, request: Request) -> Response:
        """Ask before anything changes: scanners open links too (P5)."""
        words = self.words(request)
        gettext = self.parts.renderer.words(words.language).gettext
        found = await self._subscription(request)
        if found is None:
            return self._unknown_link(request, words)
        newsletter = self._title(words, found.newsletter)
        return self._notice(
            request,
            words,
            heading=gettext("Unsubscribe"),
            text=gettext("Press the button, and %(newsletter)s will not be sent to you any more.")
            % {"newsletter": newsletter},
            action={
                "url": request.url.path,
                "label": gettext("Unsubscribe from %(newsletter)s") % {"newsletter": newsletter},
            },
        )

    async def leave(self, request: Request) -> Response:
        """Unsubscribe, by the button or by the mail program's one-click post (RFC 8058); the same answer each time."""
        words = self.words(request)
        gettext = self.parts.renderer.words(words.language).gettext
        found = await self._subscription(request)
        if found is None:
            return self._unknown_link(request, words)
        body = await _short_body(request)
        method = "one-click" if b"List-Unsubscribe=One-Click" in body or b"One-Click" in body else "link"
        now = self.parts.clock()
        # Committed before the answer goes out: what we acknowledge is durable (P3, P6).
        await self.parts.database.awrite(lambda conn: subscribers.unsubscribe(conn, found.id, method=method, now=now))
        return self._notice(
            request,
            words,
            heading=gettext("You have left"),
            text=gettext("%(newsletter)s will not be sent to you any more.")
            % {"newsletter": self._title(words, found.newsletter)},
        )

    async def stylesheet(self, request: Request) -> Response:
        """Serve the stylesheet; its address changes with its content."""
        return Response(
            self.style, media_type="text/css", headers={"Cache-Control": "public, max-age=31536000, immutable"}
        )

    async def feed_stylesheet(self, request: Request) -> Response:
        """Serve the sheet by which a browser shows a feed that somebody opens in it (FR-D2)."""
        sheet = (packaged("templates") / "web" / "feed.css").read_text(encoding="utf-8")
        return Response(sheet, media_type="text/css", headers={"Cache-Control": "public, max-age=86400"})

    async def ready(self, request: Request) -> Response:
        """Say whether the service does its work, and what keeps it from it."""
        problems = dict(self.parts.readiness())
        return JSONResponse(
            {"ready": not problems, "problems": problems}, 503 if problems else 200, {"Cache-Control": "no-store"}
        )

    async def missing(self, request: Request, error: Exception) -> Response:
        """Answer what is not there in the reader's language."""
        words = self.words(request)
        gettext = self.parts.renderer.words(words.language).gettext
        status = error.status_code if isinstance(error, HTTPException) else 404
        more = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
        return self._notice(
            request,
            words,
            heading=gettext("Not found") if status == 404 else gettext("That is not possible here"),
            text=gettext("There is no page at this address."),
            status=status,
            headers=more,
        )

    def _notice(
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
        private = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex"} | dict(headers or {})
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

    def _unknown_link(self, request: Request, words: Words) -> Response:
        gettext = self.parts.renderer.words(words.language).gettext
        return self._notice(
            request,
            words,
            heading=gettext("This link is not complete"),
            text=gettext("Please copy the whole address from the mail, or use the link of a newer mail."),
            status=404,
        )

    async def _subscription(self, request: Request) -> Any:  # noqa: ANN401 - model.Subscription or None
        number = self.parts.keyring.read_unsubscribe(request.path_params["token"])
        if number is None:
            return None
        return await self.parts.database.aread(lambda conn: subscribers.subscription(conn, number))

    def _title(self, words: Words, slug: str) -> str:
        newsletter = next((n for n in self.config.newsletters if n.slug == slug), None)
        return words.pick(newsletter.title) if newsletter else slug

    async def _newsletter(self, words: Words, newsletter: Newsletter) -> dict[str, Any]:
        def read(conn: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - the store's connection
            shown = []
            for issue in issues.listing(
                conn, newsletter=newsletter.slug, states=(IssueState.SENDING, IssueState.SENT), limit=100
            ):
                if segment := issues.web_segment(conn, issue.id, words.language):
                    when = issue.sent_at or issue.created_at
                    shown.append(
                        {
                            "subject": segment.subject,
                            "url": links.issue(self.config, issue.ref, words.language),
                            "date": words.date(when),
                            "iso": when.isoformat(),
                        }
                    )
            return shown

        past = await self.parts.database.aread(read)
        zone = self.config.site.timezone
        return {
            "title": words.pick(newsletter.title),
            "description": words.pick(newsletter.description),
            "url": links.newsletter(self.config, newsletter.slug, words.language),
            "schedules": [f.schedule(zone).describe() for f in newsletter.frequencies.values()]
            if words.language == "en"
            else [],
            "latest": past[0] if past else None,
            "issues": past,
        }

    async def _feed(self, words: Words, spec: FeedSpec) -> dict[str, Any]:
        selection = spec.selection
        count, newest = await self.parts.database.aread(
            lambda conn: articles.totals(
                conn,
                categories=selection.categories,
                languages=selection.languages,
                authors=selection.authors,
                sources=selection.sources,
            )
        )
        title = spec.title
        if spec.kind == "all":
            title = self.parts.renderer.words(words.language).gettext("All articles")
        elif spec.kind == "category":
            title = words.category(spec.slug)["title"]
        elif spec.kind == "language":
            title = language_name(spec.language)
        gettext = self.parts.renderer.words(words.language).gettext
        says = {
            "all": gettext("Every article, in all languages."),
            "category": gettext("Every article of this category."),
            "language": gettext("Every article in this language."),
        }
        return {
            "title": title,
            "says": says.get(spec.kind) or spec.description or title,
            "category": spec.slug if spec.kind == "category" else "",
            "url": f"/feeds/{spec.slug}?lang={words.language}",
            "more_url": words.category(spec.slug)["url"] if spec.kind == "category" else "",
            "minutes": REFRESH.seconds // 60,
            "count": count,
            "newest": words.date(newest) if newest else "",
            "files": [
                {
                    "format": FORMAT_NAMES[e],
                    "type": kind,
                    "url": links.feed(self.config, f"{spec.slug}.{e}"),
                    "address": links.feed(self.config, f"{spec.slug}.{e}"),
                }
                for e, kind in MEDIA_TYPES.items()
            ],
        }


def _distinct(feeds: Iterable[FeedLink]) -> list[FeedLink]:
    return list({feed.url: feed for feed in feeds}.values())


def one_per_story(found: Iterable[Article], language: str) -> list[Article]:
    """Return each story once, in `language` where it exists, in the order given."""
    chosen: dict[str, Article] = {}
    for article in found:
        kept = chosen.get(article.story)
        if kept is None or (kept.language != language and article.language == language):
            chosen[article.story] = article
    return list(chosen.values())


async def _short_body(request: Request) -> bytes:
    """Read the first kilobytes of a post; a one-click body is 26 bytes, so more is nobody's wish."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > 8192:
            break
    return body


def _stylesheet(config: Config) -> str:
    sheet = (packaged("templates") / "web" / "style.css").read_text(encoding="utf-8")
    colours: Sequence[str] = [f".category-{c.slug} {{ --category: {c.colour}; }}" for c in config.categories]
    return "\n".join([sheet.rstrip(), *colours, ""])
