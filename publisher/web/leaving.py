"""Leaving: the page behind the link in every mail, and the one-click post of mail programs (RFC 8058)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from publisher.links import TRIAL
from publisher.model import SubscriptionState
from publisher.subscriptions.values import Left
from publisher.web.answers import path_of
from publisher.web.choosing import fields_of
from publisher.web.forms import Form, parsed
from publisher.web.personal import Action, Personal, Step
from publisher.web.values import Words

PREFIX = "/u/"
"""Where the links in mails point; posts from other sites are right there, since mail providers send them (§3.2)."""

_ENOUGH = 8192
"""Octets read of a post: a one-click body has 26, the page's own a few more."""


class LeavingPages(Personal):
    """Asked before anything changes, and done at once."""

    async def leaving(self, request: Request) -> Response:
        """Ask before anything changes, and offer less: scanners open links too (P5)."""
        words = self.words(request)
        token = request.path_params["token"]
        found = await self.desk.leaving(token, language=words.language)
        shown = await self.desk.preferences(token, language=words.language) if found else None
        if found is None or shown is None:
            return self.unknown_link(request, words)
        if found.state is not SubscriptionState.CONFIRMED:
            return self.step(request, words, self._left(words, [found.title], found.newsletter, everything=True))
        _ = self.gettext(words)
        less = fields_of(self.config, found.offer, found.choice, _, less=True) if found.offer is not None else None
        return self.personal(
            request,
            words,
            "web/leave.html.j2",
            _("Unsubscribe"),
            newsletter=found.title,
            address=shown.address,
            action=f"{path_of(request)}?lang={words.language}",
            base=path_of(request),
            less=less,
        )

    async def leave(self, request: Request) -> Response:
        """Unsubscribe, by the button or by the mail program's one-click post (RFC 8058); the same answer each time."""
        words = self.words(request)
        token = request.path_params["token"]
        if token == TRIAL:  # nobody's: `publisher doctor` asks whether posts come through
            return PlainTextResponse("ok")
        if self.parts.keyring.read_unsubscribe(token) is None:
            return self.unknown_link(request, words)
        body = await _beginning(request)
        method = "one-click" if b"One-Click" in body else "link"
        everything = method == "link" and _fields(request, body).one("everything") == "1"
        # Committed before the answer goes out: what we acknowledge is durable (P3, P6).
        left = await self.desk.leave(token, method=method, everything=everything, client=self.client(request))
        if left is None:
            return self.unknown_link(request, words)
        return self.step(request, words, self._done(request, words, left))

    def _done(self, request: Request, words: Words, left: Left) -> Step:
        titles = [self.title(words, slug) for slug in left.newsletters]
        only = left.newsletters[0] if len(left.newsletters) == 1 else ""
        step = self._left(words, titles, only, everything=left.everything)
        if left.everything:
            return step
        _ = self.gettext(words)
        rest = Action(
            url=f"{path_of(request)}?lang={words.language}",
            label=_("Leave the other newsletters too"),
            fields={"everything": "1"},
            quiet=True,
        )
        return Step(heading=step.heading, paragraphs=step.paragraphs, links=step.links, actions=(rest,))

    def _left(self, words: Words, titles: list[str], newsletter: str, *, everything: bool) -> Step:
        _ = self.gettext(words)
        path = f"/subscribe?lang={words.language}" + (f"&newsletter={newsletter}" if newsletter else "")
        text = _("%(newsletter)s will not be sent to you any more.") % {"newsletter": ", ".join(titles)}
        more = _("You receive nothing else from us.") if everything else _("You still receive our other newsletters.")
        return Step(
            heading=_("You have left"),
            paragraphs=(text, more) if titles else (more,),
            links=((_("That was a mistake: sign up again"), path),),
        )

    def title(self, words: Words, slug: str) -> str:
        """Return what a newsletter is called, also one that is not published any more."""
        newsletter = next((n for n in self.config.newsletters if slug == n.slug or slug in n.former), None)
        return words.pick(newsletter.title) if newsletter else slug


def _fields(request: Request, body: bytes) -> Form:
    urlencoded = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    return parsed(body) if urlencoded else Form({})


async def _beginning(request: Request) -> bytes:
    """Read the first kilobytes of a post; more is nobody's wish."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _ENOUGH:
            break
    return body[:_ENOUGH]
