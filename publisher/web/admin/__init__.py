"""The admin listener: what happens, what happened and why, and what an operator may do about it."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from publisher.accounts.values import Role
from publisher.config import Config
from publisher.config.values import is_loopback, split_listen
from publisher.web import Parts, preview
from publisher.web.admin.door import Door
from publisher.web.admin.frame import Frame
from publisher.web.admin.mailbox import Mailbox
from publisher.web.admin.office import Office
from publisher.web.admin.people import People
from publisher.web.admin.previews import PreviewPages
from publisher.web.admin.ways import Way
from publisher.web.answers import application_of, slashed
from publisher.web.health import Metrics, live, readiness
from publisher.web.pages import icon
from publisher.web.security import LOOPBACK, Guard

__all__ = ["Office", "application", "ways"]


def application(parts: Parts, office: Office) -> ASGIApp:
    """Build the admin listener's app: every way stands behind the door."""
    frame = Frame(parts, office)
    door = Door(frame)
    routes = [Route(way.path, door.guarded(way), methods=[way.method]) for way in ways(frame, door)]
    return Guard(application_of(routes, frame.missing), hosts=_hosts(parts.config))


def ways(frame: Frame, door: Door) -> list[Way]:
    """Return every route with the least role that may go it; None: open to whoever reaches the listener."""
    return [*_open(frame, door), *_of_previews(frame), *_of_mailbox(frame), *_of_people(frame, door)]


def _open(frame: Frame, door: Door) -> list[Way]:
    async def ready(request: Request) -> Response:
        return await readiness(frame.parts, reasons=True)

    return [
        Way("GET", "/login", None, door.login),
        Way("GET", "/login/{token}", None, door.link),
        Way("POST", "/login/{token}", None, door.enter),
        Way("GET", "/style.css", None, frame.stylesheet),
        Way("GET", "/icon.svg", None, icon),
        Way("GET", "/favicon.ico", None, icon),  # what a browser asks for by itself, beside a mail for example
        Way("GET", "/livez", None, live),
        Way("GET", "/readyz", None, ready),
        Way("GET", "/metrics", None, Metrics(frame.parts).answer),
    ]


def _of_previews(frame: Frame) -> list[Way]:
    pages = PreviewPages(frame)
    return [
        Way("GET", "/preview", Role.VIEWER, slashed),
        Way("GET", "/preview/", Role.VIEWER, pages.previews),
        Way("GET", "/preview/{newsletter}", Role.VIEWER, pages.preview),
        Way("GET", "/preview/{newsletter}/mail", Role.VIEWER, pages.mail),
        Way("GET", "/preview/{newsletter}/state", Role.VIEWER, pages.state),
        Way("GET", "/preview.js", Role.VIEWER, preview.script),
    ]


def _of_mailbox(frame: Frame) -> list[Way]:
    pages = Mailbox(frame)
    return [
        Way("GET", "/inbox", Role.EDITOR, slashed),
        Way("GET", "/inbox/", Role.EDITOR, pages.inbox),
        Way("GET", "/inbox/{key}", Role.EDITOR, pages.message),
        Way("GET", "/inbox/{key}/{view}", Role.EDITOR, pages.message),
    ]


def _of_people(frame: Frame, door: Door) -> list[Way]:
    pages = People(frame)

    async def start(request: Request) -> Response:
        return RedirectResponse("/preview/", 302)

    return [
        Way("GET", "/", Role.VIEWER, start),
        Way("POST", "/logout", Role.VIEWER, door.leave),
        Way("POST", "/logout/everywhere", Role.VIEWER, door.leave_everywhere),
        Way("GET", "/fresh", Role.VIEWER, pages.fresh),
        Way("GET", "/accounts", Role.ADMIN, pages.accounts),
        Way("POST", "/accounts", Role.ADMIN, pages.invite),
        Way("POST", "/accounts/revoke", Role.ADMIN, pages.revoke),
        Way("GET", "/audit", Role.ADMIN, pages.audit),
    ]


def _hosts(config: Config) -> frozenset[str] | None:
    """Return the names that the listener answers to, None for any."""
    host, _ = split_listen(config.web.admin_listen)
    named = urlsplit(config.web.admin_url).hostname
    own = frozenset({f"[{named}]" if ":" in named else named}) if named else frozenset()
    # A page of another site can have its own name resolve to this machine, and read whatever answers to that name.
    if is_loopback(host):
        return LOOPBACK | {host} | own
    return LOOPBACK | {host} | own if own else None
