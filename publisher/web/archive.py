"""Pages of newsletters: what is sent, what was sent, and an issue as it was sent."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from publisher import links
from publisher.config import Config, Newsletter
from publisher.feeds.spec import NEWSLETTER_PREFIX
from publisher.model import Issue, IssueState
from publisher.store import issues
from publisher.subscriptions.choices import newsletter_of
from publisher.web import Parts, signup
from publisher.web.chrome import Chrome
from publisher.web.security import MAIL_POLICY
from publisher.web.values import Words

PAST = 100
"""Issues on a newsletter's page."""


class NewsletterPages(Chrome):
    """The list of newsletters, each with its issues, and each issue."""

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
        shown = [await described(self.parts, words, one, 1) for one in self.config.newsletters]
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
        about = await described(self.parts, words, newsletter, before=before)
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


async def described(
    parts: Parts, words: Words, newsletter: Newsletter, shown: int = PAST, before: str | None = None
) -> dict[str, Any]:
    """Return what pages say of a newsletter: what it is, and its last issues, `shown` of them, before one."""
    config = parts.config

    def read(conn: Any) -> tuple[list[dict[str, Any]], str]:  # noqa: ANN401 - the store's connection
        states = (IssueState.SENDING, IssueState.SENT)
        sent = issues.listing(conn, newsletter=newsletter.slug, states=states, limit=shown + 1, before=before)
        last = sent[shown - 1].ref if len(sent) > shown else ""
        sent = sent[:shown]
        subjects = issues.web_subjects(conn, [issue.id for issue in sent], words.language)
        return [_issue(config, words, issue, subjects[issue.id]) for issue in sent if issue.id in subjects], last

    past, last = await parts.database.aread(read)
    zone = config.site.timezone
    return {
        "title": words.pick(newsletter.title),
        "description": words.pick(newsletter.description),
        "url": links.newsletter(config, newsletter.slug, words.language),
        "schedules": [_sentence(f.schedule(zone).describe()) for f in newsletter.frequencies.values()]
        if words.language == "en"
        else [],
        "signup_url": f"{signup.PATH}?lang={words.language}&newsletter={newsletter.slug}" if newsletter.signup else "",
        "latest": past[0] if past else None,
        "issues": past,
        "older_url": links.newsletter(config, newsletter.slug, words.language, before=last) if last else "",
    }


def _issue(config: Config, words: Words, issue: Issue, subject: str) -> dict[str, Any]:
    when = issue.published_at or issue.created_at
    return {
        "subject": subject,
        "url": links.issue(config, issue.ref, words.language),
        "date": words.date(when),
        "iso": when.isoformat(),
    }


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
