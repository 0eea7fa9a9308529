"""Pages that show feeds to people: the list of all, and one with its addresses and what it holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from publisher import links
from publisher.config import Newsletter
from publisher.feeds import FeedSpec
from publisher.feeds.places import selected
from publisher.feeds.spec import LIST, NEWSLETTER_PREFIX, REFRESH
from publisher.files import packaged
from publisher.model import Article
from publisher.store import articles, published
from publisher.web import copying
from publisher.web.archive import described
from publisher.web.chrome import Chrome
from publisher.web.values import FORMAT_NAMES, LATEST, MEDIA_TYPES, Words


class FeedPages(Chrome):
    """The list of feeds, and a page for each."""

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
            past = (await described(self.parts, words, self._newsletter_of(spec)))["issues"]
        else:
            found = await self.parts.database.aread(
                lambda conn: articles.for_feed(conn, **selected(spec), limit=LATEST)
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

    def _newsletter_of(self, spec: FeedSpec) -> Newsletter:
        slug = spec.slug.removeprefix(NEWSLETTER_PREFIX)
        return next(newsletter for newsletter in self.config.newsletters if newsletter.slug == slug)

    async def _feed(self, words: Words, spec: FeedSpec) -> dict[str, Any]:
        if spec.kind == "newsletter":
            slug = self._newsletter_of(spec).slug
            count, newest = await self.parts.database.aread(lambda conn: published.totals(conn, slug))
        else:
            count, newest = await self.parts.database.aread(lambda conn: articles.totals(conn, **selected(spec)))
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
                    "url": address,
                    # An address may be divided after a slash, and nowhere else.
                    "parts": address.replace("/", "/\0").split("\0"),
                }
                for e, kind in MEDIA_TYPES.items()
                for address in [links.feed(self.config, f"{spec.slug}.{e}")]
            ],
        }


async def stylesheet(request: Request) -> Response:
    """Serve the sheet by which a browser shows a feed that somebody opens in it (FR-D2)."""
    sheet = (packaged("templates") / "web" / "feed.css").read_text(encoding="utf-8")
    return Response(sheet, media_type="text/css", headers={"Cache-Control": "public, max-age=86400"})
