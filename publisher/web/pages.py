"""Public pages: home, feeds, categories, articles, newsletters, issues, leaving, and the service's own health."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from publisher import links
from publisher.config import Newsletter
from publisher.feeds import FeedSpec, folder
from publisher.feeds.spec import LIST, NEWSLETTER_PREFIX, REFRESH
from publisher.files import packaged
from publisher.model import Article, Issue, IssueState
from publisher.store import articles, issues, published
from publisher.subscriptions.choices import newsletter_of
from publisher.text import excerpt
from publisher.web import Parts, confirming, copying, leaving, mydata, preferences, signup
from publisher.web.answers import application_of, slashed
from publisher.web.chrome import Chrome
from publisher.web.feeds import FeedsApp
from publisher.web.health import live, readiness
from publisher.web.polls import Clients, Limit
from publisher.web.security import MAIL_POLICY, Guard
from publisher.web.values import FORMAT_NAMES, MEDIA_TYPES, Words

LATEST = 20
"""Articles on the home page and on a category's page."""
PAST = 100
"""Issues on a newsletter's page."""
TOKEN_PATHS = (leaving.PREFIX, confirming.PREFIX, preferences.PREFIX, confirming.ADDRESS_PREFIX)
"""Where addresses go on with a reader's token."""


def application(parts: Parts) -> ASGIApp:
    """Build the public listener's app: feeds first and raw, pages behind the guard."""
    pages = Pages(parts)
    clients = Clients(parts.config.web.trusted_proxies)
    app = application_of(routes_of(pages, clients), pages.missing)
    # A feed is polled a thousand times for one page view, so it meets neither the router nor the guard.
    web = parts.config.web
    return FeedsApp(
        Guard(app, (leaving.PREFIX,), landings=frozenset({signup.PATH}), token_paths=TOKEN_PATHS),
        folder(parts.config),
        parts.clock,
        routes=parts.routes,
        polls=parts.polls,
        limit=Limit(web.feed_polls_per_hour),
        clients=clients,
    )


def routes_of(pages: Pages, clients: Clients) -> list[Any]:
    """Return all routes of the public listener but the feeds' files."""
    parts = pages.parts
    routes: list[Any] = [
        Route("/", pages.home),
        Route("/feeds", slashed),
        Route("/feeds/", pages.feeds),
        Route("/feeds/{slug}", pages.feed),
        Route("/feed.css", pages.feed_stylesheet),
        Route("/categories/{slug}", pages.category),
        Route("/articles/{ref}", pages.article),
        Route("/articles/{ref}/{slug}", pages.article),
        Route("/newsletters", slashed),
        Route("/newsletters/", pages.newsletters),
        Route("/newsletters/{slug}", pages.newsletter),
        Route("/issues/{ref}", pages.issue),
        *_of_persons(parts, clients),
        Route("/style.css", pages.stylesheet),
        Route(copying.PATH, copying.script),
        Route("/icon.svg", icon),
        Route("/favicon.ico", icon),  # what a browser asks for by itself, beside a mail for example
        Route("/robots.txt", robots),
        Route("/livez", live),
        Route("/readyz", pages.ready),
    ]
    if media := parts.config.web.media:
        routes.append(Mount("/media", StaticFiles(directory=media)))
    return routes


def _of_persons(parts: Parts, clients: Clients) -> list[Route]:
    """Return the routes of one person's business: what is asked with GET only shows, what is posted acts (P5)."""
    joining = signup.SignUpPages(parts, clients)
    confirm = confirming.ConfirmingPages(parts, clients)
    exits = leaving.LeavingPages(parts, clients)
    chosen = preferences.PreferencesPages(parts, clients)
    data = mydata.MyDataPages(parts, clients)
    leave, link, fresh, move = (
        f"{prefix}{{token}}"
        for prefix in (leaving.PREFIX, confirming.PREFIX, preferences.PREFIX, confirming.ADDRESS_PREFIX)
    )
    shown = {
        signup.PATH: joining.form,
        signup.LINK_PATH: joining.link_form,
        link: confirm.confirming,
        move: confirm.moving,
        leave: exits.leaving,
        f"{leave}/preferences": chosen.preferences,
        fresh: chosen.preferences,
        f"{fresh}/data": data.data,
        f"{fresh}/data.json": data.file,
    }
    acts = {
        signup.PATH: joining.sign_up,
        signup.LINK_PATH: joining.send_link,
        link: confirm.confirm,
        f"{link}/renew": confirm.renew,
        move: confirm.move,
        leave: exits.leave,
        f"{leave}/preferences": chosen.change,
        f"{leave}/pause": chosen.pause,
        f"{leave}/link": chosen.send_link,
        fresh: chosen.change,
        f"{fresh}/pause": chosen.pause,
        f"{fresh}/leave": chosen.leave,
        f"{fresh}/address": chosen.ask_address,
        f"{fresh}/erase": data.erase,
    }
    return [
        *(Route(path, act, methods=["GET"]) for path, act in shown.items()),
        *(Route(path, act, methods=["POST"]) for path, act in acts.items()),
    ]


async def icon(request: Request) -> Response:
    """Serve the picture that browsers put on the tab."""
    return FileResponse(packaged("templates") / "web" / "icon.svg", headers={"Cache-Control": "public, max-age=86400"})


async def robots(request: Request) -> Response:
    """Keep crawlers off the pages that carry a reader's token."""
    lines = "".join(f"Disallow: {prefix}\n" for prefix in TOKEN_PATHS)
    return PlainTextResponse(f"User-agent: *\n{lines}", headers={"Cache-Control": "max-age=86400"})


class Pages(Chrome):
    """One method a page."""

    async def home(self, request: Request) -> Response:
        """Show newsletters, feeds and the latest articles."""
        words = self.words(request)
        found = await self.parts.database.aread(lambda conn: articles.for_feed(conn, limit=LATEST * 3))
        newsletters = [await self._newsletter(words, newsletter, shown=1) for newsletter in self.config.newsletters]
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
            "author": gettext("By author"),
            "newsletter": gettext("Newsletters"),
            "custom": gettext("More feeds"),
        }
        groups: dict[str, list[dict[str, Any]]] = {kind: [] for kind in titles}
        authors = []
        for spec in self.known_feeds():
            if spec.kind == "author":  # there may be hundreds: a name each, its addresses on a page of its own
                authors.append(
                    {"title": self.feed_title(words, spec), "url": f"/feeds/{spec.slug}?lang={words.language}"}
                )
            else:
                groups[spec.kind].append(await self._feed(words, spec))
        authors.sort(key=lambda author: author["title"].casefold())
        page = self.page(request, words, gettext("Feeds"), canonical=f"{links.public_url(self.config)}/feeds/")
        shown = [{"id": kind, "title": titles[kind], "feeds": listed} for kind, listed in groups.items() if listed]
        return self.html(
            "web/feeds.html.j2",
            words,
            page,
            groups=shown,
            authors=authors,
            authors_title=titles["author"],
            opml_url=links.feed(self.config, LIST),
        )

    async def feed(self, request: Request) -> Response:
        """Show one feed to people: what it holds, how to subscribe, its latest articles, its addresses to copy."""
        words = self.words(request)
        slug = request.path_params["slug"]
        spec = next((spec for spec in self.known_feeds() if spec.slug == slug), None)
        if spec is None:
            raise HTTPException(404)
        gettext = self.parts.renderer.words(words.language).gettext
        about = await self._feed(words, spec)
        past = []
        found: list[Article] = []
        if spec.kind == "newsletter":
            past = (await self._newsletter(words, self._newsletter_of(spec)))["issues"]
        else:
            found = await self.parts.database.aread(
                lambda conn: articles.for_feed(conn, **_selected(spec), limit=LATEST)
            )
        page = self.page(
            request,
            words,
            about["title"],
            feeds=(slug,),
            description=about["says"],
            canonical=links.feed_page(self.config, slug),
        )
        return self.html(
            "web/feed.html.j2",
            words,
            replace(page, title=f"{about['title']}: {gettext('feed')}"),
            feed=about,
            articles=[words.article(article) for article in found],
            issues=past,
            feeds_url=f"/feeds/?lang={words.language}",
            copy_url=copying.URL,
            headers=copying.HEADERS,
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
        page = self.page(
            request,
            words,
            about["title"],
            feeds=(slug,),
            description=words.pick(known[slug].description) if slug in known else "",
            canonical=about["url"],
        )
        return self.html(
            "web/category.html.j2",
            words,
            page,
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
        page = self.page(
            request,
            words,
            article.title,
            feeds=article.categories,
            description=excerpt(article.summary, 160),
            canonical=canonical,
        )
        return self.html(
            "web/article.html.j2",
            words,
            page,
            article=words.full_article(article),
            translations=[words.article(other) for other in siblings if other.id != article.id and other.state.visible],
            related=[words.article(other) for other in named if other.state.visible],
        )

    async def newsletters(self, request: Request) -> Response:
        """List what is sent by e-mail."""
        words = self.words(request)
        _ = self.parts.renderer.words(words.language).gettext
        page = self.page(
            request,
            words,
            _("Newsletters"),
            feeds=tuple(f"{NEWSLETTER_PREFIX}{one.slug}" for one in self.config.newsletters),
            description=_("What we send by e-mail, and what was sent until now."),
            canonical=links.newsletters(self.config, words.language),
        )
        shown = [await self._newsletter(words, one, 1) for one in self.config.newsletters]
        link = f"{signup.LINK_PATH}?lang={words.language}" if self.config.newsletters else ""
        return self.html("web/newsletters.html.j2", words, page, newsletters=shown, link_url=link)

    async def newsletter(self, request: Request) -> Response:
        """Show what a newsletter is, and its issues; a former name leads to the present one."""
        words = self.words(request)
        slug = request.path_params["slug"]
        newsletter = next((n for n in self.config.newsletters if n.slug == slug), None)
        if newsletter is None:
            if renamed := newsletter_of(self.config, slug):
                return RedirectResponse(links.newsletter(self.config, renamed.slug, words.language), 301)
            raise HTTPException(404)
        before = request.query_params.get("before") or None
        about = await self._newsletter(words, newsletter, before=before)
        if before and not about["issues"]:
            raise HTTPException(404)
        page = self.page(
            request,
            words,
            about["title"],
            feeds=(f"newsletter-{slug}",),
            description=about["description"],
            canonical=links.newsletter(self.config, slug, words.language, before=before or ""),
            noindex=newsletter.noindex,
        )
        return self.html(
            "web/archive.html.j2",
            words,
            page,
            newsletter=about,
            issues=about["issues"],
            newsletters_url=links.newsletters(self.config, words.language),
        )

    async def issue(self, request: Request) -> Response:
        """Show an issue as it was sent, in the copy that holds nobody's links; not before it is sent (L5, L6)."""
        words = self.words(request)
        ref = request.path_params["ref"]

        def read(conn: Any) -> Any:  # noqa: ANN401 - the store's connection
            issue = issues.get(conn, ref=ref)
            # Also while it is paused: who has it already can open it in a browser.
            if issue is None or issue.state not in (IssueState.SENDING, IssueState.PAUSED, IssueState.SENT):
                return None
            segment = issues.web_segment(conn, issue.id, words.language)
            return segment and (issue.newsletter, segment)

        found = await self.parts.database.aread(read)
        if found is None:
            raise HTTPException(404)
        slug, segment = found
        headers = {
            "Content-Security-Policy": MAIL_POLICY,
            "Content-Language": segment.language,
            "Cache-Control": "public, max-age=300",
            "Vary": "Accept-Language, Accept-Encoding",
        }
        if any(newsletter.noindex for newsletter in self.config.newsletters if newsletter.slug == slug):
            headers["X-Robots-Tag"] = "noindex"
        return HTMLResponse(segment.html, headers=headers)

    async def feed_stylesheet(self, request: Request) -> Response:
        """Serve the sheet by which a browser shows a feed that somebody opens in it (FR-D2)."""
        sheet = (packaged("templates") / "web" / "feed.css").read_text(encoding="utf-8")
        return Response(sheet, media_type="text/css", headers={"Cache-Control": "public, max-age=86400"})

    async def ready(self, request: Request) -> Response:
        """Say whether the service does its work, and what part does not; why is for the admin listener (L13)."""
        return await readiness(self.parts, reasons=False)

    async def _newsletter(
        self, words: Words, newsletter: Newsletter, shown: int = PAST, before: str | None = None
    ) -> dict[str, Any]:
        def read(conn: Any) -> tuple[list[dict[str, Any]], str]:  # noqa: ANN401 - the store's connection
            states = (IssueState.SENDING, IssueState.SENT)
            sent = issues.listing(conn, newsletter=newsletter.slug, states=states, limit=shown + 1, before=before)
            last = sent[shown - 1].ref if len(sent) > shown else ""
            sent = sent[:shown]
            subjects = issues.web_subjects(conn, [issue.id for issue in sent], words.language)
            return [self._issue(words, issue, subjects[issue.id]) for issue in sent if issue.id in subjects], last

        past, last = await self.parts.database.aread(read)
        zone = self.config.site.timezone
        return {
            "title": words.pick(newsletter.title),
            "description": words.pick(newsletter.description),
            "url": links.newsletter(self.config, newsletter.slug, words.language),
            "schedules": [_sentence(f.schedule(zone).describe()) for f in newsletter.frequencies.values()]
            if words.language == "en"
            else [],
            "signup_url": f"{signup.PATH}?lang={words.language}&newsletter={newsletter.slug}"
            if newsletter.signup
            else "",
            "latest": past[0] if past else None,
            "issues": past,
            "older_url": links.newsletter(self.config, newsletter.slug, words.language, before=last) if last else "",
        }

    def _issue(self, words: Words, issue: Issue, subject: str) -> dict[str, Any]:
        when = issue.published_at or issue.created_at
        return {
            "subject": subject,
            "url": links.issue(self.config, issue.ref, words.language),
            "date": words.date(when),
            "iso": when.isoformat(),
        }

    def _newsletter_of(self, spec: FeedSpec) -> Newsletter:
        slug = spec.slug.removeprefix(NEWSLETTER_PREFIX)
        return next(newsletter for newsletter in self.config.newsletters if newsletter.slug == slug)

    async def _feed(self, words: Words, spec: FeedSpec) -> dict[str, Any]:
        if spec.kind == "newsletter":
            slug = self._newsletter_of(spec).slug
            count, newest = await self.parts.database.aread(lambda conn: published.totals(conn, slug))
        else:
            count, newest = await self.parts.database.aread(lambda conn: articles.totals(conn, **_selected(spec)))
        gettext = self.parts.renderer.words(words.language).gettext
        says = {
            "all": gettext("Every article, in all languages."),
            "category": gettext("Every article of this category."),
            "language": gettext("Every article in this language."),
            "author": gettext("Every article by this author."),
            "newsletter": gettext("Every issue of this newsletter, as it was sent."),
        }
        return {
            "title": self.feed_title(words, spec),
            "says": says.get(spec.kind) or spec.description,
            "category": spec.slug if spec.kind == "category" else "",
            "of_issues": spec.kind == "newsletter",
            "url": f"/feeds/{spec.slug}?lang={words.language}",
            "more_url": spec.page_url if spec.kind in ("category", "newsletter") else "",
            "minutes": REFRESH.seconds // 60,
            "count": count,
            "newest": words.date(newest) if newest else "",
            "files": [
                {
                    "format": FORMAT_NAMES[e],
                    "type": kind,
                    "url": links.feed(self.config, f"{spec.slug}.{e}"),
                    "address": links.feed(self.config, f"{spec.slug}.{e}"),
                    # An address may be divided after a slash, and nowhere else.
                    "parts": links.feed(self.config, f"{spec.slug}.{e}").replace("/", "/\0").split("\0"),
                }
                for e, kind in MEDIA_TYPES.items()
            ],
        }


def _selected(spec: FeedSpec) -> dict[str, tuple[str, ...]]:
    chosen = spec.selection
    return {
        "categories": chosen.categories,
        "languages": chosen.languages,
        "authors": chosen.authors,
        "sources": chosen.sources,
    }


def one_per_story(found: Iterable[Article], language: str) -> list[Article]:
    """Return each story once, in `language` where it exists, in the order given."""
    chosen: dict[str, Article] = {}
    for article in found:
        kept = chosen.get(article.story)
        if kept is None or (kept.language != language and article.language == language):
            chosen[article.story] = article
    return list(chosen.values())


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
