"""The frame of every admin page: navigation by role, forms that are good once, answers that no cache keeps."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from publisher import links
from publisher.accounts.values import Role
from publisher.errors import NotFoundError, PublisherError, StoreError
from publisher.files import packaged
from publisher.web import Parts
from publisher.web.admin import nonces
from publisher.web.admin.office import Office
from publisher.web.admin.ways import Visit, known_visit, visit_of
from publisher.web.chrome import PRIVATE, Chrome
from publisher.web.security import POLICY
from publisher.web.values import Link, Words

ROOM = packaged("templates") / "web" / "admin"

SCRIPTED = POLICY + "; script-src 'self'; connect-src 'self'"
"""Content-Security-Policy of pages that refresh themselves: one small file of ours, nothing inline."""

LANGUAGE = "en"
"""Of the admin pages, whatever the publication's languages are."""


class Frame(Chrome):
    """What pages of all kinds share. One instance serves one configuration."""

    def __init__(self, parts: Parts, office: Office) -> None:
        super().__init__(parts)
        self.office = office
        self.style += (ROOM / "admin.css").read_text(encoding="utf-8")
        self.style_url = f"/style.css?v={hashlib.sha256(self.style.encode()).hexdigest()[:12]}"

    def words(self, request: Request) -> Words:
        """Return English words, with the publication's zone."""
        return Words(self.config, LANGUAGE, "Uncategorised")

    def show(
        self, request: Request, template: str, title: str, *, status: int = 200, live: str = "", **values: object
    ) -> Response:
        """Render a page. `live`: address of the events that say when it is out of date; then it may run our script."""
        visit = visit_of(request)
        about = {
            "title": title,
            "site_title": self.words(request).pick(self.config.site.title),
            "stylesheet": self.style_url,
            "navigation": self._navigation(request, visit),
            "account": {"name": visit.name, "role": str(visit.role)} if visit else None,
            "home": links.home(self.config),
            "live": live,
            "said": _SAID.get(request.query_params.get("said", ""), ""),
        }
        role = visit.role if visit else None
        given = {"page": about, "form": self._forms(visit), "may": _may(role), **values}
        body = self.parts.renderer.render(template, LANGUAGE, given)
        policy = {"Content-Security-Policy": SCRIPTED} if live else {}
        return HTMLResponse(body, status, headers=PRIVATE | policy)

    def notice_page(
        self, request: Request, heading: str, text: str, *, status: int, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Answer in a heading and a sentence."""
        answer = self.show(request, "web/admin/notice.html.j2", heading, status=status, heading=heading, text=text)
        answer.headers.update(headers or {})
        return answer

    async def missing(self, request: Request, error: Exception) -> Response:
        """Answer what is not there, or cannot be done."""
        status = error.status_code if isinstance(error, HTTPException) else 404
        heading, text = _NOTICES.get(status, _NOTICES[400])
        headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
        return self.notice_page(request, heading, text, status=status, headers=headers)

    async def act(self, request: Request, action: str, arguments: Mapping[str, Any], back: str) -> Response:
        """Do what a form asks for, and lead back to a page that says so; what cannot be done is told in its words."""
        visit = known_visit(request)
        try:
            done = await self.office.act(visit.name, action, arguments, form=visit.once)
        except StoreError:
            raise  # answered with 503, as everywhere
        except NotFoundError as error:
            return self.notice_page(request, "Not found", sentence(error), status=404)
        except PublisherError as error:
            return self.notice_page(request, "Nothing was changed", sentence(error), status=409)
        said = "already" if done.get("already") else action
        return RedirectResponse(f"{back}?said={said}", 303, PRIVATE)

    def _forms(self, visit: Visit | None) -> Callable[[str], str]:
        """Return what gives each form its hidden value, by the address it is sent to."""

        def form(path: str) -> str:
            return nonces.nonce(visit.secret, path, self.office.dice()) if visit else ""

        return form

    def _navigation(self, request: Request, visit: Visit | None) -> list[Link]:
        if visit is None:
            return []
        path = request.url.path
        return [
            Link(title=title, url=url, current=path == url or (url != "/" and path.startswith(url.rstrip("/") + "/")))
            for title, url, least in self._places()
            if visit.role.may(least)
        ]

    def _places(self) -> list[tuple[str, str, Role]]:
        first = [f"/preview/{one.slug}" for one in self.config.newsletters[:1]]
        return [
            ("Overview", "/", Role.VIEWER),
            ("Issues", "/issues/", Role.VIEWER),
            *(("Preview", url, Role.VIEWER) for url in first),
            *((("Inbox", "/inbox/", Role.EDITOR),) if self.parts.inbox is not None else ()),
            ("Readers", "/readers/", Role.VIEWER),
            ("Accounts", "/accounts", Role.ADMIN),
            ("Audit log", "/audit", Role.ADMIN),
        ]


def sentence(error: Exception) -> str:
    """Return an error's words as a sentence."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"


def _may(role: Role | None) -> Callable[[str], bool]:
    def may(least: str) -> bool:
        return role is not None and role.may(Role(least))

    return may


_SAID: Mapping[str, str] = {
    "already": "This form had been sent before, and was done once. To do more, begin anew on this page.",
    "approve": "Approved: the issue is being sent.",
    "pause": "Paused: what is on the wire ends by itself.",
    "resume": "The issue goes on.",
    "cancel": "Cancelled: nobody else gets this issue.",
    "resend": "These deliveries wait to be sent once more.",
    "mark_sent": "These deliveries count as sent.",
    "suppress": "Suppressed: nothing more is mailed to this address.",
    "unsuppress": "This address may be mailed again; whoever left stays away.",
    "revoke_account": "The account is gone; it is logged out everywhere.",
}
"""What a page says of what was just done."""

_NOTICES: Mapping[int, tuple[str, str]] = {
    400: ("That is not possible here", "This form cannot be understood. Nothing was changed."),
    403: ("Not allowed", "Your role does not allow this. Nothing was changed."),
    404: ("Not found", "There is no page at this address."),
    405: ("That is not possible here", "This address takes no such request. Nothing was changed."),
    413: ("That is not possible here", "This form is too large. Nothing was changed."),
    503: ("Please try again later", "The database cannot be used at the moment. Nothing was changed."),
}
