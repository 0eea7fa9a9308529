"""The admin listener: the embedded inbox, for eyes on this machine."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from publisher.config.values import is_loopback, split_listen
from publisher.errors import NotFoundError, RenderError
from publisher.mail.inbox import Inbox
from publisher.model import Format
from publisher.web import Parts, preview
from publisher.web.answers import application_of, slashed
from publisher.web.chrome import Chrome
from publisher.web.health import Metrics, live, readiness
from publisher.web.pages import icon
from publisher.web.security import LOOPBACK, MAIL_POLICY, Guard
from publisher.web.values import Link, Page, Words, language_name, size

SHOWN = 200
"""Newest messages on the inbox page; the Maildir holds them all."""


def application(parts: Parts) -> ASGIApp:
    """Build the admin listener's app."""
    pages = Admin(parts)
    routes = [
        Route("/", pages.start),
        Route("/inbox", slashed),
        Route("/inbox/", pages.inbox),
        Route("/inbox/{key}", pages.message),
        Route("/inbox/{key}/{view}", pages.message),
        Route("/preview", slashed),
        Route("/preview/", pages.previews),
        Route("/preview/{newsletter}", pages.preview),
        Route("/preview/{newsletter}/mail", pages.preview_mail),
        Route("/preview/{newsletter}/state", pages.preview_state),
        Route("/preview.js", preview.script),
        Route("/style.css", pages.stylesheet),
        Route("/icon.svg", icon),
        Route("/favicon.ico", icon),  # what a browser asks for by itself, beside a mail for example
        Route("/livez", live),
        Route("/readyz", pages.ready),
        Route("/metrics", Metrics(parts).answer),
    ]
    host, _ = split_listen(parts.config.web.admin_listen)
    # A page of another site can have its own name resolve to this machine, and read whatever answers to that name.
    hosts = LOOPBACK | {host} if is_loopback(host) else None
    return Guard(application_of(routes, pages.missing), hosts=hosts)


class Admin(Chrome):
    """One method a page."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._previews = preview.Previews(parts)

    async def start(self, request: Request) -> Response:
        """Lead to the only page there is today."""
        return RedirectResponse("/inbox/", 302)

    async def previews(self, request: Request) -> Response:
        """Lead to the preview of the first newsletter."""
        if not self.config.newsletters:
            raise HTTPException(404)
        return RedirectResponse(f"/preview/{self.config.newsletters[0].slug}", 302)

    async def preview(self, request: Request) -> Response:
        """Show the coming mail of a newsletter side by side: as wide as a desk, as a phone, in the dark."""
        words = self.words(request)
        gettext = self.parts.renderer.words(words.language).gettext
        newsletter = preview.named(self.parts, request.path_params["newsletter"])
        language, format_ = preview.choices(self.parts, request, newsletter)
        base = f"/preview/{newsletter.slug}"
        languages = newsletter.languages or self.config.site.languages
        asked = [(code, Format.HTML) for code in languages] + [(language, Format.TEXT)]
        tabs = [
            {
                "title": gettext("Text") if kind is Format.TEXT else language_name(code),
                "url": f"{base}?language={code}&format={kind}",
                "current": (code, kind) == (language, format_),
            }
            for code, kind in asked
        ]
        try:
            mail = await asyncio.to_thread(self._previews.mail, newsletter, language, format_)
            subject = mail.segment.subject
        except (NotFoundError, RenderError):
            subject = ""  # the frames say why
        title = words.pick(newsletter.title)
        return self.html(
            "web/preview.html.j2",
            words,
            self._page(request, words, title),
            headers=preview.headers(),
            heading=title,
            subject=subject,
            tabs=tabs,
            state_url=f"{base}/state",
            seen=await asyncio.to_thread(self._previews.state, newsletter),
            frame_url=f"{base}/mail?language={language}&format={format_}",
        )

    async def preview_mail(self, request: Request) -> Response:
        """Show the mail itself."""
        return await preview.frame(self.parts, self._previews, request)

    async def preview_state(self, request: Request) -> Response:
        """Say whether the mail changed."""
        return await preview.state(self.parts, self._previews, request)

    async def inbox(self, request: Request) -> Response:
        """List the messages, newest first."""
        words = self.words(request)
        gettext = self.parts.renderer.words(words.language).gettext
        listed = [
            {
                "to": message.to,
                "subject": message.subject or gettext("(no subject)"),
                "date": words.date(message.date, "time") if message.date else "",
                "size": size(message.size),
                "url": f"/inbox/{message.key}",
            }
            for message in await asyncio.to_thread(self._inbox().messages, SHOWN)
        ]
        return self.html(
            "web/inbox.html.j2", words, self._page(request, words, gettext("Inbox")), headers=_PRIVATE, messages=listed
        )

    async def message(self, request: Request) -> Response:
        """Show one message: as a reader sees it, its text part, or its bytes."""
        words = self.words(request)
        gettext = self.parts.renderer.words(words.language).gettext
        key, view = request.path_params["key"], request.path_params.get("view")
        found = await asyncio.to_thread(self._inbox().read, key)
        if found is None or view not in (None, "html", "text", "raw", "frame"):
            raise HTTPException(404)
        if view == "frame":
            return HTMLResponse(found.html or "", headers=_PRIVATE | {"Content-Security-Policy": MAIL_POLICY})
        view = view or ("html" if found.html is not None else "text")
        titles = {"html": gettext("As sent"), "text": gettext("Text"), "raw": gettext("Source")}
        tabs = [
            {"title": title, "url": f"/inbox/{key}/{name}", "current": name == view}
            for name, title in titles.items()
            if name != "html" or found.html is not None
        ]
        content = found.text or "" if view == "text" else found.raw.decode("utf-8", "replace")
        about: dict[str, Any] = {
            "subject": found.subject,
            "sender": found.sender,
            "to": found.to,
            "date": words.date(found.date, "time") if found.date else "",
            "size": size(len(found.raw)),
        }
        return self.html(
            "web/mail.html.j2",
            words,
            self._page(request, words, found.subject),
            headers=_PRIVATE,
            message=about,
            tabs=tabs,
            view=view,
            content=content,
            inbox_url="/inbox/",
            frame_url=f"/inbox/{key}/frame",
        )

    async def ready(self, request: Request) -> Response:
        """Say whether the service does its work, and what keeps it from it."""
        return await readiness(self.parts, reasons=True)

    async def missing(self, request: Request, error: Exception) -> Response:
        """Answer what is not there."""
        words = self.words(request)
        gettext = self.parts.renderer.words(words.language).gettext
        status = error.status_code if isinstance(error, HTTPException) else 404
        return self.html(
            "web/notice.html.j2",
            words,
            self._page(request, words, gettext("Not found")),
            status=status,
            headers=_PRIVATE,
            heading=gettext("Not found"),
            text=gettext("There is no page at this address."),
            action=None,
        )

    async def stylesheet(self, request: Request) -> Response:
        """Serve the stylesheet."""
        return Response(self.style, media_type="text/css", headers={"Cache-Control": "max-age=31536000, immutable"})

    def _inbox(self) -> Inbox:
        if self.parts.inbox is None:
            # With a real mail server the mail is in the readers' mailboxes, not here.
            raise HTTPException(404)
        return self.parts.inbox

    def _page(self, request: Request, words: Words, title: str) -> Page:
        gettext = self.parts.renderer.words(words.language).gettext
        page = self.page(request, words, title, noindex=True)
        path = request.url.path
        navigation = [
            Link(title=gettext("Inbox"), url="/inbox/", current=path == "/inbox/"),
            *(
                Link(title=gettext("Preview"), url=f"/preview/{one.slug}", current=path.startswith("/preview/"))
                for one in self.config.newsletters[:1]
            ),
            Link(title=gettext("Articles"), url=page.home),
        ]
        return replace(page, navigation=navigation, feeds=(), alternates=())


_PRIVATE = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex"}
