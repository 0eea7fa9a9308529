"""One issue: how far it is, why deliveries failed, what it holds, and what an operator may decide."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from html import escape
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from publisher import links
from publisher.accounts.values import Role
from publisher.mail.message import SLOTS
from publisher.model import DeliveryState, Issue, IssueState
from publisher.store import contents, deliveries, issues, tallies
from publisher.store.database import Connection
from publisher.web.admin.causes import causes
from publisher.web.admin.frame import Frame
from publisher.web.admin.numbers import Numbers
from publisher.web.admin.overview import titles_of
from publisher.web.admin.people import number
from publisher.web.admin.values import about_issue, about_tally, at_clock, sending_plot
from publisher.web.admin.ways import form_of, known_visit
from publisher.web.chrome import PRIVATE
from publisher.web.security import MAIL_POLICY

CAUSES = 20
ARTICLES = 100
DECIDED = 200
"""Uncertain deliveries that are listed to be decided one by one."""

_TURNS: Mapping[IssueState, tuple[str, ...]] = {
    IssueState.PLANNED: ("cancel",),
    IssueState.HELD: ("approve", "cancel"),
    IssueState.SENDING: ("pause", "cancel"),
    IssueState.PAUSED: ("resume", "cancel"),
}
"""What may be done with an issue in a state; nothing with one that is over."""
_DECISIONS = ("resend", "mark_sent")


class IssuePages:
    """One method a page."""

    def __init__(self, frame: Frame, numbers: Numbers) -> None:
        self.frame = frame
        self.database = frame.parts.database
        self.numbers = numbers

    async def issue(self, request: Request) -> Response:
        """Show an issue. What takes a pass over its deliveries is counted beside, and shown with its age."""
        words, now = self.frame.words(request), self.frame.parts.clock()
        issue = await self._found(request)
        taken = await self.numbers.of(issue.ref).get()
        of = taken.value if taken else None
        may_decide = known_visit(request).role.may(Role.EDITOR)

        def read(conn: Connection) -> tuple[list[contents.IssueArticle], list[deliveries.DeliveryRow]]:
            doubtful = partial(deliveries.listing, conn, issue_id=issue.id, states=[DeliveryState.UNCERTAIN])
            held = contents.issue_articles_of(conn, issue.id, limit=ARTICLES)
            return held, doubtful(limit=DECIDED) if may_decide and tallies.uncertain(conn).get(issue.ref) else []

        held, doubtful = await self.database.aread(read)
        slugs = {one.slug for one in self.frame.config.newsletters}
        return self.frame.show(
            request,
            "web/admin/issue.html.j2",
            f"{titles_of(words, self.frame.config).get(issue.newsletter, issue.newsletter)}, {issue.slot[:10]}",
            live=f"/issues/{issue.ref}/events",
            issue=about_issue(words, issue, titles_of(words, self.frame.config)),
            turns=_TURNS.get(issue.state, ()),
            preview=f"/preview/{issue.newsletter}" if issue.newsletter in slugs else "",
            public=_page(self.frame, issue),
            tally=about_tally(of.tally, now) if of else None,
            plot=sending_plot(words, of.tally) if of else None,
            taken=at_clock(words, taken.taken_at) if taken else "",
            causes=_causes(of.reasons if of else ()),
            segments=of.segments if of else (),
            segments_number=of.segments_number if of else 0,
            articles=held,
            doubtful=[_doubtful(row) for row in doubtful],
        )

    async def segment(self, request: Request) -> Response:
        """Show a segment as its readers see it, without anybody's links."""
        issue = await self._found(request)
        id_ = number(request.path_params["id"])
        found = None
        if id_ is not None:
            found = await self.database.aread(lambda conn: contents.segment_text(conn, issue.id, id_))
        if found is None:
            raise HTTPException(404)
        html = found.html or f"<!DOCTYPE html><title>-</title><pre>{escape(found.text)}</pre>"
        for slot in SLOTS:
            html = html.replace(slot, "#")
        return HTMLResponse(html, headers=PRIVATE | {"Content-Security-Policy": MAIL_POLICY})

    async def approve(self, request: Request) -> Response:
        """Send a held issue."""
        return await self._turn(request, "approve")

    async def pause(self, request: Request) -> Response:
        """Stop sending."""
        return await self._turn(request, "pause")

    async def resume(self, request: Request) -> Response:
        """Go on sending."""
        return await self._turn(request, "resume")

    async def cancel(self, request: Request) -> Response:
        """End an issue for good."""
        return await self._turn(request, "cancel")

    async def decide(self, request: Request) -> Response:
        """Send uncertain deliveries once more, or count them as sent: those that were chosen, or all of the issue."""
        issue, form = await self._found(request), form_of(request)
        action, _, rest = form.one("do").partition(" ")
        if action not in _DECISIONS:
            raise HTTPException(400)
        mine = await self.database.aread(lambda conn: tallies.uncertain_ids(conn, issue.id))
        if rest != "all":
            chosen = {number(text) for text in form.all("id")}
            mine = [id_ for id_ in mine if id_ in chosen]
        if not mine:
            text = "None of the chosen deliveries is uncertain. Nothing was changed."
            return self.frame.notice_page(request, "Nothing to decide", text, status=409)
        return self._done(await self.frame.act(request, action, {"ids": mine}, f"/issues/{issue.ref}"))

    async def _turn(self, request: Request, action: str) -> Response:
        issue = await self._found(request)
        return self._done(await self.frame.act(request, action, {"ref": issue.ref}, f"/issues/{issue.ref}"))

    def _done(self, answer: Response) -> Response:
        self.numbers.hurry()
        return answer

    async def _found(self, request: Request) -> Issue:
        ref = request.path_params["ref"]
        for issue in await self.database.aread(lambda conn: issues.uncounted(conn, ref=ref)):
            return issue
        raise HTTPException(404)


def _page(frame: Frame, issue: Issue) -> str:
    public = (IssueState.SENDING, IssueState.PAUSED, IssueState.SENT)
    return links.issue(frame.config, issue.ref, frame.config.site.default_language) if issue.state in public else ""


def _causes(reasons: tuple[tallies.Reason, ...]) -> dict[str, Any]:
    found = causes(reasons)
    return {
        "listed": [{"state": str(one.state), "words": one.words, "number": one.deliveries} for one in found[:CAUSES]],
        "more": len(found) - CAUSES,
    }


def _doubtful(row: deliveries.DeliveryRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "address": row.address or "",
        "reader": f"/readers/{row.subscriber_id}" if row.subscriber_id else "",
        "reason": row.reason,
        "reply": row.reply_text or "",
        "attempts": row.attempt,
    }
