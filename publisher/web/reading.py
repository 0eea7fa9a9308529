"""Pages of articles: the latest, those of a category, and one to read."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from publisher import links
from publisher.model import Article
from publisher.store import articles
from publisher.text import excerpt
from publisher.web.archive import described
from publisher.web.chrome import Chrome
from publisher.web.values import FORMAT_NAMES, LATEST, MEDIA_TYPES


class ArticlePages(Chrome):
    """Home, categories and articles."""

    async def home(self, request: Request) -> Response:
        """Show newsletters, feeds and the latest articles."""
        words = self.words(request)
        found = await self.parts.database.aread(lambda conn: articles.for_feed(conn, limit=LATEST * 3))
        newsletters = [
            await described(self.parts, words, newsletter, shown=1) for newsletter in self.config.newsletters
        ]
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


def one_per_story(found: Iterable[Article], language: str) -> list[Article]:
    """Return each story once, in `language` where it exists, in the order given."""
    chosen: dict[str, Article] = {}
    for article in found:
        kept = chosen.get(article.story)
        if kept is None or (kept.language != language and article.language == language):
            chosen[article.story] = article
    return list(chosen.values())
