"""Leaving: the page behind the link in every mail, and the one-click post of mail programs (RFC 8058)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from publisher.model import Subscription
from publisher.store import subscribers
from publisher.web.answers import path_of
from publisher.web.chrome import Chrome
from publisher.web.values import Words

PREFIX = "/u/"
"""Where the links in mails point; posts from other sites are right there, since mail providers send them (§3.2)."""


class Leaving(Chrome):
    """Asked before anything changes, and done at once."""

    async def leaving(self, request: Request) -> Response:
        """Ask before anything changes: scanners open links too (P5)."""
        words = self.words(request)
        gettext = self.parts.renderer.words(words.language).gettext
        found = await self._subscription(request)
        if found is None:
            return self._unknown_link(request, words)
        newsletter = self._title(words, found.newsletter)
        return self.notice(
            request,
            words,
            heading=gettext("Unsubscribe"),
            text=gettext("Press the button, and %(newsletter)s will not be sent to you any more.")
            % {"newsletter": newsletter},
            action={
                "url": path_of(request),
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
        return self.notice(
            request,
            words,
            heading=gettext("You have left"),
            text=gettext("%(newsletter)s will not be sent to you any more.")
            % {"newsletter": self._title(words, found.newsletter)},
        )

    def _unknown_link(self, request: Request, words: Words) -> Response:
        gettext = self.parts.renderer.words(words.language).gettext
        return self.notice(
            request,
            words,
            heading=gettext("This link is not complete"),
            text=gettext("Please copy the whole address from the mail, or use the link of a newer mail."),
            status=404,
        )

    async def _subscription(self, request: Request) -> Subscription | None:
        number = self.parts.keyring.read_unsubscribe(request.path_params["token"])
        if number is None:
            return None
        return await self.parts.database.aread(lambda conn: subscribers.subscription(conn, number))

    def _title(self, words: Words, slug: str) -> str:
        newsletter = next((n for n in self.config.newsletters if n.slug == slug), None)
        return words.pick(newsletter.title) if newsletter else slug


async def _short_body(request: Request) -> bytes:
    """Read the first kilobytes of a post; a one-click body is 26 bytes, so more is nobody's wish."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > 8192:
            break
    return body
