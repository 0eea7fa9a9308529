"""The public listener: every address it has, and what answers there."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from publisher.feeds import folder
from publisher.web import Parts, confirming, copying, feed_pages, leaving, mydata, preferences, signup
from publisher.web.answers import application_of, slashed
from publisher.web.archive import NewsletterPages
from publisher.web.chrome import Chrome, icon
from publisher.web.feed_pages import FeedPages
from publisher.web.feeds import FeedsApp
from publisher.web.health import live, readiness
from publisher.web.polls import Clients, Limit
from publisher.web.reading import ArticlePages
from publisher.web.security import Guard

TOKEN_PATHS = (leaving.PREFIX, confirming.PREFIX, preferences.PREFIX, confirming.ADDRESS_PREFIX)
"""Where addresses go on with a reader's token."""


def application(parts: Parts) -> ASGIApp:
    """Build the public listener's app: feeds first and raw, pages behind the guard."""
    frame = Chrome(parts)
    clients = Clients(parts.config.web.trusted_proxies)
    app = application_of(routes_of(frame, clients), frame.missing)
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


def routes_of(frame: Chrome, clients: Clients) -> list[Any]:
    """Return all routes of the public listener but the feeds' files."""
    parts = frame.parts
    reading, feeds, archive = ArticlePages(parts), FeedPages(parts), NewsletterPages(parts)

    async def ready(request: Request) -> Response:
        """Say whether the service does its work, and what part does not; why is for the admin listener (L13)."""
        return await readiness(parts, reasons=False)

    routes: list[Any] = [
        Route("/", reading.home),
        Route("/feeds", slashed),
        Route("/feeds/", feeds.feeds),
        Route("/feeds/{slug}", feeds.feed),
        Route("/feed.css", feed_pages.stylesheet),
        Route("/categories/{slug}", reading.category),
        Route("/articles/{ref}", reading.article),
        Route("/articles/{ref}/{slug}", reading.article),
        Route("/newsletters", slashed),
        Route("/newsletters/", archive.newsletters),
        Route("/newsletters/{slug}", archive.newsletter),
        Route("/issues/{ref}", archive.issue),
        *_of_persons(parts, clients),
        Route("/style.css", frame.stylesheet),
        Route(copying.PATH, copying.script),
        Route("/icon.svg", icon),
        Route("/favicon.ico", icon),  # what a browser asks for by itself, beside a mail for example
        Route("/robots.txt", robots),
        Route("/livez", live),
        Route("/readyz", ready),
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


async def robots(request: Request) -> Response:
    """Keep crawlers off the pages that carry a reader's token."""
    lines = "".join(f"Disallow: {prefix}\n" for prefix in TOKEN_PATHS)
    return PlainTextResponse(f"User-agent: *\n{lines}", headers={"Cache-Control": "max-age=86400"})
