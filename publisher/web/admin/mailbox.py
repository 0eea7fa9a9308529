"""The embedded inbox: what would have gone out, for eyes on this machine."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from publisher.mail.inbox import Inbox
from publisher.web.admin.frame import Frame
from publisher.web.chrome import PRIVATE
from publisher.web.security import MAIL_POLICY
from publisher.web.values import size

SHOWN = 200
"""Newest messages on the inbox page; the Maildir holds them all."""


class Mailbox:
    """One method a page."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame

    async def inbox(self, request: Request) -> Response:
        """List the messages, newest first."""
        words = self.frame.words(request)
        listed = [
            {
                "to": message.to,
                "subject": message.subject or "(no subject)",
                "date": words.date(message.date, "time") if message.date else "",
                "size": size(message.size),
                "url": f"/inbox/{message.key}",
            }
            for message in await asyncio.to_thread(self._inbox().messages, SHOWN)
        ]
        return self.frame.show(request, "web/inbox.html.j2", "Inbox", messages=listed)

    async def message(self, request: Request) -> Response:
        """Show one message: as a reader sees it, its text part, or its bytes."""
        words = self.frame.words(request)
        key, view = request.path_params["key"], request.path_params.get("view")
        found = await asyncio.to_thread(self._inbox().read, key)
        if found is None or view not in (None, "html", "text", "raw", "frame"):
            raise HTTPException(404)
        if view == "frame":
            return HTMLResponse(found.html or "", headers=PRIVATE | {"Content-Security-Policy": MAIL_POLICY})
        view = view or ("html" if found.html is not None else "text")
        titles = {"html": "As sent", "text": "Text", "raw": "Source"}
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
        return self.frame.show(
            request,
            "web/mail.html.j2",
            found.subject,
            message=about,
            tabs=tabs,
            view=view,
            content=content,
            inbox_url="/inbox/",
            frame_url=f"/inbox/{key}/frame",
        )

    def _inbox(self) -> Inbox:
        if self.frame.parts.inbox is None:
            # With a real mail server the mail is in the readers' mailboxes, not here.
            raise HTTPException(404)
        return self.frame.parts.inbox
